"""Reading aloud: each kind of deviation alone, and a whole passage."""

from __future__ import annotations

import csv
import io
import random

import pytest

from smallvoice.scoring.read_aloud import as_csv, as_table, assess, from_csv, has_words, seconds_read

PASSAGE = "The rabbit ran into the wood. It did not come back."
WORDS = 11
PUT_RIGHT = {"self_corrected": 1}


@pytest.mark.parametrize(
    ("heard", "counts"),
    [
        ("the rabbit ran into the wood it did not come back", {"correct": 11}),
        ("The rabbit ran into the wood. It didn't come back!", {"correct": 11}),
        ("the rabbit ran the wood it did not come back", {"correct": 10, "omitted": 1}),
        ("the rabbit ran into the would it did not come back", {"correct": 10, "substituted": 1}),
        ("the rabbit ran into the dark wood it did not come back", {"correct": 11, "inserted": 1}),
        ("the rab rabbit ran into the wood it did not come back", {"correct": 11, "self_corrected": 1}),
        ("the rabid rabbit ran into the wood it did not come back", {"correct": 11, "self_corrected": 1}),
        ("the rabbit ran ran into the wood it did not come back", {"correct": 11, "repeated": 1}),
        ("the rabbit the rabbit ran into the wood it did not come back", {"correct": 11, "repeated": 2}),
        ("the rabbit hop ran into the wood it did not come back", {"correct": 11, "inserted": 1}),
        ("the rabbit ran into the wode it the wood it did not come back", {"correct": 11, "repeated": 2} | PUT_RIGHT),
        ("the rabbit ran into the horse the wood it did not come back", {"correct": 11, "repeated": 1} | PUT_RIGHT),
        ("the rabbit run i mean ran into the wood it did not come back", {"correct": 11} | PUT_RIGHT),
        ("the rabbit run no sorry ran into the wood it did not come back", {"correct": 11} | PUT_RIGHT),
        ("the rab rabid rabbit ran into the wood it did not come back", {"correct": 11} | PUT_RIGHT),
        ("the rabbit ran into the wood it did no not come back", {"correct": 11} | PUT_RIGHT),
        ("the rabbit no ran into the wood it did not come back", {"correct": 11, "inserted": 1}),
        ("the rabbit i mean ran into the wood it did not come back", {"correct": 11, "inserted": 2}),
        ("the rabbit ran into the would would it did not come back", {"correct": 10, "substituted": 1, "repeated": 1}),
        ("the rabbit ran in the", {"correct": 4, "substituted": 1, "not_reached": 6}),
        ("the rabbit into the wood it", {"correct": 6, "omitted": 1, "not_reached": 4}),
        ("the rabbit ran into the wood stop", {"correct": 6, "inserted": 1, "not_reached": 5}),
        ("the rabbit ran into the wode", {"correct": 5, "substituted": 1, "not_reached": 5}),
        ("the rabbit ran into the would i mean wood", {"correct": 6, "not_reached": 5} | PUT_RIGHT),
        ("the rabbit ran okay thank you", {"correct": 3, "inserted": 3, "not_reached": 8}),
        ("the rabbit ran into the wood it did back", {"correct": 9, "omitted": 2}),
        ("the rabbit ran i don't know", {"correct": 3, "inserted": 3, "not_reached": 8}),
        ("the rabbit ran into the um wode", {"correct": 5, "substituted": 1, "inserted": 1, "not_reached": 5}),
        ("the rabbit ran okay we must go back", {"correct": 3, "inserted": 5, "not_reached": 8}),
        ("the rabbit ran into the wood it did not calm bag", {"correct": 9, "substituted": 2}),
        ("the rabbit ran into the wood it did not come home", {"correct": 10, "substituted": 1}),
        ("the rabbit ran into the wood it did not come back thank you", {"correct": 11, "inserted": 2}),
        ("", {"correct": 0, "not_reached": 11}),
    ],
)
def test_each_deviation(heard: str, counts: dict[str, int]) -> None:
    reading, steps = assess(PASSAGE, heard, None)
    found = reading.as_dict()
    kinds = ("omitted", "not_reached", "inserted", "substituted", "self_corrected", "repeated")
    assert {name: found[name] for name in ("correct", *kinds)} == {**dict.fromkeys(kinds, 0), **counts}
    assert found["words"] == WORDS and sum(step.reference is not None for step in steps) == WORDS
    assert found["words_correct_per_minute"] is None


