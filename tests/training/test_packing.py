"""Several utterances in one window: who is joined, what fits, and what the decoder learns to write."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.training import mixed_corpus

from smallvoice import recipe_file as recipes
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.errors import RecipeError
from smallvoice.model import weights
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.training import packing
from smallvoice.training.batches import Planner, Reader
from smallvoice.training.labels import IGNORED, collate, join, token_ids
from smallvoice.training.packing import Item
from smallvoice.training.prepare_batch import hear, prepare


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(mixed_corpus.prepare(tmp_path_factory.mktemp("packed")))


def words(text: str, language: str | None) -> int:
    return len(text.split())


def planner(
    corpus: Corpus, window: dict[str, Any], length: Any = words, max_frames: int = 3000, **settings: Any
) -> Planner:
    recipe = recipes.build({"window": {"kind": "packed", **window}, "train": {"batch_size": 4}, **settings})
    return Planner(corpus, "train", recipe, max_frames, set(), length)


def items_of(plan: Planner, epoch: int = 0, seed: int = 1) -> list[Item]:
    return [item for step in plan.epoch(epoch, seed) for batch in step for item in batch]


def speakers(corpus: Corpus) -> dict[str, str]:
    rows = corpus.columns("train", ["id", "speaker"]).to_pylist()
    return {row["id"]: row["speaker"] for row in rows}


AUGMENTED = {"augment": {"speed": 0.3, "tempo": 0.1}}


@pytest.mark.parametrize("settings", [{}, AUGMENTED])
def test_packing_keeps_every_utterance_and_never_joins_speakers(corpus: Corpus, settings: dict[str, Any]) -> None:
    plan, who = planner(corpus, {}, **settings), speakers(corpus)
    for epoch in range(5):
        items = items_of(plan, epoch)
        parts = [part for item in items for part in item.parts]
        assert Counter(part.utterance_id for part in parts) == Counter(plan.ids.to_pylist())
        assert any(len(item.parts) > 5 for item in items), "something is joined"
        for item in items:
            assert len({who[part.utterance_id] for part in item.parts}) == 1
            assert [part.number for part in item.parts] == sorted(part.number for part in item.parts)
            assert item.duration_s / item.change.pace <= 29.6 and item.frames == 3000
            for before, part in itertools.pairwise(item.parts):
                assert 0.2 <= part.start_s - before.start_s - before.duration_s <= 1.0
    assert items_of(plan, 2) == items_of(plan, 2) != items_of(plan, 3)


def test_windows_are_filled_before_a_new_one_begins(corpus: Corpus) -> None:
    """In windows of 10 s: the utterance that begins the next one would not have fitted."""
    plan, who = planner(corpus, {"previous_text": True}, max_frames=1000), speakers(corpus)
    by_speaker: dict[str, list[Item]] = {}
    for item in sorted(items_of(plan), key=lambda item: item.parts[0].number):
        by_speaker.setdefault(who[item.parts[0].utterance_id], []).append(item)
    assert sum(len(items) > 1 for items in by_speaker.values()) == mixed_corpus.ADULTS
    for items in by_speaker.values():
        assert items[0].previous == ()
        for before, item in itertools.pairwise(items):
            assert before.duration_s + item.parts[0].duration_s + 1.0 > 9.6
            assert item.previous == before.parts


def test_no_more_tokens_than_the_decoder_holds(corpus: Corpus) -> None:
    """As if every text had 100 token ids: 443 hold four of them, and with two timestamps each four as well."""

    def hundred(text: str, language: str | None) -> int:
        return 100

    sizes = Counter(len(item.parts) for item in items_of(planner(corpus, {}, hundred)))
    assert max(sizes) == 4
    assert max(len(item.parts) for item in items_of(planner(corpus, {}, lambda *_: 110))) == 4
    assert max(len(item.parts) for item in items_of(planner(corpus, {"timestamps": True}, lambda *_: 110))) == 3


def test_an_utterance_that_fills_the_window_stays_alone() -> None:
    parts = [packing.Part(0, row, row, f"u{row}", duration_s) for row, duration_s in enumerate([29.9, 1.0, 29.5, 2.0])]
    nothing = packing.augment.NOTHING
    found = packing.pack(parts, lambda n: (0, 0), lambda n: 1, lambda key: nothing, packing.Room(29.6, 440), (0, 0))
    assert [[part.row for part in joined] for joined, _, _ in found] == [[0], [1], [2], [3]]


def test_languages_are_not_joined() -> None:
    parts = [packing.Part(0, row, row, f"u{row}", 1.0) for row in range(4)]
    nothing = packing.augment.NOTHING
    found = packing.pack(parts, lambda n: (0, n % 2), lambda n: 1, lambda key: nothing, packing.Room(29.6, 440), (0, 0))
    assert [[part.row for part in joined] for joined, _, _ in found] == [[0, 2], [1, 3]]


def test_what_is_heard_again_is_not_joined_to_its_first_hearing(corpus: Corpus) -> None:
    plan = planner(corpus, {}, train={"mix": [{"select": "duration_s > 0", "weight": 2.0}]})
    for item in items_of(plan):
        assert len({part.utterance_id for part in item.parts}) == len(item.parts)
        assert len({part.copy for part in item.parts}) == 1


def test_audio_and_times_agree(corpus: Corpus) -> None:
    """Each utterance is where its timestamps say, at its own level, with its background between."""
    for settings in ({}, {"augment": {"speed": 0.2}}):
        plan = planner(corpus, {"timestamps": True}, **settings)
        reader = Reader(corpus, plan.groups)
        item = max(items_of(plan), key=lambda item: len(item.parts))
        [spoken] = reader.read([item])
        samples = hear(item, spoken, plan.sounds, 1)
        assert len(samples) / 16_000 == pytest.approx(item.duration_s / item.change.pace, abs=0.002)
        for (begin_s, end_s), utterance in zip(item.times_s, spoken, strict=True):
            own = decode_flac(utterance.audio)
            heard = samples[round(begin_s * 16_000) : round(end_s * 16_000)]
            assert end_s - begin_s == pytest.approx(len(own) / 16_000 / item.change.pace, abs=0.001)
            assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(own**2)), rel=0.02)
            if item.change.pace == 1.0:
                assert np.abs(heard - own).max() < 1e-6
        pause = samples[round(item.times_s[0][1] * 16_000) + 200 : round(item.times_s[1][0] * 16_000) - 200]
        assert 0 < np.sqrt(np.mean(pause**2)) < np.sqrt(np.mean(heard**2)), "quieter than speech, not digital silence"


def member(whisper: Whisper, plan: Planner) -> Any:
    def tokens(utterance: Utterance) -> list[int]:
        return token_ids(whisper, utterance.text, "en")

    prefix = len(prefix_ids(whisper.generation, "en"))
    return SimpleNamespace(
        recipe=plan.recipe, planner=plan, seed=1, whisper=whisper, tokens=tokens, prefix_length=prefix
    )


def learned(labels: Any, row: int) -> list[int]:
    return [int(token) for token in labels.targets[row] if token != IGNORED]


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("timestamps", [False, True])
def test_labels_of_packed_items(tiny_models: dict[str, Path], corpus: Corpus, kind: str, timestamps: bool) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    plan = planner(corpus, {"timestamps": timestamps, "previous_text": True}, lambda text, _: len(text) + 90)
    reader = Reader(corpus, plan.groups)
    prefix = prefix_ids(whisper.generation, "en")
    end, first_time = whisper.generation.eos_token_id, whisper.generation.no_timestamps_token_id + 1
    previous_id = whisper.tokenizer.convert_tokens_to_ids("<|startofprev|>")
    with_prompt = 0
    for step in plan.epoch(0, 1):
        for batch in step:
            mel, labels = prepare(member(whisper, plan), reader, batch)
            assert mel.shape == (1, len(batch), whisper.network.config.num_mel_bins, 3000)
            assert labels.inputs.shape == labels.targets.shape
            for row, item in enumerate(batch):
                [spoken], before = reader.read([item]), reader.utterances(item, item.previous)
                expected = []
                for utterance, (begin_s, end_s) in zip(spoken, item.times_s, strict=True):
                    text = whisper.tokenizer(f" {utterance.text}", add_special_tokens=False)["input_ids"]
                    times = [first_time + round(begin_s * 50)], [first_time + round(end_s * 50)]
                    expected += [*times[0], *text, *times[1]] if timestamps else text
                assert learned(labels, row) == [*expected, end], "text, timestamps and end; nothing else is learned"
                start = labels.inputs[row].tolist().index(prefix[0])
                head = prefix[:-1] if timestamps else prefix
                assert labels.inputs[row, start : start + len(head)].tolist() == head
                first_scored = int((labels.targets[row] != IGNORED).nonzero()[0])
                assert first_scored == start + len(head) - 1
                length = start + len(head) + len(expected)
                assert labels.inputs[row, start + len(head) : length].tolist() == expected
                assert set(labels.inputs[row, length:].tolist()) <= {end}
                prompt = labels.inputs[row, :start].tolist()
                texts = "".join(f" {utterance.text}" for utterance in before)
                if before:
                    with_prompt += 1
                    said = whisper.tokenizer(texts, add_special_tokens=False)["input_ids"]
                    assert prompt == [previous_id, *said[-min(223, 447 - len(head) - len(expected) - 1) :]]
                else:
                    assert prompt == []
    assert with_prompt > 3


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_long_prompt_loses_its_beginning(tiny_models: dict[str, Path], kind: str) -> None:
    whisper = weights.load(str(tiny_models[kind]))
    prefix = len(prefix_ids(whisper.generation, "en"))
    sequence = token_ids(whisper, "a cat", "en")
    before = list(range(300, 700))
    ids, start = join(whisper, [sequence], prefix, None, before)
    assert ids[1:224] == before[-223:] and start == 224 + prefix, "as Whisper's own transcribe()"
    long = token_ids(whisper, "x" * 400, "en")
    ids, start = join(whisper, [long], prefix, None, before)
    assert len(ids) == 448 and ids[start:] == long[prefix:]
    full = token_ids(whisper, "x" * (448 - prefix - 2), "en")
    assert join(whisper, [full], prefix, None, before) == (full, prefix), "no room for a prompt"
    labels = collate([ids, sequence], [start, prefix], whisper.generation.eos_token_id)
    assert learned(labels, 0) == long[prefix:] and learned(labels, 1) == sequence[prefix:]
    assert torch.equal(labels.targets, collate([ids, sequence], [start, prefix], 0).targets)


def test_one_utterance_is_what_it_was(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    sequence = token_ids(whisper, "the dog", "en")
    assert join(whisper, [sequence], 4) == (sequence, 4)


@pytest.mark.parametrize("name", ["timestamps", "previous_text"])
def test_settings_of_packed_windows_are_refused_elsewhere(corpus: Corpus, name: str) -> None:
    with pytest.raises(RecipeError, match=f"window.{name} is for packed windows"):
        planner(corpus, {"kind": "trim", name: True})
