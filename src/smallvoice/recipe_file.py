"""Recipes in and out: YAML (`load`, `dump`), the command line's `--set key.path=value`, and Python (`build`).

All go through the same checks, and every mistake of a recipe is reported at once with its line.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from smallvoice import yaml_file
from smallvoice.errors import RecipeError
from smallvoice.recipe import Recipe
from smallvoice.storage import write_text

log = logging.getLogger(__name__)


def load(path: Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe and apply `key.path=value` overrides.

    Args:
        path: `recipes/NAME.yaml`, where no such file is, means the recipe of that name that comes with smallvoice.

    Raises:
        InputError: the file is missing or not UTF-8.
        RecipeError: every unknown key, wrong type and impossible value, each with its line.
    """
    if not path.exists() and path == Path("recipes", path.name) and packaged(path.stem).is_file():
        log.info("%s: none is there; taken is the one that comes with smallvoice.", path)
        path = packaged(path.stem)
    content, lines = yaml_file.load(path)
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise RecipeError(f"{path}:1: a recipe is a mapping of stages, found {type(content).__name__}.")
    content.pop("search", None)  # ranges for `smallvoice search`, which reads them itself
    content.setdefault("name", name_of(path))
    return build(overridden(content, overrides), where=str(path), lines=lines)


def overridden(content: dict[str, Any], overrides: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """As `apply_overrides`, of what a file says.

    A recipe that `dump` wrote says every setting: a learning rate there that is the strategy's own does not stay where
    another strategy is set over it.
    """
    changed = apply_overrides(content, overrides)
    is_dumped = all(field.name in content for field in dataclasses.fields(Recipe))
    if not is_dumped or any("learning_rate" in override for override in overrides):
        return changed
    try:
        before, after = build(content), build(changed)
    except RecipeError:  # said of what is built in the end
        return changed
    if before.train.learning_rate == before.model.usual_rate != after.model.usual_rate:
        changed["train"]["learning_rate"] = None
    return changed


def name_of(path: Path) -> str:
    """What a recipe is called that does not say so itself: its file's name, as far as a name may hold it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("_.-") or "run"


def packaged(name: str) -> Path:
    """A recipe that comes with smallvoice."""
    return Path(__file__).parent / "recipes" / f"{name}.yaml"


def build(content: dict[str, Any], where: str = "recipe", lines: dict[tuple[str, ...], int] | None = None) -> Recipe:
    """Check a nested dict and make it a recipe.

    Raises:
        RecipeError: every unknown key, wrong type and impossible value.
    """
    content = {key: value for key, value in content.items() if value is not None}  # all its keys are commented out
    try:
        # Through JSON: pydantic's strict mode takes a mapping for a dataclass only there.
        written = json.dumps(content, default=str)
    except (ValueError, RecursionError) as error:  # `&a [*a]`; a number of 5,000 digits
        raise RecipeError(f"{where}: a value that cannot be written down: {error}.") from None
    try:
        recipe = TypeAdapter(Recipe).validate_json(written)
    except ValidationError as error:
        raise RecipeError(*(_explain(problem, where, lines or {}) for problem in error.errors())) from None
    if recipe.corpus.split.train + recipe.corpus.split.test == 0:
        raise RecipeError(f"{where}: corpus.split: train and test are both 0; nothing would be prepared.")
    return recipe


def apply_overrides(content: dict[str, Any], overrides: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Set `key.path=value` in a nested dict; the value is read as YAML. Returns a new dict.

    Raises:
        RecipeError: an override without `=`, a path through something that is not a mapping, or bad YAML.
    """
    content = _copied(content)
    problems = []
    for override in overrides:
        path, equals, value = override.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            problems.append(f"--set {override}: expected key.path=value, for example train.epochs=3.")
            continue
        homes = _homes(keys)
        if len(homes) > 1:
            problems.append(f"--set {override}: {path.strip()} is in {' and '.join(homes)}; say {homes[0]}.{path}=...")
            continue
        keys = [*homes, *keys]
        try:
            parsed = yaml.load(value, Loader=yaml_file.Loader)
        except (yaml.YAMLError, ValueError):
            problems.append(f"--set {override}: {value!r} is not valid YAML.")
            continue
        target: Any = content
        for key in keys[:-1]:
            if isinstance(target, dict) and target.get(key) is None:  # also where all its keys are commented out
                target[key] = {}
            target = target[key] if isinstance(target, dict) else None
        if not isinstance(target, dict):
            problems.append(f"--set {override}: {'.'.join(keys[:-1])} holds a value, not further keys.")
            continue
        target[keys[-1]] = parsed
    if problems:
        raise RecipeError(*problems)
    return content


def _homes(keys: list[str]) -> list[str]:
    """The stages that have such a setting, where the path does not begin with a stage: `split.test` is `corpus`'s."""
    recipe = Recipe()
    if hasattr(recipe, keys[0]):
        return []
    stages = [
        field.name for field in dataclasses.fields(recipe) if dataclasses.is_dataclass(getattr(recipe, field.name))
    ]
    return [stage for stage in stages if _has(getattr(recipe, stage), keys)]


def _has(stage: Any, keys: list[str]) -> bool:
    for key in keys:
        if not dataclasses.is_dataclass(stage) or not hasattr(stage, key):
            return False
        stage = getattr(stage, key)
    return True


def of_an_adapter(recipe: Recipe) -> dict[str, Any]:
    """The settings that an adapter depends on; those of decoding too, for it chooses the checkpoint."""
    settings = known_before(recipe)
    del settings["train"]["checkpoint_every"]
    settings["train"]["gradient_checkpointing"] = False  # it changes no bit; so runs without it keep their key
    for unread in ("output_style", "beams", "batch_size"):  # checkpoints are chosen greedily
        del settings["decode"][unread]
    return {name: settings[name] for name in ("model", "window", "augment", "train", "decode")}


def of_a_member(recipe: Recipe) -> dict[str, Any]:
    """The settings that one of several averaged adapters depends on, but for its seed."""
    settings = of_an_adapter(recipe)
    for after in ("members", "preserve", "interpolate", "spectrum_power", "seed", "max_memory_gb"):
        del settings["train"][after]
    del settings["model"]["save_rank"]
    return settings


def as_dict(stage: Any) -> dict[str, Any]:
    """A recipe or one of its stages as a nested dict, every field present."""
    return dataclasses.asdict(stage)


def known_before(recipe: Recipe) -> dict[str, Any]:
    """`as_dict` for a key: what was added to recipes is left out where it is unused, so older work keeps its key; of a
    folder of noises or rooms the names and sizes in it, wherever it lies.

    Raises:
        RecipeError: there is no such folder, or no recording in it.
    """
    settings = as_dict(recipe)
    for name in ("noise_folder", "room_folder"):
        if folder := settings["augment"][name]:
            files = sounds_in(folder, f"augment.{name}")
            root = Path(folder).expanduser()
            settings["augment"][name] = [(path.relative_to(root).as_posix(), path.stat().st_size) for path in files]
    if not settings["train"]["consistency"]:
        del settings["train"]["consistency"]
    return settings


_SOUNDS = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".m4a", ".sph"}


