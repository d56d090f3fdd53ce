"""What augmentation does to sounds whose pitch, formant and length are known."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from smallvoice.corpus.audio import AudioError
from smallvoice.errors import RecipeError
from smallvoice.model.features import SAMPLE_RATE, View, log_mel
from smallvoice.recipe import AugmentRecipe
from smallvoice.training import augment, noise
from smallvoice.training.augment import Change
from smallvoice.training.noise import Sounds

EVERYTHING = AugmentRecipe(
    speed=0.1, tempo=0.1, pitch=2.0, vocal_tract=0.1, volume_db=6.0, noise=0.5, room=0.5, tail=0.5
)


def buzz(pitch_hz: float, formant_hz: float, seconds: float = 1.0) -> np.ndarray:
    """A harmonic sound with one resonance, then silence: a crude vowel."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(times)
    for harmonic in np.arange(pitch_hz, 7000, pitch_hz):
        sound += np.exp(-(((harmonic - formant_hz) / 300) ** 2)) * np.sin(2 * np.pi * harmonic * times)
    return (0.1 * sound).astype(np.float32)


def formant_hz(mel: torch.Tensor) -> float:
    """The centre of gravity of the loudest mel filters, in Hz."""
    from transformers.audio_utils import mel_to_hertz

    loudness = (10 ** (4 * mel[0, :, 20:60].mean(dim=1) - 4)).numpy()
    centres = np.asarray(mel_to_hertz(np.linspace(0, 45.245640471924965, mel.shape[1] + 2), mel_scale="slaney"))[1:-1]
    return float((loudness * centres).sum() / loudness.sum())


def heard(sound: np.ndarray, change: Change) -> tuple[torch.Tensor, np.ndarray]:
    """Features and waveform after a change."""
    changed = augment.change_speed(sound, change.resample)
    samples = torch.zeros(1, 300 * change.view.hop)
    samples[0, : len(changed)] = torch.from_numpy(changed)
    return log_mel(samples, 80, change.view), changed


def num_loud_frames(mel: torch.Tensor) -> int:
    return int((mel[0].amax(dim=0) > mel.max() - 0.5).sum())


def pitch_hz(sound: np.ndarray) -> float:
    """By autocorrelation."""
    middle = sound[2000:10_000]
    correlation = np.correlate(middle, middle, "full")[len(middle) :]
    lag = 1 + np.argmax(correlation[30:200]) + 30
    return SAMPLE_RATE / float(lag)


@pytest.mark.parametrize(
    ("change", "pitch", "formant", "length"),
    [
        (Change(speed=1.1), 220, 1650, 1 / 1.1),
        (Change(tempo=1.1), 200, 1500, 1 / 1.1),
        (Change(pitch=1.1), 220, 1500, 1.0),
        (Change(vocal_tract=1.1), 200, 1650, 1.0),
        (Change(speed=0.9, tempo=1.1), 180, 1350, 1 / 0.99),
    ],
)
def test_each_change_moves_what_it_says_and_nothing_else(
    change: Change, pitch: float, formant: float, length: float
) -> None:
    mel, changed = heard(buzz(200, 1500), change)
    assert pitch_hz(changed) == pytest.approx(pitch, rel=0.03)
    assert formant_hz(mel) == pytest.approx(formant, rel=0.03)
    assert num_loud_frames(mel) == pytest.approx(100 * length, abs=4)
    assert 1 / change.pace == pytest.approx(length, rel=0.01)


def test_no_change_is_bit_for_bit_whisper() -> None:
    sound = torch.from_numpy(buzz(200, 1500))[None]
    assert Change().view == View()
    assert torch.equal(log_mel(sound, 80, Change().view), log_mel(sound, 80))
    assert augment.change(AugmentRecipe(), 1, 2, "a") == Change()


def test_drawn_from_seed_epoch_and_utterance() -> None:
    def drawn(*key: object) -> Change:
        return augment.change(EVERYTHING, *key)  # type: ignore[arg-type]

    assert drawn(1, 2, "a") == drawn(1, 2, "a")
    assert len({drawn(1, 2, "a"), drawn(2, 2, "a"), drawn(1, 3, "a"), drawn(1, 2, "b")}) == 4
    # Switching one off leaves the others as they were.
    assert augment.change(replace(EVERYTHING, pitch=0.0), 1, 2, "a") == replace(drawn(1, 2, "a"), pitch=1.0)
    many = [augment.change(EVERYTHING, 0, 0, str(number)) for number in range(500)]
    assert 0.9 <= min(c.speed for c in many) < 0.91 and 1.09 < max(c.speed for c in many) <= 1.1
    assert 2 ** (-2 / 12) <= min(c.pitch for c in many) < 0.9 and 1.11 < max(c.pitch for c in many) <= 2 ** (2 / 12)


