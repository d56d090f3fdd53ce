"""The `search:` block of a recipe: which settings are tried, and in which ranges.

    search:
      train.learning_rate: {low: 1e-4, high: 2e-3, log: true}
      model.rank: [8, 16, 32]
      train.epochs: {low: 2, high: 6}

A list is tried value by value; a range holds its two ends, whole numbers only where the setting is one, and
multiples of `step` above `low` where that is given.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from smallvoice import recipe_file as recipes
from smallvoice import yaml_file
from smallvoice.errors import RecipeError
from smallvoice.recipe import Recipe

_FIXED = {
    "name": "it changes nothing",
    "corpus": "all trials are compared on one split of one corpus",
    "evaluate": "trials are compared on dev, and test stays unseen",
    "train.seed": "that would choose luck",
    "train.select_dev": "all trials are compared on the same rows of dev",
    "train.checkpoint_every": "it changes no score",
    "train.gradient_checkpointing": "it changes no score",
    "train.max_memory_gb": "it changes no score but by rounding",
    "decode.beams": "trials are decoded greedily",
    "decode.batch_size": "it changes no score",
    "decode.output_style": "trials are compared without case and punctuation",
}
"""Settings that are the same in all trials, and why."""
_RANGE_KEYS = {"low", "high", "log", "step"}


@dataclass(frozen=True)
class Range:
    """The values that one setting may take."""

    path: str
    """`train.learning_rate`."""
    kind: Literal["choice", "int", "float"]
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None

    def holds(self, value: Any) -> bool:
        """Whether the setting could be tried at this value."""
        if self.kind == "choice":
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:
            return False
        return self.step is None or abs(round((value - self.low) / self.step) * self.step + self.low - value) < 1e-9

    def ends(self) -> tuple[Any, ...]:
        """The values that must be possible for all between them to be."""
        return self.choices if self.kind == "choice" else (self.low, self.high)


@dataclass(frozen=True)
class SearchSpace:
    """A recipe and the ranges of the settings that are searched."""

    recipe: Recipe
    ranges: tuple[Range, ...]

    def with_settings(self, settings: dict[str, Any]) -> Recipe:
        """The recipe at a point of the space.

        Raises:
            RecipeError: settings that cannot be together.
        """
        return recipes.build(_with(recipes.to_change(self.recipe), settings))

    def own_settings(self) -> dict[str, Any] | None:
        """The recipe's own values, where they lie within the ranges: the first trial."""
        settings = {one.path: _value(self.recipe, one.path) for one in self.ranges}
        return settings if all(one.holds(settings[one.path]) for one in self.ranges) else None

    def as_dict(self) -> dict[str, Any]:
        """What tells one search from another."""
        return {"recipe": recipes.known_before(self.recipe), "ranges": [dataclasses.asdict(one) for one in self.ranges]}


def load(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> SearchSpace:
    """Read a recipe with a `search:` block.

    Raises:
        InputError: the file is missing or not UTF-8.
        RecipeError: no such block, or every mistake in it and in the recipe, each with its line.
    """
    content, lines = yaml_file.load(path)
    if not isinstance(content, dict) or not isinstance(content.get("search"), dict) or not content["search"]:
        raise RecipeError(
            f"{path}: no `search:` block that says what to try, such as\n"
            "search:\n  train.learning_rate: {low: 1e-4, high: 2e-3, log: true}\n  model.rank: [8, 16, 32]"
        )
    block = content.pop("search")
    content.setdefault("name", recipes.name_of(path))
    recipe = recipes.build(recipes.overridden(content, overrides), where=str(path), lines=lines)
    return SearchSpace(recipe, _ranges(block, recipe, str(path), lines))


def _ranges(block: dict[str, Any], recipe: Recipe, where: str, lines: dict[tuple[str, ...], int]) -> tuple[Range, ...]:
    """Every range of the block.

    Raises:
        RecipeError: all mistakes, each with its line.
    """
    ranges: list[Range] = []
    problems: list[str] = []
    for path, values in block.items():
        line = lines.get(("search", path))
        place = f"{where}:{line}" if line else where
        try:
            found = _range(str(path), values, recipe)
            for value in found.ends():
                recipes.build(_with(recipes.to_change(recipe), {found.path: value}), where=place)
        except RecipeError as error:
            problems += [problem if problem.startswith(place) else f"{place}: {problem}" for problem in error.problems]
        else:
            ranges.append(found)
    if problems:
        raise RecipeError(*dict.fromkeys(problems))
    return tuple(ranges)


def _range(path: str, values: Any, recipe: Recipe) -> Range:
    _require_searchable(path, recipe)
    if isinstance(values, list):
        if len({json.dumps(value) for value in values}) < 2:
            raise RecipeError(f"search.{path}: a list needs two values or more, and each once.")
        return Range(path, "choice", choices=tuple(values))
    if not isinstance(values, dict) or not {"low", "high"} <= values.keys():
        raise RecipeError(f"search.{path} is {values!r}: give a list of values, or a range {{low: …, high: …}}.")
    if unknown := sorted(map(str, values.keys() - _RANGE_KEYS)):
        raise RecipeError(f"search.{path}: unknown key {unknown[0]!r}. Known here: high, log, low, step.")
    low, high, log, step = values["low"], values["high"], values.get("log", False), values.get("step")
    numbers = [value for value in (low, high, step) if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        raise RecipeError(f"search.{path}: low, high and step are numbers.")
    if not low < high:
        raise RecipeError(f"search.{path}: low is {low} and high {high}; low must be the smaller.")
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)):
        raise RecipeError(f"search.{path}: log is true or false; with true, low is above 0 and there is no step.")
    if step is not None and not 0 < step <= high - low:
        raise RecipeError(f"search.{path}: step is {step}; it must be above 0 and fit between low and high.")
    kind: Literal["int", "float"] = "int" if _is_whole(path, recipe) else "float"
    return Range(path, kind, low=low, high=high, log=log, step=step)


def _require_searchable(path: str, recipe: Recipe) -> None:
    for fixed, why in _FIXED.items():
        if path == fixed or path.startswith(f"{fixed}."):
            raise RecipeError(f"search.{path}: {fixed} is not searched: {why}.")
    stage: Any = recipe
    for number, key in enumerate(keys := path.split(".")):
        known = [field.name for field in dataclasses.fields(stage)] if dataclasses.is_dataclass(stage) else []
        if key not in known:
            of = ".".join(keys[:number]) or "a recipe"
            known_here = f" Known in {of}: {', '.join(known)}." if known else ""
            raise RecipeError(f"search: unknown key {path!r}.{known_here}")
        stage = getattr(stage, key)
    if dataclasses.is_dataclass(stage):
        raise RecipeError(f"search.{path}: a stage, not a setting; name one of its settings, such as {path}.…")


def _is_whole(path: str, recipe: Recipe) -> bool:
    """Whether a setting takes whole numbers only, by its type in `recipe.py`."""
    *stages, name = path.split(".")
    stage: Any = recipe
    for key in stages:
        stage = getattr(stage, key)
    found = _plain_types(typing.get_type_hints(type(stage))[name])
    return int in found and float not in found


def _plain_types(hint: Any) -> set[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {plain for part in typing.get_args(hint) for plain in _plain_types(part)}
    return {hint}


def _value(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for key in path.split("."):
        value = getattr(value, key)
    return value


def _with(content: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A recipe's nested dict with settings by their path."""
    for path, value in settings.items():
        *stages, name = path.split(".")
        stage = content
        for key in stages:
            stage = stage[key]
        stage[name] = value
    return content
