"""The verbs that use a model: recordings to transcripts, and the model to other runtimes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallvoice.errors import InputError, RecipeError, require
from smallvoice.scoring import wording
from smallvoice.terminal import console, progress

if TYPE_CHECKING:
    from smallvoice.decoding.transcribe import Transcriber

MANY = Path("transcripts")
"""Where transcripts of several recordings go if nobody says."""


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
        `recordings`, `failed`, `skipped`; of one recording the whole transcript.

    Raises:
        InputError: files that failed, after all others are done.
        SmallvoiceError: anything else that a user can mend.
    """
    require("torch", extra="train", why="Transcribing")
    from smallvoice.decoding import transcribe as transcribing
    from smallvoice.decoding.writers import content

    standard_input = [str(source) for source in sources] == [transcribing.STANDARD_INPUT]
    if not sources:
        raise RecipeError("Nothing to transcribe: give audio files, folders, or - for standard input.")
    if out is None and (formats or len(sources) > 1 or sources[0].is_dir()):
        out = MANY
    work = [transcribing.from_standard_input(out)] if standard_input else transcribing.find(sources, out)
    transcriber = transcribing.transcriber(
        model, language=language, beams=beams, formats=formats, passage=read_text, runtime=runtime
    )
    done = []
    with progress("transcribing") as update:
        for number, one in enumerate(work):
            update(number, len(work), one.name)
            done.append(transcriber.do(one, partial(_heard, partial(update, number, len(work)), one.name)))
            if done[-1].error:
                console.print(done[-1].error, style="red", markup=False, soft_wrap=True)
    failed = [one for one in done if one.error]
    made = [one.transcript for one in done if one.transcript]
    skipped = len(done) - len(failed) - len(made)
    if out is not None:
        console.print(_summary(len(made), skipped, len(failed), out), markup=False, soft_wrap=True)
    if failed:
        raise InputError(f"{len(failed)} of {wording.count(len(done), 'recording')} could not be transcribed.")
    counts = {"recordings": len(done), "transcribed": len(made), "skipped": skipped, "failed": len(failed)}
    return {**counts, **({**made[0].facts, **content(made[0])} if len(done) == 1 and made else {})}


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
    accept_drift: bool = False,
) -> dict[str, Any]:
    """A tuned model in the form of another runtime, checked by decoding with it there.

    Args:
        model: a run, an adapter, a folder, or a name.
        to: `adapter`, `huggingface`, `ctranslate2`, `ggml` or `onnx`.
        precision: of its weights: `float16`, `int8`, `q5_0`, ...; what is usual if not given.
        corpus: with the clips that it is checked on; the run's own if not given.
        out: the folder for exports; `exports/` in the run if not given.
        accept_drift: keep it although it writes other words than the model.

    Returns:
        What the check found, and the folder.

    Raises:
        Finding: it writes other words; it is not kept.
        SmallvoiceError: anything a user can mend.
    """
    require("torch", extra="train", why="Exporting")
    from smallvoice.exporting.export import export as run_export

    return run_export(model, to, precision, corpus, out, accept_drift)