def db(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def rng(purpose: str = "") -> np.random.Generator:
    return augment.draw(0, 0, purpose)


def applied(sound: np.ndarray, change: Change, recipe: AugmentRecipe | None = None) -> np.ndarray:
    return augment.apply(sound, change, Sounds(recipe or AugmentRecipe()), rng)


def slope_db_per_octave(sound: np.ndarray) -> float:
    """Of the power spectrum between 200 and 6,400 Hz, per Hz."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    edges = np.array([200, 400, 800, 1600, 3200, 6400]) * len(sound) // SAMPLE_RATE
    levels = [10 * np.log10(power[a:b].mean()) for a, b in itertools.pairwise(edges)]
    return float(np.polyfit(np.arange(5), levels, 1)[0])


@pytest.mark.parametrize("volume_db", [-12.0, 5.0])
def test_volume(volume_db: float) -> None:
    sound = buzz(200, 1500)
    heard = applied(sound, Change(volume_db=volume_db))
    assert db(noise.rms(heard) / noise.rms(sound)) == pytest.approx(volume_db, abs=0.01)
    assert np.allclose(heard / 10 ** (volume_db / 20), sound, atol=1e-6), "nothing else"


@pytest.mark.parametrize("kind", ["coloured", "babble", "recorded"])
@pytest.mark.parametrize("snr_db", [0.0, 7.0, 25.0])
def test_noise_is_as_far_below_the_speech_as_it_says(tmp_path: Path, kind: str, snr_db: float) -> None:
    soundfile.write(tmp_path / "short.wav", 0.01 * np.random.default_rng(0).standard_normal(4_000), 8_000)
    recipe = AugmentRecipe(noise_folder=str(tmp_path) if kind == "recorded" else None)
    sound = buzz(200, 1500)
    heard = applied(sound, Change(noise=kind, snr_db=snr_db), recipe)
    assert len(heard) == len(sound) and heard.dtype == np.float32
    assert db(noise.rms(sound) / noise.rms(heard - sound)) == pytest.approx(snr_db, abs=0.5)


@pytest.mark.parametrize(("exponent", "slope"), [(0.0, 0.0), (1.0, -3.01), (2.0, -6.02)])
def test_coloured_noise_falls_as_it_should(exponent: float, slope: float) -> None:
    assert slope_db_per_octave(noise.coloured(100_000, exponent, rng())) == pytest.approx(slope, abs=0.5)


def test_babble_is_voices_that_say_nothing() -> None:
    sound = buzz(200, 1500) * np.linspace(0, 1, SAMPLE_RATE, dtype=np.float32) ** 2  # ends loud
    voices = noise.babble(sound, rng())
    assert slope_db_per_octave(voices) == pytest.approx(slope_db_per_octave(sound), abs=3.0), "the same spectrum"
    halves = [noise.rms(half) for half in np.split(voices, 2)]
    assert max(halves) / min(halves) < 0.7 * noise.rms(sound[8000:]) / noise.rms(sound[:8000]), "spread over time"
    assert abs(np.corrcoef(voices, sound)[0, 1]) < 0.5


def rt60_of(response: np.ndarray) -> float:
    """By backward integration (Schroeder, 1965), from -5 to -25 dB of the reverberation."""
    tail = response[200:].astype(np.float64)
    energy = np.cumsum(tail[::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0])
    begin, end = np.argmax(level < -5), np.argmax(level < -25)
    return 3 * float(end - begin) / SAMPLE_RATE


@pytest.mark.parametrize("rt60_s", [0.1, 0.3, 0.6])
def test_room_response_decays_as_it_says_after_the_direct_sound(rt60_s: float) -> None:
    for number in range(5):
        response = noise.room_response(rt60_s, rng(str(number)))
        assert rt60_of(response) == pytest.approx(rt60_s, rel=0.15)
        assert response[0] == 1.0 and not response[1:16].any()
        assert -0.1 <= -db(float(np.sqrt(np.sum(response[1:] ** 2)))) <= 12.1


def clicks(*places: int) -> np.ndarray:
    sound = np.zeros(SAMPLE_RATE, np.float32)
    sound[list(places)] = 0.5
    return sound


def test_a_room_adds_a_tail_and_moves_nothing() -> None:
    sound = clicks(2000)
    heard = applied(sound, Change(room="synthesised", rt60_s=0.3))
    assert int(np.argmax(np.abs(heard))) == 2000, "the direct sound is where it was"
    assert np.abs(heard[:2000]).max() < 1e-6, "nothing before it"
    early, late = noise.rms(heard[2200:3000]), noise.rms(heard[6000:6800])
    assert db(early / late) == pytest.approx(60 * 3800 / SAMPLE_RATE / 0.3, abs=4.0)
    assert noise.rms(heard) == pytest.approx(noise.rms(sound), rel=1e-3) and len(heard) == len(sound)
    speech = noise.coloured(SAMPLE_RATE, 1.0, rng("speech")) * np.hanning(SAMPLE_RATE).astype(np.float32)
    for rt60_s in (0.1, 0.6):
        heard = applied(speech, Change(room="synthesised", rt60_s=rt60_s))
        assert int(np.argmax(np.correlate(heard, speech[4000:12_000], "valid"))) == 4000


def test_a_recorded_room_begins_with_its_direct_sound(tmp_path: Path) -> None:
    response = np.zeros(4000)
    response[700], response[1500] = -0.8, 0.4  # recorded upside down, and late
    soundfile.write(tmp_path / "room.wav", response, SAMPLE_RATE)
    heard = applied(clicks(2000), Change(room="recorded"), AugmentRecipe(room_folder=str(tmp_path)))
    assert int(np.argmax(heard)) == 2000
    assert heard[2800] / heard[2000] == pytest.approx(-0.5, abs=0.001)


def test_silence_is_quiet_noise() -> None:
    levels = [db(noise.rms(Sounds(AugmentRecipe()).silence(16_000, rng(str(n))))) for n in range(50)]
    assert -75.1 < min(levels) < -70 and -40 < max(levels) < -34.9


def test_draws_of_one_change_leave_the_others(tmp_path: Path) -> None:
    """Whatever is switched off, what stays on is drawn as before; and all of it as it was before there were more."""
    off = {"speed": 1.0, "tempo": 1.0, "pitch": 1.0, "vocal_tract": 1.0, "volume_db": 0.0}
    groups = [{name: value} for name, value in off.items()]
    groups += [{"noise": "", "snr_db": 0.0}, {"room": "", "rt60_s": 0.0}, {"tail_s": 0.0}]
    for utterance in map(str, range(50)):
        drawn = augment.change(EVERYTHING, 1, 2, utterance)
        for group in groups:
            name = next(iter(group)).removesuffix("_s")
            without = replace(EVERYTHING, **{name: 0.0})
            assert augment.change(without, 1, 2, utterance) == replace(drawn, **group)
        four = augment.draw(1, 2, utterance).uniform(-1.0, 1.0, size=4)
        assert drawn.speed == 1 + 0.1 * four[0] and drawn.vocal_tract == 1 + 0.1 * four[3]


def test_changes_are_drawn_as_often_and_as_far_as_the_recipe_says() -> None:
    recipe = AugmentRecipe(volume_db=6, noise=0.3, noise_snr_db=[3, 9], room=0.4, tail=0.5, tail_s=2.0)
    many = [augment.change(recipe, 0, 0, str(number)) for number in range(2000)]
    shares = [
        np.mean([bool(value) for value in column])
        for column in ([c.noise for c in many], [c.room for c in many], [c.tail_s for c in many])
    ]
    assert shares == pytest.approx([0.3, 0.4, 0.5], abs=0.05)
    snr = [c.snr_db for c in many if c.noise]
    assert 3 <= min(snr) < 3.2 and 8.8 < max(snr) <= 9
    assert {c.noise for c in many} == {"", "coloured", "babble"}
    assert 0.1 <= min(c.rt60_s for c in many if c.room) < 0.12 and 0.58 < max(c.rt60_s for c in many) <= 0.6
    assert -6 <= min(c.volume_db for c in many) < -5.8 and 1.9 < max(c.tail_s for c in many) <= 2
    assert all(c.rt60_s == 0.0 for c in many if not c.room)


def test_the_same_draws_give_the_same_sound() -> None:
    sound = buzz(200, 1500)
    for change in (Change(noise="coloured", snr_db=5), Change(noise="babble", snr_db=5), Change(room="x", rt60_s=0.2)):
        first, again = applied(sound, change), applied(sound, change)
        assert np.array_equal(first, again)
        other = augment.apply(sound, change, Sounds(AugmentRecipe()), lambda p: augment.draw(0, 1, p))
        assert not np.array_equal(first, other)


def test_recordings_are_held_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", np.full(1000, 0.1 * number), SAMPLE_RATE)
    (tmp_path / "README.txt").write_text("not audio")
    recordings = noise.Recordings(str(tmp_path), "augment.noise_folder")
    monkeypatch.setattr(noise, "CACHE_BYTES", 3 * 2000)
    drawn = {int(recordings.draw(rng(str(number)))[0]) for number in range(60)}
    assert len(drawn) == 6 and len(recordings._held) == 3
    fresh = noise.Recordings(str(tmp_path), "augment.noise_folder")
    assert all(np.array_equal(recordings.draw(rng(str(n))), fresh.draw(rng(str(n)))) for n in range(10)), (
        "what is held changes nothing"
    )


def test_folders_and_ranges_that_cannot_be_right(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"augment.noise_folder: .*no such folder"):
        Sounds(AugmentRecipe(noise_folder=str(tmp_path / "none")))
    with pytest.raises(RecipeError, match=r"augment.room_folder: .*no audio file in it"):
        Sounds(AugmentRecipe(room_folder=str(tmp_path)))
    with pytest.raises(RecipeError, match="the least, then the most"):
        Sounds(AugmentRecipe(noise_snr_db=[20.0, 5.0]))
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        Sounds(AugmentRecipe(noise_folder=str(tmp_path))).noise(100, rng())
