"""Recordings to transcripts: short and long, good and hostile, killed and continued."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from tests import tiny
from tests.conftest import needs_weights

from smallvoice import using
from smallvoice.corpus.audio import to_int16
from smallvoice.decoding import long_form, speech, writers
from smallvoice.decoding.engine import Decoded
from smallvoice.decoding.long_form import Segment
from smallvoice.decoding.word_times import Word, split, warp
from smallvoice.decoding.writers import Transcript
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import weights


def spoken(*texts: str) -> list[np.ndarray]:
    """Sentences that a program speaks, float32 at 16 kHz."""
    pytest.importorskip("espeakng_loader")
    import soxr

    from smallvoice.corpus.espeak import Speech, synthesise

    speeches = [
        Speech(text=text, voice="en-us", words_per_minute=150, pitch=50, pitch_range=50, seed=0) for text in texts
    ]
    rate, clips = synthesise(speeches)
    return [soxr.resample(clip.astype(np.float32) / 32_768, rate, 16_000) for clip in clips]


def silence(seconds: float) -> np.ndarray:
    return 1e-4 * np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model always loops, and would be asked five times more."""
    monkeypatch.setattr(long_form, "TEMPERATURES", ())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short recordings, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, name in enumerate(["a.wav", "b.flac", "class 1/c.wav"]):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, tiny.tone(1.0 + number, number), 16_000)
    return folder


def test_the_cheapest_path_follows_the_diagonal() -> None:
    cost = np.ones((3, 6))
    for row, columns in enumerate([(0, 1), (2, 3), (4, 5)]):
        cost[row, list(columns)] = 0.0
    rows, columns = warp(cost)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (9, 4)])
def test_a_path_costs_what_a_plain_search_finds(shape: tuple[int, int]) -> None:
    cost = np.random.default_rng(1).random(shape)
    rows, columns = warp(cost)
    least = np.full((shape[0] + 1, shape[1] + 1), np.inf)
    least[0, 0] = 0
    for i in range(shape[0]):
        for j in range(shape[1]):
            least[i + 1, j + 1] = cost[i, j] + min(least[i, j], least[i, j + 1], least[i + 1, j])
    assert cost[rows, columns].sum() == pytest.approx(least[-1, -1])
    assert set(np.diff(rows)) | set(np.diff(columns)) <= {0, 1}


@needs_weights("openai/whisper-base")
def test_tokens_become_words() -> None:
    tokenizer = weights.load("openai/whisper-base").tokenizer
    text = "Don't you, um, call it “unbelievable” — 50%?"
    tokens = tokenizer.encode(f" {text}", add_special_tokens=False)
    words = [tokenizer.decode(tokens[first:last]).strip() for first, last, _ in split(tokenizer, tokens, "en")]
    assert words[:5] == ["Don't", "you,", "um,", "call", "it"] and " ".join(words) == text
    assert all(first < spoken <= last for first, last, spoken in split(tokenizer, tokens, "en"))
    tokens = tokenizer.encode(" well ...and then", add_special_tokens=False)
    words = [tokenizer.decode(tokens[first:last]).strip() for first, last, _ in split(tokenizer, tokens, "en")]
    assert words == ["well", "...and", "then"]
    tokens = tokenizer.encode("今天天气好。", add_special_tokens=False)
    words = [tokenizer.decode(tokens[first:last]) for first, last, _ in split(tokenizer, tokens, "zh")]
    assert "".join(words) == "今天天气好。" and len(words) > 2 and words[-1].endswith("。")
    tokens = tokenizer.encode(" 나는 학교에서 재미있는", add_special_tokens=False)
    words = [tokenizer.decode(tokens[first:last]) for first, last, _ in split(tokenizer, tokens, "ko")]
    assert words == [" 나는", " 학교에서", " 재미있는"]
    half = tokenizer.convert_tokens_to_ids("ĠÕ")  # a space and the first byte of a letter, which no other follows
    tokens = [*tokenizer.encode(" a big", add_special_tokens=False), half, 3000, 3227]
    words = [tokenizer.decode(tokens[first:last]) for first, last, _ in split(tokenizer, tokens, "en")]
    assert words == [" a", " big", " \ufffd", " dog", " sat"]
    halves = tokenizer.convert_tokens_to_ids(["ĠðŁ", "ĺ"])  # of an emoji of four bytes
    tokens = [*tokenizer.encode(" a big", add_special_tokens=False), *halves, 3000, 3227]
    words = [tokenizer.decode(tokens[first:last]) for first, last, _ in split(tokenizer, tokens, "en")]
    assert words[:2] == [" a", " big"] and words[-2:] == [" dog", " sat"] and len(words) == 5


