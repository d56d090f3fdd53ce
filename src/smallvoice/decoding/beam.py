"""Beam search with a key-value cache, as Whisper does it (Radford et al., 2022, appendix): no length penalty but the
division by length, and an utterance ends when as many hypotheses as beams have ended."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


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
    network: torch.nn.Module,
    encoded: object,
    prefix: list[int],
    caps: list[int],
    suppressed: torch.Tensor,
    suppressed_first: torch.Tensor,
    num_beams: int,
) -> tuple[list[list[int]], list[float]]:
    """The likeliest hypothesis per token of each utterance that `num_beams` beams find.

    Arguments and result are those of `torch_engine.greedy`.
    """
    states = encoded.last_hidden_state
    device, end = states.device, network.generation_config.eos_token_id
    suppressed, suppressed_first = suppressed.to(device), suppressed_first.to(device)
    utterances = [_Utterance(cap, [[] for _ in range(num_beams)]) for cap in caps]
    # All beams of an utterance begin alike: only the first counts until they differ.
    scores = torch.full((len(caps), num_beams), -torch.inf, device=device)
    scores[:, 0] = 0.0
    states = states.repeat_interleave(num_beams, dim=0)
    inputs = torch.tensor(prefix, device=device).expand(len(caps) * num_beams, -1)
    cache = None
    for step in range(max(caps)):
        output = network.model.decoder(
            input_ids=inputs, encoder_hidden_states=states, past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        logits = network.proj_out(output.last_hidden_state[:, -1]).float()
        # The total is that of all tokens, as in greedy search: what may not be written is no evidence for the rest.
        logprobs = logits - logits.logsumexp(dim=-1, keepdim=True)
        logprobs[:, suppressed] = -torch.inf
        if step == 0:
            logprobs[:, suppressed_first] = -torch.inf
        vocabulary = logprobs.shape[-1]
        totals = (scores.unsqueeze(-1) + logprobs.view(len(caps), num_beams, vocabulary)).flatten(1)
        # Of twice as many candidates at least `num_beams` do not end, for each beam has one end.
        best = totals.topk(2 * num_beams, dim=-1)
        parents, tokens = best.indices // vocabulary, best.indices % vocabulary
        order = [
            _advance(utterance, candidates, end, num_beams)
            for utterance, candidates in zip(utterances, _rows(best.values, parents, tokens), strict=True)
        ]
        if all(utterance.done for utterance in utterances):
            break
        chosen = torch.tensor(order, device=device)  # shape = (batch, num_beams): which candidates go on
        scores = best.values.gather(1, chosen)
        inputs = tokens.gather(1, chosen).view(-1, 1)
        rows = torch.arange(len(caps), device=device).unsqueeze(1) * num_beams + parents.gather(1, chosen)
        cache.self_attention_cache.reorder_cache(rows.view(-1))  # cross-attention is the same for all beams
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