def sounds_in(folder: str, setting: str) -> list[Path]:
    """The recordings of `augment.noise_folder` or `augment.room_folder`, in order; hidden files are none.

    Raises:
        RecipeError: there is no such folder, or no recording in it.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise RecipeError(f"{setting}: {folder}: no such folder.")
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SOUNDS and not file.name.startswith("."))
    if not found:
        raise RecipeError(f"{setting}: {folder}: no audio file in it. It takes {', '.join(sorted(_SOUNDS))}.")
    return found


def to_change(recipe: Recipe) -> dict[str, Any]:
    """A recipe whose strategy may still be changed: a learning rate that is the strategy's own is left open."""
    content = as_dict(recipe)
    if recipe.train.learning_rate == recipe.model.usual_rate:
        content["train"]["learning_rate"] = None
    return content


def dump(recipe: Recipe, path: Path) -> None:
    """Write every field, defaults included, so that the file alone repeats the run."""
    _write(as_dict(recipe), path)


def dump_to_change(recipe: Recipe, path: Path) -> None:
    """Write every field for somebody to edit, see `to_change`."""
    _write(to_change(recipe), path)


def require_unedited(path: Path) -> None:
    """See that writing a recipe here loses nothing: no comment, no order of somebody's own.

    Raises:
        RecipeError: the file that is there is not as `dump_to_change` wrote it.
    """
    if path.exists() and path.read_text(encoding="utf-8") != _text(to_change(load(path))):
        raise RecipeError(
            f"{path} was edited by hand, and its comments would be lost. Change it there, or give another file to "
            f"write and --recipe {path}."
        )


def require_no_notes(path: Path) -> None:
    """See that a recipe that `dump` writes here replaces nothing that it cannot hold.

    Raises:
        RecipeError: the file that is there has comments, or ranges for `smallvoice search`.
    """
    if not path.exists():
        return
    content, _ = yaml_file.load(path)
    if yaml_file.has_comments(path) or (isinstance(content, dict) and "search" in content):
        raise RecipeError(
            f"{path} has comments or a search: block, and the run would write every setting there without them. Choose "
            "another --out, or give that file another name."
        )


def _write(content: dict[str, Any], path: Path) -> None:
    write_text(path, _text(content))


def _text(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _explain(problem: Any, where: str, lines: dict[tuple[str, ...], int]) -> str:
    path = tuple(str(part) for part in problem["loc"])
    line = next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)
    place = f"{where}:{line}" if line else where
    key = ".".join(path)
    if problem["type"] == "unexpected_keyword_argument":
        return f"{place}: unknown key {key!r}. {_known_keys(path[:-1])}"
    return f"{place}: {key} is {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _known_keys(path: tuple[str, ...]) -> str:
    stage: Any = Recipe
    for key in path:
        if not key.isdecimal():  # the number of an entry of a list
            stage = _stage_in(get_type_hints(stage)[key])
    return f"Known here: {', '.join(field.name for field in dataclasses.fields(stage))}."


def _stage_in(hint: Any) -> Any:
    """The dataclass in `list[Stage]` or `Stage | None`."""
    return next((part for part in get_args(hint) if dataclasses.is_dataclass(part)), hint)


def _copied(content: Any) -> Any:
    return {key: _copied(value) for key, value in content.items()} if isinstance(content, dict) else content
