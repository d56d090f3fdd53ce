from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallvoice.scoring.word_errors import ErrorCounts, align, count_all, count_errors, total

TEXTS = st.lists(st.sampled_from(["a", "b", "A", "à", "‮b", "👧"]), max_size=8)


def levenshtein(reference: list[str], hypothesis: list[str]) -> int:
    """The textbook recurrence, one row at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(hypothesis, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", ErrorCounts()),
        ("", "two words", ErrorCounts(0, insertions=2)),
        ("two words", "", ErrorCounts(2, deletions=2)),
        ("a b c", "a x c d", ErrorCounts(3, insertions=1, substitutions=1)),
        ("a\u2028b", "a b", ErrorCounts(2)),
        ("I", "I", ErrorCounts(1)),
        ("  a   b ", "a b", ErrorCounts(2)),
        ("\ud800 a", "\ud800 b", ErrorCounts(2, substitutions=1)),
    ],
)
def test_counts(reference: str, hypothesis: str, expected: ErrorCounts) -> None:
    assert count_errors(reference, hypothesis) == expected


def test_a_rate_without_words_does_not_exist() -> None:
    assert count_errors("", "invented").rate is None
    assert ErrorCounts(2, insertions=3, deletions=1).rate == 2.0


def test_counts_add_up_before_they_are_divided() -> None:
    both = ErrorCounts(9, deletions=0) + ErrorCounts(1, substitutions=1)
    assert both.rate == 0.1
    assert total([]) == ErrorCounts()


@given(TEXTS, TEXTS)
def test_errors_are_the_edit_distance(reference: list[str], hypothesis: list[str]) -> None:
    counts = count_errors(" ".join(reference), " ".join(hypothesis))
    assert counts.errors == levenshtein(reference, hypothesis)
    assert counts.words == len(reference)
    assert counts.words - counts.deletions + counts.insertions == len(hypothesis)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_a_batch_counts_as_its_utterances(pairs: list[tuple[list[str], list[str]]]) -> None:
    batch = count_all([reference for reference, _ in pairs], [hypothesis for _, hypothesis in pairs])
    assert batch == [count_errors(" ".join(reference), " ".join(hypothesis)) for reference, hypothesis in pairs]


@given(TEXTS, TEXTS)
def test_an_alignment_holds_both_texts_and_the_counts(reference: list[str], hypothesis: list[str]) -> None:
    aligned = align(" ".join(reference), " ".join(hypothesis))
    assert [step.reference for step in aligned if step.reference is not None] == reference
    assert [step.hypothesis for step in aligned if step.hypothesis is not None] == hypothesis
    for step in aligned:
        expected = {
            (True, True): "equal" if step.reference == step.hypothesis else "substitution",
            (True, False): "deletion",
            (False, True): "insertion",
        }[step.reference is not None, step.hypothesis is not None]
        assert step.kind == expected
    assert sum(step.kind != "equal" for step in aligned) == levenshtein(reference, hypothesis)


def test_a_long_utterance_is_counted() -> None:
    words = " ".join(f"w{number % 97}" for number in range(20_000))
    assert count_errors(words, words + " more").errors == 1


def test_error_totals_are_sclites(shared_data: Path) -> None:
    lines = (shared_data / "scoring" / "sctk_csrnab.jsonl").read_text(encoding="utf-8").splitlines()
    plain = [row for row in map(json.loads, lines) if not row["special_markup"]]
    assert len(plain) > 20
    for row in plain:
        # sclite compares without case.
        counts = count_errors(row["ref"].lower(), row["hyp"].lower())
        assert counts.errors == row["S"] + row["D"] + row["I"], row["id"]
