from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tests.corpus.corpora import dropped, ledger, noise, prepared, rows, write_audio, write_lines

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.transcripts import folder as folders
from smallvoice.corpus.transcripts import kaldi, reader_of
from smallvoice.corpus.transcripts.segment import Problem, Recording
from smallvoice.recipe import CorpusRecipe


def _problems(folder: Path) -> dict[str, str]:
    return {item.where: item.reason for item in folders.read(folder, CorpusRecipe()) if isinstance(item, Problem)}


def _recordings(folder: Path) -> dict[str, Recording]:
    return {item.path: item for item in folders.read(folder, CorpusRecipe()) if isinstance(item, Recording)}


def test_split_and_session_are_what_the_folders_say(tmp_path: Path) -> None:
    for name in ("train/a", "train/visit 1/a", "test/visit 2/morning/a", "pilot/a"):
        write_audio(tmp_path / "data" / f"{name}.wav", noise(1))
        write_lines(tmp_path / "data" / f"{name}.txt", ["0\t1\thello"])
    found = {path: (item.split, item.session) for path, item in _recordings(tmp_path).items()}
    assert found == {
        "data/train/a.wav": ("train", None),
        "data/train/visit 1/a.wav": ("train", "visit 1"),
        "data/test/visit 2/morning/a.wav": ("test", "visit 2/morning"),
        "data/pilot/a.wav": (None, "pilot"),
    }
    assert set(_recordings(tmp_path / "data")) == {path.removeprefix("data/") for path in found}
    given_directly = _recordings(tmp_path / "data" / "test")
    assert {item.split for item in given_directly.values()} == {None}
    assert all(reader_of(folder) is None for folder in (tmp_path, tmp_path / "data", tmp_path / "data/test"))


