"""The verbs that use a model: recordings to transcripts, and the model to other runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        return _result(_each(work, transcriber), out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        read_before = _readings(out) if read_text else []
        transcript_files.remove_half_written({out, *(one.target.parent for one in work if one.target)})
        return _result(_each(work, transcriber), out, read_before)


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


def _result(done: list[Done], out: Path | None, read_before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """What `transcribe` returns, or raises; with a passage its table is written, with the rows of commands before."""
    from smallvoice.decoding.writers import content

    failed = [one for one in done if one.error]
    made = [one for one in done if one.made]
    skipped = len(done) - len(failed) - len(made)
    counts = {"recordings": len(done), "transcribed": len(made), "skipped": skipped, "failed": len(failed)}
    found: dict[str, Any] = dict(counts)
    if out is not None:
        console.print(_summary(len(made), skipped, len(failed), out), soft_wrap=True)
        if readings := [_row(one, out) for one in done if one.reading]:
            rows = {row["recording"]: row for row in [*read_before, *readings]}
            write_text(out / read_aloud.TABLE, read_aloud.as_csv([rows[name] for name in sorted(rows)]))
            found["readings"] = readings
    if failed:
        found["failures"] = [{"recording": one.name, "reason": one.error} for one in failed]
        raise SomeFailed(f"{len(failed)} of {wording.count(len(done), 'recording')} could not be transcribed.", found)
    transcript = done[0].transcript if len(done) == 1 else None
    return {**found, **({**transcript.facts, **content(transcript)} if transcript else {})}


def _row(done: Done, out: Path) -> dict[str, Any]:
    """A recording's reading without its words."""
    assert done.out is not None and done.reading is not None
    counts = {name: done.reading.get(name) for name in read_aloud.COLUMNS}
    name = done.out.relative_to(out).as_posix().encode("utf-8", "backslashreplace").decode()
    return {"recording": name, **counts}


def _readings(out: Path) -> list[dict[str, str]]:
    """The table's rows of recordings whose transcripts are there.

    Raises:
        InputError: a table of that name is there, and is another.
    """
    path = out / read_aloud.TABLE
    if not path.exists():
        return []
    rows = read_aloud.from_csv(read_text(path))
    if rows is None:
        raise InputError(f"{path}: is there, and smallvoice has not written it. Take another --out.")
    return [row for row in rows if (out / f"{row['recording']}.json").is_file()]


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
