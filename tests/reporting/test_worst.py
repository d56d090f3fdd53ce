from __future__ import annotations

import pytest
from example_run import rows
from hypothesis import given
from hypothesis import strategies as st

from smallvoice.reporting.worst import Column, columns, direction, worst
from smallvoice.scoring.word_errors import align

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6).map(" ".join)


def test_both_lines_stay_level_with_the_reference() -> None:
    merged = columns(align("the cat sat", "the big fat cat sat"), align("the cat sat", "a cat um"))
    assert merged == [
        Column("the", ("the", "equal"), ("a", "substitution")),
        Column("", ("big", "insertion"), ("", None)),
        Column("", ("fat", "insertion"), ("", None)),
        Column("cat", ("cat", "equal"), ("cat", "equal")),
        Column("sat", ("sat", "equal"), ("um", "substitution")),
    ]


@given(WORDS, WORDS, WORDS)
def test_no_word_is_lost_or_moved(reference: str, base: str, tuned: str) -> None:
    merged = columns(align(reference, base), align(reference, tuned))
    assert [column.reference for column in merged if column.reference] == reference.split()
    assert [column.base[0] for column in merged if column.base[0]] == base.split()
    assert [column.tuned[0] for column in merged if column.tuned[0]] == tuned.split()


def test_the_most_errors_come_first_and_perfect_ones_never() -> None:
    base, tuned = rows("base", 0.8, utterances=30), rows("tuned", 0.0, utterances=30)
    tuned[7]["hypothesis"] = ""
    tuned[3]["hypothesis"] += " extra"
    found = worst(base, tuned)
    assert [item.id for item in found] == [tuned[7]["id"], tuned[3]["id"]]
    assert found[0].tuned.deletions == found[0].tuned.words
    assert found[1].tuned.insertions == 1
    assert found[0].about == "speaker S0007, 12 years, 3.5 s"


def test_a_loop_is_cut_and_counted_whole() -> None:
    base, tuned = rows("base", 0.5, utterances=1), rows("tuned", 0.5, utterances=1)
    tuned[0] |= {"hypothesis": "no " * 5000 + "x" * 500, "capped": True}
    (item,) = worst(base, tuned)
    assert len(item.columns) == 150 and item.left_out > 4000 and item.tuned.insertions > 4900
    assert item.problems == ["tuned was cut off at the token cap"]
    assert all(len(text) <= 600 for _, text in item.written)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("hello", "ltr"), ("שלום", "rtl"), ("… 12 مرحبا", "rtl"), ("", "ltr"), ("12 ?!", "ltr"), ("a שלום", "ltr")],
)
def test_direction(text: str, expected: str) -> None:
    assert direction(text) == expected


def test_choices_are_counted_as_in_the_scores() -> None:
    facts = {"id": "u", "language": "en", "duration_s": 1.0}
    said = {**facts, "reference": "i am { gonna / going to } go now"}
    base, tuned = {**said, "hypothesis": "I am going to go now."}, {**said, "hypothesis": "I am go now"}
    found = worst([base], [tuned])[0]
    assert (found.base.errors, found.tuned.errors) == (0, 1 if found.tuned.words == 5 else 2)
    assert len(found.columns) >= 6
