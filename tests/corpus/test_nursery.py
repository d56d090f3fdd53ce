"""The synthetic corpus of the demo: who speaks, what is said, how it sounds, and that it can be had again."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from smallvoice.corpus import espeak, nursery
from smallvoice.errors import MissingDependency

FEW = {"train": 2, "dev": 1, "test": 1}

needs_synthesiser = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="the synthesiser is not installed: pip install 'smallvoice[demo]'",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nursery")
    nursery.write_source(folder, utterances=FEW)
    return folder


def table(path: Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text("utf-8").splitlines())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_synthesiser
def test_kaldi_folders_are_whole(corpus: Path) -> None:
    for split, each in FEW.items():
        folder = corpus / split
        assert {path.name for path in folder.iterdir()} == {"text", "wav.scp", "utt2spk", "audio"}
        text, paths, speakers = (table(folder / name) for name in ("text", "wav.scp", "utt2spk"))
        assert list(text) == list(paths) == list(speakers) == sorted(text)
        expected = [speaker.name for speaker in nursery.SPEAKERS if speaker.split == split for _ in range(each)]
        assert list(speakers.values()) == expected
        assert all(id_.startswith(speaker) for id_, speaker in speakers.items())
        assert {str(path.relative_to(folder)) for path in folder.rglob("*.flac")} == set(paths.values())


@needs_synthesiser
def test_audio_is_audible_speech_at_16_khz(corpus: Path) -> None:
    for path in corpus.rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert 1.5 <= info.duration <= 5
        samples, _ = soundfile.read(path)
        assert 0.29 < np.abs(samples).max() <= 0.91
        # The words are louder than the silence before them.
        assert samples[3200:-3200].std() > 3 * samples[:1000].std()


@needs_synthesiser
def test_written_again_it_is_the_same(corpus: Path, tmp_path: Path) -> None:
    nursery.write_source(tmp_path / "again", utterances=FEW)
    assert contents(tmp_path / "again") == contents(corpus)
    nursery.write_source(tmp_path / "other", seed=1, utterances={"test": 1})
    again, other = table(tmp_path / "again/test/text"), table(tmp_path / "other/test/text")
    assert again.keys() == other.keys()
    assert all(again[name] != other[name] for name in again)


@needs_synthesiser
def test_it_calls_itself_synthetic(corpus: Path) -> None:
    readme = (corpus / "README.txt").read_text("utf-8")
    assert "SYNTHETIC" in readme
    assert "no evidence about children" in readme
    assert all(path.name.startswith("synthetic-") for path in corpus.glob("*/audio/*"))
    assert not list(corpus.rglob("spk2age"))


def test_speakers_and_sentences_are_disjoint() -> None:
    script = list(nursery._script(0, nursery.UTTERANCES))
    sentences: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for speaker, _, speech in script:
        sentences[speaker.split].append(speech.text)
    together = [text for texts in sentences.values() for text in texts]
    assert len(set(together)) == len(together)
    assert {split: len(texts) for split, texts in sentences.items()} == {"train": 182, "dev": 24, "test": 54}
    assert len(" ".join(sentences["test"]).split()) >= 250
    # What is hard is how the words sound, not which they are.
    unheard = set(" ".join(sentences["test"]).split()) - set(" ".join(sentences["train"]).split())
    assert len(unheard) <= 2, unheard
    assert len({utterance for _, utterance, _ in script}) == len(script)

    speakers = {split: [s for s in nursery.SPEAKERS if s.split == split] for split in sentences}
    assert {split: len(who) for split, who in speakers.items()} == {"train": 14, "dev": 3, "test": 6}
    for what in ("name", "voice"):
        values = [getattr(speaker, what) for speaker in nursery.SPEAKERS]
        assert len(set(values)) == len(values)
    assert all(1.15 <= speaker.tract <= 1.45 for speaker in nursery.SPEAKERS)


@needs_synthesiser
def test_text_is_upper_case_without_punctuation(corpus: Path) -> None:
    texts = [text for path in corpus.glob("*/text") for text in table(path).values()]
    assert texts
    assert all(re.fullmatch(r"[A-Z]+( [A-Z]+)+", text) for text in texts)


def test_no_animal_meets_itself() -> None:
    for _, _, speech in nursery._script(3, {"train": 200}):
        slots = [word for word in speech.text.split() if word in nursery._SLOTS["animal"] + nursery._SLOTS["toy"]]
        assert len(set(slots)) == len(slots), speech.text


def test_shorter_tract_raises_every_frequency() -> None:
    rate = 22_050
    tone = np.sin(2 * np.pi * 500 * np.arange(rate) / rate)
    shortened = nursery._shortened(tone, rate, 1.3)
    assert len(shortened) == pytest.approx(16_000 / 1.3, abs=2)
    peak_hz = np.abs(np.fft.rfft(shortened)).argmax() * 16_000 / len(shortened)
    assert peak_hz == pytest.approx(650, abs=2)


def test_missing_synthesiser_is_said_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingDependency, match=re.escape("pip install 'smallvoice[demo]'")):
        nursery.write_source(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@needs_synthesiser
def test_synthesiser_that_fails_is_said_with_its_reason() -> None:
    speech = espeak.Speech(
        text="the dog", voice="en-nowhere+f9", words_per_minute=150, pitch=50, pitch_range=50, seed=0
    )
    with pytest.raises(MissingDependency, match=r"it refused .*en-nowhere"):
        espeak.synthesise([speech])


def test_long_path_of_the_synthesiser_is_shortened(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60) / ("y" * 60) / "espeak-ng-data"
    long.mkdir(parents=True)
    (long / "phontab").write_text("here")
    with espeak._short_path(long) as short:
        assert len(str(short)) <= espeak._LONGEST_PATH
        assert (short / "phontab").read_text() == "here"
    assert (long / "phontab").exists()
    with espeak._short_path(tmp_path) as same:
        assert same == tmp_path or len(str(tmp_path)) > espeak._LONGEST_PATH
