"""Every kind of audio file: the samples that it should give, where it was cut off, and where it is damaged."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.corpus import audio
from smallvoice.corpus.audio import AudioError, load_16k

RATE = 16_000
DURATION_S = 1.5


@cache
def wave() -> np.ndarray:
    """A tone that rises from 300 to 900 Hz and fades in and out, (num_samples,) in -1..1."""
    times = np.arange(round(DURATION_S * RATE)) / RATE
    return 0.4 * np.sin(2 * np.pi * (300 + 200 * times) * times) * np.hanning(len(times))


def pcm(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples * 32_768).astype(np.int16)


def at_rate(rate: int) -> np.ndarray:
    return wave() if rate == RATE else soxr.resample(wave(), RATE, rate)


def by_soundfile(container: str, subtype: str, rate: int = RATE, channels: int = 1, endian: str = "FILE") -> bytes:
    buffer = io.BytesIO()
    samples = np.stack([at_rate(rate)] * channels, axis=1)
    if subtype == "PCM_16":
        samples = pcm(samples)
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype, endian=endian)
    return buffer.getvalue()


def by_av(container: str, codec: str, rate: int = RATE, layout: str = "mono", *, video: bool = False) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        picture = out.add_stream("mpeg4", rate=10) if video else None
        sound = out.add_stream(codec, rate=rate, layout=layout, **({"bit_rate": 64_000} if codec == "wmav2" else {}))
        samples = np.repeat(pcm(at_rate(rate)), av.AudioLayout(layout).nb_channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            for _ in range(round(DURATION_S * 10)):
                out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            out.mux(picture.encode())
        if not sound.codec_context.is_open:
            sound.codec_context.open()
        convert = av.AudioResampler(sound.codec_context.format, layout, rate, sound.codec_context.frame_size or None)
        for piece in (*convert.resample(frame), *convert.resample(None)):
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return buffer.getvalue()


def sphere(coding: str = "pcm", data: bytes | None = None, width: int = 2, count: int | None = None) -> bytes:
    data = pcm(wave()).astype("<i2").tobytes() if data is None else data
    lines = ["channel_count -i 1", f"sample_rate -i {RATE}", f"sample_n_bytes -i {width}"]
    lines += [f"sample_byte_format -s{width} {'01' if width == 2 else '1'}", f"sample_sig_bits -i {8 * width}"]
    lines += [f"sample_coding -s{len(coding)} {coding}", f"sample_count -i {count or len(wave())}", "end_head", ""]
    return ("NIST_1A\n   1024\n" + "\n".join(lines)).encode().ljust(1024) + data


def raw(subtype: str) -> bytes:
    return by_soundfile("RAW", subtype)


FILES: dict[str, tuple[Callable[[], bytes], float]] = {
    # Name: (content, the error that its coding makes, as a share of the signal (root mean squares)).
    "wav, 8 bits": (lambda: by_soundfile("WAV", "PCM_U8"), 0.03),
    "wav, 16 bits": (lambda: by_soundfile("WAV", "PCM_16"), 1e-4),
    "wav, 24 bits": (lambda: by_soundfile("WAV", "PCM_24"), 1e-4),
    "wav, 32 bits": (lambda: by_soundfile("WAV", "PCM_32"), 1e-4),
    "wav, float": (lambda: by_soundfile("WAV", "FLOAT"), 1e-4),
    "wav, double": (lambda: by_soundfile("WAV", "DOUBLE"), 1e-4),
    "wav, A-law": (lambda: by_soundfile("WAV", "ALAW"), 0.015),
    "wav, mu-law, 8 kHz": (lambda: by_soundfile("WAV", "ULAW", 8000), 0.015),
    "wav, ADPCM": (lambda: by_soundfile("WAV", "IMA_ADPCM"), 0.03),
    "wav, mp3 inside": (lambda: by_av("wav", "mp3"), 0.06),
    "extensible wav, 24 bits, 48 kHz, stereo": (lambda: by_soundfile("WAVEX", "PCM_24", 48_000, 2), 0.0001),
    "big-endian wav": (lambda: by_soundfile("WAV", "PCM_16", endian="BIG"), 1e-4),
    "w64": (lambda: by_soundfile("W64", "PCM_16", 44_100), 0.0001),
    "rf64": (lambda: by_soundfile("RF64", "PCM_16"), 1e-4),
    "aiff, 44.1 kHz": (lambda: by_soundfile("AIFF", "PCM_16", 44_100), 0.0001),
    "aifc, float": (lambda: by_soundfile("AIFF", "FLOAT"), 1e-4),
    "au, mu-law": (lambda: by_soundfile("AU", "ULAW"), 0.015),
    "caf": (lambda: by_soundfile("CAF", "PCM_16"), 1e-4),
    "flac, 24 bits, 96 kHz, 6 channels": (lambda: by_soundfile("FLAC", "PCM_24", 96_000, 6), 0.0001),
    "ogg vorbis": (lambda: by_soundfile("OGG", "VORBIS", 44_100), 0.03),
    "opus": (lambda: by_soundfile("OGG", "OPUS", 48_000), 0.03),
    "mp3, 44.1 kHz, stereo": (lambda: by_soundfile("MP3", "MPEG_LAYER_III", 44_100, 2), 0.02),
    "sphere": (sphere, 1e-4),
    "sphere, ulaw": (lambda: sphere("ulaw", raw("ULAW"), 1), 0.015),
    "sphere, alaw": (lambda: sphere("alaw", raw("ALAW"), 1), 0.015),
    "m4a": (lambda: by_av("ipod", "aac", 44_100, "stereo"), 0.03),
    # One of the eight is for low frequencies only.
    "m4a, 8 channels": (lambda: by_av("ipod", "aac", 48_000, "7.1"), 0.15),
    "m4a, alac": (lambda: by_av("ipod", "alac"), 1e-4),
    "mp4 with video": (lambda: by_av("mp4", "aac", 48_000, video=True), 0.03),
    "mov, 16 bits": (lambda: by_av("mov", "pcm_s16le", video=True), 1e-4),
    "webm": (lambda: by_av("webm", "libopus", 48_000), 0.03),
    "mkv with video": (lambda: by_av("matroska", "aac", 44_100, video=True), 0.03),
    "aac": (lambda: by_av("adts", "aac"), 0.003),
    "wma": (lambda: by_av("asf", "wmav2", 44_100), 0.03),
    "amr": (lambda: by_av("amr", "amr_nb", 8000), 0.2),
    "3gp": (lambda: by_av("3gp", "amr_nb", 8000), 0.2),
    "avi": (lambda: by_av("avi", "mp3", video=True), 0.06),
    "mpeg transport stream": (lambda: by_av("mpegts", "aac", video=True), 0.003),
}


LATE = {
    # Samples at 16 kHz: the encoder's delay, where the container cannot take it back or its writer does not.
    "wav, mp3 inside": 1105,
    "avi": 1105,
    "aac": 1024,
    "mpeg transport stream": 1024,
    "amr": 79,
    "3gp": -21,
    "wma": -743,
}


@cache
def content(name: str) -> bytes:
    return FILES[name][0]()


def delay_of(samples: np.ndarray) -> int:
    """How many samples later than `wave` they are: encoders may put some before."""
    length = 2 * len(wave())
    spectrum = np.fft.rfft(samples, length) * np.conj(np.fft.rfft(wave() * 32_768, length))
    found = int(np.argmax(np.fft.irfft(spectrum, length)))
    return found if found < length // 2 else found - length


@pytest.mark.parametrize("name", FILES)
def test_samples(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded = load_16k(content(name))
    samples, expected = loaded.samples / 32_768, wave()
    delay = delay_of(samples)
    assert delay == pytest.approx(LATE.get(name, 0), abs=1)
    samples, expected = samples[max(0, delay) :], expected[max(0, -delay) :]
    length = min(len(samples), len(expected))
    assert length >= 0.96 * len(wave())
    assert len(loaded.samples) - len(wave()) <= 4500
    error = samples[:length] - expected[:length]
    assert np.sqrt(np.mean(error**2) / np.mean(wave() ** 2)) <= FILES[name][1]
    path = tmp_path / "a.bin"
    path.write_bytes(content(name))
    assert np.array_equal(load_16k(path).samples, loaded.samples)
    assert capfd.readouterr() == ("", "")


def test_16_bits_at_16_khz_come_through_whatever_the_container() -> None:
    for name in ("wav, 16 bits", "big-endian wav", "rf64", "caf", "sphere", "mov, 16 bits", "m4a, alac"):
        assert np.array_equal(load_16k(content(name)).samples, pcm(wave())), name


@pytest.mark.parametrize("name", ["mp3, 44.1 kHz, stereo", "opus", "ogg vorbis", "m4a", "webm", "sphere, ulaw"])
def test_the_size_of_blocks_does_not_matter(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above all of MP3: after a seek, or what soundfile does after every read, it has other samples."""
    path = tmp_path / "a.bin"
    path.write_bytes(content(name))
    whole = load_16k(path).samples
    for size in (1000, 9999):
        monkeypatch.setattr(audio, "_BLOCK", size)
        difference = load_16k(path).samples.astype(int) - whole
        assert np.abs(difference).max() <= 1


