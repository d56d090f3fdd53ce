from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.corpora import RATE, noise, write_audio

from smallvoice.corpus import audio
from smallvoice.corpus.audio import AudioError, decode_flac, encode_flac, load_16k, to_mono_16k
from smallvoice.errors import InputError


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16_bit_mono_at_16_khz_survives_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    samples = noise(1.3)
    samples[:3] = -32_768, 32_767, 0
    loaded = load_16k(write_audio(tmp_path / f"a{suffix}", samples))
    assert np.array_equal(loaded.samples, samples)
    assert np.array_equal(decode_flac(encode_flac(loaded.samples)) * 32_768, samples)


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=300))
def test_flac_gives_back_what_it_got(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    assert np.array_equal(decode_flac(encode_flac(samples)) * 32_768, samples)
    as_float = (samples / 32_768).astype(np.float32)
    assert np.array_equal(decode_flac(encode_flac(as_float)), as_float)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_resampling_moves_nothing(tmp_path: Path, rate: int) -> None:
    """A click stays within one sample of its time, in any part of the file, blocks of reading notwithstanding."""
    times_s = (0.5, 17.0, 33.4)
    samples = np.zeros(35 * rate)
    for time_s in times_s:
        middle = round(time_s * rate)
        samples[middle - 40 : middle + 41] = np.hanning(81) * 0.8
    loaded = load_16k(write_audio(tmp_path / "a.wav", samples, rate))
    assert loaded.source_rate == rate
    assert abs(len(loaded.samples) - 35 * RATE) <= 1
    for time_s in times_s:
        around = loaded.samples[round((time_s - 0.2) * RATE) : round((time_s + 0.2) * RATE)]
        assert abs(int(np.argmax(around)) - round(0.2 * RATE)) <= 1
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert np.array_equal(audio.to_int16(to_mono_16k(whole, rate)), loaded.samples)


def test_channels_are_mixed_or_one_is_taken(tmp_path: Path) -> None:
    left, right = noise(0.2, 1), noise(0.2, 2)
    path = write_audio(tmp_path / "a.wav", np.stack([left, right], axis=1))
    assert np.array_equal(load_16k(path, channel=1).samples, right)
    mixed = load_16k(path).samples
    assert np.abs(mixed - (left.astype(int) + right) / 2).max() <= 0.5
    with pytest.raises(AudioError, match="channel 2 of 2"):
        load_16k(path, channel=2)


def test_a_long_recording_is_held_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_IN_MEMORY", 100_000)
    monkeypatch.setattr(audio, "_BLOCK", 10_000)
    samples = noise(10)
    loaded = load_16k(write_audio(tmp_path / "a.wav", samples)).samples
    assert isinstance(loaded, np.memmap)
    assert np.array_equal(loaded, samples)


def _cut_file(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * keep)])
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = _cut_file(write_audio(tmp_path / f"a{suffix}", noise(5)), 0.6)
    with pytest.raises(AudioError) as error:
        load_16k(path)
    assert error.value.reason == "audio truncated"


def test_a_wav_from_a_pipe_does_not_know_its_length(tmp_path: Path) -> None:
    content = bytearray(_wav(noise(0.5)))
    content[40:44] = b"\xff\xff\xff\xff"
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert len(load_16k(path).samples) == 8000


def _wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "audio empty"),
        (b"these are words, not sound " * 50, "not audio"),
        (_wav(np.zeros(0, np.int16)), "audio of zero length"),
    ],
)
def test_not_usable(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    for read in (load_16k,):
        with pytest.raises(AudioError) as error:
            read(path)
        assert error.value.reason == reason
        assert "a.wav" in str(error.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="audio missing"):
        load_16k(tmp_path / "a.wav")


def test_samples_that_are_not_numbers(tmp_path: Path) -> None:
    samples = np.zeros(1000, np.float32)
    samples[500] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        load_16k(tmp_path / "a.wav")


def test_loud_floating_point_audio_is_clipped_not_wrapped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.5], np.float32), RATE, subtype="FLOAT")
    assert load_16k(tmp_path / "a.wav").samples.tolist() == [32_767, -32_768, 16_384]


def test_the_audio_of_a_row_must_be_16_khz_mono() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((100, 2), np.int16), 8000, format="FLAC")
    with pytest.raises(InputError, match="2 channels at 8000"):
        decode_flac(buffer.getvalue())
    with pytest.raises(InputError, match="cannot be decoded"):
        decode_flac(b"nothing")


@pytest.mark.filterwarnings("ignore")
def test_formats_of_real_files(shared_data: Path) -> None:
    folder = shared_data / "transcripts" / "mfa"
    found = {
        path.suffix: load_16k(path) for path in sorted(folder.iterdir()) if path.suffix in (".mp3", ".opus", ".wav")
    }
    assert set(found) == {".mp3", ".opus", ".wav"}
    original = load_16k(folder / "cold_corpus.wav").samples.astype(int)
    for other in ("cold_corpus_24bit.wav", "cold_corpus_32bit_float.wav"):
        assert np.abs(load_16k(folder / other).samples - original).max() <= 1
