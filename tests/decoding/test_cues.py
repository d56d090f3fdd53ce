"""Cues: cut at pauses and ends of sentences, seven seconds and two lines at most, one after the other."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from smallvoice.decoding import cues as made
from smallvoice.decoding import writers
from smallvoice.decoding.cues import cues
from smallvoice.decoding.long_form import Segment
from smallvoice.decoding.word_times import Word
from smallvoice.decoding.writers import Transcript

LONG = (
    "Once upon a time there was a small dog. He lived in a red house, near the wood, with a boy and a girl, and they "
    "played together every day until the evening. Then they all went home."
)


def segment(text: str, starts_s: list[float], length_s: float = 0.3, pieces: list[str] | None = None) -> Segment:
    pieces = pieces or text.split()
    words = [Word(word, start_s, start_s + length_s, 0.9) for word, start_s in zip(pieces, starts_s, strict=True)]
    return Segment(starts_s[0], words[-1].end_s, text, words, -0.2, 0.0, False)


def test_a_long_utterance_becomes_cues_of_two_lines() -> None:
    starts_s = [0.4 * place for place in range(len(LONG.split()))]
    found = cues([segment(LONG, starts_s)], 30.0)
    assert len(found) >= 3
    assert " ".join(text for _, _, text in found).replace("\n", " ") == LONG
    for start_s, end_s, text in found:
        assert 0 < end_s - start_s <= made.MOST_S
        assert text.count("\n") <= 1 and all(len(line) <= made.COLUMNS for line in text.split("\n"))
    assert found[0][2].endswith("dog."), "a sentence's end is near"
    assert all(one[1] <= two[0] for one, two in pairwise(found))


def test_a_cue_ends_at_a_pause() -> None:
    found = cues([segment("one two three", [0.0, 0.4, 5.0])], 6.0)
    assert [(start_s, text) for start_s, _, text in found] == [(0.0, "one two"), (5.0, "three")]
    assert (found[0][1], found[1][1]) == (0.7, 5.7), "a short cue stays where there is room"


def test_cues_without_a_duration() -> None:
    segments = [Segment(2.0, 2.0, text, [], -0.2, 0.0, False) for text in ("a", "b", "c")]
    found = cues(segments, 2.0)
    assert [text for _, _, text in found] == ["a", "b", "c"]
    assert all(start_s < end_s <= 2.0 for start_s, end_s, _ in found)
    times = re.findall(r"(\S+) --> (\S+)", writers.as_vtt(Transcript(2.0, "en", segments, {})))
    assert len(times) == 3 and all(start < end for start, end in times)
    inside = [Segment(0.0, 5.0, "a", [], -0.2, 0.0, False), Segment(0.5, 0.9, "b", [], -0.2, 0.0, False)]
    assert [span[:2] for span in cues(inside, 9.0)] == [(0.0, 5.0), (5.0, 5.001)]


@pytest.mark.parametrize("join", ["", " "])
def test_words_of_a_language_without_spaces(join: str) -> None:
    pieces = ["今天", "天气", "很好。"] * 12
    found = cues([segment(join.join(pieces), [0.2 * place for place in range(36)], 0.2, pieces)], 9.0)
    assert "".join(text for _, _, text in found).replace("\n", "").replace(" ", "") == "".join(pieces)
    assert all(made.width(line) <= made.COLUMNS for _, _, text in found for line in text.split("\n"))


def test_a_text_that_is_not_its_words_is_one_cue() -> None:
    one = segment("one two", [0.0, 9.0])
    changed = Segment(0.0, 9.3, "corrected by hand", one.words, -0.2, 0.0, False)
    assert [text for _, _, text in cues([changed], 10.0)] == ["corrected by hand"]
