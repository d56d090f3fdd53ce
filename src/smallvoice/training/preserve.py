"""What was learned where the learners' speech needs it; the base's own weights where other speech does.

Training on a few voices moves a weight in directions in which other speech moves its inputs too, and that speech is
then heard worse. Of all weights W of a layer, the nearest to the tuned one, W₀ + D, on inputs x of the speech that was
learned, and to the base's W₀ on those of the speech to be preserved,

    min  E_learned ‖(W − W₀ − D) x‖² + μ E_preserved ‖(W − W₀) x‖²,

is W₀ + D G (G + μ P)⁻¹, with G and P the mean of x xᵀ over the one and the other. This is RegMean (Jin et al., 2023,
"Dataless knowledge fusion by merging weights of language models") of the tuned model and the base. Nothing is trained
again: some utterances of both kinds are heard once.

An adapter's B A becomes B (A G (G + μ P)⁻¹), of the same rank. A bias is the weight of an input that is always 1: the
share 1 / (1 + μ) of its change stays, and so it is done with whatever else is no matrix of a layer.

A corpus has one kind of recording, and other speech comes over other lines: what is preserved is heard twice, as it is
and as a telephone carries it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr
import torch
from torch.nn import functional

from smallvoice.corpus.audio import SAMPLING_RATE, decode_flac
from smallvoice.corpus.utterance import Corpus, Utterance
from smallvoice.errors import RecipeError
from smallvoice.model import window as windows
from smallvoice.model.saving import ADAPTER, WEIGHTS, Result
from smallvoice.model.strategies import matrix_names
from smallvoice.model.weights import Whisper
from smallvoice.recipe import PreserveRecipe, WindowRecipe

NUM_UTTERANCES = 200
"""Of each kind, at most. Their inputs are those of frames and tokens: some 30,000 and 2,000."""
AS_RECORDED = (SAMPLING_RATE,)
PRESERVED_RATES = (SAMPLING_RATE, 8_000)
"""In Hz: what is preserved is heard as it is, and without what a telephone leaves out."""
RIDGE = 1e-3
"""Of the mean square of an input. In a direction that no speech uses the base's weight stays."""

Moments = dict[str, torch.Tensor]
"""By the name of a layer the mean of x xᵀ over its inputs, shape = (in, in), float32; `in · kernel` of convolutions."""


@dataclass(frozen=True)
class Speech:
    """Ids of utterances of `train`."""

    learned: frozenset[str]
    preserved: frozenset[str]


def speech_of(corpus: Corpus, recipe: PreserveRecipe, heard: set[str], left_out: set[str]) -> Speech:
    """What is heard of both kinds.

    Args:
        heard: ids of what training hears. What is preserved may be in it too; the rest of it is what is learned.
        left_out: ids of what the decoder cannot hold.

    Raises:
        RecipeError: `select` cannot be read, or leaves one kind without any.
    """
    preserved = [row["id"] for row in corpus.rows("train", ["id"], [recipe.select]) if row["id"] not in left_out]
    learned = sorted(heard.difference(preserved))
    mend = "Choose others, or none: train.preserve=null."
    if not preserved:
        raise RecipeError(f"train.preserve: no row of train is {recipe.select}. {mend}")
    if not learned:
        raise RecipeError(f"train.preserve: all that is trained on is {recipe.select}. {mend}")
    return Speech(_sample(learned), _sample(preserved))