def test_a_channel_of_16_bits_at_16_khz() -> None:
    left, right = np.arange(-500, 500, dtype=np.int16), np.arange(1000, dtype=np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([left, right], axis=1), RATE, format="WAV")
    assert np.array_equal(load_16k(buffer.getvalue(), channel=1).samples, right)
    assert np.abs(load_16k(buffer.getvalue()).samples - (left + right) / 2).max() <= 0.5
    with pytest.raises(AudioError, match="row 7: no such channel: channel 2 of 2"):
        load_16k(buffer.getvalue(), channel=2, name="row 7")


@pytest.mark.parametrize(
    "name",
    [
        *("wav, 16 bits", "w64", "rf64", "aiff, 44.1 kHz", "au, mu-law", "flac, 24 bits, 96 kHz, 6 channels", "opus"),
        *("ogg vorbis", "mp3, 44.1 kHz, stereo", "sphere", "sphere, ulaw", "m4a", "mp4 with video", "webm", "avi"),
        *("mkv with video", "3gp"),
    ],
)
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_what_was_cut_off_is_not_taken_for_whole(name: str, keep: float) -> None:
    with pytest.raises(AudioError) as error:
        load_16k(content(name)[: round(len(content(name)) * keep)])
    assert error.value.reason == "audio truncated"


