"""`report.html`: the files of a run, read, put in words and laid out on one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError
from smallvoice.recipe import Recipe
from smallvoice.reporting import browser, curves, errors, facts, privacy, results, worst
from smallvoice.run_folder import RunFolder
from smallvoice.scoring import hypotheses, wording
from smallvoice.storage import read_json, read_jsonl, write_text

_FOLDER = Path(__file__).parent


def write_report(run: Path, corpus: Path | None = None, *, with_audio: bool = False) -> Path:
    """Write `report.html` into a run folder, from the files of that folder alone.

    Args:
        run: a run folder that `compare` has finished with.
        corpus: the prepared corpus where it is not in the run folder. Without one the section says so.
        with_audio: put players of the test's recordings into the page, which then holds the voices.

    Returns:
        The path of the page.

    Raises:
        InputError: the recipe, the comparison or the hypotheses are missing or cannot be read, or `corpus` is none.
    """
    folder = RunFolder(run)
    if corpus and not (corpus / "corpus.json").is_file():
        raise InputError(
            f"{corpus}: not a prepared corpus (no corpus.json); give the folder that `smallvoice prepare` made."
        )
    _require(folder.recipe, folder.comparison)
    recipe = recipes.load(folder.recipe)
    comparison = _of_this_version(read_json(folder.comparison), folder.comparison)
    split = comparison["split"] or recipe.evaluate.split
    files = [folder.hypotheses(system, split) for system in ("base", "tuned")]
    _require(*files)
    base, tuned = (hypotheses.read(file) for file in files)
    tuned = hypotheses.pair(base, tuned, names=(str(files[0]), str(files[1])))
    page = _render(
        **_results(comparison, split),
        **_sources(folder, recipe, split, corpus or folder.corpus),
        limits=facts.limits(recipe, comparison),
        **_which_errors(comparison, _object(folder.evaluation(split))),
        separation=facts.separation(folder, base),
        folds=facts.num_folds(folder),
        worst=worst.worst(base, tuned),
        browser=browser.browser(
            base, tuned, browser.audio_of(corpus or folder.corpus, recipe.evaluate.split) if with_audio else {}
        ),
        with_audio=with_audio,
        training=curves.training(_rows(folder.metrics)),
    )
    # A lone surrogate, which JSON can hold and UTF-8 cannot, must not cost the whole report.
    write_text(folder.report, page.encode("utf-8", "replace").decode("utf-8"))
    return folder.report


def _results(comparison: dict[str, Any], split: str) -> dict[str, Any]:
    return {
        "comparison": comparison,
        "split": split,
        "headline": results.headline(comparison),
        "tiles": results.tiles(comparison),
        "notes": results.notes(comparison),
        "bars": results.waterfall(comparison["waterfall"]),
        "scores": results.scores(comparison["overall"]),
        "ages": results.ages(comparison),
        "age_plot": results.age_plot(comparison),
        "age_gap": errors.gap_sentence(comparison, "age"),
        "groupings": errors.groupings(comparison),
        "speakers_plot": errors.speakers_plot(comparison),
        "confidence": results.confidence_name(comparison),
    }


def _which_errors(comparison: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "invented": errors.invented(comparison, evaluation),
        "on_silence": errors.on_silence(evaluation),
        "whole": errors.whole(comparison),
        "matched_pairs": errors.matched_pairs(comparison),
        "words": errors.words(evaluation),
    }


def _sources(folder: RunFolder, recipe: Recipe, split: str, corpus: Path) -> dict[str, Any]:
    """Where the numbers come from; a missing file leaves its section empty, and the page says so."""
    provenance = _object(folder.provenance)
    corpus_facts = _object(corpus / "corpus.json")
    shown = facts.shareable_recipe(folder, recipe)
    data = None
    if corpus_facts:
        data = facts.data(corpus_facts, _object(corpus / "split.json"), _rows(corpus / "ledger.jsonl"))
    return {
        "name": recipe.name,
        "afterwards": ", ".join(facts.afterwards(recipe)),
        "selected": shown["evaluate"]["select"],
        "base_model": shown["model"]["base"],
        "data": data,
        "models": facts.models(_object(folder.evaluation(split))),
        "stages": facts.stages(provenance),
        "machine": facts.machine(provenance),
        "hashes": facts.hashes(folder, split, corpus_facts),
        "recipe": yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100),
        "made": date.fromtimestamp(folder.comparison.stat().st_mtime).isoformat(),
    }


def _render(**context: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "signed_percent": wording.signed_percent,
        "interval": wording.interval,
        "printable": privacy.printable,
    }
    script = (_FOLDER / "browser.js").read_text(encoding="utf-8")
    # The page's policy lets this script run, and no other that a text might smuggle in.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    context |= {"script": script, "script_hash": f"sha256-{digest}"}
    return environment.get_template("template.html").render(count=wording.count, **context)


_NEEDED = (
    *("split", "overall", "verdict", "bootstrap", "details", "min_speakers", "seeds", "hallucination", "matched_pairs"),
    *("retention", "by_age", "groups", "gaps", "by_speaker", "waterfall", "formatting", "not_decoded", "capped"),
    *("without_flagged", "normalisers", "utterances", "speakers", "systems", "synthetic", "flagged"),
)
"""What the page shows of `comparative_analysis.json`."""


def _of_this_version(comparison: dict[str, Any], path: Path) -> dict[str, Any]:
    missing = [name for name in _NEEDED if name not in comparison]
    if missing:
        raise InputError(f"{path}: without {', '.join(missing)}: another smallvoice wrote it. Compare again.")
    return comparison


def _require(*files: Path) -> None:
    missing = [f"{file}: no such file. `smallvoice run` makes it." for file in files if not file.is_file()]
    if missing:
        raise InputError(*missing)


def _object(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _rows(file: Path) -> list[dict[str, Any]]:
    return read_jsonl(file) if file.is_file() else []
