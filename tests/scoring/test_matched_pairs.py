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
    references = ["one two"] * 30
    a = ["x y", "x two", "x y", "one y", "one two", "x y z"] * 5
    b = ["one two", "one two", "one y", "one y", "one z", "one two"] * 5
    differences = [2, 1, 1, 0, -1, 3] * 5
    mean = sum(differences) / 30
    deviation = math.sqrt(sum((each - mean) ** 2 for each in differences) / 29)
    found = test_of(references, a, b)
    assert found.segments == 30 and found.mean == pytest.approx(mean)
    assert found.z == pytest.approx(mean / (deviation / math.sqrt(30)))
    assert found.p == pytest.approx(math.erfc(abs(found.z) / math.sqrt(2)))
    turned = test_of(references, b, a)
    assert turned.z == pytest.approx(-found.z) and turned.p == pytest.approx(found.p)


def test_where_nobody_errs_there_is_nothing_to_test() -> None:
    found = test_of(["one two"], ["one two"], ["one two"])
    assert (found.segments, found.p) == (0, None)
    same = test_of(["one two"] * 30, ["one x"] * 30, ["one x"] * 30)
    assert same.segments == 30 and same.p == 1.0


def test_few_segments_have_no_p_and_many_that_differ_alike_the_smallest() -> None:
    few = test_of(["one two"] * 29, ["x two"] * 29, ["one two"] * 29)
    assert (few.segments, few.mean, few.p) == (29, 1.0, None)
    many = test_of(["one two"] * 40, ["x two"] * 40, ["one two"] * 40)
    assert many.z is None and many.p == pytest.approx(2 * 0.5**40)
