"""A tokenizer that lost merges makes other tokens of a text than the model was trained with, and no reader notices.

What a model writes is read token by token, so a faulty tokenizer shows in nothing that is decoded. But the labels that
training learns from, prompts and forced words are encoded. Those of Whisper's multilingual models on the hub lacked
the first merge, of a space and "t", until February 2024 (huggingface/transformers, pull request 29368), and copies of
them are still about: there " the" is a space and "the", which the model has never seen one after the other.
"""

from __future__ import annotations

import itertools
import json
import logging

from tokenizers.models import BPE
from transformers import WhisperTokenizer

log = logging.getLogger(__name__)


def complete_merges(tokenizer: WhisperTokenizer) -> list[str]:
    """Give a tokenizer the merges that its vocabulary shows it lost; returns the tokens that can be made again.

    Byte-pair encoding numbers its tokens in the order of its merges, so the two parts of a token are what the merges
    before it leave of its characters. One in another order, or of bytes alone, is left as it is.
    """
    backend = tokenizer.backend_tokenizer
    content = json.loads(backend.to_str())
    model = content["model"]
    vocabulary: dict[str, int] = model["vocab"]
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    places = [vocabulary["".join(merge)] for merge in merges]
    if not merges or places != sorted(places):
        return []
    made = {first + second for first, second in merges}
    special = {token["content"] for token in content["added_tokens"]}
    missing = [token for token in vocabulary if len(token) > 1 and token not in made and token not in special]
    found = {token: parts for token in missing if (parts := _parts(token, vocabulary))}
    if not found:
        return []
    merges = sorted([*merges, *found.values()], key=lambda merge: vocabulary["".join(merge)])
    backend.model = BPE(vocabulary, merges, unk_token=model["unk_token"], fuse_unk=model["fuse_unk"])
    log.debug("The tokenizer lacked the merges that make %s.", ", ".join(map(repr, found)))
    return list(found)


def _parts(token: str, vocabulary: dict[str, int]) -> tuple[str, str] | None:
    """The two tokens that are merged to one; None where the earlier ones leave more than two."""
    parts = list(token)
    while len(parts) > 2:
        pairs = [vocabulary.get(first + second, vocabulary[token]) for first, second in itertools.pairwise(parts)]
        place = pairs.index(min(pairs))
        if pairs[place] >= vocabulary[token]:
            return None
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]
