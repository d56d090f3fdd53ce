"""What the user's tables and patterns add to transcripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.corpus.corpora import ledger, noise, prepared, rows, write_audio, write_lines

from smallvoice.corpus.completing import Completer, compile_pattern, read_people
from smallvoice.corpus.transcripts.segment import Note, Recording, Segment
from smallvoice.errors import RecipeError
from smallvoice.recipe import CorpusRecipe


def _completed(recipe: CorpusRecipe, *segments: Segment, path: str = "a.wav") -> tuple[Recording, list[str]]:
    recording, *notes = Completer(recipe).complete([Recording(audio=Path(path), path=path, segments=segments)])
    assert isinstance(recording, Recording)
    return recording, [note.message for note in notes if isinstance(note, Note)]


def test_the_transcript_wins_over_the_table(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "speakers.csv", ["name;age;sex;role", "anna;6;girl;child", "CHI;4;;child", "x;9;;"])
    recipe = CorpusRecipe(speakers=str(table))
    recording, notes = _completed(
        recipe,
        Segment(where="a:1", text="one", speaker="anna"),
        Segment(where="a:2", text="two", speaker="anna", age_years=7.0, gender="f", role="adult"),
        Segment(where="a:3", text="three", speaker="visit1:CHI"),
        Segment(where="a:4", text="four", speaker="ben"),
        Segment(where="a:5", text="five"),
    )
    found = [(segment.age_years, segment.gender, segment.role) for segment in recording.segments]
    assert found == [
        (6, "f", "child"),
        (7, "f", "adult"),
        (4, None, "child"),
        (None, None, None),
        (None, None, None),
    ]
    assert notes == [
        "1 rows of the table of speakers fit nobody: x.",
        "1 segments are of speakers who are not in the table of speakers.",
    ]


def test_mistakes_of_a_table_come_together(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "s.csv", ["name,age_years,role", "a,six,child", "b,6,robot", "b,7,child"])
    with pytest.raises(RecipeError) as caught:
        read_people(table)
    assert [problem.partition(": ")[0].rpartition(":")[2] for problem in caught.value.problems] == ["2", "3", "4"]
    with pytest.raises(RecipeError, match="no column of names"):
        read_people(write_lines(tmp_path / "t.csv", ["first,last", "a,b"]))


def test_pattern(tmp_path: Path) -> None:
    recipe = CorpusRecipe(pattern="{split}/{speaker}_{age_years}/{session}")
    recording, _ = _completed(recipe, Segment(where="a:1", text="x"), path="validation/kid7_6/day1/clip.wav")
    assert (recording.split, recording.segments[0].speaker, recording.segments[0].age_years) == ("dev", "kid7", 6)
    # The same day of another child is another session.
    assert recording.session == "validation/kid7_6/day1"
    flat, _ = _completed(CorpusRecipe(pattern="{speaker}-{}"), Segment(where="a:1", text="x"), path="k1-t3.wav")
    assert flat.segments[0].speaker == "k1"
    unfit, _ = _completed(recipe, Segment(where="a:1", text="x"), path="elsewhere.wav")
    assert unfit.segments[0].speaker is None


@pytest.mark.parametrize("pattern", ["plain", "{spaeker}", "{speaker}/{speaker}", "{}"])
def test_patterns_that_say_nothing(pattern: str) -> None:
    with pytest.raises(RecipeError, match="pattern"):
        compile_pattern(pattern)


def test_roles_joining_and_rules_through_prepare(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, child in enumerate(("k1", "k2", "k3")):
        write_audio(source / child / "talk.wav", noise(9, number))
        write_lines(
            source / child / "talk.csv",
            [
                "audio,start,end,speaker,role,text",
                f"talk.wav,0,1,{child},child,one +gonna",
                f"talk.wav,1.5,2.5,{child},child,two {{breath}}",
                "talk.wav,3,4,teacher,adult,well done",
                f"talk.wav,5,6,{child},child,three",
                f"talk.wav,8,8.5,{child},child,four",
            ],
        )
    rules = write_lines(tmp_path / "rules.yaml", ["rules:", '  - remove: "{...}"', '  - strip: ["+"]'])
    result = prepared(source, tmp_path / "out", roles=["child"], join_s=5.0, text_rules=str(rules))
    assert result.facts["ledger"]["kept"] == 9
    assert result.facts["ledger"]["joined"] == 3
    assert result.facts["ledger"]["dropped"] == {"role not chosen": 3}
    texts = sorted({row.text for row in rows(tmp_path / "out")})
    assert texts == ["four", "one gonna two", "three"]
    into = {line["into"] for line in ledger(tmp_path / "out") if line["fate"] == "joined"}
    assert into == {row.id for row in rows(tmp_path / "out") if row.text == "one gonna two"}


def test_who_is_recorded_together_stays_together(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for pair in range(12):
        write_audio(source / f"talk{pair}.wav", noise(3, pair))
        lines = [f"talk{pair}.wav,{at},{at + 1},K{pair}{name},child,word {at}" for at, name in enumerate("ab")]
        write_lines(source / f"talk{pair}.csv", ["audio,start,end,speaker,role,text", *lines])
    prepared(source, tmp_path / "out")
    places: dict[str, set[str]] = {}
    for row in rows(tmp_path / "out"):
        places.setdefault(row.recording, set()).add(row.split)
    assert len(places) == 12
    assert all(len(splits) == 1 for splits in places.values())


def test_a_code_is_the_child_of_its_folder(tmp_path: Path) -> None:
    recipe = CorpusRecipe(pattern="{speaker}/{}")
    child = Segment(where="k1/v1/rec.cha:1", text="x", speaker="k1/v1/rec:CHI")
    mother = replace(child, speaker="k1/v1/rec:MOT")
    named = replace(child, speaker="Anna")
    recording, _ = _completed(recipe, child, mother, named, path="k1/v1/rec.wav")
    assert [segment.speaker for segment in recording.segments] == ["k1", "k1:MOT", "Anna"]
