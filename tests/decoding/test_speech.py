"""Where somebody speaks: silence, noise, and quiet and short clips of children that must not be lost."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from tests import tiny

from smallvoice import using
from smallvoice.corpus.audio import Int16, load_16k, to_int16
from smallvoice.decoding import silence, speech, writers
from smallvoice.decoding.long_form import Segment
from smallvoice.decoding.writers import Transcript

pytest.importorskip("faster_whisper")


def hiss(seconds: float, level: float = 5e-4) -> Int16:
    return to_int16((level * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32))


@pytest.mark.parametrize("seconds", [6.25e-5, 0.02, 10.0, 31.0, 70.0])
@pytest.mark.parametrize("level", [0.0, 5e-4])
def test_where_nobody_speaks_nothing_is_written(tiny_models: dict[str, Path], seconds: float, level: float) -> None:
    transcript = using.opened(str(tiny_models["english"])).transcribe(hiss(seconds, level))
    assert transcript.segments == [] and transcript.duration_s >= 0.001
    for write in writers.FORMATS.values():
        write(transcript)
    assert writers.as_srt(transcript) == "" and writers.as_vtt(transcript) == "WEBVTT\n"
    assert writers.content(transcript)["text"] == ""


def test_an_empty_transcript_is_read_by_praat_and_elan(tmp_path: Path) -> None:
    textgrid, pympi = pytest.importorskip("praatio.textgrid"), pytest.importorskip("pympi")
    for duration_s in (0.001, 31.0):
        for name in ("textgrid", "eaf"):
            (tmp_path / name).write_text(writers.FORMATS[name](Transcript(duration_s, "en", [], {})), encoding="utf-8")
        grid = textgrid.openTextgrid(str(tmp_path / "textgrid"), includeEmptyIntervals=True)
        assert grid.maxTimestamp == duration_s and [entry.label for entry in grid.getTier("words").entries] == [""]
        assert pympi.Elan.Eaf(str(tmp_path / "eaf")).get_annotation_data_for_tier("words") == []


def test_intervals_end_with_the_textgrid() -> None:
    grid = writers.as_textgrid(Transcript(0.0, "en", [Segment(0.0, 0.0, "off", [], -0.2, 0.0, True)], {}))
    assert "xmax = 0.001\ntiers" in grid and grid.count("xmax = 0.001") == 5 and "xmax = 0.000" not in grid


def test_steady_noise_is_not_heard() -> None:
    for kind, waveform in silence.clips():
        if kind != "noise":  # the detector itself hears something in one of these
            assert speech.find(to_int16(waveform)).stretches == [], kind


def test_a_long_recording_without_speech_has_no_stretches() -> None:
    assert speech.padded([], 500_000) == [] and speech.find(hiss(40.0)) == speech.Heard([], [])


def test_short_and_uneven_sound_is_heard_whatever_the_detector_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "spans", lambda samples: [])
    loud, soft = to_int16(tiny.tone(0.4)), to_int16(0.002 * tiny.tone(1.0))
    for samples in (loud, np.concatenate([hiss(1.0, 1e-5), soft, hiss(1.0, 1e-5)])):
        assert speech.find(samples).stretches == [(0, len(samples))]
    assert speech.find(loud[:400]).stretches == [], "25 ms"
    assert speech.find(hiss(2.0, 0.02)).stretches == []


def test_the_beginning_is_speech_without_the_silence_between() -> None:
    second = 16_000
    samples = np.repeat(np.arange(100, dtype=np.int16), second)
    heard = speech.Heard([(40 * second, 45 * second), (60 * second, 90 * second)], [])
    begin = np.rint(32_768 * speech.beginning(samples, heard)).astype(int)
    assert len(begin) == 30 * second and set(begin.tolist()) == {39, *range(40, 46), *range(59, 85)}
    short = speech.beginning(samples[: 5 * second], speech.Heard([], [(0, 5 * second)]))
    assert len(short) == 5 * second


def test_no_clip_of_a_child_is_lost(shared_data: Path) -> None:
    """As it is, 40 dB softer, and 0.4 s of its speech."""
    files = sorted((shared_data / "speechocean762" / "audio").rglob("*.flac"))
    for path in random.Random(1).sample(files, 40):
        samples = load_16k(path).samples
        heard = speech.find(samples)
        begin = heard.spoken[0][0]
        assert heard.stretches and speech.find((samples // 100).astype(np.int16)).stretches, path
        assert speech.find(samples[begin : begin + 6400]).stretches, path


def test_soft_beginnings_in_noise_are_found(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sound of 0.1 s in each of 120 clips, with noise 8 dB under them and pauses between."""
    files = sorted((shared_data / "speechocean762" / "audio").rglob("*.flac"))
    rng = np.random.default_rng(0)
    pieces, begins = [], []
    for path in random.Random(2).sample(files, 120):
        clip = np.asarray(load_16k(path).samples, np.float32) / 32_768
        frames = clip[: len(clip) // 320 * 320].reshape(-1, 320)
        level = 10 * np.log10(np.maximum((frames**2).mean(axis=1), 1e-10))
        loud = np.flatnonzero(level > max(level.max() - 20, (np.percentile(level, 10) + level.max()) / 2))
        bursts = np.split(loud, np.flatnonzero(np.diff(loud) > 5) + 1)
        first = next((burst[0] for burst in bursts if burst[-1] - burst[0] >= 4), loud[0])
        pieces += [np.zeros(24_000, np.float32), clip[320 * first :]]
        noise = np.sqrt((clip**2).mean()) / 10 ** (8 / 20)
        begins.append(sum(map(len, pieces)) - len(pieces[-1]))
        pieces[-2:] = [piece + noise * rng.standard_normal(len(piece), np.float32) for piece in pieces[-2:]]
    samples = to_int16(np.clip(np.concatenate(pieces), -1, 1))

    def late() -> float:
        """The share of beginnings with nothing heard within 0.2 s."""
        found = np.array([first for first, _ in speech.find(samples).spoken])
        return float(np.mean([np.abs(found - begin).min() > 3200 for begin in begins]))

    bold = late()
    assert bold < 0.04
    monkeypatch.setattr(speech, "LEAST_PROBABILITY", 0.5)
    assert late() > bold, "what the detector misses by itself"