def _sample(ids: list[str]) -> frozenset[str]:
    ids = sorted(ids)  # digests: in their order the speakers are mixed
    return frozenset(ids[:: max(1, len(ids) // NUM_UTTERANCES)][:NUM_UTTERANCES])


def preserve(result: Result, learned: Moments, preserved: Moments, weight: float, base: torch.nn.Module) -> Result:
    """The result nearest to itself on the speech that was learned, and to the base on the other.

    Args:
        learned: of the network that does what the result does.
        preserved: of the base.
        weight: μ above: how much the other speech counts.
        base: the network that the result starts from, untouched.

    Raises:
        ValueError: DoRA or a bottleneck, which add no product of factors to a weight.
    """
    if result.file not in (ADAPTER, WEIGHTS) or (result.config is not None and result.config.use_dora):
        raise ValueError("only weights that moved and sums of factors can be preserved")
    tensors = {}
    start = {name: parameter.detach().cpu() for name, parameter in base.named_parameters()}
    for name, tensor in result.tensors.items():
        layer = _layer_of(name)
        if ".lora_B." in name:
            tensors[name] = tensor
        elif layer in learned and name.endswith(".weight"):
            shares = _shares(learned[layer], preserved[layer], weight)
            origin = torch.zeros_like(tensor) if result.config else start[name]
            change = (tensor - origin).flatten(1).double() @ shares
            tensors[name] = (origin + change.view_as(tensor)).to(tensor.dtype).contiguous()
        else:
            tensors[name] = torch.lerp(start[name], tensor, 1 / (1 + weight))
    return Result(result.file, tensors, result.config)


def _layer_of(name: str) -> str:
    """The layer that a tensor of a result belongs to."""
    return name.removeprefix("base_model.model.").removesuffix(".weight").removesuffix(".lora_A")


def _shares(learned: torch.Tensor, preserved: torch.Tensor, weight: float) -> torch.Tensor:
    """G (G + μ P)⁻¹: what of a change stays, for each direction of the inputs; float64."""
    learned, preserved = learned.double(), preserved.double()
    both = learned + weight * preserved + RIDGE * learned.diagonal().mean() * torch.eye(len(learned)).double()
    return torch.linalg.solve(both, learned).T  # both are symmetric


@torch.inference_mode()
def moments(
    whisper: Whisper,
    result: Result,
    window: WindowRecipe,
    utterances: Iterable[Utterance],
    tokens: Callable[[Utterance], list[int]],
    rates: Sequence[int] = AS_RECORDED,
) -> Moments:
    """What the layers that a result moves hear while a network reads utterances and their texts, at their own windows.

    Args:
        whisper: the base, or the base that does what the result does.
        tokens: the token ids of an utterance, prefix and end included.
        rates: in Hz; each utterance is heard once as if recorded at each.
    """
    network = whisper.network.eval()
    moved = {_layer_of(name) for name in result.tensors}
    layers = {name: _Inputs(network.get_submodule(name)) for name in matrix_names(network) if name in moved}
    try:
        for utterance, rate in itertools.product(utterances, rates):  # one at a time, so that no padding is heard
            frames = windows.num_frames(utterance.duration_s, window, windows.max_frames(network))
            mel = windows.features([_as_recorded_at(rate, decode_flac(utterance.audio))], frames, network)
            read = torch.tensor([tokens(utterance)[:-1]], device=mel.device)
            encoded = windows.encode(network, mel).last_hidden_state
            network.model.decoder(input_ids=read, encoder_hidden_states=encoded, use_cache=False)
    finally:
        for inputs in layers.values():
            inputs.hook.remove()
    return {name: (inputs.sum / inputs.number).cpu() for name, inputs in layers.items()}


def _as_recorded_at(rate: int, waveform: np.ndarray) -> np.ndarray:
    """A waveform at 16 kHz without what a recording at `rate` would have left out."""
    if rate == SAMPLING_RATE:
        return waveform
    return np.asarray(soxr.resample(soxr.resample(waveform, SAMPLING_RATE, rate), rate, SAMPLING_RATE))


@dataclass
class _Inputs:
    """The sum of x xᵀ over what a layer hears."""

    layer: torch.nn.Module
    sum: torch.Tensor = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        size = self.layer.weight[0].numel()
        self.sum = torch.zeros(size, size, device=self.layer.weight.device)
        self.hook = self.layer.register_forward_pre_hook(self._add)

    def _add(self, layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        heard = inputs[0]
        if isinstance(layer, torch.nn.Conv1d):
            padding, stride = (0, layer.padding[0]), (1, layer.stride[0])
            heard = functional.unfold(heard[:, :, None], (1, layer.kernel_size[0]), padding=padding, stride=stride)
            heard = heard.transpose(1, 2)
        rows = heard.flatten(0, -2)
        self.sum.addmm_(rows.T, rows)
        self.number += len(rows)
