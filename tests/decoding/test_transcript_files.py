"""Whose transcript is whose, which are made again and which are not, and the table of what was read aloud."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
from tests.decoding.hearing import Heard, made, record, said

from smallvoice import cli, using
from smallvoice.errors import InputError
from smallvoice.scoring.read_aloud import COLUMNS, TABLE

pytest.importorskip("faster_whisper")


def durations(out: Path) -> dict[str, float]:
    """Of each transcript its recording's."""
    return {name: json.loads((out / name).read_text())["duration_s"] for name in made(out)}


def test_every_recording_has_a_transcript_of_its_own(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    source = tmp_path / "x"
    record(source / "a.wav", source / "a.flac", source / "a.wav.wav", source / "b.wav", source / "sub" / "b.wav")
    using.transcribe([source], model, out=tmp_path / "out")
    found = durations(tmp_path / "out")
    assert len(found) == 5 and len(set(found.values())) == 5
    assert set(found) == {"a.json", "a.wav.json", "a.wav.wav.json", "b.json", "sub/b.json"}


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


@pytest.mark.parametrize("together", [True, False], ids=["together", "one after the other"])
def test_folders_with_the_same_names(model: str, tmp_path: Path, heard: list[Heard], together: bool) -> None:
    folders = [tmp_path / folder for folder in ("x/day", "y/day", "z")]
    for number, folder in enumerate(folders, 1):
        record(folder / "a.mp3", seconds=float(number))
    out = tmp_path / "out"
    for sources in [folders] if together else [[folder] for folder in folders]:
        assert using.transcribe(sources, model, out=out)["transcribed"] == len(sources)
    assert len(made(out)) == 3 and {round(found) for found in durations(out).values()} == {1, 2, 3}
    assert round(durations(out)["a.json"]) == 1 and round(durations(out)["a.mp3.json"]) == 2
    before = made(out)
    for sources in ([folders[2]], [folders[0]], [folders[1]], folders[::-1]):
        assert using.transcribe(sources, model, out=out)["skipped"] == len(sources) and made(out) == before
    assert using.transcribe([folders[2] / "a.mp3", folders[2]], model, out=out)["recordings"] == 1
    assert str(tmp_path) not in "".join((out / name).read_text() for name in before)


def test_names_stay_when_a_recording_changes_and_another_comes(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    out = tmp_path / "out"
    record(tmp_path / "x" / "a.wav", seconds=1.0)
    using.transcribe([tmp_path / "x"], model, out=out)
    record(tmp_path / "0" / "a.wav", seconds=2.0)
    using.transcribe([tmp_path / "0", tmp_path / "x"], model, out=out)
    assert durations(out) == {"a.json": 1.0, "a.wav.json": 2.0}
    record(tmp_path / "x" / "a.wav", seconds=3.0)
    assert using.transcribe([tmp_path / "0", tmp_path / "x"], model, out=out)["transcribed"] == 1
    assert durations(out) == {"a.json": 3.0, "a.wav.json": 2.0}
    (out / "a.json").unlink()
    assert using.transcribe([tmp_path / "0"], model, out=out)["skipped"] == 1


def test_another_recording_of_the_same_size_and_time(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "a.wav", seconds=0.5)
    before = (tmp_path / "a.wav").stat()
    content = bytearray((tmp_path / "a.wav").read_bytes())
    using.transcribe([tmp_path / "a.wav"], model, out=tmp_path / "out")
    content[-2] ^= 1
    (tmp_path / "a.wav").write_bytes(content)
    os.utime(tmp_path / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (tmp_path / "a.wav").stat().st_size == before.st_size
    assert using.transcribe([tmp_path / "a.wav"], model, out=tmp_path / "out")["transcribed"] == 1
    assert heard[-1].asked == 1 and list(made(tmp_path / "out")) == ["a.json"]


def test_of_the_same_content_each_has_its_own(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    folders = [tmp_path / name for name in "uvwxyz"]
    record(folders[0] / "a.wav")
    for folder in folders[1:]:
        shutil.copytree(folders[0], folder)
    out = tmp_path / "out"
    assert using.transcribe(folders, model, out=out)["transcribed"] == len(made(out)) == 6
    before = made(out)
    assert using.transcribe(folders[::-1], model, out=out)["skipped"] == 6
    assert using.transcribe(folders[3:4], model, out=out)["skipped"] == 1 and made(out) == before


@pytest.mark.parametrize("source", ["-", "/dev/fd/100", "pipe"])
def test_what_comes_through_pipes_lies_nowhere(
    model: str, tmp_path: Path, heard: list[Heard], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Other content takes another name, and the same is done; so it is with a file behind a descriptor."""
    record(*(tmp_path / f"{number}.wav" for number in range(4)))
    monkeypatch.chdir(tmp_path)
    for number in (0, 1, 2, 3, 1):
        content = (tmp_path / f"{number}.wav").read_bytes()
        with (tmp_path / f"{number}.wav").open("rb") as file:
            if source == "pipe":
                Path("pipe").unlink(missing_ok=True)
                os.mkfifo("pipe")
                threading.Thread(target=Path("pipe").write_bytes, args=(content,)).start()
            os.dup2(file.fileno(), 100)
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            found = using.transcribe([Path(source)], model, out=tmp_path / "out")
            os.close(100)
    assert sorted(durations(tmp_path / "out").values()) == [0.5, 0.51, 0.52, 0.53] and found["skipped"] == 1


def test_names_as_long_as_a_file_system_takes(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(
        tmp_path / "x" / f"{'ü' * 125}.wav", tmp_path / "x" / f"{'ü' * 124}.wav", tmp_path / "x" / f"{'n' * 230}.wav"
    )
    found = using.transcribe([tmp_path / "x"], model, out=tmp_path / "out", formats=("textgrid",))
    assert found["transcribed"] == len(made(tmp_path / "out")) == 3
    assert using.transcribe([tmp_path / "x"], model, out=tmp_path / "out", formats=("textgrid",))["skipped"] == 3


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
    assert content["formats"] == ["eaf", "json", "srt", "txt"] and content["older"] == []


def test_no_format_keeps_the_words_of_audio_that_is_gone(
    model: str, tmp_path: Path, heard: list[Heard], caplog: pytest.LogCaptureFixture
) -> None:
    """What was asked for before is written again; what somebody has changed stays, and is named."""
    record(tmp_path / "a.wav")
    out = tmp_path / "out"
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("csv", "txt", "vtt", "eaf"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "a.vtt").write_text("as I heard it")
    (out / "a.eaf").unlink()
    record(tmp_path / "a.wav", seconds=0.2)
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("srt",))
    assert [record.message.split(":")[0] for record in caplog.records] == [str(out / "a.vtt")]
    assert (out / "a.csv").read_bytes() != before["a.csv"] and (out / "a.vtt").read_text() == "as I heard it"
    assert not (out / "a.eaf").exists(), "somebody has taken it away"
    content = json.loads((out / "a.json").read_text())
    assert content["formats"] == ["csv", "json", "srt", "txt"] and content["older"] == ["eaf", "vtt"]
    assert using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("srt",))["skipped"] == 1


def test_older_formats_that_a_killed_process_left_are_renewed(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "a.wav")
    out = tmp_path / "out"
    using.transcribe([tmp_path / "a.wav"], model, out=out, formats=("txt",))
    content = json.loads((out / "a.json").read_text())
    (out / "a.txt").write_text("of the audio before")
    (out / "a.json").write_text(json.dumps({**content, "formats": ["json"], "older": ["txt"], "written": {}}))
    assert using.transcribe([tmp_path / "a.wav"], model, out=out)["transcribed"] == 1 and heard[-1].asked == 0
    assert (out / "a.txt").read_text() == "the small dog\n"


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
    with (tmp_path / "out" / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["recording"] for row in rows] == ["anna", "ben"] and rows[0]["seconds"] == "0.3"
    (tmp_path / "out" / TABLE).write_text("marks of my class")
    with pytest.raises(SystemExit):
        cli.main(command)
    assert (tmp_path / "out" / TABLE).read_text() == "marks of my class"


def test_a_passage_without_words(model: str, tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "passage.txt").write_text(" ...\n")
    with pytest.raises(InputError, match=r"passage\.txt: no words"):
        using.transcribe([tmp_path / "a.wav"], model, read_text=tmp_path / "passage.txt")


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / TABLE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_keeps_the_rows_of_commands_before(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(*(tmp_path / f"{name}.wav" for name in ("ben", "anna", "cleo")))
    (tmp_path / "p.txt").write_text("The small dog sat.")
    (tmp_path / "q.txt").write_text("The dog.")
    out = tmp_path / "out"
    for name, passage in (("ben", "p"), ("anna", "p"), ("anna", "q"), ("cleo", "q")):
        command = {"out": out, "read_text": tmp_path / f"{passage}.txt"}
        found = using.transcribe([tmp_path / f"{name}.wav"], model, **command)
        assert [row["recording"] for row in found["readings"]] == [name]
    assert [(row["recording"], row["words"]) for row in rows_of(out)] == [("anna", "2"), ("ben", "4"), ("cleo", "2")]
    (out / "ben.json").unlink()
    using.transcribe([tmp_path / "cleo.wav"], model, out=out, read_text=tmp_path / "p.txt")
    assert [(row["recording"], row["words"]) for row in rows_of(out)] == [("anna", "2"), ("cleo", "4")]


def test_the_table_has_no_counts_of_audio_that_is_gone(
    model: str, tmp_path: Path, heard: list[Heard], capsys: pytest.CaptureFixture[str]
) -> None:
    names, out = ("anna", "ben", "cleo"), tmp_path / "out"
    recordings = {name: tmp_path / f"{name}.wav" for name in names}
    record(*recordings.values())
    (tmp_path / "p.txt").write_text("The small dog sat.")
    reading = {"out": out, "read_text": tmp_path / "p.txt"}
    using.transcribe(list(recordings.values()), model, **reading)
    table = (out / TABLE).read_text()
    record(recordings["ben"], seconds=0.9)
    using.transcribe([recordings["ben"]], model, out=out)
    assert "reading-aloud.csv: ben: left out: no reading of it is there now" in said(capsys)
    assert [row["recording"] for row in rows_of(out)] == ["anna", "cleo"]
    recordings["cleo"].write_text("another recording, and damaged")
    for sources in ([recordings["cleo"]], list(recordings.values())):
        with pytest.raises(InputError, match="could not be transcribed"):
            using.transcribe(sources, model, **reading)
        assert "cleo" not in [row["recording"] for row in rows_of(out)]
    assert [row["recording"] for row in rows_of(out)] == ["anna", "ben"]
    (out / TABLE).write_text(table)
    content = json.loads((out / "anna.json").read_text())
    content["reading"]["correct"] = 1
    (out / "anna.json").write_text(json.dumps(content))
    using.transcribe([recordings["ben"]], model, out=out)
    assert "reading-aloud.csv: anna: counted as its transcript says" in said(capsys)
    assert [row["correct"] for row in rows_of(out)] == ["1", "3", "3"]


def test_no_transcript_has_the_tables_name(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "x" / "reading-aloud.wav", tmp_path / "a.wav")
    (tmp_path / "a.wav").rename(tmp_path / "x" / "Reading-Aloud")
    sources = [tmp_path / "x", tmp_path / "x" / "Reading-Aloud"]
    (tmp_path / "p.txt").write_text("The small dog sat.")
    out = tmp_path / "out"
    for times in (2, 0):
        command = {"out": out, "formats": ("csv",), "read_text": tmp_path / "p.txt"}
        assert using.transcribe(sources, model, **command)["transcribed"] == times
    names = [row["recording"] for row in rows_of(out)]
    assert "reading-aloud.wav" in names and len(names) == 2
    assert all((out / f"{name}.csv").read_text().startswith("segment,") for name in names)


@pytest.mark.parametrize(
    "table",
    ["recording,words\nanna,4\n", "{header},remark\nanna{values},good\n", "{header}\nanna,4\n", "\0", ""],
    ids=["other columns", "one more column", "a short row", "binary", "empty"],
)
def test_a_table_of_somebody_else_stays(model: str, tmp_path: Path, heard: list[Heard], table: str) -> None:
    record(tmp_path / "anna.wav")
    (tmp_path / "p.txt").write_text("The small dog sat.")
    (tmp_path / "out").mkdir()
    header = ",".join(["recording", *COLUMNS])
    text = table.format(header=header, values="," * len(COLUMNS))
    (tmp_path / "out" / TABLE).write_text(text)
    with pytest.raises(InputError, match=r"reading-aloud\.csv: is there, and smallvoice has not written it"):
        using.transcribe([tmp_path / "anna.wav"], model, out=tmp_path / "out", read_text=tmp_path / "p.txt")
    assert heard[-1].asked == 0 and (tmp_path / "out" / TABLE).read_text() == text


def test_a_name_that_is_not_unicode_has_a_row(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    name = os.fsdecode(b"\xff.wav")
    record(tmp_path / "a.wav")
    (tmp_path / "a.wav").rename(tmp_path / name)
    (tmp_path / "p.txt").write_text("The small dog sat.")
    using.transcribe([tmp_path / name], model, out=tmp_path / "out", read_text=tmp_path / "p.txt")
    assert [row["recording"] for row in rows_of(tmp_path / "out")] == ["\\udcff"]
    record(tmp_path / "a.wav")
    using.transcribe([tmp_path / "a.wav"], model, out=tmp_path / "out", read_text=tmp_path / "p.txt")
    assert [row["recording"] for row in rows_of(tmp_path / "out")] == ["\\udcff", "a"]


def test_what_was_left_half_of_the_table_is_removed(model: str, tmp_path: Path, heard: list[Heard]) -> None:
    record(tmp_path / "x" / "sub" / "a.wav")
    (tmp_path / "out" / "sub").mkdir(parents=True)
    for left in (f".{TABLE}.abcd_123.part", "sub/.a.json.abcd_123.part"):
        (tmp_path / "out" / left).touch()
    using.transcribe([tmp_path / "x"], model, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.json"]


def test_what_begins_with_a_hyphen_is_an_option(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["transcribe", "--langage", "en", "a.wav", "--model", model])
    assert caught.value.code == 2 and "--langage: no such option" in said(capsys).replace("│ │ ", "")
