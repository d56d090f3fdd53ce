"""Folders of any format: pairing, what is left over, and names that try to leave the folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.corpora import dropped, noise, prepared, rows, write_audio, write_lines

from smallvoice.corpus.transcripts import read, reader_of
from smallvoice.corpus.transcripts.segment import Note, Problem, Recording
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import CorpusRecipe


def _items(folder: Path, **settings: object) -> tuple[dict[str, Recording], dict[str, str], list[str]]:
    found = list(read(folder, CorpusRecipe(**settings)))
    recordings = {item.path: item for item in found if isinstance(item, Recording)}
    problems = {item.where: item.reason for item in found if isinstance(item, Problem)}
    return recordings, problems, [item.message for item in found if isinstance(item, Note)]


def _srt(*cues: tuple[str, str]) -> list[str]:
    lines = []
    for number, (times, text) in enumerate(cues, 1):
        lines += [str(number), times, text, ""]
    return lines


def test_formats_side_by_side(tmp_path: Path) -> None:
    for name in ("a", "deep/b", "c"):
        write_audio(tmp_path / f"{name}.wav", noise(2))
    write_lines(tmp_path / "a.srt", _srt(("00:00:00,000 --> 00:00:01,500", "from subtitles")))
    write_lines(tmp_path / "elsewhere/b.txt", ["0\t1\tfrom labels"])
    write_lines(tmp_path / "c.lab", ["a whole file"])
    write_lines(tmp_path / "about.pdf", ["%PDF"])
    recordings, problems, notes = _items(tmp_path)
    assert {path: [s.text for s in item.segments] for path, item in recordings.items()} == {
        "a.wav": ["from subtitles"],
        "deep/b.wav": ["from labels"],
        "c.wav": ["a whole file"],
    }
    assert problems == {}
    assert notes == ["1 other file is not a transcript: about.pdf."]


def test_of_two_transcripts_the_one_that_says_more(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(2))
    write_lines(tmp_path / "a.lab", ["the whole"])
    write_lines(tmp_path / "a.srt", _srt(("00:00:00,000 --> 00:00:01,500", "with times")))
    recordings, problems, _ = _items(tmp_path)
    assert [segment.text for segment in recordings["a.wav"].segments] == ["with times"]
    assert problems == {"a.lab:1": "another transcript is used"}
    recordings, problems, _ = _items(tmp_path, format="text")
    assert [segment.text for segment in recordings["a.wav"].segments] == ["the whole"]


def test_a_table_names_its_recordings(tmp_path: Path) -> None:
    for name in ("clips/a", "clips/b", "other/b"):
        write_audio(tmp_path / f"{name}.wav", noise(1, len(name)))
    lines = ["clips/a.wav,one,K1,train", "clips/b.wav,two,K2,validation", "c.wav,three,K3,test", ",four,K4,test"]
    write_lines(tmp_path / "table.csv", ["file,text,speaker,split", *lines])
    recordings, problems, _ = _items(tmp_path)
    assert {(path, item.split, item.session) for path, item in recordings.items()} == {
        ("clips/a.wav", "train", None),
        ("clips/b.wav", "dev", None),
    }
    assert problems == {
        "table.csv:4": "transcript without audio",
        "table.csv:5": "no audio named",
        "other/b.wav": "audio without transcript",
    }
    alone, _, _ = _items(tmp_path / "table.csv")
    assert set(alone) == set(recordings)


@pytest.mark.parametrize(
    "name", ["../secret.wav", "{absolute}", "clips/../../secret.wav", "link.wav", "file://{absolute}"]
)
def test_nothing_outside_is_ever_read(tmp_path: Path, name: str) -> None:
    secret = write_audio(tmp_path / "secret.wav", noise(1))
    source = tmp_path / "source"
    write_audio(source / "clips" / "a.wav", noise(1))
    (source / "link.wav").symlink_to(secret)
    name = name.replace("{absolute}", str(secret))
    write_lines(source / "table.csv", ["file,text,speaker,split", f"{name},stolen,K1,", "clips/a.wav,mine,K2,"])
    recordings, problems, _ = _items(source)
    assert set(recordings) == {"clips/a.wav"}
    assert problems == {"table.csv:2": "transcript without audio", "link.wav": "link out of the folder"}


@pytest.mark.parametrize("entry", ["../secret.wav", "{absolute}", "wav/link.wav", "cat {absolute} |"])
def test_nor_by_kaldi(tmp_path: Path, entry: str) -> None:
    secret = write_audio(tmp_path / "secret.wav", noise(1))
    source = tmp_path / "source"
    (source / "wav").mkdir(parents=True)
    (source / "wav" / "link.wav").symlink_to(secret)
    write_lines(source / "text", ["u1 STOLEN"])
    write_lines(source / "wav.scp", [f"u1 {entry.replace('{absolute}', str(secret))}"])
    recordings, problems, _ = _items(source)
    assert recordings == {}
    assert problems["text:1"] == "audio outside the folder"


def test_folders_without_transcripts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        reader_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match="the folder is empty"):
        reader_of(tmp_path)
    write_lines(tmp_path / "notes.pdf", ["%PDF"])
    with pytest.raises(InputError, match=r"(?s)What is read:.*kaldi.*chat.*textgrid"):
        reader_of(tmp_path)
    with pytest.raises(InputError, match="not a transcript of a known format"):
        reader_of(tmp_path / "notes.pdf")
    with pytest.raises(RecipeError, match="Known formats: kaldi, huggingface, chat"):
        reader_of(tmp_path, CorpusRecipe(format="docx"))


def test_a_damaged_transcript_costs_itself_alone(tmp_path: Path) -> None:
    for name in "abcd":
        write_audio(tmp_path / f"{name}.wav", noise(1, ord(name)))
        write_lines(tmp_path / f"{name}.srt", _srt(("00:00:00,000 --> 00:00:01,000", f"words of {name}")))
    (tmp_path / "b.eaf").write_bytes(b"<?xml version='1.0'?><ANNOTATION_DOCUMENT><TIER")
    prepared(tmp_path, tmp_path.parent / "out")
    assert len(rows(tmp_path.parent / "out")) == 4
    assert list(dropped(tmp_path.parent / "out")) == ["b.eaf"]


@pytest.mark.parametrize("name", ["b.txt", "b.csv", "b.cha"])
def test_a_file_that_may_not_be_read_is_a_transcript_by_its_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / name, ["words"])
    opened = Path.open

    def refused(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    _, problems, _ = _items(tmp_path)
    assert problems == {name: "cannot be read"}


def test_a_namesake_in_another_folder_is_another_recording(tmp_path: Path) -> None:
    """CHILDES names files by age: Ben's words are not on Adam's recording."""
    write_audio(tmp_path / "Adam/020401.wav", noise(1))
    for child in ("Adam", "Ben"):
        write_lines(tmp_path / child / "020401.srt", _srt(("00:00:00,000 --> 00:00:01,000", f"I am {child}")))
    write_lines(tmp_path / "table.csv", ["audio,text,speaker", "Cleo/020401.wav,I am Cleo,cleo"])
    recordings, problems, _ = _items(tmp_path)
    assert [segment.text for item in recordings.values() for segment in item.segments] == ["I am Adam"]
    assert problems == {"Ben/020401.srt:2": "transcript without audio", "table.csv:2": "transcript without audio"}


def test_splits_by_other_names_and_by_tables(tmp_path: Path) -> None:
    for name in ("train", "development", "test"):
        write_audio(tmp_path / "mine" / name / "s1" / "a.wav", noise(1, len(name)))
        write_lines(tmp_path / "mine" / name / "s1" / "a.trn", [f"words of {name}"])
        write_audio(tmp_path / "cv" / "clips" / f"{name}.wav", noise(1, len(name)))
        short = name.replace("development", "dev")
        write_lines(
            tmp_path / "cv" / f"{short}.tsv", ["client_id\tpath\tsentence", f"{name}\t{name}.wav\twords of {name}"]
        )
    recordings, _, _ = _items(tmp_path / "mine")
    assert sorted(item.split or "" for item in recordings.values()) == ["dev", "test", "train"]
    everything = [f"{name}\t{name}.wav\twords of {name}" for name in ("train", "development", "test")]
    write_lines(tmp_path / "cv" / "validated.tsv", ["client_id\tpath\tsentence", *everything])
    recordings, problems, _ = _items(tmp_path / "cv")
    assert sorted((path, item.split) for path, item in recordings.items()) == [
        ("clips/development.wav", "dev"),
        ("clips/test.wav", "test"),
        ("clips/train.wav", "train"),
    ]
    assert problems == {f"validated.tsv:{line}": "given twice" for line in (2, 3, 4)}


def test_the_same_row_twice_in_one_table_is_one(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(1, 1))
    write_lines(tmp_path / "texts.csv", ["audio;text;age", "a.wav;one two;6,5", "a.wav;one two;6,5"])
    recordings, problems, _ = _items(tmp_path)
    (segment,) = recordings["a.wav"].segments
    assert (segment.text, segment.age_years) == ("one two", 6.5) and problems == {"texts.csv:3": "given twice"}


def test_nothing_is_joined_across_speech_that_is_in_no_row(tmp_path: Path) -> None:
    for number in range(3):
        write_audio(tmp_path / f"v{number}/a.wav", noise(6, number))
        lines = ["@UTF8", "@Begin", f"@Participants:\tCHI Kid{number} Target_Child", "@Media:\ta, audio"]
        lines += ["*CHI:\tI see . \x151000_2000\x15", "*CHI:\twww . \x152100_2900\x15"]
        lines += ["*CHI:\ta dog . \x153000_4000\x15", "@End"]
        write_lines(tmp_path / f"v{number}/a.cha", lines)
    prepared(tmp_path, tmp_path.parent / "out", join_s=20.0)
    found = sorted((row.text, row.start_s, row.end_s) for row in rows(tmp_path.parent / "out"))
    assert found == [("I see", 0.9, 2.1)] * 3 + [("a dog", 2.9, 4.1)] * 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_loops_are_not_waited_for(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(1))
    write_lines(tmp_path / "a.lab", ["hello"])
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    recordings, problems, _ = _items(tmp_path)
    assert set(recordings) == {"a.wav"}
    assert problems == {"loop.txt": "link out of the folder"}


def test_notes_may_hold_names_and_stay_on_the_terminal(tmp_path: Path) -> None:
    for name in "abc":
        write_audio(tmp_path / f"{name}.wav", noise(1, ord(name)))
        write_lines(tmp_path / f"{name}.lab", ["hello"])
    write_lines(tmp_path / "Anna_Smith.docx", ["secret"])
    result = prepared(tmp_path, tmp_path.parent / "out2")
    assert any("Anna_Smith" in remark for remark in result.remarks)
    assert "Anna_Smith" not in (tmp_path.parent / "out2" / "corpus.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("read_one", "other"),
    [
        ("u0.lab", "u0.txt"),
        ("u0.normalized.txt", "u0.original.txt"),
        ("u0.txt", "u0.notes.txt"),
        ("u0.txt", "u0.a.lab"),
    ],
)
def test_of_two_texts_of_the_whole_recording_one_is_read(tmp_path: Path, read_one: str, other: str) -> None:
    write_audio(tmp_path / "u0.wav", noise(2))
    write_lines(tmp_path / read_one, ["HELLO NUMBER ZERO"])
    write_lines(tmp_path / other, ["Hello, number 0!"])
    recordings, problems, notes = _items(tmp_path)
    assert [segment.text for segment in recordings["u0.wav"].segments] == ["HELLO NUMBER ZERO"]
    assert problems == {f"{other}:1": "another transcript is used"}
    expected = f"1 transcripts of whole recordings are not read, for each has another one: {other} ({read_one} is)."
    assert notes == [expected]


def test_nor_do_two_tables_cost_a_recording(tmp_path: Path) -> None:
    write_audio(tmp_path / "clips/a.wav", noise(2))
    write_lines(tmp_path / "all.csv", ["audio,text,speaker", "clips/a.wav,One two.,K1"])
    write_lines(tmp_path / "train.csv", ["audio,text,speaker", "clips/a.wav,ONE TWO,K1"])
    recordings, problems, _ = _items(tmp_path)
    recording = recordings["clips/a.wav"]
    assert ([segment.text for segment in recording.segments], recording.split) == (["ONE TWO"], "train")
    assert problems == {"all.csv:2": "another transcript is used"}
    (tmp_path / "train.csv").unlink()
    write_lines(tmp_path / "more.csv", ["audio,text,speaker", "clips/a.wav,three,K2"])
    recordings, problems, _ = _items(tmp_path)
    assert [segment.text for segment in recordings["clips/a.wav"].segments] == ["One two.", "three"]
    assert problems == {}, "of what two people say neither is the whole"


@pytest.mark.parametrize("join_s", [0.0, 20.0])
def test_speech_of_another_split_is_a_neighbour(tmp_path: Path, join_s: float) -> None:
    write_audio(tmp_path / "source/a.wav", noise(4))
    lines = ["a.wav,0,1,one,Anna,train", "a.wav,1,2,TEST SPEECH OF BEN,Ben,test", "a.wav,2,3,three,Anna,train"]
    write_lines(tmp_path / "source/table.csv", ["audio,start,end,text,speaker,split", *lines])
    prepared(tmp_path / "source", tmp_path / "out", join_s=join_s)
    found = sorted((row.start_s, row.end_s, row.text, row.split) for row in rows(tmp_path / "out"))
    assert found == [
        (0.0, 1.0, "one", "train"),
        (1.0, 2.0, "TEST SPEECH OF BEN", "test"),
        (2.0, 3.1, "three", "train"),
    ]


def test_neighbours_share_a_channel_and_are_not_the_same_line(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(4))
    header = "audio,start,end,text,speaker,channel,session"
    lines = ["a.wav,0,1,left,Anna,1,", "a.wav,1,2,right,Ben,2,", "a.wav,2,3,both,Ben,,", "a.wav,2,3,both,Ben,,day2"]
    write_lines(tmp_path / "table.csv", [header, *lines])
    items = [item for item in read(tmp_path, CorpusRecipe()) if isinstance(item, Recording)]
    found = {(item.channel, item.session): [segment.text for segment in item.unwritten] for item in items}
    assert found == {
        (0, None): ["both", "both"],
        (1, None): ["both", "both"],
        (None, None): ["left", "right"],
        (None, "day2"): ["left", "right"],
    }


@pytest.mark.parametrize("validated", ["train", "validated"])
def test_clips_that_nobody_validated_are_not_read(tmp_path: Path, validated: str) -> None:
    for name in ("good", "bad", "open"):
        write_audio(tmp_path / "clips" / f"{name}.wav", noise(1, len(name)))
    for table, clip in ((validated, "good"), ("invalidated", "bad"), ("other", "open")):
        lines = ["client_id\tpath\tsentence\tup_votes", f"{clip}\t{clip}.wav\twords of {clip}\t2"]
        write_lines(tmp_path / f"{table}.tsv", lines)
    recordings, problems, _ = _items(tmp_path)
    assert set(recordings) == {"clips/good.wav"}
    assert problems == {"invalidated.tsv:2": "not validated", "other.tsv:2": "not validated"}
    write_lines(tmp_path / "other.tsv", ["path\tsentence", "open.wav\tof a lab's own table"])
    recordings, problems, _ = _items(tmp_path)
    assert set(recordings) == {"clips/good.wav", "clips/open.wav"}
    alone, _, _ = _items(tmp_path / "invalidated.tsv")
    assert set(alone) == {"clips/bad.wav"}, "what the user gives by itself is wanted"


def test_nemo_manifests_say_their_split(tmp_path: Path) -> None:
    for name in ("train", "val", "test_clean", "all"):
        write_audio(tmp_path / "wav" / f"{name}.wav", noise(1, len(name)))
        line = f'{{"audio_filepath": "wav/{name}.wav", "text": "words of {name}", "duration": 1.0}}'
        write_lines(tmp_path / f"{name}_manifest.json", [line])
    recordings, _, _ = _items(tmp_path)
    assert {path: item.split for path, item in recordings.items()} == {
        "wav/train.wav": "train",
        "wav/val.wav": "dev",
        "wav/test_clean.wav": "test",
        "wav/all.wav": None,
    }


def test_the_times_are_those_of_the_medium_that_is_there(tmp_path: Path) -> None:
    write_audio(tmp_path / "b.wav", noise(4))
    media = '<MEDIA_DESCRIPTOR MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./a.wav"/>'
    media += '<MEDIA_DESCRIPTOR MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./b.wav" TIME_ORIGIN="1500"/>'
    annotation = '<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">'
    annotation += "<ANNOTATION_VALUE>hello</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION>"
    slots = '<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1000"/>'
    lines = ['<ANNOTATION_DOCUMENT VERSION="3.0">', f"<HEADER>{media}</HEADER>", f"<TIME_ORDER>{slots}</TIME_ORDER>"]
    lines += [f'<TIER TIER_ID="anna"><ANNOTATION>{annotation}</ANNOTATION></TIER>', "</ANNOTATION_DOCUMENT>"]
    write_lines(tmp_path / "x.eaf", lines)
    recordings, _, _ = _items(tmp_path)
    assert [(segment.start_s, segment.end_s) for segment in recordings["b.wav"].segments] == [(1.5, 2.5)]
    write_audio(tmp_path / "a.wav", noise(4))
    recordings, _, _ = _items(tmp_path)
    assert [(segment.start_s, segment.end_s) for segment in recordings["a.wav"].segments] == [(0.0, 1.0)]


def test_the_second_of_several_is_not_the_first(tmp_path: Path) -> None:
    write_audio(tmp_path / "rec.wav", noise(2))
    write_lines(tmp_path / "rec.2.txt", ["of the second recording"])
    write_lines(tmp_path / "b.trans.txt", ["rec.2 again of the second", "rec of the first"])
    recordings, problems, _ = _items(tmp_path)
    assert [segment.text for segment in recordings["rec.wav"].segments] == ["of the first"]
    assert problems == {"rec.2.txt:1": "transcript without audio", "b.trans.txt:1": "transcript without audio"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_lines_of_an_old_mac(tmp_path: Path, encoding: str) -> None:
    for name in ("84-1-0", "84-1-1"):
        write_audio(tmp_path / f"{name}.wav", noise(1, ord(name[-1])))
    (tmp_path / "84-1.trans.txt").write_bytes("84-1-0 GO DO\r84-1-1 HEAR ME\r".encode(encoding))
    recordings, problems, _ = _items(tmp_path)
    assert {path: item.segments[0].text for path, item in recordings.items()} == {
        "84-1-0.wav": "GO DO",
        "84-1-1.wav": "HEAR ME",
    }
    assert problems == {}