def test_floating_point_samples_that_were_never_divided() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, (wave() * 32_768).astype(np.float32), RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="where full scale is 1") as error:
        load_16k(buffer.getvalue())
    assert error.value.reason == "samples out of range"


def test_compressed_sphere_says_what_to_do() -> None:
    with pytest.raises(AudioError, match="sph2pipe") as error:
        load_16k(sphere("pcm,embedded-shorten-v2.00", b"ajkg\x02" + bytes(500)))
    assert error.value.reason == "compressed SPHERE"


def test_a_video_without_sound() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        picture = out.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        out.mux(picture.encode())
    with pytest.raises(AudioError, match="without a sound track") as error:
        load_16k(buffer.getvalue())
    assert error.value.reason == "no audio"


def test_silence_that_a_recorder_left_out_is_there_again() -> None:
    """The times of a transcript count it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for second in (0, 3):
            ones = np.full((1, RATE), 1000, np.int16)
            frame = av.AudioFrame.from_ndarray(ones, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, second * RATE
            out.mux(sound.encode(frame))
        out.mux(sound.encode())
    samples = load_16k(buffer.getvalue()).samples
    assert len(samples) == 4 * RATE
    assert [int(samples[round(second * RATE) + RATE // 2]) for second in range(4)] == [1000, 0, 0, 1000]


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_a_file_that_names_others_opens_none(tmp_path: Path, playlist: str) -> None:
    (tmp_path / "other.aac").write_bytes(content("aac"))
    path = tmp_path / "a.m4a"
    path.write_text(playlist.format(path=tmp_path / "other.aac"), encoding="utf-8")
    with pytest.raises(AudioError) as error:
        load_16k(path)
    assert error.value.reason == "not audio"


@pytest.mark.parametrize("name", ["a.raw", "a.m4a", "a.wav", "a.mp3", "a"])
def test_garbage(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(5).bytes(1 << 20))
    begun = time.perf_counter()
    with pytest.raises(AudioError):
        load_16k(path)
    assert time.perf_counter() - begun < 2


def _header(rate: int, channels: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(1000, np.int16), RATE, format="WAV")
    wav = bytearray(buffer.getvalue())
    wav[22:24] = channels.to_bytes(2, "little")
    wav[24:28] = rate.to_bytes(4, "little")
    wav[32:34] = (2 * channels).to_bytes(2, "little")
    return bytes(wav)


@pytest.mark.parametrize(
    ("rate", "channels", "reason"),
    [
        (1, 1, "impossible sampling rate"),
        (3999, 1, "impossible sampling rate"),
        (10**6, 1, "impossible sampling rate"),
        (RATE, 65, "impossible number of channels"),
        (RATE, 1000, "impossible number of channels"),
    ],
)
def test_numbers_of_a_header_are_not_believed(rate: int, channels: int, reason: str) -> None:
    with pytest.raises(AudioError) as error:
        load_16k(_header(rate, channels))
    assert error.value.reason == reason


@pytest.mark.parametrize("rate", [4000, 7999, 11_025, 767_999])
def test_odd_rates(rate: int) -> None:
    assert abs(len(load_16k(_header(rate, 1)).samples) - 1000 * RATE / rate) <= 1


@pytest.mark.parametrize("suffix", [".mp3", ".au", ".raw", ".vox"])
def test_a_name_makes_no_audio(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    """libsndfile takes what is called .mp3 for MP3, searches it, and prints what it did not find."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(200_000))
    with pytest.raises(AudioError, match="not audio: Format not recognised") as error:
        load_16k(path)
    assert error.value.reason == "not audio" and capfd.readouterr() == ("", "")


