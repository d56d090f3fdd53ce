"""Label tracks: https://manual.audacityteam.org/man/importing_and_exporting_labels.html

    start <tab> end <tab> text          seconds; a point has start = end
    \\ <tab> low <tab> high              the frequencies of the label above: not read

It is also the text form of the reference layout. A comma as decimal point is read too: some versions write what
the system's language has.
"""

from __future__ import annotations

from pathlib import Path

from smallvoice.corpus.transcripts.document import Document, FileReader, Head
from smallvoice.corpus.transcripts.fields import first_lines, numbered_lines
from smallvoice.corpus.transcripts.segment import Problem, Segment, number
from smallvoice.recipe import CorpusRecipe

_SUFFIXES = frozenset({".txt", ".lab"})


def recognises(head: Head) -> bool:
    """The first line is a label; without text it takes the file's name and the lines after it to believe so."""
    lines = [line for line in first_lines(head) if not _is_frequencies(line)]
    good = [isinstance(_segment(line, ""), Segment) for line in lines]
    if not good or not good[0]:
        return False
    return lines[0].count("\t") == 2 or (head.suffix in _SUFFIXES and 2 * sum(good) > len(good))


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every label, the bad lines as problems."""
    segments: list[Segment] = []
    problems: list[Problem] = []
    for line_number, line in numbered_lines(path, where):
        place = f"{where}:{line_number}"
        if line is None:
            problems.append(Problem(where=place, reason="not UTF-8"))
            continue
        if _is_frequencies(line):
            continue
        found = _segment(line, place)
        if isinstance(found, Segment):
            segments.append(found)
        else:
            problems.append(Problem(where=place, reason="bad line", detail=found))
    return Document(segments=tuple(segments), problems=tuple(problems))


def _is_frequencies(line: str) -> bool:
    return line.startswith("\\\t")


def _segment(line: str, where: str) -> Segment | str:
    """A segment, or why there is none."""
    columns = line.split("\t")
    if len(columns) == 2:
        columns.append("")  # the text is missing, which is said as such later
    if len(columns) != 3:
        plural = "column" if len(columns) == 1 else "columns"
        return f"{len(columns)} {plural}, expected 3: start, end, text, separated by tabs"
    start_s, end_s = _seconds(columns[0]), _seconds(columns[1])
    if start_s is None or end_s is None:
        return f"start and end are not numbers of seconds: {columns[0][:40]!r}, {columns[1][:40]!r}"
    return Segment(where=where, text=columns[2].strip(), start_s=start_s, end_s=end_s)


def _seconds(text: str) -> float | None:
    return number(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


READER = FileReader(
    name="labels",
    shape="label tracks as Audacity writes them: start <tab> end <tab> text, in seconds",
    suffixes=_SUFFIXES,
    sure_of_name=False,
    recognises=recognises,
    parse=parse,
)
