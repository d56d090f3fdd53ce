"""The verbs that use a model: recordings to transcripts, and the model to other runtimes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallvoice.errors import InputError, RecipeError, require
from smallvoice.languages import language_code
from smallvoice.scoring import read_aloud, wording
from smallvoice.storage import locked, read_text, write_text
from smallvoice.terminal import console, progress

if TYPE_CHECKING:
    from smallvoice.decoding.recordings import Work
    from smallvoice.decoding.transcribe import Done, Transcriber

MANY = Path("transcripts")
"""Where transcripts of several recordings go if nobody says."""


class SomeFailed(InputError):
    """Recordings that could not be transcribed; `found` says which, why, and what became of the others."""

    def __init__(self, problem: str, found: dict[str, Any]) -> None:
        super().__init__(problem)
        self.found = found


def transcribe(
    sources: list[Path],
    model: str,
    *,
    out: Path | None = None,
    formats: tuple[str, ...] = (),
    language: str | None = None,
    beams: int | None = None,
    read_text: Path | None = None,
    runtime: str | None = None,
) -> dict[str, Any]:
    """Recordings of any length to transcripts with word times. The same command does only what is missing.

    Args:
        sources: audio files, folders of them, or `-` alone: one recording from standard input.
        model: a run, an adapter, a folder of weights, or a name.
        out: the folder of the transcripts; without it one recording is only returned, several go to `transcripts/`.
        formats: `txt`, `srt`, `vtt`, `csv`, `textgrid`, `eaf`; `json` is always written.
        language: forced; else that of the model's training, else the model's guess.
        read_text: a passage that was to be read aloud: its words are counted as read, left out, put right, ...
        runtime: `torch` or `ctranslate2`; exports to CTranslate2 decode there, everything else in torch.

    Returns:
        `recordings`, `transcribed`, `skipped`, `failed`; with a passage `readings` of them all; of one recording the
        whole transcript.

    Raises:
        SomeFailed: files that failed, after all others are done; `failures` in its `found`.
        SmallvoiceError: anything else that a user can mend.
    """
    require("torch", extra="train", why="Transcribing")
    from smallvoice.decoding import recordings, transcript_files
    from smallvoice.decoding import transcribe as transcribing

    if not sources:
        raise RecipeError("Nothing to transcribe: give audio files, folders, or - for standard input.")
    if out is None and (formats or len(sources) > 1 or sources[0].is_dir()):
        out = MANY
    work = recordings.find(sources, out)
    transcriber = transcribing.transcriber(
        model, language=language, beams=beams, formats=formats, passage=read_text, runtime=runtime
    )
    if out is None:
        return _result(work, _each(work, transcriber), out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        read_before = _readings(out)
        if read_before is None and read_text:
            raise InputError(
                f"{out / read_aloud.TABLE}: is there, and smallvoice has not written it. Take another --out."
            )
        transcript_files.remove_half_written({out, *(one.target.parent for one in work if one.target)})
        return _result(work, _each(work, transcriber), out, read_before)


def _each(work: list[Work], transcriber: Transcriber) -> list[Done]:
    """What became of each recording; a transcript is kept only where there is one."""
    done = []
    with progress("transcribing") as update:
        for number, one in enumerate(work):
            update(number, len(work), one.name)
            found = transcriber.do(one, partial(_heard, partial(update, number, len(work)), one.name))
            done.append(found if len(work) == 1 else found.without_transcript())
            if found.error:
                console.print(found.error, style="red", soft_wrap=True)
    return done


def _result(
    work: list[Work], done: list[Done], out: Path | None, read_before: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """What `transcribe` returns, or raises; the table of readings is written.

    Args:
        read_before: its rows of commands before; None where the table is not smallvoice's.
    """
    from smallvoice.decoding.writers import content

    failed = [one for one in done if one.error]
    made = [one for one in done if one.made]
    skipped = len(done) - len(failed) - len(made)
    counts = {"recordings": len(done), "transcribed": len(made), "skipped": skipped, "failed": len(failed)}
    found: dict[str, Any] = dict(counts)
    if out is not None:
        console.print(_summary(len(made), skipped, len(failed), out), soft_wrap=True)
        readings = [_row(one.out, out, one.reading) for one in done if one.out and one.reading]
        if read_before is not None:
            _write_table(out, read_before, readings, [one for one, what in zip(work, done, strict=True) if what.error])
        if readings:
            found["readings"] = readings
    if failed:
        found["failures"] = [{"recording": one.name, "reason": one.error} for one in failed]
        raise SomeFailed(f"{len(failed)} of {wording.count(len(done), 'recording')} could not be transcribed.", found)
    transcript = done[0].transcript if len(done) == 1 else None
    return {**found, **({**transcript.facts, **content(transcript)} if transcript else {})}


def _row(files: Path, out: Path, reading: dict[str, Any]) -> dict[str, Any]:
    """A recording's reading without its words."""
    name = files.relative_to(out).as_posix().encode("utf-8", "backslashreplace").decode()
    return {"recording": name, **{column: reading.get(column) for column in read_aloud.COLUMNS}}