def test_mp3_after_junk(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(500) + content("mp3, 44.1 kHz, stereo"))
    assert abs(len(load_16k(path).samples) - len(wave())) <= 4500


@pytest.mark.parametrize("promised", [100, 20_000])
def test_wav_that_goes_on_behind_what_its_header_says(promised: int) -> None:
    wav = bytearray(content("wav, 16 bits"))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = promised.to_bytes(4, "little")
    with pytest.raises(AudioError, match=f"{promised} bytes of audio are promised, 48000 follow") as error:
        load_16k(bytes(wav))
    assert error.value.reason == "audio longer than its header says"


def test_wav_whose_header_was_never_finished_is_read_to_its_end(tmp_path: Path) -> None:
    wav = bytearray(content("wav, 16 bits"))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(wav)
    assert np.array_equal(load_16k(bytes(wav)).samples, pcm(wave()))
    assert np.array_equal(load_16k(tmp_path / "a.wav").samples, pcm(wave()))


NOISE = np.random.default_rng(0).bytes(20_000)


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST" + (5000).to_bytes(4, "little") + bytes(range(250)) * 20,
        bytes(9000),
        b"TAG" + bytes(125),
        b"id3 " + (9000).to_bytes(4, "little") + b"\xff" * 9000 + b"cue " + (4).to_bytes(4, "little") + bytes(4),
        b"ID3\x04\0\0\0\0\x7f\x7f" + NOISE,
        b"Recorded in class 3.\r\n" * 500,
        "Ünïcode behind it: 今天\n".encode() * 500,
        NOISE,
    ],
    ids=["titles", "zeros", "ID3v1", "chunks", "ID3v2", "text", "UTF-8", "less than the samples"],
)
def test_what_may_follow_the_samples_of_a_wav(behind: bytes) -> None:
    assert np.array_equal(load_16k(content("wav, 16 bits") + behind).samples, pcm(wave()))


def test_behind_a_short_wav_a_tag_may_be_longer_than_it() -> None:
    wav = by_soundfile("WAV", "PCM_16")[: 44 + 2000]
    wav = wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:40] + (2000).to_bytes(4, "little") + wav[44:]
    for behind in (b"ID3\x04\0\0\0\0\x7f\x7f" + NOISE, "Gesagt hat es Zoë.\n".encode() * 500):
        assert np.array_equal(load_16k(wav + behind).samples, pcm(wave())[:1000])
    with pytest.raises(AudioError, match="2000 bytes of audio are promised"):
        load_16k(wav + NOISE)


def test_a_flac_of_frames_that_are_none_takes_no_time() -> None:
    """A header with its checksum, thousands of times: each of them promises a frame up to the end of the file."""
    flac = by_soundfile("FLAC", "PCM_16")
    begun = time.perf_counter()
    with suppress(AudioError):
        load_16k(flac + b"\xff\xf8\x89\x08\x7f\x69" * 3_000)
    assert time.perf_counter() - begun < 2


@st.composite
def mutations(draw: st.DrawFn, name: str) -> bytes:
    """A valid file with a few of its bytes changed, left out, put in or repeated."""
    data = bytearray(content(name))
    for _ in range(draw(st.integers(1, 4))):
        # Headers are short and matter most.
        at = draw(st.integers(0, min(len(data), 300)) | st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "delete", "insert", "cut", "repeat"]))
        if kind == "flip":
            data[at : at + 4] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 500))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif kind == "cut":
            del data[at:]
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 2000))]
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_damaged_files_give_samples_or_an_error(name: str, data: st.DataObject) -> None:
    damaged = data.draw(mutations(name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    try:
        assert load_16k(damaged).samples.dtype == np.int16
    except AudioError as error:
        assert error.reason in REASONS
    assert time.perf_counter() - begun < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


REASONS = {
    *("audio empty", "audio of zero length", "audio truncated", "audio damaged", "audio changes midway", "not audio"),
    *("no audio", "impossible sampling rate", "impossible number of channels", "compressed SPHERE"),
    *("samples out of range", "audio longer than its header says"),
}


def test_titles_that_say_they_are_long_take_no_memory() -> None:
    titles = b"LIST" + (1 << 30).to_bytes(4, "little") + b"INFOISFT" + (1 << 29).to_bytes(4, "little") + bytes(8)
    avi = bytearray(content("avi"))
    at = avi.index(b"LIST", 20)
    avi[at:at] = titles
    avi[4:8] = (len(avi) - 8).to_bytes(4, "little")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AudioError, match="promises 1073741824"):
        load_16k(bytes(avi))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
