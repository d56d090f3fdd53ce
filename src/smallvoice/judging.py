"""The verbs that judge: hypotheses to scores, to a comparison, to a report. None of them needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from smallvoice.errors import Finding, InputError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.storage import read_json, write_json
from smallvoice.terminal import console


def compare(
    before: Path,
    after: Path,
    *seeds: Path,
    out: Path | None = None,
    recipe: EvaluateRecipe | None = None,
    retention: dict[str, Path] | None = None,
    fail_unless: Literal["better"] | None = None,
) -> dict[str, Any]:
    """Compare two files of hypotheses of the same utterances.

    Args:
        seeds: `after` from other seeds of the same training, to be pooled with it.
        retention: by the name of a set of other speech, the comparison of both models on it.
        fail_unless: `better`: anything else but *better* is a finding, for CI.

    Returns:
        The content of `comparative_analysis.json`.

    Raises:
        Finding: not `fail_unless`; everything is written and shown before.
        SmallvoiceError: the files cannot be paired.
    """
    from smallvoice.scoring import compare as comparing
    from smallvoice.scoring import hypotheses
    from smallvoice.scoring.table import comparison_table

    rows = hypotheses.read(before), hypotheses.read(after)
    if seeds:
        names = [str(path) for path in (before, after, *seeds)]
        rows = hypotheses.pooled(rows[0], [rows[1], *(hypotheses.read(path) for path in seeds)], names)
    kept = {name: read_json(path) for name, path in (retention or {}).items()}
    analysis = comparing.compare(*rows, recipe or EvaluateRecipe(), names=(str(before), str(after)), retention=kept)
    if out is not None:
        write_json(out, analysis)
    console.print(comparison_table(analysis))
    if fail_unless and analysis["verdict"]["outcome"] != fail_unless:
        raise Finding(f"Not {fail_unless}: {analysis['verdict']['sentence']}")
    return analysis


def score(reference: Path, hypothesis: Path, *, language: str | None = None) -> dict[str, Any]:
    """Score texts from any recogniser: JSONL, TSV, CSV, TRN, STM, CTM, SegLST, Kaldi text, or line by line.

    Args:
        reference: what was said; `{a / b}` in it is a choice, `@` nothing.
        language: of rows that do not say theirs; English if not given.

    Returns:
        As a model's block of `evaluation_results.json`: word errors in every form, characters, confusions.

    Raises:
        SmallvoiceError: the files cannot be read or paired.
    """
    from smallvoice.scoring import scores as scoring
    from smallvoice.scoring import texts, wording
    from smallvoice.scoring.table import score_table

    rows, missing = texts.pair(reference, hypothesis, language)
    scores = scoring.score(rows, str(reference))
    console.print(score_table(scores))
    if missing:
        console.print(
            f"{wording.count(len(missing), 'reference')} without a hypothesis, counted as deleted: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        )
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
