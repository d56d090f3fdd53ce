"""The command line: one thin function per verb.

Exit codes: 0, or 1 for a mistake that can be mended, 2 for wrong usage, 3 for a finding, 130 after Ctrl-C.
Standard output holds what was asked for (with `--json` one JSON document); everything else is on standard error.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import CycloptsError, Parameter

from smallvoice import judging, verbs
from smallvoice import recipe_file as recipes
from smallvoice.cli_app import Common, Count, Split, answer, app
from smallvoice.cli_corpus import Transcripts, audit, convert, inspect, prepare, read
from smallvoice.cli_study import learning_curve, search
from smallvoice.cli_use import export, push, transcribe
from smallvoice.errors import SmallvoiceError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import locked, no_space_as_error
from smallvoice.terminal import console, show_log

__all__ = ["Common", "Transcripts", "app", "audit", "convert", "inspect", "learning_curve", "main", "prepare", "read"]
__all__ += ["export", "push", "search", "transcribe"]


@app.command(sort_key=2)
def configure(
    out: Path,
    /,
    *,
    corpus: Path | None = None,
    recipe: Path | None = None,
    set: tuple[str, ...] = (),
    common: Common = Common(),
) -> None:
    """Write a recipe, and show what it will do on this machine.

    Parameters
    ----------
    out
        The recipe to write; one that is there is begun with, and stays as it is where no setting changes.
    corpus
        A prepared corpus, to estimate steps, time and memory; a new recipe takes up how it was prepared.
    recipe
        Another recipe to begin with.
    set
        A setting: model.rank=32. May be given several times.
    """
    answer(verbs.configure(out, corpus=corpus, start=recipe, overrides=set), common)


@app.command(sort_key=3)
def train(
    recipe: Path,
    /,
    *,
    corpus: Path | None = None,
    out: Path | None = None,
    set: tuple[str, ...] = (),
    common: Common = Common(),
) -> None:
    """Fine-tune on a prepared corpus. The same command continues a training that was cut off.

    Parameters
    ----------
    corpus
        A prepared corpus; OUT/corpus if not given.
    out
        The run folder; runs/NAME if not given.
    set
        A setting: train.epochs=3. May be given several times.
    """
    loaded = recipes.load(recipe, set)
    folder = out or _default_run(loaded)
    folder.mkdir(parents=True, exist_ok=True)
    # Of several processes (torchrun) the first writes, and speaks.
    first = os.environ.get("RANK", "0") == "0"
    console.quiet = not first
    with locked(folder) if first else nullcontext():
        facts = verbs.train(loaded, corpus or RunFolder(folder).corpus, folder)
    if first:
        answer(facts, common)


@app.command(sort_key=4)
def evaluate(
    model: str,
    corpus: Path,
    /,
    *,
    split: Split = "test",
    out: Path = Path("evaluation"),
    select: str | None = None,
    language: str | None = None,
    beams: Count | None = None,
    runtime: str | None = None,
    columns: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    common: Common = Common(),
) -> None:
    """Decode a split of a corpus freely, and score it.

    Parameters
    ----------
    model
        A run, an adapter, a Hugging Face or CTranslate2 folder, or a name: tiny.en, openai/whisper-base.
    corpus
        A prepared corpus.
    out
        Gets hypotheses/ and evaluation_results.json.
    select
        Only these rows: "age_years < 18".
    language
        The language of rows that do not say theirs.
    beams
        Hypotheses followed at once; if not given, those of the model's run, else 1. Compare models with the same.
    runtime
        torch or ctranslate2; if not given, exports to CTranslate2 decode there and everything else in torch.
    columns
        Columns of the corpus's own (task, accent) that the hypotheses keep, and by which scores are grouped.
    """
    scoring = EvaluateRecipe(columns=list(columns))
    options = {"language": language, "select": select, "beams": beams, "runtime": runtime}
    block = verbs.evaluate(model, corpus, split=split, out=out, scoring=scoring, **options)
    answer(block, common)


@app.command(sort_key=5)
def compare(
    before: Path,
    after: Path,
    /,
    *others: Path,
    seeds: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")] = (),
    retention: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")] = (),
    out: Path | None = None,
    resamples: int | None = None,
    set: tuple[str, ...] = (),
    fail_unless: Literal["better"] | None = None,
    common: Common = Common(),
) -> None:
    """Compare two files of hypotheses of the same utterances, or more, every two of them.

    Parameters
    ----------
    before
        hypotheses/base.test.jsonl
    after
        hypotheses/tuned.test.jsonl
    others
        Further systems on the same utterances.
    seeds
        AFTER from other seeds: they are pooled, and speakers stay the units of every interval.
    retention
        What `compare --out` wrote for both models on other speech: what is lost there is held against AFTER.
    out
        The file to write, such as comparative_analysis.json.
    resamples
        Bootstrap resamples over speakers.
    set
        A setting of the recipe's evaluate part: age_bands=[6,9,18], retention_margin=0.02. May be given several times.
    fail_unless
        Exit with 3 unless the verdict is this; for CI.
    """
    given = {} if resamples is None else {"resamples": resamples}
    content = recipes.apply_overrides({"evaluate": given}, [f"evaluate.{item}" for item in set])
    judging.require_settings(content["evaluate"])
    rule = recipes.build(content, where="compare").evaluate
    kept = judging.names_of(retention)
    analysis = judging.compare(before, after, *others, seeds=seeds, out=out, recipe=rule, retention=kept)
    answer(analysis, common)
    judging.require_outcome(analysis, fail_unless)


@app.command(sort_key=6)
def score(
    reference: Path,
    hypothesis: Path,
    /,
    *,
    language: str | None = None,
    by_line: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
) -> None:
    """Score texts of any recogniser: JSONL, TSV, CSV, TRN, STM, CTM, SegLST, Kaldi text, or line by line.

    Parameters
    ----------
    reference
        What was said; {a / b} in it is a choice, @ nothing.
    hypothesis
        What was heard.
    language
        The language of rows that do not say theirs; English if not given.
    by_line
        Pair plain texts line by line, even where each line begins with what looks like an id.
    """
    answer(judging.score(reference, hypothesis, language=language, by_line=by_line), common)


@app.command(sort_key=6)
def report(
    run: Path,
    /,
    *,
    corpus: Path | None = None,
    with_audio: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
) -> None:
    """Write report.html of a run.

    Parameters
    ----------
    corpus
        The prepared corpus, where it is not in the run folder.
    with_audio
        Put players of the recordings into the page: whoever has it can hear the speakers.
    """
    path = judging.report(run, corpus=corpus, with_audio=with_audio)
    answer({"report": str(path)}, common, says=str(path))


@app.command(sort_key=7)
def run(
    recipe: Path,
    /,
    *,
    set: tuple[str, ...] = (),
    data: Path | None = None,
    out: Path | None = None,
    force: tuple[str, ...] = (),
    rehash: Annotated[bool, Parameter(negative="")] = False,
    folds: int | None = None,
    common: Common = Common(),
) -> None:
    """Prepare, evaluate, train, evaluate again, compare, report. The same command continues a run.

    Parameters
    ----------
    recipe
        A recipe; recipes/NAME.yaml that is not there is the one of that name that comes with smallvoice.
    set
        A setting: train.epochs=3. May be given several times.
    data
        Where corpora are looked for by name.
    out
        The run folder; runs/NAME if not given.
    force
        A stage to do again although it is complete: prepare, base, train, tuned, retention, compare, report.
    rehash
        Recognise unchanged files by content instead of by size and time.
    folds
        Run once for each of so many parts of the speakers, so that everyone is tested once; scores are pooled.
    """
    loaded = recipes.load(recipe, set)
    folder = out or _default_run(loaded)
    analysis = verbs.run(loaded, folder, data=data, force=force, rehash=rehash, folds=folds)
    made = RunFolder(folder)
    says = f"Report: {made.report}" if analysis["utterances"] else f"Model: {made.adapter}"
    answer(analysis, common, says=says)


@app.command(sort_key=8)
def demo(*, out: Path = Path("runs/demo"), common: Common = Common()) -> None:
    """The whole job on synthetic speech with whisper-tiny.en: a few minutes, no data needed.

    Parameters
    ----------
    out
        The run folder.
    """
    analysis = verbs.demo(out)
    answer(analysis, common, says=f"Report: {RunFolder(out).report}")


@app.command(sort_key=9)
def doctor(*, common: Common = Common()) -> None:
    """Say what works on this machine, and what to do about what does not."""
    examined = verbs.doctor()
    answer(examined, common)
    if not examined["ok"]:
        raise SystemExit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    show_log(debug=debug)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with no_space_as_error(Path.cwd()):
            app(arguments, exit_on_error=False, print_error=True, error_console=console)
    except CycloptsError:
        raise SystemExit(2) from None
    except SmallvoiceError as error:
        if debug:
            raise
        for problem in error.problems:
            console.print(problem, style="red", soft_wrap=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:  # `smallvoice … | head`
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:  # a folder that may not be written, a disk that went away
        if debug:
            raise
        console.print(f"{error.filename or 'A file'}: {error.strerror or error}.", style="red")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped. What was finished is kept: the same command continues.")
        raise SystemExit(130) from None


def _default_run(recipe: recipes.Recipe) -> Path:
    return Path("runs") / recipe.name
