"""Beam search with a key-value cache, as Whisper does it (Radford et al., 2022, appendix): no length penalty but the
division by length, and an utterance ends when as many hypotheses as beams have ended."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from smallvoice.decoding.banned import Banned
from smallvoice.decoding.decoder import Decoder


@dataclass
class _Utterance:
    """The hypotheses of one utterance."""

    cap: int
    beams: list[list[int]]
    """The unfinished ones, best first."""
    finished: list[tuple[list[int], float]] = field(default_factory=list)
    """Tokens, the end included, and the sum of their log-probabilities."""
    done: bool = False


@torch.inference_mode()
def beam_search(
    decoder: Decoder, prefix: list[int], caps: list[int], banned: Banned, num_beams: int
) -> tuple[list[list[int]], list[float]]:
    """The likeliest hypothesis per token of each utterance that `num_beams` beams find.

    Arguments and result are those of `torch_engine.greedy`.
    """
    device = decoder.device
    utterances = [_Utterance(cap, [[]]) for cap in caps]
    live = utterances
    scores = torch.zeros(len(caps), 1, device=device)
    inputs = torch.tensor(prefix, device=device).expand(len(caps), 1, -1)
    while live:
        logits = decoder.step(inputs)
        # The total is that of all tokens: what may not be written is no evidence for the rest.
        logprobs = logits - logits.logsumexp(dim=-1, keepdim=True)
        banned.forbid(logprobs, first=not live[0].beams[0])
        vocabulary = logprobs.shape[-1]
        # Of twice as many candidates at least `num_beams` do not end, for each beam has one end.
        best = (scores.unsqueeze(-1) + logprobs).flatten(1).topk(2 * num_beams, dim=-1)
        parents, tokens = best.indices // vocabulary, best.indices % vocabulary
        order = [
            _advance(utterance, candidates, decoder.end, num_beams)
            for utterance, candidates in zip(live, _rows(best.values, parents, tokens), strict=True)
        ]
        chosen = torch.tensor(order, device=device)  # shape = (utterances, num_beams): which candidates go on
        scores, inputs = best.values.gather(1, chosen), tokens.gather(1, chosen).unsqueeze(-1)
        decoder.reorder(parents.gather(1, chosen))
        going = [place for place, utterance in enumerate(live) if not utterance.done]
        if len(going) <= len(live) / 2:
            live = [live[place] for place in going]
            kept = torch.tensor(going, dtype=torch.long, device=device)
            decoder.keep(kept)
            scores, inputs = scores[kept], inputs[kept]
    return _best(utterances)


def _rows(values: torch.Tensor, parents: torch.Tensor, tokens: torch.Tensor) -> list[list[tuple[float, int, int]]]:
    """For each utterance its candidates, best first: score, parent beam, token."""
    rows = zip(values.tolist(), parents.tolist(), tokens.tolist(), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]


def _advance(utterance: _Utterance, candidates: list[tuple[float, int, int]], end: int, num_beams: int) -> list[int]:
    """Take the candidates in; which of them go on as beams."""
    chosen: list[int] = []
    beams: list[list[int]] = []
    for number, (score, parent, token) in enumerate(candidates):
        tokens = [*utterance.beams[parent], token]
        if token == end:
            if not utterance.done and len(utterance.finished) < num_beams:
                utterance.finished.append((tokens, score))
        elif len(chosen) < num_beams:
            chosen.append(number)
            beams.append(tokens)
        if len(chosen) == num_beams:
            break
    if not utterance.done:
        utterance.beams = beams
        capped = len(beams[0]) >= utterance.cap
        if capped and not utterance.finished:
            utterance.finished.append((beams[0], candidates[chosen[0]][0]))
        utterance.done = capped or len(utterance.finished) == num_beams
    return chosen


def _best(utterances: list[_Utterance]) -> tuple[list[list[int]], list[float]]:
    best = [max(utterance.finished, key=lambda found: found[1] / len(found[0])) for utterance in utterances]
    return [tokens for tokens, _ in best], [score for _, score in best]
