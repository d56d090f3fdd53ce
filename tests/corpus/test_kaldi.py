from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.corpora import children, noise, write_audio, write_kaldi, write_lines
from tests.corpus.transcripts.damage import damage, mutated

from smallvoice.corpus.transcripts import kaldi, read
from smallvoice.corpus.transcripts.commands import DecodedFile, decoded_file
from smallvoice.corpus.transcripts.segment import Note, Problem, Recording
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe


def _recordings(folder: Path) -> list[Recording]:
    return [item for item in kaldi.read(folder, CorpusRecipe()) if isinstance(item, Recording)]


def _problems(folder: Path) -> dict[str, str]:
    return {item.where: item.reason for item in kaldi.read(folder, CorpusRecipe()) if isinstance(item, Problem)}


def _lost_words(folder: Path) -> dict[str, str]:
    problems = [item for item in kaldi.read(folder, CorpusRecipe()) if isinstance(item, Problem) and item.segment]
    return {item.where: item.segment.text for item in problems if item.segment}


def test_what_is_known_of_a_speaker(tmp_path: Path) -> None:
    folder = write_kaldi(
        tmp_path / "k", {"anna": (6.5, "F"), "ben": (None, "Boy"), "cleo": (7, "nb"), "dan": (8, None)}
    )
    write_lines(folder / "utt2lang", ["anna-0 de"])
    write_lines(folder / "spk2lang", ["anna en"])
    segments = {recording.path: recording.segments[0] for recording in _recordings(folder)}
    anna, ben = segments["wav/anna/0.wav"], segments["wav/ben/0.wav"]
    assert (anna.speaker, anna.age_years, anna.gender, anna.language) == ("anna", 6.5, "f", "de")
    assert segments["wav/anna/1.wav"].language == "en"
    assert (ben.age_years, ben.gender, ben.language) == (None, "m", None)
    assert segments["wav/cleo/0.wav"].gender == "nb"
    assert segments["wav/dan/0.wav"].gender is None


def test_without_utt2spk_the_speaker_is_unknown(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(2))
    (folder / "utt2spk").unlink()
    assert {segment.speaker for recording in _recordings(folder) for segment in recording.segments} == {None}


def test_unreadable_ages_and_unread_tables_are_said(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(2))
    write_lines(folder / "spk2age", ["kid000 six", "kid001 unknown", "kid002 -1"])
    write_lines(folder / "spk2name", ["kid000 Anna"])
    assert {segment.age_years for recording in _recordings(folder) for segment in recording.segments} == {None}
    notes = [item.message for item in kaldi.read(folder, CorpusRecipe()) if isinstance(item, Note)]
    assert notes == ["spk2name is not read.", "spk2age: not a number of years, so unknown: -1, six."]


def test_segments_of_a_long_recording(tmp_path: Path) -> None:
    write_audio(tmp_path / "rec1.wav", np.stack([noise(3), noise(3, 1)], axis=1))
    write_lines(tmp_path / "wav.scp", ["rec1\trec1.wav"])
    write_lines(tmp_path / "text", ["a HELLO", "b WORLD", "c OTHER SIDE", "d NO TIMES", "e NO RECORDING", "f BAD"])
    lines = ["a rec1 0.5 1.25", "b rec1 1.5 -1", "c rec1 0 1 1", "e rec9 0 1", "f rec1 0,5 1", "g rec1 2 3"]
    write_lines(tmp_path / "segments", lines)
    mixed, other = _recordings(tmp_path)
    assert [(segment.text, segment.start_s, segment.end_s) for segment in mixed.segments] == [
        ("HELLO", 0.5, 1.25),
        ("WORLD", 1.5, None),
    ]
    assert (mixed.channel, other.channel, other.segments[0].text) == (None, 1, "OTHER SIDE")
    assert _problems(tmp_path) == {
        "text:4": "transcript without audio",
        "text:5": "transcript without audio",
        "text:6": "bad line",
        "segments:6": "audio without transcript",
    }
    assert _lost_words(tmp_path) == {"text:4": "NO TIMES", "text:5": "NO RECORDING", "text:6": "BAD"}


