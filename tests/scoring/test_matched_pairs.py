from __future__ import annotations

import math

import pytest

from smallvoice.scoring import matched_pairs
from smallvoice.scoring.word_errors import align_all


def test_of(references: list[str], a: list[str], b: list[str]) -> matched_pairs.MatchedPairs:
    said = [text.split() for text in references]
    return matched_pairs.test(*(align_all(said, [text.split() for text in heard]) for heard in (a, b)))


test_of.__test__ = False  # type: ignore[attr-defined]


def test_two_right_words_end_a_segment() -> None:
    reference = "a b c d e f g h"
    found = test_of([reference], ["x b c d e y g h"], ["a b c d e f g z"])
    # x | b c right for both ends the first; y and z lie in one, for only g stands between them.
    assert found.segments == 2
    assert found.mean == pytest.approx((1 + (1 - 1)) / 2)
    assert test_of([reference], ["x b c y e f g h"], [reference]).segments == 2
    assert test_of([reference], ["x b y d e f g h"], [reference]).segments == 1


def test_the_statistic_is_that_of_the_paper() -> None:
    references = ["one two"] * 6
    a = ["x y", "x two", "x y", "one y", "one two", "x y z"]
    b = ["one two", "one two", "one y", "one y", "one z", "one two"]
    differences = [2, 1, 1, 0, -1, 3]
    mean = sum(differences) / 6
    deviation = math.sqrt(sum((each - mean) ** 2 for each in differences) / 5)
    found = test_of(references, a, b)
    assert found.segments == 6 and found.mean == pytest.approx(mean)
    assert found.z == pytest.approx(mean / (deviation / math.sqrt(6)))
    assert found.p == pytest.approx(math.erfc(abs(found.z) / math.sqrt(2)))
    turned = test_of(references, b, a)
    assert turned.z == pytest.approx(-found.z) and turned.p == pytest.approx(found.p)


def test_where_nobody_errs_there_is_nothing_to_test() -> None:
    found = test_of(["one two"], ["one two"], ["one two"])
    assert (found.segments, found.p) == (0, None)
    same = test_of(["one two"] * 3, ["one x"] * 3, ["one x"] * 3)
    assert same.segments == 3 and same.p == 1.0
