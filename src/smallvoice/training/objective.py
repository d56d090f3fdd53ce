"""What training minimises, and how fast."""

from __future__ import annotations

import math

import torch
from torch.func import functional_call
from torch.nn import functional

from smallvoice.model import adapt
from smallvoice.model import window as windows
from smallvoice.recipe import TrainRecipe
from smallvoice.training.labels import IGNORED

REDUCED_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TeacherForcing(torch.nn.Module):
    """The loss of a batch: cross-entropy of each text token, given the ones before it.

    Args:
        network: the adapted network; what of it is trained does not change any more.
        recipe: its label smoothing and consistency.
        precision: that of products, `float32`, `bfloat16` or `float16`.
    """

    def __init__(self, network: torch.nn.Module, recipe: TrainRecipe, precision: str = "float32") -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.reduced = REDUCED_TYPES.get(precision)
        self.rounded = self._rounded() if self.reduced else {}

    def _rounded(self) -> dict[str, torch.Tensor]:
        """Weights that stay as they are, in the precision of products, by name.

        Autocast keeps what it rounds of weights that move and rounds the others again for every batch: on a CPU, of
        the 51,865 output vectors alone, 8 % of a step. An accelerator does it in no time, and has no memory to spare.
        """
        layers = ((name, one) for name, one in self.named_modules() if isinstance(one, torch.nn.Linear))
        return {
            f"{name}.weight": layer.weight.to(self.reduced)
            for name, layer in layers
            if layer.weight.device.type == "cpu" and layer.weight.is_floating_point() and not layer.weight.requires_grad
        }

    def loss(self, mel: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`forward`, with products in the precision of training."""
        with torch.autocast(mel.device.type, self.reduced, enabled=self.reduced is not None):
            # The output vectors are tied to the embedding, which is not rounded.
            found: torch.Tensor = functional_call(self, self.rounded, (mel, inputs, targets), tie_weights=False)
        return found

    def forward(self, mel: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over all tokens of the batch, in nats.

        With label smoothing e, a token's target is 1 - e for itself and e shared by the whole vocabulary
        (Szegedy et al., 2016). Of two hearings it is the mean, and the consistency times `disagreement`.

        Args:
            mel: shape = (hearings, batch, num_mels, frames).
            inputs: token ids, shape = (batch, positions).
            targets: the next token of each position, or `IGNORED`.
        """
        whisper, hearings = self.network.get_base_model(), len(mel)
        encoded = windows.encode(whisper, mel.flatten(0, 1))
        hidden = whisper.model.decoder(
            input_ids=inputs.repeat(hearings, 1), encoder_hidden_states=encoded.last_hidden_state, use_cache=False
        )
        targets = targets.repeat(hearings, 1)
        scored = targets != IGNORED  # the projection to 51,865 tokens only where there is a loss
        logits = whisper.proj_out(hidden.last_hidden_state[scored]).float()
        loss = functional.cross_entropy(
            logits, targets[scored], reduction="sum", label_smoothing=self.recipe.label_smoothing
        )
        if hearings == 1:
            return loss
        return loss / hearings + self.recipe.consistency * disagreement(*logits.chunk(2))


def disagreement(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """How far what two hearings lead to expect is apart, in nats, summed over the tokens: the mean of both
    Kullback-Leibler divergences, each from what is expected of the other, which is held (Yao et al., 2025, CR-CTC).

    Args:
        first, second: logits, shape = (tokens, vocabulary).
    """
    one, other = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
    there = functional.kl_div(one, other.detach(), reduction="sum", log_target=True)
    back = functional.kl_div(other, one.detach(), reduction="sum", log_target=True)
    return 0.5 * (there + back)


def optimizer_of(network: adapt.Adapted, recipe: TrainRecipe) -> torch.optim.AdamW:
    """AdamW over what moves. On a CPU in one pass over it, not one for each operation: half of the time."""
    groups = adapt.parameter_groups(network, recipe)
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
    return torch.optim.AdamW(groups, fused=on_cpu or None)


def schedule(step: int, num_steps: int, recipe: TrainRecipe) -> float:
    """The share of the learning rate that a step has, counted from 0: a linear rise, then the schedule's fall to 0."""
    warmup = round(recipe.warmup * num_steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, num_steps - warmup)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return shape[recipe.schedule]
