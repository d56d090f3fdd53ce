"""A few steps of the optimiser on random features, by transformers' own loss."""

from __future__ import annotations

import torch

from smallvoice.model import adapt
from smallvoice.model import window as windows
from smallvoice.recipe import TrainRecipe


def inputs(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_features": torch.rand(2, 80, 3000, generator=generator),
        "decoder_input_ids": torch.randint(0, 50_000, (2, 5), generator=generator),
    }


@torch.no_grad()
def logits(network: torch.nn.Module) -> torch.Tensor:
    was_training = network.training
    result = network.eval()(**inputs(99)).logits
    network.train(was_training)
    return result


class Steps:
    """An optimiser at work, as the loop has it."""

    def __init__(self, network: adapt.Adapted, recipe: TrainRecipe | None = None) -> None:
        self.network = network
        self.optimizer = torch.optim.AdamW(adapt.parameter_groups(network, recipe or TrainRecipe()))

    def take(self, first: int, last: int) -> None:
        """Steps `first` to `last`, counted from 1."""
        self.network.train()
        for step in range(first, last + 1):
            torch.manual_seed(step)
            batch = inputs(step)
            whisper, labels = self.network.get_base_model(), batch["decoder_input_ids"].roll(-1, dims=1)
            encoded = windows.encode(whisper, batch["input_features"][..., :60])
            loss = whisper(encoder_outputs=encoded, decoder_input_ids=batch["decoder_input_ids"], labels=labels).loss
            extra = adapt.extra_loss(self.network)
            (loss if extra is None else loss + extra).backward()
            self.optimizer.step()
            adapt.after_step(self.network, step)
            self.optimizer.zero_grad()


def take_steps(network: adapt.Adapted, number: int, recipe: TrainRecipe | None = None) -> None:
    Steps(network, recipe).take(1, number)
