"""Plain text: a file whose text is all that is said in the recording beside it, or a list of utterances.

NAME.txt, NAME.lab, NAME.trn    the text of NAME.wav, in one or several lines, less TIMIT's sample numbers
*.trans.txt                     UTTERANCE words          one a line, as LibriSpeech has it
*.trn                           words (UTTERANCE)        one a line, as NIST's sclite has it
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from smallvoice.corpus.transcripts import labels, lhotse_cuts, nist, seglst, subtitles, table
from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable
from smallvoice.corpus.transcripts.fields import first_lines, numbered_lines, person_in, squeezed, text_and_notes
from smallvoice.corpus.transcripts.files import is_file
from smallvoice.corpus.transcripts.segment import AUDIO_SUFFIXES, Problem, Segment, number
from smallvoice.recipe import CorpusRecipe

_OTHER_STARTS = ("@UTF8", "@Begin", "@Font", "@PID", "File type", '"ooTextFile', "<?xml", "<!DOCTYPE", "<html", "PK")
"""CHAT, Praat, XML and its like, which may be called .txt as well."""
_NUM_TESTED = 3
_UTTERANCE_LAST = re.compile(r"\(([^()\s]+)\)$")
_SAMPLES = re.compile(r"(\d{1,10})[ \t]+(\d{5,10})[ \t]+(?=[^\d\s])")
"""First and last sample of the words that follow: no sentence begins so."""
_LIKE_A_NAME = re.compile(r"[\d_-]")
_AUDIO_SUFFIXES = sorted(AUDIO_SUFFIXES | {suffix.upper() for suffix in AUDIO_SUFFIXES})


def recognises_text(head: Head) -> bool:
    """Text of a name that is usual for it, in no other form that is known. The last resort."""
    if head.suffix not in TEXT.suffixes or "\0" in head.text or head.text.lstrip().startswith(_OTHER_STARTS):
        return False
    others = [*subtitles.READERS, *nist.READERS, seglst.READER, lhotse_cuts.READER, *table.READERS, labels.READER]
    return not (_is_aligned(head) or recognises_list(head) or any(reader.recognises(head) for reader in others))


def _is_aligned(head: Head) -> bool:
    """Lines that start with two times: a phone alignment (HTK's `0 2500000 sil`), or a broken label track."""
    lines = [line.split() for line in first_lines(head)]
    found = _SAMPLES.match(head.text.strip()) if len(lines) == 1 else None
    if found and int(found[1]) < int(found[2]):
        return not _is_timit(head.path, head.text)
    timed = [len(line) > 1 and None not in (number(line[0]), number(line[1])) for line in lines]
    return sum(timed) > 1 and all(timed[:_NUM_TESTED])


def _is_timit(path: Path, text: str) -> bool:
    """`0 46797 She had ...`: TIMIT's .TXT says of which samples its sentence is, and these are all of them."""
    line = text.strip()
    found = _SAMPLES.match(line)
    return path.suffix.lower() == ".txt" and "\n" not in line and found is not None and int(found[1]) == 0


def recognises_list(head: Head) -> bool:
    lines = [line.rstrip() for line in first_lines(head) if not line.startswith(";;")][:_NUM_TESTED]
    if head.path.name.lower().endswith(".trans.txt"):
        return "\0" not in head.text and bool(lines) and all(len(line.split()[0]) > 1 for line in lines)
    names = [found[1] for line in lines if (found := _UTTERANCE_LAST.search(line))]
    if head.suffix != ".trn" or not lines or len(names) < len(lines):
        return False
    # `hello (laughs)` beside its recording ends in a remark of the transcriber's.
    if any(has_audio_beside(head.path.parent / f"{name}.trn") for name in names if "/" not in name):
        return True
    return any(map(_LIKE_A_NAME.search, names)) and not has_audio_beside(head.path)


def has_audio_beside(transcript: Path) -> bool:
    """Whether a recording of the transcript's name lies in its folder."""
    return any(is_file(transcript.with_suffix(suffix)) for suffix in _AUDIO_SUFFIXES)


def parse_text(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """The whole file as one segment without times.

    Raises:
        Unreadable: empty, or not text.
    """
    text, notes = text_and_notes(path, where)
    if not text.strip():
        raise Unreadable(where, "empty file", "nothing but white space")
    segment = Segment(where=f"{where}:1", text=squeezed(text))
    if _is_timit(path, text):
        words = _SAMPLES.sub("", segment.text, count=1)
        segment = replace(segment, text=words, flags=("sample numbers left out",))
    return Document(segments=(segment,), notes=notes)


def parse_list(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every utterance; its recording is the one of its name. In `84-121123-0001` the speaker is 84.

    Raises:
        Unreadable: no line is of this form.
    """
    segments: list[Segment] = []
    problems: list[Problem] = []
    utterance_is_last = path.suffix.lower() == ".trn"
    for line_number, line in numbered_lines(path, where):
        place = f"{where}:{line_number}"
        if line is None:
            problems.append(Problem(where=place, reason="not UTF-8"))
            continue
        if line.startswith(";;"):
            continue
        found = _UTTERANCE_LAST.search(line.rstrip()) if utterance_is_last else None
        if utterance_is_last and found is None:
            detail = "expected: words (UTTERANCE)"
            lost = Segment(where=place, text=squeezed(line))
            problems.append(Problem(where=place, reason="bad line", detail=detail, segment=lost))
            continue
        utterance, text = (found[1], line[: found.start()]) if found else _first_word(line)
        parts = utterance.split("-")
        segments.append(
            Segment(
                where=place,
                text=squeezed(text),
                speaker=person_in(parts[0], where, None) if len(parts) == 3 and all(parts) else None,
                recording=utterance,
                flags=("alternatives",) if utterance_is_last and "{" in text and "/" in text else (),
            )
        )
    if not segments:
        raise Unreadable(where, "no utterance", f"{len(problems)} lines of another form")
    return Document(segments=tuple(segments), problems=tuple(problems))


def _first_word(line: str) -> tuple[str, str]:
    first, *rest = line.split(maxsplit=1)
    return first, rest[0] if rest else ""


LIBRISPEECH = FileReader(
    name="librispeech",
    shape="utterances by name: LibriSpeech's *.trans.txt (UTTERANCE words) or sclite's .trn (words (UTTERANCE))",
    suffixes=frozenset({".txt", ".trn"}),
    sure_of_name=False,
    recognises=recognises_list,
    parse=parse_list,
)
TEXT = FileReader(
    name="text",
    shape="NAME.txt, .lab or .trn beside NAME.wav: all of it is said in the recording",
    suffixes=frozenset({".txt", ".lab", ".trn"}),
    sure_of_name=False,
    recognises=recognises_text,
    parse=parse_text,
)
READERS = (LIBRISPEECH, TEXT)
