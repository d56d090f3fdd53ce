"""The verbs that use a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from smallvoice import publishing, using
from smallvoice.cli_app import Common, Count, answer, app
from smallvoice.scoring.read_aloud import COLUMNS, as_table


def _not_an_option(type_: Any, source: Path) -> None:
    """Of what begins with a hyphen only `-` is a recording; the rest is an option that is not known."""
    if str(source).startswith("-") and str(source) != "-":
        raise ValueError(f"{source}: no such option. A file of that name is written ./{source}.")


@app.command(sort_key=5)
def transcribe(
    *sources: Annotated[Path, Parameter(allow_leading_hyphen=True, validator=_not_an_option)],
    model: str,
    out: Path | None = None,
    format: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    language: str | None = None,
    beams: Count | None = None,
    read_text: Path | None = None,
    runtime: str | None = None,
    common: Common = Common(),
) -> None:
    """Write down what is said in recordings of any length, with the time of every word.

    Parameters
    ----------
    sources
        Audio files, folders of them, or - for one recording from standard input.
    model
        A run, an adapter, a folder of weights, or a name such as openai/whisper-base.
    out
        The folder of the transcripts. Without it the text of one recording is printed.
    format
        txt, srt, vtt, csv, textgrid or eaf; may be given several times. JSON is always written.
    language
        Such as en; else the language that the model was trained for, else the model's guess.
    beams
        Hypotheses followed at once, instead of those of the model's run.
    read_text
        The passage that was to be read aloud: counts the words read, left out, added, put right and not reached.
    runtime
        torch or ctranslate2; if not given, exports to CTranslate2 decode there and everything else in torch.
    """
    options = {"language": language, "beams": beams, "read_text": read_text, "runtime": runtime}
    try:
        found = using.transcribe(list(sources), model, out=out, formats=format, **options)
    except using.SomeFailed as error:
        answer(error.found, common, says=_shown(error.found))
        raise
    answer(found, common, says=_shown(found) if out is None or "readings" in found else None)


@app.command(sort_key=6)
def export(
    model: str,
    /,
    *,
    to: str,
    precision: str | None = None,
    corpus: Path | None = None,
    out: Path | None = None,
    language: str | None = None,
    accept_drift: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
) -> None:
    """Write a tuned model for another runtime, and keep it if it writes the same words there.

    Parameters
    ----------
    model
        A run, an adapter, a folder of weights, or a name.
    to
        adapter (PEFT), huggingface, ctranslate2 (faster-whisper), ggml (whisper.cpp) or onnx (onnxruntime,
        transformers.js).
    precision
        Of the weights: float32 or float16; int8 too for ctranslate2; float32, int8 for onnx; f16, q8_0, q5_0 for ggml.
    corpus
        A prepared corpus with clips to check it on; the run's own if not given.
    out
        The folder for exports; exports/ in the run if not given.
    language
        Of clips that do not say theirs, where neither corpus nor model does.
    accept_drift
        Keep it although it writes other words.
    """
    options = {"language": language, "accept_drift": accept_drift}
    found = using.export(model, to, precision=precision, corpus=corpus, out=out, **options)
    answer(found, common, says=str(found["folder"]))


@app.command(sort_key=6)
def push(
    folder: Path,
    repo: str,
    /,
    *,
    public: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
) -> None:
    """Upload a tuned model to the Hugging Face hub, privately, after showing what would go.

    Parameters
    ----------
    folder
        A run, an adapter or an export.
    repo
        OWNER/NAME on the hub; made if there is none.
    public
        Let everybody download it.
    yes
        Do not ask.
    """
    found = publishing.push(folder, repo, public=public, yes=yes)
    answer(found, common, says=found["url"] if found["uploaded"] else "Nothing was uploaded.")


def _shown(found: dict[str, Any]) -> str | None:
    """The text of one recording, and what was read of its passage; of recordings in a folder the table of that."""
    if "readings" in found:
        return as_table(found["readings"])
    counted = ""
    if "reading" in found:
        counted = "\n" + ", ".join(f"{name.replace('_', ' ')} {found['reading'][name]}" for name in COLUMNS)
    return f"{found['text']}{counted}" if "text" in found else None
