"""Low-rank adapters of five kinds, by PEFT.

    lora     Hu et al., 2021: a weight gets `alpha / r · B A`, A at random and B zero at first
    rslora   Kalajdzievski, 2023: the same with `alpha / √r`
    dora     Liu et al., 2024: the length of each row of the weight is learned apart
    pissa    Meng et al., 2024: A and B begin as the weight's own largest singular vectors, taken out of the weight
    adalora  Zhang et al., 2023: `B diag(E) A` with more rank at first, taken where it matters least

PEFT gets no task type: its sequence-to-sequence wrapper passes `input_ids`, which Whisper does not take.
"""

from __future__ import annotations

import math
import warnings
from types import MethodType

import torch
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model

from smallvoice.errors import RecipeError
from smallvoice.model.strategies import linear_layers, part_of
from smallvoice.model.weights import Whisper
from smallvoice.recipe import ModelRecipe

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""By the name of a layer: A of shape = (r, in), B of shape = (out, r)."""

PLAIN = ("lora", "rslora", "pissa")
"""Those that add `scaling · B A` and nothing else."""
BEGIN, END = 0.1, 0.5
"""AdaLoRA keeps its first rank for this share of the steps, and its last for that one; between them it falls. Zhang
et al. give each task its own: 9-15 % and 46-59 % of the steps of MNLI, CoLA and RTE."""
POWER_ITERATIONS, SPARE_VECTORS = 8, 16
"""Of PiSSA's singular vectors: 0.12 s for a layer of whisper-base against 1.5 s for all of them (one core)."""


def put(whisper: Whisper, recipe: ModelRecipe, seed: int, num_steps: int | None) -> tuple[PeftModel, Factors]:
    """Put adapters on the layers that the recipe names. The factors start from `seed` alone.

    Returns:
        The network, and the factors that PiSSA took out of the base.

    Raises:
        RecipeError: no such layers, or PiSSA with more rank than a layer has.
    """
    layers = linear_layers(whisper.network, recipe, recipe.targets)
    everywhere = part_of(recipe) == "both" and not recipe.layers
    config = _config(recipe, recipe.targets if everywhere else layers, whisper.name, num_steps)
    whisper.network.name_or_path = whisper.name  # what PEFT writes into adapter_config.json: never a path
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 asks transformers 5.23 for a property under its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        network = get_peft_model(whisper.network, config)
    if recipe.strategy in PLAIN:
        for layer in adapted_layers(network).values():
            if type(layer.get_base_layer()) is torch.nn.Linear:  # one in few bits has its own ways
                layer.forward = MethodType(_forward, layer)
    return network, _begin_with_principal(network) if recipe.strategy == "pissa" else {}


