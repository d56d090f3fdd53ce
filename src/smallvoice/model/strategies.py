"""Which layers get an adapter, and which weights move, by the recipe's words."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch

from smallvoice.errors import RecipeError
from smallvoice.recipe import ModelRecipe

LOW_RANK = ("lora", "rslora", "dora", "pissa", "adalora")
OUTPUT = "proj_out"
"""Its weight is the token embedding's too: an adapter merged into it would change both."""
POSITIONS = "model.encoder.embed_positions.weight"
"""Fixed sinusoids (Radford et al., 2022, §2.2): no strategy moves them."""


_PREFIXES = {
    "encoder": ("model.encoder.",),
    "decoder": ("model.decoder.",),
    "hearing": ("model.encoder.", "model.decoder.layers.*.encoder_attn."),
}


def part_of(recipe: ModelRecipe) -> str:
    """The recipe's part, `auto` resolved."""
    if recipe.part != "auto":
        return recipe.part
    return "both" if recipe.strategy in ("selective", "full") else "hearing"


def require_sense(recipe: ModelRecipe) -> None:
    """Refuse settings that the strategy would not look at, or that exclude each other.

    Raises:
        RecipeError: as said.
    """
    problems = []
    selective = {
        "top_encoder_layers": recipe.top_encoder_layers,
        "top_decoder_layers": recipe.top_decoder_layers,
        "norms": recipe.norms,
        "biases": recipe.biases,
    }
    if recipe.strategy != "selective":
        given = [f"model.{name}" for name, value in selective.items() if value]
        if given:
            problems.append(f"{', '.join(given)}: only model.strategy: selective looks at it, not {recipe.strategy}.")
    elif not any(selective.values()) and not recipe.layers:
        problems.append(
            "model.strategy: selective needs to know what moves: "
            "top_encoder_layers, top_decoder_layers, norms, biases or layers."
        )
    for half, other in (("encoder", "decoder"), ("decoder", "encoder")):
        if recipe.part == other and selective[f"top_{half}_layers"]:
            problems.append(f"model.top_{half}_layers: none of them moves with model.part: {other}.")
    if recipe.initial_rank is not None and recipe.strategy != "adalora":
        problems.append(f"model.initial_rank: only model.strategy: adalora looks at it, not {recipe.strategy}.")
    if recipe.initial_rank is not None and recipe.initial_rank <= recipe.rank:
        problems.append(f"model.initial_rank: AdaLoRA must begin above model.rank, which is {recipe.rank}.")
    if recipe.dropout and recipe.strategy in ("selective", "full"):
        problems.append(
            f"model.dropout: only adapters have it, and {recipe.strategy} moves the base's own weights. Use 0."
        )
    if recipe.save_rank is not None and recipe.strategy not in ("selective", "full"):
        problems.append(f"model.save_rank: what {recipe.strategy} learns is small; only weights are cut to a rank.")
    if recipe.quantize != "none" and recipe.strategy in ("pissa", "selective", "full"):
        problems.append(
            f"model.quantize: {recipe.strategy} changes the base's own weights, which then cannot be held in "
            f"{recipe.quantize}. Use none, or another strategy (lora, rslora)."
        )
    if recipe.quantize == "8bit" and recipe.strategy == "dora":  # PEFT 0.21 takes the scale out of the weight
        problems.append("model.quantize: DoRA does not work on a base of 8bit. Use 4bit.")
    if problems:
        raise RecipeError(*problems)


def linear_names(network: torch.nn.Module) -> list[str]:
    """The linear layers of a network, in order, but for its output."""
    return _names_of(network, torch.nn.Linear)


def matrix_names(network: torch.nn.Module) -> list[str]:
    """The convolutions too: all layers whose change can be a product of two factors."""
    return _names_of(network, torch.nn.Linear, torch.nn.Conv1d)


def _names_of(network: torch.nn.Module, *kinds: type[torch.nn.Module]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kinds) and name != OUTPUT]


def linear_layers(network: torch.nn.Module, recipe: ModelRecipe, targets: list[str]) -> list[str]:
    """Names of the linear layers that end in one of `targets` and lie in the recipe's part and layers.

    Raises:
        RecipeError: a target that no layer is called, or nothing is left.
    """
    names = linear_names(network)
    known = {name.split(".")[-1] for name in names}
    unknown = [target for target in targets if target not in known]
    if unknown or not targets:
        raise RecipeError(
            f"model.targets: no linear layer is called {', '.join(unknown) or 'nothing'}. "
            f"The model has: {', '.join(sorted(known))}."
        )
    return _required([name for name in names if name.split(".")[-1] in targets and _may_move(name, recipe)], recipe)


def moved_weights(network: torch.nn.Module, recipe: ModelRecipe) -> list[str]:
    """Names of the weights that `selective` or `full` moves.

    Raises:
        RecipeError: nothing would move, or more layers are asked for than there are.
    """
    names = [name for name, _ in network.named_parameters() if name != POSITIONS]
    if recipe.strategy == "selective":
        names = [name for name in names if name in _selected(network, recipe)]
    return _required([name for name in names if _may_move(name, recipe)], recipe)


def _selected(network: torch.nn.Module, recipe: ModelRecipe) -> set[str]:
    """What `top_*_layers`, `norms` and `biases` name together; everything where none of them is set."""
    everything = [name for name, _ in network.named_parameters()]
    chosen = [
        *_top_layers(network, "encoder", recipe.top_encoder_layers),
        *_top_layers(network, "decoder", recipe.top_decoder_layers),
    ]
    if recipe.norms:
        chosen += [name for name, module in network.named_modules() if isinstance(module, torch.nn.LayerNorm)]
    selected = {name for name in everything if name.startswith(tuple(f"{module}." for module in chosen))}
    if recipe.biases:
        selected |= {name for name in everything if name.endswith(".bias")}
    return selected if chosen or recipe.biases else set(everything)


def _top_layers(network: torch.nn.Module, half: str, number: int) -> list[str]:
    have = len(network.get_submodule(f"model.{half}.layers"))
    if number > have:
        raise RecipeError(f"model.top_{half}_layers: {number} asked for, the model has {have}.")
    return [f"model.{half}.layers.{layer}" for layer in range(have - number, have)]


def _may_move(name: str, recipe: ModelRecipe) -> bool:
    """Whether a layer or weight lies in the recipe's part, and matches one of its patterns by whole name parts."""
    part = part_of(recipe)
    if part != "both" and not any(fnmatchcase(name, f"{prefix}*") for prefix in _PREFIXES[part]):
        return False
    return not recipe.layers or any(fnmatchcase(f".{name}.", f"*.{pattern}.*") for pattern in recipe.layers)


def _required(names: list[str], recipe: ModelRecipe) -> list[str]:
    if not names:
        where = f"model.layers: {', '.join(recipe.layers)}" if recipe.layers else "these settings"
        raise RecipeError(
            f"Nothing of the model moves with model.part: {part_of(recipe)} and {where}. Layers are called like "
            "model.encoder.layers.0.self_attn.q_proj; a pattern names whole parts of that: encoder.layers.[01].*"
        )
    return names
