"""Every kind of finding, made on purpose; and that nothing is found where nothing is wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from corpora import RATE, ledger, noise, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from spoken import Said, by_kind, corpus_of, rewritten, voice, words

from smallvoice.corpus.audit import apply, audit, describe
from smallvoice.corpus.limits import AuditLimits
from smallvoice.corpus.pseudonyms import Pseudonyms
from smallvoice.corpus.signal import measure
from smallvoice.corpus.text_checks import NearTexts, compared, content, named
from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.errors import InputError
from smallvoice.storage import read_json, write_jsonl


def clean(number: int, split: str) -> Said:
    """An utterance with nothing wrong about it."""
    return Said(split=split, speaker=f"{split}{number % 3}", text=words(number))


CLEAN = [*(clean(number, "train") for number in range(6)), *(clean(number, "test") for number in range(10, 13))]


def found(tmp_path: Path, said: list[Said], **options: object) -> dict[str, list[tuple[str, str, str]]]:
    """Kind -> text, split and fate of the rows, in a corpus of these and clean utterances."""
    corpus = corpus_of(tmp_path, [*CLEAN, *said])
    texts = {row.id: row.text for row in rows(corpus)}
    findings = audit(corpus, **options).findings  # type: ignore[arg-type]
    return {finding.kind: [(texts[row.id], row.split, row.fate) for row in finding.rows] for finding in findings}


def both(**what: object) -> list[Said]:
    """The same thing wrong in train and in test."""
    return [
        Said(split=split, speaker=f"{split}9", **{"text": f"{what.get('text', 'THE OWL SLEEPS')}{end}", **rest})
        for split, end in (("train", " WELL"), ("test", " VERY BADLY"))
        for rest in [{name: value for name, value in what.items() if name != "text"}]
    ]


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    result = audit(corpus_of(tmp_path, CLEAN))
    assert result.findings == () and result.leaks == () and result.fates() == {}
    assert result.num_rows == 9 and result.duration_s == pytest.approx(9 * 1.5)


def test_a_speaker_in_two_splits(tmp_path: Path) -> None:
    said = [Said(split=split, speaker="anna", text=words(number)) for split, number in (("train", 20), ("test", 21))]
    corpus = corpus_of(tmp_path, [*CLEAN, *said])
    result = audit(corpus)
    (leak,) = result.leaks
    assert leak.kind == "speaker-in-splits" and leak.what == "Speakers in more than one split: 1."
    assert [(row.split, row.fate) for row in leak.rows] == [("train", "drop"), ("test", "keep")]
    # A name of a child is nowhere, only the pseudonym.
    shown = json.dumps(result.as_dict())
    assert "anna" not in shown and leak.rows[0].detail.startswith("S")


def test_a_session_in_two_splits(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CLEAN)
    visits = {rows(corpus)[0].id: "V0001", rows(corpus)[-1].id: "V0001", rows(corpus)[1].id: "V0002"}
    changed = rewritten(corpus, lambda row: dataclasses.replace(row, session=visits.get(row.id)))
    (leak,) = audit(changed).findings
    assert leak.kind == "session-in-splits" and leak in audit(changed).leaks
    assert [(row.split, row.fate, row.detail) for row in leak.rows] == [
        ("train", "drop", "V0001 is in test and train"),
        ("test", "keep", "V0001 is in test and train"),
    ]


def test_the_same_samples_in_two_splits(tmp_path: Path) -> None:
    samples = voice(2.0)
    kinds = found(tmp_path, both(samples=samples))
    assert kinds["audio-in-splits"] == [
        ("THE OWL SLEEPS WELL", "train", "drop"),
        ("THE OWL SLEEPS VERY BADLY", "test", "keep"),
    ]
    assert kinds["audio-other-text"] == [
        ("THE OWL SLEEPS WELL", "train", "drop"),
        ("THE OWL SLEEPS VERY BADLY", "test", "flag"),
    ]


def test_dev_keeps_what_train_loses(tmp_path: Path) -> None:
    samples = voice(2.0)
    said = [Said(split=split, speaker=f"{split}9", text="OWL", samples=samples) for split in ("train", "dev", "test")]
    kinds = found(tmp_path, said[:2])
    assert kinds["audio-in-splits"] == [("OWL", "train", "drop"), ("OWL", "dev", "keep")]
    kinds = found(tmp_path / "three", said)
    assert [fate for *_, fate in kinds["audio-in-splits"]] == ["drop", "drop", "keep"]


def test_one_sample_makes_another_audio(tmp_path: Path) -> None:
    samples = voice(2.0)
    other = samples.copy()
    other[100] += 1
    said = [Said(text=words(30), samples=samples), Said(split="test", speaker="t", text=words(31), samples=other)]
    assert found(tmp_path, said) == {}


def test_segments_that_share_their_audio(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CLEAN)
    first, second, *_, last = rows(corpus)
    spans = {first.id: (10.0, 12.0), second.id: (14.0, 16.0), last.id: (10.4, 12.4)}

    def change(row: Utterance) -> Utterance:
        if row.id not in spans:
            return row
        start, end = spans[row.id]
        extra = {"segment_start_s": start, "segment_end_s": end}
        return dataclasses.replace(row, recording="R00000001", start_s=start - 0.1, end_s=end + 0.1, extra=extra)

    kinds = by_kind(audit(rewritten(corpus, change)).findings)
    overlap = kinds["audio-overlap"]
    assert overlap.severity == "leak"
    assert [(row.id, row.fate) for row in overlap.rows] == [(first.id, "drop"), (last.id, "keep")]
    assert overlap.rows[0].detail == f"1.60 s of it are also in {last.id} (test)"
    # The one between them shares no audio, but its room and perhaps a voice in the background.
    assert {row.id for row in kinds["recording-in-splits"].rows} == set(spans)
    assert kinds["recording-in-splits"].severity == "warning"
    spans[last.id] = (11.5, 13.5)  # a child who answers before the question has ended
    assert "audio-overlap" not in by_kind(audit(rewritten(corpus, change)).findings)


def test_the_same_audio_twice_in_one_split(tmp_path: Path) -> None:
    samples = voice(2.0)
    said = [
        Said(split=split, speaker=f"{split}9", text=text, samples=samples) for split, text in (("train", "OWL"),) * 3
    ]
    kinds = found(tmp_path, said)
    assert kinds == {"audio-repeated": [("OWL", "train", "drop")] * 2}
    test = [dataclasses.replace(one, split="test", speaker="t") for one in said]
    assert found(tmp_path / "test", test) == {"audio-repeated": [("OWL", "test", "flag")] * 2}


def test_silence_is_not_the_same_audio(tmp_path: Path) -> None:
    silence = np.zeros(RATE, np.int16)
    kinds = found(tmp_path, both(samples=silence))
    assert kinds == {
        "silent": [("THE OWL SLEEPS WELL", "train", "drop"), ("THE OWL SLEEPS VERY BADLY", "test", "flag")],
    }


def long_silence() -> np.ndarray:
    return np.concatenate([voice(0.5), np.zeros(9 * RATE, np.int16)])


def shouted() -> np.ndarray:
    return np.clip(voice(2.0).astype(np.int32) * 40, -32_768, 32_767).astype(np.int16)


@pytest.mark.parametrize(
    ("kind", "text", "samples"),
    [
        ("too-fast", " ".join(["OWL"] * 15), voice(1.5)),
        ("too-fast", "OWL" * 30, voice(1.5)),
        ("too-slow", "I", voice(29.0)),
        ("too-quiet", "THE OWL SLEEPS", voice(1.5, loud=90, quiet=2)),
        ("mostly-silent", "THE OWL SLEEPS IN THE OLD TREE", long_silence()),
        ("noisy", "THE OWL SLEEPS", noise(2.5)),
        ("digits", "THE 3 BEARS ²", None),
        ("markup", "THE [noise] OWL &-uh *", None),
        ("characters", "THE оWL SLEEPS", None),
        ("characters", "THE OWL SLEEPS €", None),
    ],
)
def test_rows_that_cannot_be_right(tmp_path: Path, kind: str, text: str, samples: np.ndarray | None) -> None:
    said = both(text=text)
    if samples is not None:
        said = [dataclasses.replace(one, samples=samples + np.int16(number)) for number, one in enumerate(said)]
    kinds = found(tmp_path, said)
    assert list(kinds) == [kind]
    in_train = "flag" if kind in ("digits", "markup", "characters") else "drop"
    assert sorted(kinds[kind]) == [(f"{text} VERY BADLY", "test", "flag"), (f"{text} WELL", "train", in_train)]


def test_clipped_is_also_loud(tmp_path: Path) -> None:
    kinds = found(tmp_path, [Said(text="OWL", samples=shouted())])
    assert kinds == {kind: [("OWL", "train", "drop")] for kind in ("too-loud", "clipped")}


def test_short_words_are_not_too_fast(tmp_path: Path) -> None:
    said = [Said(text=text, samples=voice(0.06)) for text in ("A", "THE OWL", "I THINK THE OWL SLEEPS")]
    assert found(tmp_path, said) == {"too-fast": [("I THINK THE OWL SLEEPS", "train", "drop")]}


def test_the_margin_is_not_the_time_of_the_speaker(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*CLEAN, Said(text="I THINK THE OWL SLEEPS TODAY", samples=voice(1.0))])
    assert audit(corpus).findings == ()

    def change(row: Utterance) -> Utterance:
        extra = {"segment_start_s": 0.4, "segment_end_s": 0.6} if row.duration_s == 1.0 else {}
        return dataclasses.replace(row, extra=extra)

    (finding,) = audit(rewritten(corpus, change)).findings
    assert finding.kind == "too-fast" and finding.rows[0].detail == "6 words in 0.20 s"


def test_the_worst_row_comes_first(tmp_path: Path) -> None:
    said = [Said(text=" ".join(["OWL"] * number), samples=voice(1.5)) for number in (15, 30, 20)]
    assert [len(text.split()) for text, *_ in found(tmp_path, said)["too-fast"]] == [30, 20, 15]


def test_limits_can_be_set(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CLEAN)
    strict = audit(corpus, limits=AuditLimits(max_words_per_s=2.0))
    assert [finding.kind for finding in strict.findings] == ["too-fast"]
    assert len(strict.findings[0].rows) == 9 and "more than 2 words" in strict.findings[0].what
    assert strict.as_dict()["limits"]["max_words_per_s"] == 2.0


def test_text_of_another_split(tmp_path: Path) -> None:
    said = [
        Said(text="The owl sleeps in my tree."),
        Said(split="test", speaker="a", text="THE OWL SLEEPS IN MY TREE"),
        Said(split="test", speaker="b", text="THE OWL SLEEPS IN MY HOUSE"),
        Said(split="test", speaker="b", text="THE OWL SLEEPS IN TREE"),
        Said(split="test", speaker="b", text="THE OLD OWL SLEEPS IN MY TREE"),
        Said(split="test", speaker="b", text="THE OLD OWL SLEEPS IN MY HOUSE"),
        Said(split="test", speaker="b", text="OWL SLEEPS IN MY TREE THE"),
    ]
    corpus = corpus_of(tmp_path, [*CLEAN, *said])
    texts = {row.id: row.text for row in rows(corpus)}
    result = audit(corpus)
    kinds = by_kind(result.findings)
    assert set(kinds) == {"shared-text", "near-text"} and not result.leaks and not result.fates()
    assert [texts[row.id] for row in kinds["shared-text"].rows] == ["THE OWL SLEEPS IN MY TREE"]
    assert kinds["shared-text"].what == "Rows with a text that another split has too: 1 of 9 in test."
    assert {texts[row.id] for row in kinds["near-text"].rows} == {one.text for one in said[2:5]}


def test_no_word_was_heard(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*CLEAN, *both(text="SEVEN OWLS SLEEP")])
    by_text = {row.text: row.id for row in rows(corpus)}
    heard = {
        by_text["SEVEN OWLS SLEEP WELL"]: "The weather is nice.",
        by_text["SEVEN OWLS SLEEP VERY BADLY"]: "",
        by_text[words(0)]: words(0).lower().split()[0] + ", and more!",
    }
    wrong = [{"id": name, "hypothesis": text, "error": None} for name, text in heard.items()]
    failed = [{"id": by_text[words(1)], "hypothesis": "", "error": "audio: truncated"}]
    write_jsonl(tmp_path / "h.jsonl", [*wrong, *failed])
    (finding,) = audit(corpus, hypotheses=tmp_path / "h.jsonl").findings
    assert finding.kind == "nothing-heard" and finding.what.endswith("no word: 2 of 4 decoded.")
    # What a model finds hard must not be set apart in a test.
    assert [(row.split, row.fate, row.detail) for row in finding.rows] == [
        ("test", "keep", "heard nothing"),
        ("train", "flag", "heard 'The weather is nice.' for 'SEVEN OWLS SLEEP WELL'"),
    ]
    write_jsonl(tmp_path / "h.jsonl", [{"id": by_text["SEVEN OWLS SLEEP WELL"], "hypothesis": "7 more"}])
    assert audit(corpus, hypotheses=tmp_path / "h.jsonl").findings == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"id": "0000", "hypothesis": "owl"}, "1 of 1 ids are of no row of this corpus: 0000"),
        ({"hypothesis": "owl"}, "row 1 is not a hypothesis"),
        (None, "no hypotheses in it"),
    ],
)
def test_hypotheses_of_something_else(tmp_path: Path, line: dict[str, str] | None, problem: str) -> None:
    write_jsonl(tmp_path / "h.jsonl", [line] if line else [])
    with pytest.raises(InputError, match=problem):
        audit(corpus_of(tmp_path, CLEAN), hypotheses=tmp_path / "h.jsonl")


def test_other_scripts_have_their_own_letters(tmp_path: Path) -> None:
    texts = [
        "Сова спит в лесу",
        "ふくろうはねています、ツリー",
        "梟在睡觉。",
        "La señora duerme — ¿dónde?",
        "उल्लू सो रहा है।",
        "l·lusió",
    ]
    corpus = corpus_of(tmp_path, [*CLEAN, *(Said(text=text, samples=voice(4.0)) for text in texts)])
    languages = dict(zip(texts, ["ru", "ja", "zh", "es", "hi", "ca"], strict=True))
    corpus = rewritten(corpus, lambda row: dataclasses.replace(row, language=languages.get(row.text, "en")))
    assert audit(corpus).findings == ()


def test_characters_are_named() -> None:
    assert named("а\u200b") == "а (U+0430), U+200B"
    assert content("Don’t stop-it, ñ!").letters == {"LATIN": "Dontspiñ"}
    assert compared("“Don’t STOP,” well-known  cafe\u0301") == "don't stop well known café"
    assert compared("梟在") == "梟 在"


def test_signal_of_known_samples() -> None:
    tone = (10_000 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.int16)
    measured = measure(tone)
    assert measured.level_dbfs == pytest.approx(20 * np.log10(10_000 / 32_768 / np.sqrt(2)), abs=0.01)
    assert measured.clipped == 0 and measured.silence == 0 and not measured.is_silent
    assert measured.snr_db == pytest.approx(0, abs=0.5)
    assert measure(voice(2.0, loud=3000, quiet=30)).snr_db == pytest.approx(40, abs=1.5)
    assert measure(voice(1.9)).snr_db is None
    peaks = np.zeros(1000, np.int16)
    peaks[[10, 11, 100]] = 32_767  # single peaks are no clipping
    assert measure(peaks).clipped == 0
    peaks[200:205] = -32_768
    assert measure(peaks).clipped == pytest.approx(0.005)
    silent = measure(np.full(1, 3, np.int16))
    assert silent.is_silent and silent.silence == 1 and silent.level_dbfs < -60


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=12))
def test_near_texts_are_those_one_word_away(texts: list[list[str]]) -> None:
    """Against every pair, compared the slow way."""
    first, *others = dict.fromkeys(" ".join(text) for text in texts)

    def near(one: list[str], two: list[str]) -> bool:
        without = [two[:index] + two[index + 1 :] for index in range(len(two))]
        put = [index for index in range(len(one)) if len(one) == len(two) and one[index] != two[index]]
        return len(put) == 1 or one in without or two in [one[:i] + one[i + 1 :] for i in range(len(one))]

    assert set(NearTexts(others).take(first)) == {text for text in others if near(first.split(), text.split())}


def test_texts_of_one_pattern_take_linear_time() -> None:
    held = [f"a b c d {number}" for number in range(4000)]
    start = time.perf_counter()
    index = NearTexts(held)
    taken = sum(len(list(index.take(f"a b c d x{number}"))) for number in range(4000))
    assert taken == 4000 and time.perf_counter() - start < 2


def everything_wrong(tmp_path: Path) -> Path:
    copy = voice(2.0)
    said = [
        *(Said(split=split, speaker="anna", text=words(number)) for split, number in (("train", 20), ("test", 21))),
        *both(samples=copy),
        *both(text="THE 3 BEARS"),
        *both(text="THE QUIET OWL", samples=np.zeros(2 * RATE, np.int16)),
    ]
    return corpus_of(tmp_path, [*CLEAN, *said])


def test_apply_writes_a_corpus_without_them(tmp_path: Path) -> None:
    corpus = everything_wrong(tmp_path)
    before = {path.name: path.read_bytes() for path in corpus.iterdir()}
    result = audit(corpus)
    cleaned = apply(corpus, result, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in corpus.iterdir()} == before  # it changes nothing

    old, new = rows(corpus), rows(tmp_path / "out")
    gone = {row.text for row in old} - {row.text for row in new}
    assert gone == {words(20), "THE OWL SLEEPS WELL", "THE QUIET OWL WELL"}
    assert [row.text for row in old if row.split == "test"] == [row.text for row in new if row.split == "test"]
    assert cleaned.dropped == {"train": 3}
    flags = {row.text: row.extra["flags"] for row in new if "flags" in row.extra}
    assert flags == {
        "THE OWL SLEEPS VERY BADLY": ["audit: same audio, other text"],
        "THE QUIET OWL VERY BADLY": ["silent", "audit: silent"],
        "THE 3 BEARS WELL": ["audit: digits in the text"],
        "THE 3 BEARS VERY BADLY": ["audit: digits in the text"],
    }
    assert not audit(tmp_path / "out").leaks
    unchanged = {row.id: row for row in old}
    for row in new:
        assert dataclasses.replace(row, extra={}) == dataclasses.replace(unchanged[row.id], extra={})


def test_apply_says_what_it_did(tmp_path: Path) -> None:
    corpus = everything_wrong(tmp_path)
    result = audit(corpus)
    cleaned = apply(corpus, result, tmp_path / "out")
    facts, old = open_corpus(tmp_path / "out").facts, open_corpus(corpus).facts
    entries = ledger(tmp_path / "out")
    assert len(entries) == len(ledger(corpus)) == facts["ledger"]["segments"]
    dropped = {entry["text"]: entry for entry in entries if entry["fate"] == "dropped"}
    assert {text: entry["reason"] for text, entry in dropped.items()} == {
        words(20): "audit: speaker in another split",
        "THE OWL SLEEPS WELL": "audit: audio in another split",
        "THE QUIET OWL WELL": "audit: silent",
    }
    assert dropped["THE QUIET OWL WELL"]["detail"].startswith("never above -60 dBFS")
    assert all(entry["split"] == "train" and entry["speaker"] for entry in dropped.values())
    kept = {entry["id"]: entry.get("flags", []) for entry in entries if entry["fate"] == "kept"}
    assert kept == {row.id: row.extra.get("flags", []) for row in rows(tmp_path / "out")}
    reasons = [entry["reason"] for entry in dropped.values()]
    assert facts["ledger"] == {"segments": 17, "kept": 14, "joined": 0, "dropped": dict.fromkeys(reasons, 1)}
    assert facts["splits"]["train"]["utterances"] == old["splits"]["train"]["utterances"] - 3
    assert open_corpus(tmp_path / "out").splits() == {
        name: counts["utterances"] for name, counts in facts["splits"].items()
    }
    assert facts["key"] != old["key"] and facts["audited"]["key"] == old["key"] and cleaned.facts == facts
    assert any(note.startswith("Leak:") for note in old["notes"])
    assert not any(note.startswith("Leak:") for note in facts["notes"])
    # The same decisions give the same corpus.
    assert apply(corpus, result, tmp_path / "again").facts == facts


def test_who_has_no_row_left_keeps_the_place(tmp_path: Path) -> None:
    samples = voice(2.0)
    said = [
        Said(split="train", speaker="ben", text="OWL", samples=samples),
        Said(split="test", speaker="eva", text="OWL", samples=samples),
    ]
    corpus = corpus_of(tmp_path, [*CLEAN, *said])
    (ben,) = {row.speaker for row in rows(corpus) if row.text == "OWL" and row.split == "train"}
    apply(corpus, audit(corpus), tmp_path / "out")
    places = read_json(tmp_path / "out" / "split.json")
    assert places["absent"] == {ben: "train"} and ben not in places["splits"]["train"]["speakers"]
    # The table of pseudonyms goes along.
    table = Pseudonyms.read(tmp_path / "out" / "speakers.csv")
    assert table.of("speaker", "source", "ben") == ben


def test_apply_refuses_to_overwrite(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, CLEAN)
    result = audit(corpus)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("")
    for out in (corpus, tmp_path / "x" / ".." / "corpus", corpus / "clean", tmp_path):
        with pytest.raises(InputError, match="the corpus that was audited"):
            apply(corpus, result, out)
    for out in (tmp_path / "full", tmp_path / "file"):
        with pytest.raises(InputError, match="exists already"):
            apply(corpus, result, out)
    with pytest.raises(InputError, match="prepared again since"):
        apply(corpus, dataclasses.replace(result, key="another"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_corpus_of_which_nothing_is_left(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [Said(text=words(1), samples=np.zeros(RATE, np.int16))])
    with pytest.raises(InputError, match="nothing is left"):
        apply(corpus, audit(corpus), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_is_said_in_words(tmp_path: Path) -> None:
    corpus = everything_wrong(tmp_path)
    console = Console(width=200, record=True, file=io.StringIO())
    for part in describe(audit(corpus)):
        console.print(part)
    text = console.export_text()
    assert "17 utterances, 0.01 h: 2 leaks, 2 warnings, 1 note" in text
    assert "leak speaker-in-splits: Speakers in more than one split: 1." in text
    assert "--apply OUT drops 3 rows and flags 4 rows" in text
    listed = audit(corpus).as_dict()
    assert listed["leaks"] == 2
    for finding in listed["findings"]:
        assert finding["count"] == len(finding["rows"]) > 0 and finding["what"] and finding["advice"]


def test_real_children(shared_data: Path, tmp_path: Path) -> None:
    """What was recorded and transcribed with care passes, but for what it is known for."""
    from smallvoice import verbs
    from smallvoice.recipe import CorpusRecipe

    recipe = CorpusRecipe(select="age_years < 8", language="en")
    verbs.prepare(["speechocean762"], tmp_path / "corpus", recipe=recipe, data=shared_data)
    result = audit(tmp_path / "corpus")
    assert result.num_rows > 100
    assert not result.leaks
    assert {finding.kind for finding in result.findings} <= {"near-text", "shared-text"}