def test_both_ways_without_a_partner(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(3))
    write_lines(folder / "text", ["kid000-0 HERE", "kid000-1 GONE", "kid001-0 HERE TOO", "nobody-0 NO ENTRY"])
    (folder / "wav/kid000/1.wav").unlink()
    write_audio(folder / "wav/kid009/7.flac", noise(0.1))
    problems = _problems(folder)
    assert problems.pop("text:2") == problems.pop("text:4") == "transcript without audio"
    assert set(problems.values()) == {"audio without transcript"}
    assert set(problems) == {"wav.scp:4", "wav.scp:5", "wav.scp:6", "wav/kid009/7.flac"}


def test_lines_that_cannot_be_used(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(1))
    (folder / "text").write_bytes(b"kid000-0 FINE\nkid000-1 CAF\xc9\nkid000-0 AGAIN\n\n")
    with (folder / "wav.scp").open("a") as file:
        file.write("lonely\n")
    assert _problems(folder) == {
        "text:2": "not UTF-8",
        "text:3": "name given twice",
        "wav.scp:2": "audio without transcript",
        "wav.scp:3": "bad line",
    }
    assert _lost_words(folder) == {"text:3": "AGAIN"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_other_encodings_that_can_be_told(tmp_path: Path, encoding: str) -> None:
    folder = write_kaldi(tmp_path / "k", children(2))
    content = (folder / "text").read_text().replace("AND", "ĊÄ — “X”")
    (folder / "text").write_bytes(content.replace("\n", "\r\n").encode(encoding))
    assert _problems(folder) == {}
    assert [recording.segments[0].text for recording in _recordings(folder)] == [
        line.split(" ", 1)[1] for line in content.splitlines()
    ]


def test_paths_relative_to_a_folder_above(tmp_path: Path) -> None:
    """The official download of speechocean762: WAVE/ lies beside train/ and test/."""
    source = write_kaldi(tmp_path / "root" / "train", children(2))
    shutil.move(source / "wav", tmp_path / "root" / "wav")
    assert _recordings(source) == []
    assert set(_problems(source).values()) == {"audio outside the folder"}
    allowed = kaldi.read(source, CorpusRecipe(audio=[str(tmp_path / "root")]))
    assert {item.path for item in allowed if isinstance(item, Recording)} == {
        f"wav/kid00{number}/{take}.wav" for number in (0, 1) for take in (0, 1)
    }
    both = _recordings(tmp_path / "root")
    assert {recording.split for recording in both} == {"train"}
    assert _problems(tmp_path / "root") == {}


def test_split_folders_in_data(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_kaldi(tmp_path / "data" / split, children(1, split), per_speaker=1)
    assert {recording.path: recording.split for recording in _recordings(tmp_path)} == {
        "data/train/wav/train000/0.wav": "train",
        "data/test/wav/test000/0.wav": "test",
    }


def test_an_absolute_path_names_nothing_of_this_machine(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(1))
    moved = shutil.move(folder / "wav", tmp_path / "elsewhere")
    write_lines(folder / "wav.scp", [f"kid000-0 {moved}/kid000/0.wav", f"kid000-1 {moved}/kid000/1.wav"])
    assert _recordings(folder) == []
    (problem, _) = [item for item in kaldi.read(folder, CorpusRecipe()) if isinstance(item, Problem) and item.segment]
    assert problem.reason == "audio outside the folder"
    assert problem.detail.endswith("allow its folder with --set audio=[DIR]")
    allowed = kaldi.read(folder, CorpusRecipe(audio=[str(tmp_path / "elsewhere")]))
    found = [item.path for item in allowed if isinstance(item, Recording)]
    assert found == ["kid000-0/0.wav", "kid000-1/1.wav"]


def test_a_command_is_never_run(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(3), per_speaker=1)
    trap = tmp_path / "run"
    scp = [
        "kid000-0 sox wav/kid000/0.wav -t wav - |",
        f"kid001-0 touch {trap}; cat wav/kid001/0.wav |",
        "kid002-0 sox wav/kid002/0.wav -t wav - speed 1.1 |",
    ]
    write_lines(folder / "wav.scp", scp)
    (recording,) = _recordings(folder)
    assert recording.path == "wav/kid000/0.wav"
    problems = _problems(folder)
    assert problems["text:2"] == problems["text:3"] == "wav.scp entry is a command"
    assert not trap.exists()


@pytest.mark.parametrize(
    ("command", "path", "channel"),
    [
        ("cat a.wav |", "a.wav", None),
        ("flac -c -d -s a.flac |", "a.flac", None),
        ("flac -cds a.flac |", "a.flac", None),
        ("/usr/bin/flac --decode --stdout --silent 'a b.flac' |", "a b.flac", None),
        ("sph2pipe -f wav a.sph |", "a.sph", None),
        ("/opt/sph2pipe -f wav -p -c 2 a.sph |", "a.sph", 1),
        ("sox a.mp3 -t wav - |", "a.mp3", None),
        ("sox -t wav a.wav -r 16k -c 1 -b 16 -t wav - |", "a.wav", None),
        ("sox a.wav -t wav - remix 2 |", "a.wav", 1),
        ("sox a.wav -t wav - rate 16000|", "a.wav", None),
        ("ffmpeg -v error -i a.m4a -f wav -ar 16000 -ac 1 - |", "a.m4a", None),
        ("ffmpeg -nostdin -i a.mp3 -f wav pipe:1 |", "a.mp3", None),
    ],
)
def test_commands_that_only_decode(command: str, path: str, channel: int | None) -> None:
    assert decoded_file(command) == DecodedFile(path=path, channel=channel)


@pytest.mark.parametrize(
    "command",
    [
        "|",
        "cat |",
        "cat a.wav b.wav |",
        "cat - |",
        "cat -n a.wav |",
        "cat a.wav > b.wav |",
        "cat `ls` |",
        "cat $(ls) |",
        "cat *.wav |",
        "rm a.wav |",
        "wget -O - http://example.org/a.wav |",
        "flac -c a.wav |",
        "flac -c -d --skip=100 a.flac |",
        "sph2pipe -f raw a.sph |",
        "sph2pipe -f wav -t 1:2 a.sph |",
        "sph2pipe -c 3 a.sph |",
        "sph2pipe -f wav a.sph | sox - -t wav - |",
        "sox -v 0.5 a.wav -t wav - |",
        "sox -r 8000 a.raw -t wav - |",
        "sox a.wav -r 8000 -t wav - |",
        "sox a.wav -c 2 -t wav - |",
        "sox a.wav b.wav -t wav - |",
        "sox a.wav -t wav - trim 0 1 |",
        "sox a.wav -t wav - remix 1,2 |",
        "ffmpeg -ss 3 -i a.wav -f wav - |",
        "ffmpeg -i a.wav -af volume=2 -f wav - |",
        "ffmpeg -i a.wav -ar 8000 -f wav - |",
        "ffmpeg -i a.wav b.wav |",
        "ffmpeg -i a.wav -i b.wav -f wav - |",
        "cat 'a.wav |",
    ],
)
def test_commands_that_do_more(command: str) -> None:
    assert decoded_file(command) is None


def test_hidden_files_are_no_orphans(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(1))
    (folder / "wav" / "._0.wav").write_bytes(b"\0" * 10)
    (folder / ".backup").symlink_to(folder / "wav")
    assert _problems(folder) == {}


@given(table=st.sampled_from(["text", "wav.scp", "segments", "utt2spk", "spk2age"]), data=st.data())
@damage
def test_damaged_tables(tmp_path: Path, table: str, data: st.DataObject) -> None:
    folder = tmp_path / "k"
    if not folder.exists():
        write_kaldi(folder, children(2))
        names = [f"kid00{child}-{take}" for child in range(2) for take in range(2)]
        write_lines(folder / "segments", [f"{name} {name} 0.0 0.2" for name in names])
    intact = (folder / table).read_bytes()
    (folder / table).write_bytes(data.draw(mutated(intact)))
    try:
        found = list(kaldi.read(folder, CorpusRecipe()))
    except InputError:
        found = []
    finally:
        (folder / table).write_bytes(intact)
    assert all(isinstance(item, Recording | Problem | Note) for item in found)


def test_every_kaldi_folder_beside_a_split_is_read(tmp_path: Path) -> None:
    for part in ("train", "dev", "eval", "test_children", "others"):
        write_kaldi(tmp_path / "data" / part, children(1, part), per_speaker=1)
    write_kaldi(tmp_path / "data/train/split2/1", children(1, "deep"), per_speaker=1)
    found = [(recording.path.split("/")[1], recording.split) for recording in _recordings(tmp_path)]
    assert found == [
        ("dev", "dev"),
        ("eval", "test"),
        ("train", "train"),
        ("test_children", "test"),
        ("others", None),
    ]
    (note,) = [item.message for item in kaldi.read(tmp_path, CorpusRecipe()) if isinstance(item, Note)]
    assert note.endswith("data/train (train), data/test_children (test), data/others (none).")
    deep = "data/train/split2/1"
    assert _problems(tmp_path) == {
        f"{deep}/text": "another Kaldi folder",
        f"{deep}/wav/deep000/0.wav": "audio without transcript",
    }
    shutil.rmtree(tmp_path / "data/train")
    shutil.rmtree(tmp_path / "data/dev")
    assert kaldi.recognises(tmp_path)
    shutil.rmtree(tmp_path / "data/eval")
    shutil.rmtree(tmp_path / "data/test_children")
    assert not kaldi.recognises(tmp_path), "a folder that says nothing of splits is no reason to read no other format"


def test_other_transcripts_in_a_kaldi_folder_are_said(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "k", children(1), per_speaker=1)
    for name in ("a", "b", "84-1-0"):
        write_audio(folder / "extra" / f"{name}.wav", noise(1, len(name)))
    write_lines(folder / "extra/metadata.csv", ["file_name,text", "a.wav,hello"])
    write_lines(folder / "extra/84-1.trans.txt", ["84-1-0 HELLO"])
    write_lines(folder / "extra/b.txt", ["hello"])
    write_lines(folder / "README.txt", ["about the corpus"])
    for format_ in (None, "kaldi"):
        items = list(read(folder, CorpusRecipe(format=format_)))
        found = {
            item.where for item in items if isinstance(item, Problem) and item.reason == "another kind of transcript"
        }
        assert found == {"extra/metadata.csv", "extra/84-1.trans.txt", "extra/b.txt"}


def _write_parts(source: Path, lines: dict[str, list[str]]) -> None:
    """Kaldi folders of one recording: name -> lines of `segments`."""
    write_audio(source / "wav/a.wav", noise(4))
    for part, segments in lines.items():
        folder = source / "data" / part
        write_lines(folder / "wav.scp", ["a wav/a.wav"])
        write_lines(folder / "segments", segments)
        write_lines(folder / "text", [f"{line[:2]} {line[:2]} of {part}" for line in segments])


def test_speech_of_another_kaldi_folder_is_a_neighbour(tmp_path: Path) -> None:
    lines = {"train": ["u1 a 0 1", "u3 a 2 3"], "test": ["u2 a 1 2"]}
    _write_parts(tmp_path, lines)
    heard = {item.split: [segment.text for segment in item.unwritten] for item in _recordings(tmp_path)}
    assert heard == {"train": ["u2 of test"], "test": ["u1 of train", "u3 of train"]}


def test_the_same_speech_in_other_words_is_given_twice(tmp_path: Path) -> None:
    """`all_norm`: the texts of `train` and `test` in capitals."""
    lines = {"train": ["u1 a 0 1"], "test": ["u2 a 1 2"], "all_norm": ["u1 a 0 1", "u2 a 1 2", "u3 a 3 4"]}
    _write_parts(tmp_path, lines)
    heard = {item.split: [segment.text for segment in item.segments] for item in _recordings(tmp_path)}
    assert heard == {"test": ["u2 of test"], "train": ["u1 of train"], None: ["u3 of all_norm"]}
    assert {where for where, why in _problems(tmp_path).items() if why == "given twice"} == {
        "data/all_norm/text:1",
        "data/all_norm/text:2",
    }