def _readings(out: Path) -> list[dict[str, str]] | None:
    """The rows of the table of readings; None where a table of that name is there, and is another."""
    path = out / read_aloud.TABLE
    if not path.exists():
        return []
    with suppress(InputError):  # not UTF-8
        return read_aloud.from_csv(read_text(path))
    return None


def _write_table(
    out: Path, before: list[dict[str, str]], readings: list[dict[str, Any]], failed: Sequence[Work]
) -> None:
    """Write the readings of this command, and of commands before what the transcripts say now; say what changed.

    Args:
        failed: what a transcript says of their recordings may be of other audio than there is now.
    """
    from smallvoice.decoding.recordings import place_of

    path, places = out / read_aloud.TABLE, {place_of(one.source) for one in failed if one.source}
    rows = {row["recording"]: row for row in readings}
    old = {row["recording"]: row for row in before if row["recording"] not in rows}
    still = {name: row for name in old if (row := _still(name, out, places))}
    gone = [name for name in old if name not in still]
    other = [name for name, row in still.items() if read_aloud.as_csv([row]) != read_aloud.as_csv([old[name]])]
    for names, why in ((gone, "left out: no reading of it is there now"), (other, "counted as its transcript says")):
        if names:
            console.print(f"{path}: {', '.join(sorted(names))}: {why}.", soft_wrap=True)
    if readings or gone or other:
        rows |= still
        write_text(path, read_aloud.as_csv([rows[name] for name in sorted(rows)]))


def _still(name: str, out: Path, failed: set[str]) -> dict[str, Any] | None:
    """A row of the table as the transcript says it now; None where that has no reading, or the recording failed."""
    from smallvoice.decoding.transcript_files import files_at

    for one in (name, _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)):
        files = files_at(out / one)
        reading = files.kept.get("reading")
        if isinstance(reading, dict) and files.recording.get("place") not in failed:
            return _row(files.out, out, reading)
    return None


_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f])")
"""A byte of a name that is not UTF-8, as the table has it."""


def _heard(note: Callable[[str], None], name: str, seconds: float, whole: float) -> None:
    """How far a recording has come, in the bar's note."""
    note(f"{name}, {seconds / 60:.1f} of {whole / 60:.1f} min of speech")


def opened(
    model: str, *, language: str | None = None, beams: int | None = None, runtime: str | None = None
) -> Transcriber:
    """A model ready to transcribe one recording after the other: `opened(MODEL).transcribe(samples)`.

    Raises:
        SmallvoiceError: it cannot be opened.
    """
    from smallvoice.decoding import transcribe as transcribing

    return transcribing.transcriber(model, language=language, beams=beams, runtime=runtime)


def _summary(made: int, skipped: int, failed: int, out: Path) -> str:
    parts = [wording.count(made, "recording") + " transcribed"]
    parts += [f"{skipped} done before"] if skipped else []
    parts += [f"{failed} failed"] if failed else []
    return f"{', '.join(parts)}: {out}"


def export(
    model: str,
    to: str,
    *,
    precision: str | None = None,
    corpus: Path | None = None,
    out: Path | None = None,
    language: str | None = None,
    accept_drift: bool = False,
) -> dict[str, Any]:
    """A tuned model in the form of another runtime, checked by decoding with it there.

    Args:
        model: a run, an adapter, a folder, or a name.
        to: `adapter`, `huggingface`, `ctranslate2`, `ggml` or `onnx`.
        precision: of its weights: `float16`, `int8`, `q5_0`, ...; what is usual if not given.
        corpus: with the clips that it is checked on; the run's own if not given.
        out: the folder for exports; `exports/` in the run if not given.
        language: of clips that do not say theirs, where neither corpus nor model does; a code or an English name.
        accept_drift: keep it although it writes other words than the model.

    Returns:
        What the check found, and the folder.

    Raises:
        Finding: it writes other words; it is not kept.
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="Exporting")
    from smallvoice.exporting.export import export as run_export

    return run_export(model, to, precision, corpus, out, accept_drift, language_code(language) if language else None)
