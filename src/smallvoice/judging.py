"""The verbs that judge: hypotheses to scores, to a comparison, to a report. None of them needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from smallvoice.errors import Finding, InputError, RecipeError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.storage import read_json, require_no_folder, write_json
from smallvoice.terminal import console


def compare(
    before: Path,
    after: Path,
    *others: Path,
    seeds: Sequence[Path] = (),
    out: Path | None = None,
    recipe: EvaluateRecipe | None = None,
    retention: dict[str, Path] | None = None,
) -> dict[str, Any]:
    """Compare two files of hypotheses of the same utterances, or more, every two of them.

    Args:
        others: further systems; how every two of all differ is then said as well.
        seeds: `after` from other seeds of the same training, to be pooled with it.
        retention: by the name of a set of other speech, the comparison of both models on it.

    Returns:
        The content of `comparative_analysis.json`.

    Raises:
        SmallvoiceError: the files cannot be paired, or seeds and further systems are given at once.
    """
    from smallvoice.scoring import compare as comparing
    from smallvoice.scoring import hypotheses, systems
    from smallvoice.scoring.table import comparison_table, systems_table

    if seeds and others:
        raise InputError(
            "Seeds are pooled for a comparison of two systems: leave out the seeds, or the further systems."
        )
    if out is not None:
        require_no_folder(out)
    recipe = recipe or EvaluateRecipe()
    rows = hypotheses.read(before), hypotheses.read(after)
    if seeds:
        names = [str(path) for path in (before, after, *seeds)]
        rows = hypotheses.pooled(rows[0], [rows[1], *(hypotheses.read(path) for path in seeds)], names)
    kept = {name: read_json(path) for name, path in (retention or {}).items()}
    asked = [rows[0][0].get("system"), rows[1][0].get("system")]
    for name, other in kept.items():
        compared = list((other.get("systems") or {}).values())
        if compared != asked:
            raise InputError(f"{name}: other speech was compared for {compared}, and here are {asked}.")
    analysis = comparing.compare(*rows, recipe, names=(str(before), str(after)), retention=kept)
    if others:
        names = [str(path) for path in (before, after, *others)]
        analysis["pairs"] = systems.between([*rows, *map(hypotheses.read, others)], names, recipe)
    if out is not None:
        write_json(out, analysis)
    console.print(comparison_table(analysis))
    if others:
        console.print(systems_table(analysis["pairs"], names))
    return analysis


def names_of(comparisons: Sequence[Path]) -> dict[str, Path]:
    """A name for each set of other speech: its file's, or its folder's where the file has the name that runs give it.

    Raises:
        InputError: two have one name.
    """
    named: dict[str, Path] = {}
    for path in comparisons:
        name = path.resolve().parent.name if path.name == "comparative_analysis.json" else path.stem
        if name in named:
            raise InputError(f"{named[name]} and {path}: two sets of other speech are called {name}; rename a file.")
        named[name] = path
    return named


_SETTINGS = ("age_bands", "min_speakers", "retention_margin", "resamples", "confidence", "seed")
"""Of the recipe's evaluate part, what a comparison looks at."""


def require_settings(given: Iterable[str]) -> None:
    """Refuse settings that a comparison does not look at.

    Raises:
        RecipeError: which, and what there is.
    """
    unread = [name for name in given if name not in _SETTINGS]
    if unread:
        raise RecipeError(f"--set {', '.join(unread)}: compare does not look at it. There are: {', '.join(_SETTINGS)}.")


def require_outcome(analysis: dict[str, Any], outcome: str | None) -> None:
    """See that a comparison ended as it must, for an automatic process.

    Raises:
        Finding: it has another outcome.
    """
    if outcome and analysis["verdict"]["outcome"] != outcome:
        raise Finding(f"Not {outcome}: {analysis['verdict']['sentence']}")


def score(reference: Path, hypothesis: Path, *, language: str | None = None, by_line: bool = False) -> dict[str, Any]:
    """Score texts from any recogniser: JSONL, TSV, CSV, TRN, STM, CTM, SegLST, Kaldi text, or line by line.

    Args:
        reference: what was said; `{a / b}` in it is a choice, `@` nothing.
        language: of rows that do not say theirs; English if not given.
        by_line: pair plain texts line by line, even where each line begins with what looks like an id.

    Returns:
        As a model's block of `evaluation_results.json`: word errors in every form, characters, confusions.

    Raises:
        SmallvoiceError: the files cannot be read or paired.
    """
    from smallvoice.scoring import hypotheses, texts, wording
    from smallvoice.scoring import scores as scoring
    from smallvoice.scoring.table import score_table

    paired = texts.pair(reference, hypothesis, language, by_line=by_line)
    scores = scoring.score(paired.rows, str(reference))
    console.print(score_table(scores))
    console.print(f"Paired {paired.how}.")
    if paired.missing:
        lost = f"{wording.count(len(paired.missing), 'reference')} without a hypothesis, counted as deleted"
        console.print(f"{lost}: {hypotheses.listed(paired.missing)}.")
    if paired.failed:
        empty = (
            f"{wording.count(len(paired.failed), 'hypothesis', 'hypotheses')} counted as empty, for `error` says why"
        )
        console.print(f"{empty}: {hypotheses.listed(paired.failed)}.")
    return scores


def report(run: Path, *, corpus: Path | None = None, with_audio: bool = False) -> Path:
    """Write `report.html` of a run, and its model card. Returns the report's path.

    Args:
        corpus: the prepared corpus, where it is not in the run folder.
        with_audio: put players of the recordings into the page.

    Raises:
        SmallvoiceError: the run has no comparison yet.
    """
    from smallvoice.reporting import write_report
    from smallvoice.reporting.card import write_card

    if not run.is_dir():
        raise InputError(f"{run}: no such run folder.")
    written = write_report(run, corpus, with_audio=with_audio)
    write_card(run)
    return written
