"""Texts that leave a choice: read, and aligned as well as any choice allows."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.scoring import lattice, long_texts
from smallvoice.scoring.alternatives import Alternatives, Token, first_choice, has_choice, parse
from smallvoice.scoring.normalize import CHILD, LOWER, normaliser
from smallvoice.scoring.word_errors import ErrorCounts, align_all, count_all, count_errors, total


def errors(reference: str, hypothesis: str) -> ErrorCounts:
    return count_all([LOWER.reference(reference)], [LOWER.tokens(hypothesis)])[0]


def as_child(reference: str, hypothesis: str) -> ErrorCounts:
    return count_all([CHILD.reference(reference)], [CHILD.tokens(hypothesis)])[0]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a { b c / d / @ } e", ["a", Alternatives((("b", "c"), ("d",), ())), "e"]),
        ("{ a / a } b", ["a", "b"]),
        ("{ / a }", [Alternatives(((), ("a",)))]),
        ("and/or { and/or } {noise} }{", ["and/or", "{", "and/or", "}", "{noise}", "}{"]),
        ("{ {a / b} / c }", ["{", Alternatives((("a",), ("b",))), "/", "c", "}"]),
    ],
)
def test_alternatives_are_read(text: str, tokens: list[Token]) -> None:
    assert parse(text, str.split) == tokens


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("the { industry's / industry } slide", "the industry slide", ErrorCounts(3, 0, 0, 0)),
        ("in { @ / the } city", "in the city", ErrorCounts(3, 0, 0, 0)),
        ("in { @ / the } city", "in city", ErrorCounts(2, 0, 0, 0)),
        ("in { @ / the } city", "in a city", ErrorCounts(2, 1, 0, 0)),
        ("{ a b / c }", "", ErrorCounts(1, 0, 1, 0)),
        ("{ a / @ }", "", ErrorCounts(0, 0, 0, 0)),
    ],
)
def test_the_best_choice_counts_in_its_own_words(reference: str, hypothesis: str, expected: ErrorCounts) -> None:
    assert errors(reference, hypothesis) == expected


tokens_strategy = st.lists(
    st.one_of(
        st.sampled_from("abc"),
        st.lists(st.lists(st.sampled_from("abc"), max_size=2).map(tuple), min_size=2, max_size=3, unique=True).map(
            lambda options: Alternatives(tuple(options))
        ),
    ),
    max_size=4,
)


def every_choice(tokens: list[Token]) -> list[list[str]]:
    options = [[(token,)] if isinstance(token, str) else list(token.options) for token in tokens]
    return [list(itertools.chain.from_iterable(choice)) for choice in itertools.product(*options)]


@settings(max_examples=150, deadline=None)
@given(tokens_strategy, tokens_strategy)
def test_as_few_errors_as_the_best_of_all_choices(reference: list[Token], hypothesis: list[Token]) -> None:
    found = lattice.count(reference, hypothesis)
    cost = 4 * found.substitutions + 3 * (found.insertions + found.deletions)

    def cheapest(left: list[str], right: list[str]) -> int:
        table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
        table[:, 0], table[0] = 3 * np.arange(len(left) + 1), 3 * np.arange(len(right) + 1)
        for i, j in itertools.product(range(1, len(left) + 1), range(1, len(right) + 1)):
            same = table[i - 1, j - 1] + (0 if left[i - 1] == right[j - 1] else 4)
            table[i, j] = min(same, table[i - 1, j] + 3, table[i, j - 1] + 3)
        return int(table[-1, -1])

    assert cost == min(cheapest(a, b) for a in every_choice(reference) for b in every_choice(hypothesis))
    steps = lattice.align(reference, hypothesis)
    assert [said for said, _ in steps if said is not None] in every_choice(reference)
    assert [heard for _, heard in steps if heard is not None] in every_choice(hypothesis)
    assert found.words == sum(said is not None for said, _ in steps)


def test_totals_are_those_of_sclite(shared_data: Path) -> None:
    path = shared_data / "scoring" / "sctk_csrnab.jsonl"
    if not path.is_file():
        pytest.skip("no scoring data")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum(row["special_markup"] for row in rows) >= 5
    for row in rows:
        found = errors(row["ref"], row["hyp"])
        assert found.errors == row["S"] + row["D"] + row["I"], row["id"]
        assert found.words == row["C"] + row["S"] + row["D"], row["id"]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("one two three", "123"),
        ("one hundred and twenty three", "123"),
        ("one hundred twenty three cats", "123 cats"),
        ("nineteen ninety nine", "1999"),
        ("zero three five one", "0351"),
        ("twenty first", "21st"),
        ("in the nineteen sixties", "in the 1960s"),
        ("three thirty", "3:30"),
        ("three point one four", "3.14"),
        ("fifty percent", "50%"),
        ("five dollars fifty", "$5.50"),
        ("two thousand", "2,000"),
        ("do not", "Don't"),
        ("it's gone", "It has gone."),
        ("colour", "color"),
        ("color", "colour"),
        ("going to", "gonna"),
        ("John's car", "John's car"),
        ("café", "cafe"),
        ("well known", "well-known"),
    ],
)
def test_a_child_may_be_written_down_in_many_ways(said: str, written: str) -> None:
    for reference, hypothesis in ((said, written), (written, said)):
        assert as_child(reference, hypothesis).errors == 0


def test_the_reference_s_own_words_are_counted() -> None:
    assert as_child("one hundred and twenty three", "123").words == 5
    assert as_child("123", "one hundred and twenty three").words == 5
    assert as_child("it's gone", "it has gone").words == 3


def test_what_a_child_says_stays() -> None:
    assert CHILD.words("Um, hmm, the the b- ball [noise]") == ["um", "hmm", "the", "the", "b", "ball"]
    assert as_child("um the the ball", "the ball").deletions == 2


def test_a_number_that_nobody_says_is_a_word() -> None:
    assert as_child("one", "1" * 5000).errors == 1
    assert as_child("1" * 20, "one " * 20).errors == 0


@pytest.mark.parametrize(
    ("language", "reference", "hypothesis", "words", "wrong"),
    [
        ("zh", "我爱北京", "我爱南京。", 4, 1),
        ("ja", "ねこ", "ねこ", 2, 0),
        ("th", "แมว", "แมว", 3, 0),
        ("zh-TW", "用 GPU", "用GPU", 2, 0),
    ],
)
def test_languages_without_spaces_are_scored_by_character(
    language: str, reference: str, hypothesis: str, words: int, wrong: int
) -> None:
    rule = normaliser("normalised", language)
    found = count_all([rule.reference(reference)], [rule.tokens(hypothesis)])[0]
    assert (found.words, found.errors) == (words, wrong)


def test_texts_too_long_to_search_are_settled_one_by_one() -> None:
    reference = ["word", Alternatives((("a", "b"), ("c",)))] * 3000
    hypothesis = ["word", "c"] * 2999 + ["other"]
    assert len(reference) * len(hypothesis) > lattice.MOST_CELLS
    assert count_all([reference], [hypothesis])[0].errors == count_errors("word c", "other").errors
    assert first_choice(reference)[:3] == ["word", "a", "b"]


def test_what_both_texts_write_alike_is_no_error_however_long_they_are() -> None:
    same = " ".join("it's" if number % 10 == 0 else f"word {'abcdefg'[number % 7]}" for number in range(1500))
    reference, hypothesis = CHILD.tokens(f"start it is {same} end"), CHILD.tokens(f"begin it's {same} stop")
    assert lattice.num_cells(reference, hypothesis) > lattice.MOST_CELLS
    assert count_all([reference], [hypothesis])[0].errors == 2
    (steps,) = align_all([reference], [hypothesis])
    wrong = [(step.reference, step.hypothesis) for step in steps if step.kind != "equal"]
    assert wrong == [("start", "begin"), ("end", "stop")]


@pytest.mark.parametrize(("wrong", "most", "more"), [(0.1, 2500, 0), (0.5, 2500, 0), (0.2, 400, 0), (0.9, 2500, 1)])
def test_pieces_have_as_few_errors_as_the_whole(
    wrong: float, most: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a fraction of their usual size; where nine words of ten are wrong, one error more in 457."""
    chance = random.Random(7)
    known = ["it's", "it is", "colour", "color", "12", "twelve", "don't", *(a + b for a in "bdfk" for b in "aeiou")]
    texts = []
    for _ in range(4):
        said = chance.choices(known, k=150)
        heard = [
            chance.choice([[], [word, "ba"], chance.choices(known)]) if chance.random() < wrong else [word]
            for word in said
        ]
        texts.append((CHILD.tokens(" ".join(said)), CHILD.tokens(" ".join(itertools.chain.from_iterable(heard)))))
    references, hypotheses = zip(*texts, strict=True)
    whole = count_all(references, hypotheses)
    monkeypatch.setattr(lattice, "MOST_CELLS", most)
    monkeypatch.setattr(long_texts, "PIECE_CELLS", most)
    for reference, hypothesis in texts:
        cut = long_texts.pieces(reference, hypothesis)
        assert len(cut) > 4 and all(lattice.num_cells(*piece) <= most for piece in cut if has_choice(piece[0]))
    found = count_all(references, hypotheses)
    assert 0 <= total(found).errors - total(whole).errors <= more
    for steps, counts in zip(align_all(references, hypotheses), found, strict=True):
        assert sum(step.kind != "equal" for step in steps) == counts.errors
        assert sum(step.reference is not None for step in steps) == counts.words


def test_a_choice_that_both_texts_leave_is_settled_alike() -> None:
    reference, hypothesis = CHILD.tokens("it is colour it's can't"), CHILD.tokens("it's color it's cannot")
    said = long_texts.settled(reference, hypothesis)
    assert said == ["it", "is", "colour", "it's", "can't"]
    assert long_texts.settled(hypothesis, said) == ["it's", "colour", "it's", "can't"]