@needs_weights("openai/whisper-tiny.en")
def test_words_lie_where_they_were_said() -> None:
    """Two sentences with two seconds between them, by a program whose pauses are known."""
    first, second = spoken("the old dog sleeps", "seven children laughed")
    sound = np.concatenate([silence(1.0), first, silence(2.0), second, silence(1.0)])
    transcriber = using.opened("openai/whisper-tiny.en")
    transcript = transcriber.transcribe(to_int16(sound))
    words = [word for segment in transcript.segments for word in segment.words]
    assert len(words) >= 6
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    begins = 1.0 + len(first) / 16_000 + 2.0
    assert abs(words[0].start_s - 1.0) < 0.3
    assert min(abs(word.start_s - begins) for word in words) < 0.4
    assert not any(1.3 + len(first) / 16_000 < word.start_s < begins - 0.5 for word in words)
    assert all(0 < word.probability <= 1 and word.end_s >= word.start_s for word in words)


def test_speech_is_found_across_the_blocks_of_a_long_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    sentences = spoken("the old dog sleeps in the kitchen", "seven children laughed at the clown", "where is my hat")
    sound, said = [silence(1.0)], []
    for number in range(9):
        start = sum(map(len, sound))
        sound += [sentences[number % 3], silence(1.2)]
        said.append((start, start + len(sentences[number % 3])))
    samples = to_int16(np.concatenate(sound))
    whole = speech.spans(samples)
    assert len(whole) == len(said)
    for (first, last), (start, end) in zip(whole, said, strict=True):
        assert abs(first - start) < 3_200 and abs(last - end) < 8_000
    for (first, last), (start, end) in zip(speech.padded(whole, len(samples)), whole, strict=True):
        assert start - 3_200 <= first < start and end < last <= end + 3_200
    monkeypatch.setattr(speech, "BLOCK_S", 6.5)
    parts = speech.spans(samples)
    assert len(parts) == len(whole)
    assert all(
        abs(a - b) < 4_000 for one, other in zip(parts, whole, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_a_loop_is_drawn_again_and_the_first_good_draw_is_taken(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_form, "TEMPERATURES", (0.2, 0.4, 0.6))
    asked: list[float] = []

    class Looping:
        recipe = using.opened(str(tiny_models["english"])).decode

        batch_frames = 12_000

        def num_frames(self, duration_s: float) -> int:
            return 200

        def decode(self, waveforms: list[np.ndarray], language: str | None, **how: float) -> list[Decoded]:
            asked.append(how.get("temperature", 0.0))
            text = "a bear" if asked[-1] > 0.3 else "bear " * 40
            return [Decoded(text, 3, -0.5, capped=False, words=[Word("a", 0.0, 9.0, 0.5)]) for _ in waveforms]

    samples = to_int16(tiny.tone(1.0))
    segments = long_form.transcribe(samples, speech.Heard([], [(0, len(samples))]), Looping(), "en")
    assert asked == [0.0, 0.2, 0.4]
    assert [segment.text for segment in segments] == ["a bear"]
    assert segments[0].temperature == 0.4 and not segments[0].doubtful
    assert segments[0].words[0].end_s == segments[0].end_s == 1.0, "no word ends after its segment"


TRANSCRIPT = Transcript(
    4000.0,
    "en",
    [
        Segment(
            0.5,
            1.5,
            'He said "no" & <left>.',
            [Word("He", 0.5, 0.7, 0.9), Word("said", 0.6, 1.6, 0.8)],
            -0.2,
            0.0,
            False,
        ),
        Segment(3725.25, 3726.0, "Ünïcode 今天", [Word("Ünïcode", 3725.25, 3725.25, 0.123456)], -0.2, 0.0, False),
    ],
    {"model": "openai/whisper-base"},
)


def test_subtitles() -> None:
    assert writers.as_text(TRANSCRIPT) == 'He said "no" & <left>.\nÜnïcode 今天\n'
    assert "1\n00:00:00,500 --> 00:00:01,500\n" in writers.as_srt(TRANSCRIPT)
    assert "\n\n2\n01:02:05,250 --> 01:02:06,000\nÜnïcode 今天\n" in writers.as_srt(TRANSCRIPT)
    assert writers.as_vtt(TRANSCRIPT).startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHe said")
    assert "&amp; &lt;left&gt;" in writers.as_vtt(TRANSCRIPT)
    rows = list(csv.DictReader(io.StringIO(writers.as_csv(TRANSCRIPT))))
    assert [row["word"] for row in rows] == ["He", "said", "Ünïcode"] and rows[2]["probability"] == "0.123"
    assert json.loads(writers.as_json(TRANSCRIPT))["segments"][1]["words"][0]["text"] == "Ünïcode"


def test_characters_that_xml_has_no_place_for_are_left_out() -> None:
    text = "a\ufffe b\uffff c\ud800 d\udfff e\x00\x1f \ufffd \U0001f600"
    written = writers.as_elan(Transcript(1.0, "en", [Segment(0.0, 1.0, text, [], -0.2, 0.0, False)], {}))
    values = ElementTree.fromstring(written.encode()).iter("ANNOTATION_VALUE")
    assert [value.text for value in values] == ["a b c d e \ufffd \U0001f600"]


def test_praat_and_elan_read_what_is_written(tmp_path: Path) -> None:
    textgrid, pympi = pytest.importorskip("praatio.textgrid"), pytest.importorskip("pympi")
    for name in ("textgrid", "eaf"):
        (tmp_path / f"a.{name}").write_text(writers.FORMATS[name](TRANSCRIPT), encoding="utf-8")
    grid = textgrid.openTextgrid(str(tmp_path / "a.textgrid"), includeEmptyIntervals=True)
    assert grid.tierNames == ("segments", "words") and grid.maxTimestamp == 4000.0
    said = [entry for entry in grid.getTier("words").entries if entry.label]
    assert [entry.label for entry in said] == ["He", "said", "Ünïcode"]
    assert all(one.end <= two.start for one, two in pairwise(said))
    assert grid.getTier("segments").entries[1].label == 'He said "no" & <left>.'
    elan = pympi.Elan.Eaf(str(tmp_path / "a.eaf"))
    assert sorted(elan.get_tier_names()) == ["segments", "words"]
    assert sorted(elan.get_annotation_data_for_tier("segments"))[0] == (500, 1500, 'He said "no" & <left>.')


def test_what_smallvoice_writes_it_reads_as_transcripts(tmp_path: Path) -> None:
    from smallvoice import verbs

    for name in ("textgrid", "eaf", "srt", "vtt"):
        file = tmp_path / f"a.{writers.SUFFIXES.get(name, name)}"
        file.write_text(writers.FORMATS[name](TRANSCRIPT), encoding="utf-8")
        found = verbs.read(file)
        assert len(found["segments"]) >= 2, name


@pytest.mark.parametrize(
    ("word", "times"),
    [
        ((1.96, 5.2), (4.8, 5.2)),  # attention begins a little before the pause
        ((1.5, 4.9), (1.5, 2.0)),
        ((1.0, 6.0), (1.0, 6.0)),  # said on both sides of it
        ((1.95, 4.85), (1.95, 4.85)),  # no telling
        ((-0.2, 1.0), (0.0, 1.0)),
        ((2.5, 3.0), (2.5, 3.0)),
    ],
)
def test_a_pause_is_no_part_of_a_word(word: tuple[float, float], times: tuple[float, float]) -> None:
    placed = long_form._placed(Word("word", *word, 0.9), [(0.0, 2.0), (4.8, 7.0)])
    assert (placed.start_s, placed.end_s) == times


def test_a_folder_is_transcribed_once(tiny_models: dict[str, Path], recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    model = str(tiny_models["english"])
    made = using.transcribe([recordings], model, out=tmp_path, formats=("srt", "textgrid"))
    assert made == {"recordings": 3, "transcribed": 3, "skipped": 0, "failed": 0}
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted(f"{name}.{kind}" for name in ("a", "b", "class 1/c") for kind in ("srt", "TextGrid", "json"))
    content = json.loads((tmp_path / "class 1" / "c.json").read_text())
    assert content["duration_s"] == 3.0 and str(recordings) not in json.dumps(content)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = using.transcribe([recordings], model, out=tmp_path, formats=("srt", "textgrid"))
    assert again["skipped"] == 3 and {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    one = using.transcribe([recordings / "a.wav"], model, out=tmp_path)
    assert one["skipped"] == 1 and one["segments"] == json.loads((tmp_path / "a.json").read_text())["segments"]
    (tmp_path / "a.srt").unlink()
    assert using.transcribe([recordings], model, out=tmp_path, formats=("srt", "textgrid"))["transcribed"] == 1
    assert using.transcribe([recordings], model, out=tmp_path, beams=2)["transcribed"] == 3, "other settings"


def test_files_of_another_model_are_not_taken_for_done(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path
) -> None:
    """The JSON of one model does not stay beside the subtitles of another: they are made again, asked for or not."""
    pytest.importorskip("faster_whisper")
    model, source = str(tiny_models["english"]), [recordings / "a.wav"]
    using.transcribe(source, model, out=tmp_path, formats=("srt",))
    first = (tmp_path / "a.srt").stat().st_ino
    using.transcribe(source, model, out=tmp_path, beams=2)
    assert (tmp_path / "a.srt").stat().st_ino != first
    assert using.transcribe(source, model, out=tmp_path, beams=2, formats=("srt",))["skipped"] == 1


def test_what_somebody_has_put_right_stays(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faster_whisper")
    model, source = str(tiny_models["english"]), [recordings / "a.wav"]
    using.transcribe(source, model, out=tmp_path, formats=("textgrid",))
    (tmp_path / "a.TextGrid").write_text("hours of work")
    assert using.transcribe(source, model, out=tmp_path, formats=("textgrid",))["skipped"] == 1
    with pytest.raises(InputError, match="1 of 1"):
        using.transcribe(source, model, out=tmp_path, beams=2, formats=("textgrid",))
    assert "somebody has changed it" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "a.TextGrid").read_text() == "hours of work"


def test_cut_off_between_two_formats_nothing_is_taken_for_somebodys(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faster_whisper")
    model, source = str(tiny_models["english"]), [recordings / "a.wav"]
    using.transcribe(source, model, out=tmp_path, formats=("srt",))

    def stop(_: Transcript) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(writers.FORMATS, "vtt", stop)  # after srt
        with pytest.raises(KeyboardInterrupt):
            using.transcribe(source, model, out=tmp_path, beams=2, formats=("srt", "vtt"))
    assert using.transcribe(source, model, out=tmp_path, beams=2, formats=("srt", "vtt"))["transcribed"] == 1


def test_other_formats_leave_the_table_of_readings_alone(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faster_whisper")
    model = str(tiny_models["english"])
    (tmp_path / "passage.txt").write_text("one two three")
    out = tmp_path / "out"
    using.transcribe([recordings], model, out=out, read_text=tmp_path / "passage.txt")
    before = (out / "reading-aloud.csv").read_text()
    assert before.count("\n") == 4
    found = using.transcribe([recordings / "a.wav"], model, out=out, formats=("srt",))
    assert "readings" not in found and (out / "reading-aloud.csv").read_text() == before


def test_nobodys_own_files_are_written_over(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faster_whisper")
    (tmp_path / "a.TextGrid").write_text("hours of work")
    with pytest.raises(InputError, match="1 of 1"):
        using.transcribe([recordings / "a.wav"], str(tiny_models["english"]), out=tmp_path, formats=("textgrid",))
    assert "smallvoice has not written it" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "a.TextGrid").read_text() == "hours of work" and len(list(tmp_path.iterdir())) == 1


def test_words_at_the_very_end_stay_inside_the_recording(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid")
    words = [Word(str(number), 29.98, 30.0, 1.0) for number in range(5)]
    transcript = Transcript(30.0, "en", [Segment(29.98, 30.0, "0 1 2 3 4", words, -0.2, 0.0, True)], {})
    (tmp_path / "a.TextGrid").write_text(writers.as_textgrid(transcript), encoding="utf-8")
    grid = textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=True)
    assert [entry.label for entry in grid.getTier("words").entries if entry.label] == list("01234")
    assert grid.maxTimestamp == 30.0


def test_names_that_would_collide_are_kept_apart(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    for folder, name in (("x", "a.wav"), ("x", "a.flac"), ("y", "a.wav")):
        (tmp_path / folder).mkdir(exist_ok=True)
        soundfile.write(tmp_path / folder / name, tiny.tone(0.5), 16_000)
    using.transcribe([tmp_path / "x", tmp_path / "y"], str(tiny_models["english"]), out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.json"))) == 3


def test_a_file_that_fails_is_said_and_the_rest_goes_on(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faster_whisper")
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    soundfile.write(hostile / "good.wav", tiny.tone(0.5), 16_000)
    soundfile.write(hostile / "nothing.wav", np.zeros(0, np.float32), 16_000)
    soundfile.write(hostile / "nan.wav", np.full(800, np.nan, np.float32), 16_000, subtype="FLOAT")
    soundfile.write(hostile / "slow.wav", tiny.tone(0.5), 1)
    soundfile.write(hostile / "fast.wav", tiny.tone(0.5), 10_000_000)
    soundfile.write(hostile / "wide.wav", np.zeros((800, 200), np.float32), 16_000)
    (hostile / "text.wav").write_text("this is no sound")
    lying = bytearray((hostile / "good.wav").read_bytes())
    lying[40:44] = (160_000).to_bytes(4, "little")
    (hostile / "lying.wav").write_bytes(bytes(lying))
    started = time.monotonic()
    with pytest.raises(InputError, match=r"7 of 8 recordings could not be transcribed"):
        using.transcribe([hostile], str(tiny_models["english"]), out=tmp_path / "out")
    assert time.monotonic() - started < 30
    said = capsys.readouterr().err
    assert all(f"{name}.wav: " in said for name in ("nothing", "nan", "slow", "fast", "wide", "text", "lying"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.json"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"sources": []}, "Nothing to transcribe"),
        ({"sources": [Path("nowhere.wav")]}, "nowhere.wav: no such file"),
        ({"formats": ("docx",)}, "--format docx: not known"),
        ({"language": "fr"}, "--language fr: this model knows en"),
        ({"read_text": Path("nowhere.txt")}, "nowhere.txt"),
    ],
)
def test_mistakes_are_said(
    tiny_models: dict[str, Path], recordings: Path, arguments: dict[str, object], problem: str
) -> None:
    pytest.importorskip("faster_whisper")
    settings = {"sources": [recordings], "model": str(tiny_models["english"]), "out": Path("never"), **arguments}
    with pytest.raises((InputError, RecipeError), match=problem):
        using.transcribe(**settings)
    assert not Path("never").exists()


def test_killed_and_begun_again_nothing_is_missing_or_half(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    source, out = tmp_path / "many", tmp_path / "out"
    source.mkdir()
    for number in range(12):
        soundfile.write(source / f"{number:02d}.wav", tiny.tone(0.5, number), 16_000)
    command = [sys.executable, "-m", "smallvoice", "transcribe", str(source), "--out", str(out), "--format", "srt"]
    command += ["--model", str(tiny_models["english"])]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = [path for path in out.glob("*.json") if "srt" in json.loads(path.read_text())["formats"]]
    done = {path.name: path.stat().st_mtime_ns for path in finished}
    assert 3 <= len(done) < 12
    assert subprocess.run(command, capture_output=True).returncode == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(f"{number:02d}.{kind}" for number in range(12) for kind in ("json", "srt"))
    assert all((out / name).stat().st_mtime_ns == modified for name, modified in done.items())
    assert all(json.loads(path.read_text())["duration_s"] == 0.5 for path in out.glob("*.json"))


def test_standard_input_and_the_text_on_standard_output(
    tiny_models: dict[str, Path], recordings: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faster_whisper")
    passage = tmp_path / "passage.txt"
    passage.write_text("The small voice")
    command = [sys.executable, "-m", "smallvoice", "transcribe", "-", "--model", str(tiny_models["english"])]
    command += ["--read-text", str(passage), "--json"]
    run = subprocess.run(command, input=(recordings / "a.wav").read_bytes(), capture_output=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    content = json.loads(run.stdout)
    assert content["duration_s"] == 1.0 and content["reading"]["words"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["passage.txt"]


@pytest.mark.parametrize(("soft_s", "found_s"), [(0.0, 0.0), (0.2, 0.2), (0.45, 0.45), (2.0, 0.0)])
def test_a_soft_beginning_is_found(soft_s: float, found_s: float) -> None:
    """Noise, something softer than speech for so long, and where the detector hears speech; what lasts is noise."""
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.standard_normal(3 * 16_000)
    heard = 2 * 16_000
    start = heard - round(soft_s * 16_000)
    samples[start:heard] += 0.01 * rng.standard_normal(heard - start)
    begin = speech._begin(to_int16(samples.astype(np.float32)), heard)
    assert (heard - begin) / 16_000 == pytest.approx(found_s, abs=0.03)


def test_a_beginning_ends_where_the_recording_begins() -> None:
    samples = to_int16(np.full(16_000, 0.1, np.float32))
    assert speech._begin(samples, 0) == 0 and speech._begin(samples, 100) == 100
    assert 0 <= speech._begin(samples, 8_000) <= 8_000
