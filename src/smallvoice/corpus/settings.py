"""The settings that a corpus was prepared with: `corpus.json` keeps them, and a recipe for the corpus takes them up.

They stay in the corpus folder, as `speakers.csv` does: files of rules and tables lie where their paths say, and tiers
and columns may be called by names.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from smallvoice.corpus.sources import HUB, NURSERY, Source, find_all, fingerprint, place_of, with_distinct_names
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import SmallvoiceError
from smallvoice.recipe import CorpusRecipe
from smallvoice.recipe_file import as_dict
from smallvoice.storage import digest


def made_of(recipe: CorpusRecipe, sources: list[Source], *, rehash: bool = False) -> str:
    """A digest of all that a corpus is made of: settings, and files by size and time or, with `rehash`, by content."""
    return digest("prepare", _settings(recipe), fingerprint(sources, recipe, rehash=rehash))


def to_keep(recipe: CorpusRecipe) -> dict[str, Any]:
    """The settings for `corpus.json`, files and folders by their whole path: a recipe may be run from elsewhere."""
    settings = _settings(recipe)
    for name in ("speakers", "text_rules"):
        settings[name] = settings[name] and str(Path(settings[name]).absolute())
    settings["audio"] = [str(Path(folder).expanduser().absolute()) for folder in settings["audio"]]
    return settings


def as_prepared(corpus: Path) -> dict[str, Any]:
    """How a corpus was prepared, as far as it knows: a recipe for it should say the same.

    Returns:
        Language and selection, and of the other settings those that are no defaults; what lies in the working folder
        by its path from there, as recipes are read.
    """
    facts = open_corpus(corpus).facts
    settings = facts.get("settings", {})
    defaults = _settings(CorpusRecipe())
    known = {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}
    for name in {"speakers", "text_rules"} & known.keys():
        known[name] = _from_here(known[name])
    if "audio" in known:
        known["audio"] = [_from_here(folder) for folder in known["audio"]]
    return {**known, "language": settings.get("language") or facts["language"], "select": facts["select"]}


def unknown(corpus: Path, recipe: CorpusRecipe) -> list[str]:
    """Sentences on how a corpus was prepared, as far as a recipe that was made for it does not say it."""
    facts = open_corpus(corpus).facts
    said = []
    if "settings" not in facts and not _is_made_with(facts, recipe):
        said.append(f"{corpus}: prepared with settings that are not known here; give them with --set.")
    for split in sorted({source["split"] for source in facts["sources"]} - {None}):
        said.append(f"{corpus}: prepared with --split {split}, which no recipe says; a run divides by corpus.split.")
    return said


def _is_made_with(facts: dict[str, Any], recipe: CorpusRecipe) -> bool:
    """Whether a corpus that does not say its settings was prepared with a recipe's, as far as can be told from here."""
    names = [recipe.source] if isinstance(recipe.source, str) else recipe.source
    if any(name == NURSERY or name.startswith(HUB) for name in names):
        return False  # which would be made or loaded only to be compared
    try:
        found = with_distinct_names(
            find_all(names, recipe=recipe), {one["place"]: one["name"] for one in facts["sources"] if "place" in one}
        )
        splits = {one["place"]: one["split"] for one in facts["sources"] if "place" in one}
        sources = [dataclasses.replace(source, split=splits.get(place_of(source))) for source in found]
        # The recipe has the language of the rows, which they may have from their sources.
        ways = [recipe, dataclasses.replace(recipe, language=None)]
        return facts["made_of"] in [made_of(way, sources) for way in ways]
    except SmallvoiceError:
        return False


def _settings(recipe: CorpusRecipe) -> dict[str, Any]:
    """All but where the sources lie: a copy of them elsewhere gives the same corpus."""
    return {name: value for name, value in as_dict(recipe).items() if name != "source"}


def _from_here(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
