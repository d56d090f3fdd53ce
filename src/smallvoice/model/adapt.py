"""A strategy by name, put on a base model; one set of functions for every one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import WhisperForConditionalGeneration

from smallvoice.errors import RecipeError
from smallvoice.model import bottleneck, lowrank, strategies
from smallvoice.model.quantize import quantize
from smallvoice.model.weights import Whisper
from smallvoice.recipe import ModelRecipe, Recipe, TrainRecipe


@dataclass(frozen=True)
class ParameterCount:
    """Counted from the model, never typed in."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        return self.trainable / self.total

    def __str__(self) -> str:
        return f"{self.trainable:,} of {self.total:,} ({100 * self.share:.2f} %)"


class Adapted(torch.nn.Module):
    """A network of which some parameters move; the others are frozen."""

    def __init__(
        self, network: PeftModel | WhisperForConditionalGeneration, recipe: ModelRecipe, taken: lowrank.Factors
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.taken = taken
        """What PiSSA took out of the base, on the CPU."""

    def get_base_model(self) -> WhisperForConditionalGeneration:
        """Whisper itself, with what moves inside it."""
        return self.network.get_base_model() if isinstance(self.network, PeftModel) else self.network


def adapt(whisper: Whisper, recipe: ModelRecipe, seed: int, num_steps: int | None = None) -> Adapted:
    """Make a base ready for training: its own network is changed in place. What is new starts from `seed` alone.

    Args:
        num_steps: of the optimiser; AdaLoRA plans its ranks by them. Without them it is only to be looked at.

    Raises:
        RecipeError: settings that cannot be right, or layers that the model does not have.
    """
    strategies.require_sense(recipe)
    if recipe.quantize != "none":
        quantize(whisper.network, recipe.quantize)
    if recipe.strategy in strategies.LOW_RANK:
        network, taken = lowrank.put(whisper, recipe, seed, num_steps)
        return Adapted(network, recipe, taken)
    if recipe.strategy == "bottleneck":
        bottleneck.put(whisper.network, recipe, seed)
    else:
        moved = set(strategies.moved_weights(whisper.network, recipe))
        for name, parameter in whisper.network.named_parameters():
            parameter.requires_grad_(name in moved)
        matrices = {f"{name}.weight" for name in strategies.linear_names(whisper.network)}
        if recipe.save_rank and not moved & matrices:
            raise RecipeError("model.save_rank: no linear layer moves, so nothing can be kept as an adapter.")
    return Adapted(whisper.network, recipe, {})


def require_sense(recipe: Recipe) -> None:
    """Refuse settings of training that do not go with the strategy, before any work is done.

    Raises:
        RecipeError: as said.
    """
    strategies.require_sense(recipe.model)
    _require_factors(recipe.model, recipe.train)
    if recipe.train.ema and recipe.model.strategy == "adalora":
        raise RecipeError("train.ema: a running average of AdaLoRA brings back the ranks that it took away; use 0.")
    if recipe.train.preserve and recipe.model.strategy in ("dora", "bottleneck"):
        raise RecipeError(f"train.preserve: what {recipe.model.strategy} does is no change of weights; leave it out.")
    if recipe.train.interpolate < 1.0 and recipe.model.strategy == "dora":
        raise RecipeError("train.interpolate: what lies between the base and a DoRA adapter is none; use 1, or lora.")
    if recipe.train.spectrum_power < 1.0 and recipe.model.strategy in ("dora", "bottleneck"):
        raise RecipeError(
            f"train.spectrum_power: what {recipe.model.strategy} does is no sum of directions; use 1, or lora."
        )


def _require_factors(model: ModelRecipe, train: TrainRecipe) -> None:
    if train.lora_plus != 1.0 and model.strategy not in strategies.LOW_RANK:
        raise RecipeError(
            f"train.lora_plus: {model.strategy} has no B that could learn faster than an A. Use 1, or one of: "
            f"{', '.join(strategies.LOW_RANK)}."
        )


def keeps_copies(recipe: ModelRecipe) -> bool:
    """Whether each adapter keeps its own copy of what it hears until its gradient is known."""
    if recipe.strategy not in strategies.LOW_RANK:
        return False
    return recipe.dropout > 0 or recipe.strategy not in lowrank.PLAIN


def parameter_groups(network: Adapted, recipe: TrainRecipe) -> list[dict[str, Any]]:
    """What moves, as an optimiser takes it.

    LoRA+ (Hayou et al., 2024): each B learns `lora_plus` times faster. Biases, norms and DoRA's lengths (whatever
    has one dimension) do not decay.

    Returns:
        Groups with `params`, `lr` (at its highest) and `weight_decay`.

    Raises:
        RecipeError: LoRA+ for a strategy without factors.
    """
    _require_factors(network.recipe, recipe)
    rate = recipe.learning_rate or network.recipe.usual_rate
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = recipe.lora_plus if ".lora_B." in name else 1.0
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": params, "lr": rate * factor, "weight_decay": decay} for (factor, decay), params in groups.items()
    ]


def after_step(network: Adapted, step: int) -> None:
    """To be called after `optimizer.step()` and before `zero_grad()`; AdaLoRA changes its ranks here.

    Args:
        step: counted from 1.
    """
    if isinstance(network.network, PeftModel):
        lowrank.after_step(network.network, step)


def extra_loss(network: Adapted) -> torch.Tensor | None:
    """What the strategy adds, once a step, to the mean loss of a token: AdaLoRA's orthogonality term, else None."""
    return lowrank.extra_loss(network.network) if isinstance(network.network, PeftModel) else None


def live_ranks(network: Adapted) -> dict[str, int] | None:
    """AdaLoRA: by layer, the ranks that do something now; None for the others."""
    return lowrank.live_ranks(network.network) if isinstance(network.network, PeftModel) else None


def strategy_state(network: Adapted) -> dict[str, torch.Tensor]:
    """What a strategy remembers between steps beside its parameters; for a checkpoint."""
    return lowrank.state(network.network) if isinstance(network.network, PeftModel) else {}


def load_strategy_state(network: Adapted, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `strategy_state` gave.

    Raises:
        KeyError: it is of another model.
    """
    if isinstance(network.network, PeftModel):
        lowrank.load_state(network.network, tensors)


def count_parameters(network: torch.nn.Module) -> ParameterCount:
    """Each parameter once: Whisper's output projection is its token embedding."""
    parameters = list(network.parameters())
    return ParameterCount(
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        total=sum(_values(parameter) for parameter in parameters),
    )


def _values(parameter: torch.nn.Parameter) -> int:
    """How many values it holds: bitsandbytes packs two of four bits into a byte."""
    packed = type(parameter).__name__ == "Params4bit" and parameter.dtype == torch.uint8
    return parameter.numel() * (2 if packed else 1)
