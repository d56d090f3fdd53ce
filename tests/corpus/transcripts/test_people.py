"""Names, codes, roles and ages, as readers understand them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from tests.corpus.corpora import noise, prepared, rows, write_audio, write_kaldi, write_lines

from smallvoice.corpus.completing import Completer
from smallvoice.corpus.transcripts import formats, read
from smallvoice.corpus.transcripts.people import age_of, role_of
from smallvoice.corpus.transcripts.segment import Note, Recording, Segment
from smallvoice.recipe import CorpusRecipe

IDS = ["CH01", "SPK001", "spk_1", "FC01", "MC2", "MA01", "FA02", "PAR01", "Fan", "Man", "Chi", "SPEAKER_00"]


def _segments(tmp_path: Path, name: str, *lines: str) -> tuple[Segment, ...]:
    path = write_lines(tmp_path / name, list(lines))
    reader = next(reader for reader in formats.FILE_READERS if path.suffix in reader.suffixes)
    return reader.parse(path, name, CorpusRecipe()).segments


@pytest.mark.parametrize("speaker", IDS)
def test_an_id_in_a_column_is_a_name(tmp_path: Path, speaker: str) -> None:
    (segment,) = _segments(tmp_path, "a.csv", "file,text,speaker,age", f"a.wav,x,{speaker},5")
    assert (segment.speaker, segment.role, segment.age_years) == (speaker, None, 5)
    cut = {"id": "c", "start": 0, "duration": 1, "channel": 0, "type": "MonoCut"}
    said = {"id": "s", "recording_id": "rec", "start": 0, "duration": 1, "channel": 0, "text": "x", "speaker": speaker}
    recording = {"id": "rec", "sources": [{"type": "file", "channels": [0], "source": "rec.wav"}]}
    line = json.dumps({**cut, "supervisions": [said], "recording": recording})
    (segment,) = (
        formats.by_name("lhotse")
        .parse(write_lines(tmp_path / "cuts.jsonl", [line]), "cuts.jsonl", CorpusRecipe())
        .segments
    )
    assert (segment.speaker, segment.role) == (speaker, None)


@pytest.mark.parametrize(
    ("speaker", "role"),
    [("CHI", "child"), ("chi", "child"), ("KID", "child"), ("MOT", "adult"), ("TEA", "adult"), ("Kid", None)],
)
def test_a_word_for_a_role_is_a_code_in_a_column_too(tmp_path: Path, speaker: str, role: str) -> None:
    (segment,) = _segments(tmp_path, "a.csv", "file,text,speaker,age", f"a.wav,x,{speaker},5")
    assert (segment.speaker, segment.role) == (f"a.csv/a.wav:{speaker}" if role else speaker, role)


def test_labels_of_programs_are_of_one_recording_where_programs_write(tmp_path: Path) -> None:
    lines = ["rec A spk0 0 1 one", "rec A SPEAKER_01 1 2 two", "rec A CH01 2 3 three", "rec A CHI 3 4 four"]
    found = [segment.speaker for segment in _segments(tmp_path, "a.stm", *lines)]
    assert found == ["a.stm/rec:spk0", "a.stm/rec:SPEAKER_01", "CH01", "a.stm/rec:CHI"]
    said = {"session_id": "rec", "start_time": 0, "end_time": 1, "words": "x"}
    rows = [{**said, "speaker": name} for name in ("spk0", "CH01", "MOT")]
    reader = formats.by_name("seglst")
    path = write_lines(tmp_path / "a.json", [json.dumps(rows)])
    segments = reader.parse(path, "a.json", CorpusRecipe()).segments
    assert [segment.speaker for segment in segments] == ["a.json/rec:spk0", "CH01", "a.json/rec:MOT"]
    rttm = "LEXEME rec 1 0 1 hi lex FA1 <NA>"
    (segment,) = _segments(tmp_path, "a.rttm", rttm)
    assert (segment.speaker, segment.role, segment.role_is_guess) == ("a.rttm/rec:FA1", "adult", True)


def test_a_child_with_an_id_stays_in_one_split(tmp_path: Path) -> None:
    lines = ["file_name,text,speaker_id,age"]
    for number in range(24):
        write_audio(tmp_path / "source" / f"{number}.wav", noise(0.5, number))
        lines.append(f"{number}.wav,word {number},{('CH01', 'CH02', 'CH03', 'CH04', 'MA01', 'SPK1')[number % 6]},5")
    write_lines(tmp_path / "source" / "metadata.csv", lines)
    result = prepared(tmp_path / "source", tmp_path / "out")
    kept = rows(tmp_path / "out")
    assert len(kept) == 24 and len({row.speaker for row in kept}) == 6
    assert len({(row.speaker, row.split) for row in kept}) == 6
    assert {row.role for row in kept} == {"child"}
    assert any("SPK1: each is taken for one person in all recordings" in note for note in result.remarks)
    assert not any("have a code" in note for note in result.remarks)


def _completed(segment: Segment, **settings: str) -> Segment:
    recording = Recording(audio=Path("a.wav"), path="a.wav", segments=(segment,))
    first = next(Completer(CorpusRecipe(**settings)).complete([recording]))
    assert isinstance(first, Recording)
    return first.segments[0]


def test_a_table_wins_over_the_role_of_a_tiers_name(tmp_path: Path) -> None:
    guessed = Segment(where="a:1", text="x", speaker="a:FA1", role="adult", role_is_guess=True)
    for row, role in (("FA1,5,", "child"), ("FA1,,child", "child"), ("FA1,,", "adult"), ("FA1,40,", "adult")):
        table = write_lines(tmp_path / "speakers.csv", ["name,age,role", row])
        assert _completed(guessed, speakers=str(table)).role == role
    # What the transcript says of somebody's age stays the measure where no code speaks.
    table = write_lines(tmp_path / "speakers.csv", ["name,age", "Ann,5"])
    said = Segment(where="a:1", text="x", speaker="Ann", age_years=30, role_is_guess=True)
    assert _completed(said, speakers=str(table)).role is None
    # The folder's age is its child's: it says nothing of who else is in the recording.
    assert _completed(guessed, pattern="{age_years}").role == "adult"


def test_a_name_has_one_spelling(tmp_path: Path) -> None:
    composed, apart = unicodedata.normalize("NFC", "Zoë"), unicodedata.normalize("NFD", "Zoë")
    assert composed != apart
    lines = ["file,text,speaker"]
    for number, name in enumerate((composed, apart, f" {composed}", "Ann  B", "Ann B", "kid7", "Kid07")):
        write_audio(tmp_path / "source" / f"{number}.wav", noise(0.3, number))
        lines.append(f"{number}.wav,word {number},{name}")
    write_lines(tmp_path / "source" / "a.csv", lines)
    items = list(Completer(CorpusRecipe()).complete(read(tmp_path / "source", CorpusRecipe())))
    names = [segment.speaker for item in items if isinstance(item, Recording) for segment in item.segments]
    assert names == [composed] * 3 + ["Ann B"] * 2 + ["kid7", "Kid07"]
    (note,) = [item.message for item in items if isinstance(item, Note)]
    assert "Kid07 and kid7" in note and "Ann" not in note
    table = write_lines(tmp_path / "speakers.csv", ["name,age", f"{apart},6"])
    assert _completed(Segment(where="a:1", text="x", speaker=composed), speakers=str(table)).age_years == 6


@pytest.mark.parametrize(
    ("written", "years"),
    [
        ("4", 4),
        ("4.5", 4.5),
        ("4,5", 4.5),
        ("4;6", 4.5),
        ("4;06.", 4.5),
        ("4 years", 4),
        ("4 yrs.", 4),
        ("4y", 4),
        ("4y6m", 4.5),
        ("4 years, 6 months", 4.5),
        ("4 Years and 6 Months old", 4.5),
        ("54 months", 4.5),
        ("54m", 4.5),
        ("5 years old", 5),
        ("twenties", None),
        ("6m4y", None),
        ("months", None),
        ("", None),
        ("400", None),
    ],
)
def test_ages(written: str, years: float | None) -> None:
    assert age_of(written) == years


def test_months_where_the_column_says_so(tmp_path: Path) -> None:
    assert age_of("54", in_months=True) == age_of("4;6", in_months=True) == 4.5
    assert age_of("4 years", in_months=True) == 4
    (segment,) = _segments(tmp_path, "a.csv", "file,text,age_months", "a.wav,x,54")
    assert segment.age_years == 4.5
    table = write_lines(tmp_path / "speakers.csv", ["name,age_months", "Ann,54"])
    assert _completed(Segment(where="a:1", text="x", speaker="Ann"), speakers=str(table)).age_years == 4.5


def test_every_reader_has_the_same_ages(tmp_path: Path) -> None:
    source = write_kaldi(tmp_path / "source", {"ann": (None, None)}, 1)
    write_lines(source / "spk2age", ["ann 4;6"])
    ages = [item.segments[0].age_years for item in read(source, CorpusRecipe()) if isinstance(item, Recording)]
    assert ages == [4.5]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Target_Child", "child"),
        ("other child", "child"),
        ("Target-Adult", "adult"),
        ("non-child", None),
        ("mother_of_child", None),
        ("non-adult", None),
        ("TD_child", "child"),
    ],
)
def test_roles_are_listed(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_a_child_of_54_years_is_noted(tmp_path: Path) -> None:
    write_audio(tmp_path / "source" / "a.wav", noise(1))
    lines = ["file,text,speaker,role,age", "a.wav,x,Ann,Target_Child,54", "a.wav,y,Ben,Mother,54"]
    write_lines(tmp_path / "source" / "a.csv", lines)
    items = list(Completer(CorpusRecipe()).complete(read(tmp_path / "source", CorpusRecipe())))
    (note,) = [item.message for item in items if isinstance(item, Note)]
    assert note.startswith("1 segments are of children by role or code, and 54 years old.") and "age_months" in note