def test_lines(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/a.wav", noise(5))
    lines = [
        "0.5\t1.25\thello world",
        "",
        "1.5 2.0 no tabs",
        "1.5\t2.0",
        "1.5\tlater\twords",
        "nan\t2\twords",
        "1_0\t20\twords",
        "1\t2\ttwo\tcolumns",
        " 2 \t 3.5 \t  spaces   squeezed  ",
    ]
    write_lines(tmp_path / "train/a.txt", lines)
    (recording,) = _recordings(tmp_path).values()
    found = [(segment.where, segment.start_s, segment.end_s, segment.text.strip()) for segment in recording.segments]
    assert found == [
        ("train/a.txt:1", 0.5, 1.25, "hello world"),
        ("train/a.txt:4", 1.5, 2.0, ""),
        ("train/a.txt:9", 2.0, 3.5, "spaces   squeezed"),
    ]
    assert _problems(tmp_path) == {f"train/a.txt:{number}": "bad line" for number in (3, 5, 6, 7, 8)}


def test_files_without_a_partner(tmp_path: Path) -> None:
    write_audio(tmp_path / "train/a.wav", noise(1))
    write_audio(tmp_path / "train/a.flac", noise(1))
    write_lines(tmp_path / "train/a.txt", ["0\t1\thello"])
    write_audio(tmp_path / "train/audio only.WAV", noise(1))
    write_audio(tmp_path / "train/empty.wav", noise(1))
    write_lines(tmp_path / "train/empty.txt", [])
    write_lines(tmp_path / "test/text only.txt", ["0\t1\tlost words", "1\t2\tmore", "bad"])
    write_lines(tmp_path / "README.txt", ["This corpus", "was recorded"])
    assert _problems(tmp_path) == {
        "train/a.flac": "audio without transcript",
        "train/audio only.WAV": "audio without transcript",
        "train/empty.wav": "audio without transcript",
        "test/text only.txt:1": "transcript without audio",
        "test/text only.txt:2": "transcript without audio",
        "test/text only.txt:3": "bad line",
        "train/empty.txt": "empty file",
        "README.txt:1": "transcript without audio",
    }
    (recording,) = _recordings(tmp_path).values()
    assert recording.path == "train/a.wav"


def test_bad_input_ends_in_the_ledger(tmp_path: Path) -> None:
    """Every bullet of a bad lab folder at once: nothing is lost, the good rows are kept."""
    data = tmp_path / "data"
    lines = ["0\t1\tgood", "2\t1.5\tbackwards", "4\t9\ttoo late", "1\t2\t  ", "1.1\t1.1\tnothing", "2\t3\tgood too"]
    for name in ("train/x/a", "train/y/a", "train/z/a", "test/w/a"):
        write_audio(data / f"{name}.wav", noise(5, sum(map(ord, name))))
        write_lines(data / f"{name}.txt", lines)
    broken = {
        "zero": b"",
        "words": b"not audio at all, but words" * 9,
        "cut": (data / "train/x/a.wav").read_bytes()[:9000],
    }
    for name, content in broken.items():
        (data / f"test/{name}.wav").write_bytes(content)
        write_lines(data / f"test/{name}.txt", [f"0\t0.1\tspoken in {name}"])
    write_audio(data / "test/none.wav", noise(0))
    write_lines(data / "test/none.txt", ["0\t0.1\tspoken in none"])
    (data / "test/latin.txt").write_bytes(b"0\t1\tcaf\xe9\n1\t2\tfine\n")
    write_audio(data / "test/latin.wav", noise(2))
    prepared(tmp_path, tmp_path / "out")
    found = dropped(tmp_path / "out")
    for name in ("train/x/a", "train/y/a", "train/z/a", "test/w/a"):
        assert found[f"data/{name}.txt:2"] == "ends before it starts"
        assert found[f"data/{name}.txt:3"] == "past the end of the recording"
        assert found[f"data/{name}.txt:4"] == "no text"
        assert found[f"data/{name}.txt:5"] == "no audio between start and end"
    assert found["data/test/zero.txt:1"] == "audio empty"
    assert found["data/test/words.txt:1"] == "not audio"
    assert found["data/test/cut.txt:1"] == "audio truncated"
    assert found["data/test/none.txt:1"] == "audio of zero length"
    assert found["data/test/latin.txt:1"] == "not UTF-8"
    assert len(found) == 21
    kept = rows(tmp_path / "out")
    assert sorted(row.text for row in kept) == ["fine"] + ["good"] * 4 + ["good too"] * 4
    # What a test split loses is listed with its words, so that it can be scored as deletions.
    lost = {
        entry["text"] for entry in ledger(tmp_path / "out") if entry["fate"] == "dropped" and entry["split"] == "test"
    }
    assert {f"spoken in {name}" for name in ("zero", "words", "cut", "none")} <= lost
    assert "backwards" in lost


def test_equal_names_in_different_folders_keep_their_own_text_and_audio(tmp_path: Path) -> None:
    audio = {}
    for number, child in enumerate(["anna", "ben", "cleo", "dora"]):
        text = f"I am child number {number}"
        audio[text] = noise(1, number)
        split = "test" if child == "dora" else "train"
        write_audio(tmp_path / "data" / split / child / "session1.wav", audio[text])
        write_lines(tmp_path / "data" / split / child / "session1.txt", [f"0\t1\t{text}"])
    prepared(tmp_path, tmp_path / "out")
    found = {row.text: decode_flac(row.audio) * 32_768 for row in rows(tmp_path / "out")}
    assert set(found) == set(audio)
    assert all(np.array_equal(found[text], audio[text]) for text in audio)
    assert len({row.id for row in rows(tmp_path / "out")}) == 4


def test_real_utterances_joined_into_long_recordings(shared_data: Path, tmp_path: Path) -> None:
    """Figure 6 of the job: every segment comes back with its text, its audio within one sample of the times."""
    pause = np.zeros(3200, np.int16)
    utterances: dict[str, list[tuple[str, Path]]] = {}
    for item in kaldi.read(shared_data / "speechocean762", CorpusRecipe()):
        if isinstance(item, Recording) and (speaker := item.segments[0].speaker):
            utterances.setdefault(speaker, []).append((item.segments[0].text, item.audio))
    expected: dict[tuple[str, str], np.ndarray] = {}
    for number, (speaker, spoken) in enumerate(sorted(utterances.items())[:8]):
        folder = tmp_path / "data" / ("test" if number < 2 else "train") / speaker
        for part in (0, 1):
            joined, lines, position = [pause], [], len(pause)
            for text, path in spoken[part * 5 : part * 5 + 5]:
                own, _ = soundfile.read(path, dtype="int16")
                lines.append(f"{position / 16_000:.6f}\t{(position + len(own)) / 16_000:.6f}\t{text}")
                expected[f"{folder.parent.name}/{speaker}/recording{part}", text] = own
                joined += [own, pause]
                position += len(own) + len(pause)
            write_audio(folder / f"recording{part}.wav", np.concatenate(joined))
            write_lines(folder / f"recording{part}.txt", lines)
    prepared(tmp_path, tmp_path / "out", language="en")
    where = {entry["id"]: entry["recording"] for entry in ledger(tmp_path / "out") if entry["fate"] == "kept"}
    found = {
        (where[row.id].removeprefix("data/").removesuffix(".wav"), row.text): row for row in rows(tmp_path / "out")
    }
    assert set(found) == set(expected)
    assert len(expected) > 70
    for key, own in expected.items():
        row = found[key]
        samples = (decode_flac(row.audio) * 32_768).astype(np.int16)
        start = round((row.extra["segment_start_s"] - row.start_s) * 16_000)
        assert np.array_equal(samples[start : start + len(own)], own)
        assert start == 1600 and len(samples) == len(own) + 3200
        assert row.split == ("test" if key[0].startswith("test") else row.split)
    sessions = {row.session: row.split for row in rows(tmp_path / "out")}
    assert all(sessions[row.session] == row.split for row in rows(tmp_path / "out"))
    assert sorted(sessions.values()) == ["dev"] + ["test"] * 2 + ["train"] * 5