def _forward(layer: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What PEFT's layer computes, `W x + scaling · B A x`, with the second product added by the product itself.

    PEFT scales it and then adds it: two more passes over an output that does not fit a core's cache. Without dropout
    the layers that hear the same also keep it once, not a copy each. Added in place to a matrix, not to a view of one,
    whose gradient would be copied (5 % of a step).

    Args:
        inputs: shape = (..., in).

    Returns:
        shape = (..., out).
    """
    rows = inputs.flatten(0, -2)
    output = layer.base_layer(rows)
    low = layer.lora_A["default"](layer.lora_dropout["default"](rows))
    b = layer.lora_B["default"].weight.to(output.dtype)  # in place, autocast does not
    output.addmm_(low, b.T, alpha=layer.scaling["default"])
    return output.unflatten(0, inputs.shape[:-1])


def _config(recipe: ModelRecipe, targets: list[str], base: str, num_steps: int | None) -> LoraConfig:
    common = {
        "lora_alpha": recipe.alpha,
        "lora_dropout": recipe.dropout,
        "target_modules": targets,
        "base_model_name_or_path": base,
    }
    if recipe.strategy != "adalora":
        variant = {"use_rslora": recipe.strategy == "rslora", "use_dora": recipe.strategy == "dora"}
        return LoraConfig(r=recipe.rank, **variant, **common)
    total = num_steps or 1  # without steps it is only looked at
    return AdaLoraConfig(
        init_r=recipe.initial_rank or math.floor(1.5 * recipe.rank) + (recipe.rank == 1),
        target_r=recipe.rank,
        total_step=total,
        tinit=int(BEGIN * total),
        tfinal=int(END * total),
        **common,
    )


@torch.no_grad()
def _begin_with_principal(network: PeftModel) -> Factors:
    """PiSSA: move the largest singular values and vectors of each weight into its adapter.

    Here and not by PEFT, so that they are computed on the CPU, and from the weight alone: the members of an
    average begin alike, and a saved adapter is plain LoRA.
    """
    taken = {}
    for name, layer in adapted_layers(network).items():
        a, b, scaling = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]
        base = layer.get_base_layer().weight
        rank = len(a)
        if rank > min(base.shape):
            raise RecipeError(f"model.rank: {rank} is more than {name} has ({min(base.shape)}), so PiSSA cannot begin.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            vectors = min(rank + SPARE_VECTORS, *base.shape)
            left, values, right = torch.svd_lowrank(base.cpu().float(), q=vectors, niter=POWER_ITERATIONS)
        half = (values[:rank] / scaling).sqrt()
        a.copy_(half[:, None] * right[:, :rank].T)
        b.copy_(left[:, :rank] * half)
        base -= (scaling * b @ a).to(base.dtype)
        taken[name] = (a.cpu().clone(), b.cpu().clone())
    return taken


def adapted_layers(network: PeftModel) -> dict[str, torch.nn.Module]:
    """The layers that have an adapter, by their name in Whisper."""
    modules = network.get_base_model().named_modules()
    return {name: module for name, module in modules if hasattr(module, "lora_A")}


def after_step(network: PeftModel, step: int) -> None:
    """AdaLoRA: weigh the ranks, and take those away that matter least. PEFT wants the step's gradients for it."""
    if not _is_adalora(network):
        return
    for parameter in network.parameters():
        if parameter.grad is not None:  # of float16, where they overflow, PEFT's averages would stay infinite
            parameter.grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    network.base_model.update_and_allocate(step)


def extra_loss(network: PeftModel) -> torch.Tensor | None:
    """AdaLoRA: how far A and B are from orthogonal (eq. 4), which PEFT adds only to a loss of its own forward pass."""
    if not _is_adalora(network):
        return None
    distances = []
    for layer in adapted_layers(network).values():
        a, b = layer.lora_A["default"].float(), layer.lora_B["default"].float()
        for product in (a @ a.T, b.T @ b):
            distances.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
    return network.peft_config["default"].orth_reg_weight * torch.stack(distances).mean()


def live_ranks(network: PeftModel) -> dict[str, int] | None:
    """AdaLoRA: by layer, how many of its ranks do something; None for the others."""
    if not _is_adalora(network):
        return None
    layers = adapted_layers(network).items()
    return {name.removeprefix("model."): int(layer.lora_E["default"].count_nonzero()) for name, layer in layers}


_AVERAGES = ("exp_avg_ipt", "exp_avg_unc")
"""What PEFT's rank allocator remembers of every value: its smoothed importance, and how uncertain that is."""


def state(network: PeftModel) -> dict[str, torch.Tensor]:
    """What AdaLoRA remembers between steps beside its parameters; nothing for the others."""
    if not _is_adalora(network):
        return {}
    allocator = network.base_model.rankallocator
    remembered = {
        f"{kind}/{name}": value.cpu().contiguous()
        for kind in _AVERAGES
        for name, value in getattr(allocator, kind).items()
    }
    kept = network.peft_config["default"].rank_pattern or {}
    return remembered | {f"kept/{name}": torch.tensor(ranks) for name, ranks in kept.items()}


def load_state(network: PeftModel, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `state` gave."""
    if not _is_adalora(network):
        return
    allocator = network.base_model.rankallocator
    allocator.reset_ipt()
    parameters = dict(network.base_model.model.named_parameters())
    kept = {}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        if kind == "kept":
            kept[name] = value.tolist()
        else:
            getattr(allocator, kind)[name] = value.to(parameters[name].device)
            allocator.ipt[name] = torch.zeros_like(parameters[name])  # PEFT's sign that the averages are there
    network.peft_config["default"].rank_pattern = kept or None


def _is_adalora(network: PeftModel) -> bool:
    return isinstance(network.peft_config["default"], AdaLoraConfig)