@pytest.mark.parametrize(
    ("passage", "heard", "repeated"),
    [
        ("the small brown dog", "the smell brown the small brown dog", 2),
        ("the dog sat", "the hog i mean dog sat", 0),
        ("a small brown dog", "a smell brawn small brown dog", 0),
    ],
)
def test_several_words_are_put_right_at_once(passage: str, heard: str, repeated: int) -> None:
    found = assess(passage, heard, None)[0]
    wrong = heard.split()[1:3] if passage.startswith("a ") else ["one"]
    assert (found.self_corrected, found.inserted, found.repeated) == (len(wrong), 0, repeated)
    assert found.correct == len(passage.split()) and found.omitted == found.substituted == found.not_reached == 0


def test_every_word_that_was_heard_is_counted_once() -> None:
    rng, words = random.Random(0), ["a", "the", "dog", "dig", "ran", "run", "into", "wood", "would"]
    for _ in range(2000):
        passage, heard = (" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(2))
        found, steps = assess(passage, heard, None)
        assert found.words == found.correct + found.omitted + found.not_reached + found.substituted
        said = found.correct + found.substituted + found.inserted + found.repeated
        added = "".join("+" if step.kind == "insertion" else " " for step in steps).split()
        again = len(heard.split()) - said - found.self_corrected
        # Attempts at one word may be several, one behind the other.
        assert 0 <= again <= found.self_corrected * (max(map(len, added), default=1) - 1)


@pytest.mark.parametrize(("heard", "words"), [("it didn't come", 3), ("it did not come", 4), ("it", 3)])
def test_a_contraction_counts_as_it_was_read(heard: str, words: int) -> None:
    assert assess("It didn't come.", heard, None)[0].words == words


def test_a_table_and_a_spreadsheet() -> None:
    reading = assess(PASSAGE, "the rabbit ran into the wood", 2.41800000000000004)[0].as_dict()
    rows = [{"recording": "anna", **reading}, {"recording": "benjamin", **reading, "seconds": None}]
    lines = as_table(rows).splitlines()
    assert lines[0].split()[:3] == ["recording", "words", "correct"] and "not reached" in lines[0]
    assert lines[1].startswith("anna ") and "2.418" in lines[1] and "–" in lines[2] and len(lines) == 3
    found = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert found[0]["seconds"] == "2.418" and found[1]["seconds"] == "" and found[1]["not_reached"] == "5"
    assert from_csv(as_csv(rows)) == found and from_csv("recording,words\nanna,4\n") is None


@pytest.mark.parametrize(("passage", "expected"), [("", False), (" ...\n", False), ("Go!", True)])
def test_a_passage_has_words(passage: str, expected: bool) -> None:
    assert has_words(passage) is has_words(passage, "de") is expected


@pytest.mark.parametrize(
    ("passage", "heard", "words"),
    [
        ("The dog (a big one) ran home.", "The dog, a big one, ran home.", 7),
        ("I like cats :( and dogs :) too", "I like cats and dogs too", 6),
        ("[The small dog]", "the small dog", 3),
        ("\ufeffread\u00ading a book", "reading a book", 3),
        ("the cat & the dog", "the cat and the dog", 5),
    ],
)
def test_brackets_and_what_nobody_sees_take_no_words(passage: str, heard: str, words: int) -> None:
    reading, _ = assess(passage, heard, 10.0)
    assert (reading.words, reading.correct, reading.inserted, reading.omitted) == (words, words, 0, 0)
    assert has_words(passage)


def test_what_joins_letters_is_a_part_of_the_word() -> None:
    """Persian parts a word's ending with a joiner of no width, in the passage and in what Whisper writes."""
    reading, _ = assess("می\u200cروم", "می\u200cروم", 1.0, "fa")
    assert (reading.words, reading.substituted, reading.inserted) == (reading.correct, 0, 0)


def test_words_correct_per_minute() -> None:
    reading, _ = assess(PASSAGE, "the rabbit ran into the wood", 12.0)
    assert reading.correct_per_minute == pytest.approx(6 / 12 * 60)
    assert reading.as_dict()["words_correct_per_minute"] == 30.0


@pytest.mark.parametrize(
    ("heard", "correct"),
    [("the dog's house", 3), ("the dogs house", 2), ("the bag house", 2), ("the dog's house okay", 3)],
)
def test_who_stops_early_has_not_left_out_the_rest(heard: str, correct: int) -> None:
    """The words that were read stand further behind too, and the passage leaves choices."""
    passage = "The dog's house was red. The cat ran to the house."
    reading, _ = assess(passage, heard, None)
    assert (reading.correct, reading.omitted, reading.not_reached) == (correct, 0, reading.words - 3)
    assert (reading.substituted, reading.inserted) == (3 - correct, heard.count("okay"))


def test_who_skips_a_line_reads_on() -> None:
    lines = [
        "one morning early bears went walking through deep green forest",
        "their little friend mouse slept under warm yellow autumn leaves",
        "suddenly heavy rain started falling over every single branch around",
        "nobody minded because everything smelled fresh again that day",
    ]
    passage = ". ".join(lines)
    whole = assess(passage, f"{lines[0]} {lines[2].replace('heavy', 'happy')}", None)[0]
    assert (whole.correct, whole.omitted, whole.substituted, whole.inserted, whole.not_reached) == (19, 10, 1, 0, 9)
    early = assess(passage, f"{lines[0]} {' '.join(lines[2].split()[:9])}", None)[0]
    assert (early.correct, early.omitted, early.inserted, early.not_reached) == (19, 10, 0, 10)
    few = assess(passage, f"{lines[0]} suddenly heavy rain", None)[0]
    assert (few.correct, few.omitted, few.not_reached) == (13, 10, 16)
    one = assess(passage, f"{lines[0]} again", None)[0]
    assert (one.correct, one.omitted, one.inserted, one.not_reached) == (10, 0, 1, 29), "a word says nothing"


def test_the_rules_of_other_languages() -> None:
    assert assess("第１章", "第1章", None, "ja")[0].correct == 3
    reading = assess("▪ Der Hund | bellt", "Der Hund bellt [Musik]", None, "de")[0]
    assert (reading.words, reading.correct, reading.inserted) == (3, 3, 0)


def test_vowels_that_are_marks_count() -> None:
    passage = "मैं घर की ओर जाता हूँ।"
    right, _ = assess(passage, "मैं घर की ओर जाता हूँ", None, "hi")
    assert (right.words, right.correct) == (6, 6)
    wrong, _ = assess(passage, "मैं घर का ओर जाता हूँ", None, "hi")
    assert (wrong.correct, wrong.substituted) == (5, 1)
    pointed, _ = assess("שָׁלוֹם יֶלֶד", "שלום ילד", None, "he")
    assert (pointed.words, pointed.correct) == (2, 2), "a primer has points, and Whisper writes none"
    assert assess("나는 학교에 간다.", "나는 학교에 간다", None, "ko")[0].words == 3, "words, as they are read"
    assert assess("我去学校。", "我去学校", None, "zh")[0].words == 4, "characters"


@pytest.mark.parametrize(
    ("heard", "seconds"),
    [
        ("okay start the rabbit ran into the wood thank you", (2, 8)),
        ("the rab rabbit ran into the wood", (0, 7)),
        ("um the the rabbit ran", (1, 5)),
        ("(upbeat music) okay the rabbit ran", (3, 6)),
        ("thank you", None),
        ("", None),
    ],
)
def test_what_is_said_before_and_after_takes_no_time(heard: str, seconds: tuple[int, int] | None) -> None:
    _, steps = assess(PASSAGE, heard, None)
    words = [(word, float(place), place + 1.0) for place, word in enumerate(heard.split())]
    assert seconds_read(steps, words) == (None if seconds is None else seconds[1] - seconds[0])


def test_other_languages() -> None:
    reading, _ = assess("Das Kind läuft.", "das kind lauft", 3.0, "de")
    assert (reading.correct, reading.substituted) in ((3, 0), (2, 1))
    assert reading.words == 3


def test_contractions_of_a_long_passage_are_read_as_they_stand() -> None:
    passage = " ".join("it's" if number % 10 == 0 else f"word {'abcdefg'[number % 7]}" for number in range(1500))
    reading, _ = assess(f"it is {passage} end", f"it's {passage} stop", None)
    assert (reading.correct, reading.words, reading.substituted) == (2852, 2853, 1)
