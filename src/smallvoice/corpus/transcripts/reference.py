"""The reference layout: `data/train`, `data/test`, at any depth NAME.wav beside NAME.txt.

    NAME.txt    start <tab> end <tab> text      seconds; one segment a line

The split is what the folder at the top says. The format has no speakers: the speaker stays unknown, and the
folder that holds a recording below its split is its session, so that what was recorded together stays
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from smallvoice.corpus.transcripts.files import is_audio, relative, walk
from smallvoice.corpus.transcripts.lines import read_lines
from smallvoice.corpus.transcripts.segment import Item, Problem, Reader, Recording, Segment, number

SPLITS = ("train", "dev", "test")
_PREFERRED = (".wav", ".flac")


def recognises(folder: Path) -> bool:
    top = _top(folder)
    if top is not None:
        return any(is_audio(path) or _is_transcript(path) for split in SPLITS for path in walk(top / split))
    pairs = _pairs(folder)
    return any(transcript and audio for transcript, audio in pairs.values())


def read(folder: Path) -> Iterator[Item]:
    """Every segment, unusable line and file without a partner."""
    top = _top(folder) or folder
    for transcript, audio in _pairs(top).values():
        path = (audio + transcript)[0]
        split, session = _place(path, top, has_splits=_top(folder) is not None)
        for extra in audio[1:]:
            yield Problem(
                where=relative(extra, folder),
                reason="audio without transcript",
                detail=f"{audio[0].name} is taken for {transcript[0].name}" if transcript else "no .txt beside it",
                split=split,
                session=session,
            )
        if not transcript:
            yield Problem(
                where=relative(path, folder),
                reason="audio without transcript",
                detail=f"there is no {path.stem}.txt beside it",
                split=split,
                session=session,
            )
            continue
        segments, problems = _parse(transcript[0], folder, split, session)
        if audio and segments:
            yield Recording(
                audio=audio[0],
                path=relative(audio[0], folder),
                split=split,
                session=session,
                segments=tuple(segments),
            )
        elif audio and not problems:
            yield Problem(
                where=relative(audio[0], folder),
                reason="audio without transcript",
                detail=f"{transcript[0].name} holds no segment",
                split=split,
                session=session,
            )
        elif not audio:
            yield from _without_audio(transcript[0], folder, segments, split, session)
            # A text that has nothing to do with audio (a README) is one file without a partner, not bad
            # lines.
            problems = problems if segments else []
        yield from problems


def _top(folder: Path) -> Path | None:
    """The folder that holds train and test: the one given, or `data` in it."""
    for top in (folder, folder / "data"):
        if any((top / split).is_dir() for split in SPLITS):
            return top
    return None


def _pairs(top: Path) -> dict[Path, tuple[list[Path], list[Path]]]:
    """Path without suffix -> transcripts and audio files of that name, the preferred first."""
    pairs: dict[Path, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for path in walk(top):
        if _is_transcript(path):
            pairs[path.with_suffix("")][0].append(path)
        elif is_audio(path):
            pairs[path.with_suffix("")][1].append(path)
    for _, audio in pairs.values():
        audio.sort(key=lambda path: (path.suffix.lower() not in _PREFERRED, path.suffix.lower() != ".wav", path.name))
    return dict(pairs)


def _is_transcript(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def _place(path: Path, top: Path, *, has_splits: bool) -> tuple[str | None, str | None]:
    """The split and the session that a recording's folders say."""
    folders = path.relative_to(top).parts[:-1]
    split = folders[0] if has_splits and folders and folders[0] in SPLITS else None
    session = folders[1:] if split else folders
    return split, "/".join(session) or None


def _parse(path: Path, source: Path, split: str | None, session: str | None) -> tuple[list[Segment], list[Problem]]:
    segments, problems = [], []
    for line_number, line in read_lines(path):
        where = f"{relative(path, source)}:{line_number}"
        parsed = _segment(line, where)
        if isinstance(parsed, Segment):
            segments.append(parsed)
        else:
            reason, detail = parsed
            problems.append(Problem(where=where, reason=reason, detail=detail, split=split, session=session))
    return segments, problems


def _segment(line: str | None, where: str) -> Segment | tuple[str, str]:
    """A segment, or why there is none: the reason and what was found."""
    if line is None:
        return "not UTF-8", ""
    columns = line.split("\t")
    if len(columns) == 2:
        columns.append("")  # the text is missing, which is said as such later
    if len(columns) != 3:
        plural = "column" if len(columns) == 1 else "columns"
        return "bad line", f"{len(columns)} {plural}, expected 3: start, end, text, separated by tabs"
    start_s, end_s = number(columns[0]), number(columns[1])
    if start_s is None or end_s is None:
        return "bad line", f"start and end are not numbers of seconds: {columns[0]!r}, {columns[1]!r}"
    return Segment(where=where, text=columns[2], start_s=start_s, end_s=end_s)


def _without_audio(
    path: Path, source: Path, segments: list[Segment], split: str | None, session: str | None
) -> Iterator[Problem]:
    """Each segment with its words, or the whole file where it holds none."""
    detail = f"there is no {path.stem}.wav beside it"
    for segment in segments:
        yield Problem(
            where=segment.where,
            reason="transcript without audio",
            detail=detail,
            segment=segment,
            split=split,
            session=session,
        )
    if not segments:
        yield Problem(
            where=relative(path, source),
            reason="transcript without audio",
            detail=detail,
            split=split,
            session=session,
        )


READER = Reader(
    name="reference layout",
    shape="data/train and data/test with, at any depth, NAME.wav (or .flac) beside NAME.txt, "
    "whose lines are: start <tab> end <tab> text",
    recognises=recognises,
    read=read,
)
