from __future__ import annotations

import csv
import errno
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.corpus.corpora import (
    children,
    dropped,
    ledger,
    noise,
    prepared,
    rows,
    write_audio,
    write_kaldi,
    write_lines,
)

from smallvoice import recipe_file as recipes
from smallvoice.corpus import shards
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.audit import audit
from smallvoice.corpus.building import replacing_folder
from smallvoice.corpus.cleaning import apply
from smallvoice.corpus.ingest import describe, prepare
from smallvoice.corpus.sources import Source, find
from smallvoice.corpus.utterance import Utterance, open_corpus
from smallvoice.errors import InputError, RecipeError, ResourceError
from smallvoice.recipe import CorpusRecipe, SplitRecipe
from smallvoice.storage import read_json


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return write_kaldi(tmp_path / "lab", children(10))


def _places(out: Path) -> dict[str, str]:
    """Original speaker -> split."""
    with (out / "speakers.csv").open(newline="") as file:
        return {row["name"]: row["split"] for row in csv.DictReader(file)}


def _pseudonyms(out: Path) -> dict[tuple[str, str], str]:
    with (out / "speakers.csv").open(newline="") as file:
        return {(row["source"], row["name"]): row["pseudonym"] for row in csv.DictReader(file)}


def test_a_corpus_from_a_kaldi_folder(lab: Path, tmp_path: Path) -> None:
    result = prepared(lab, tmp_path / "out", language="en")
    corpus = open_corpus(tmp_path / "out")
    assert corpus.splits() == {"train": 14, "dev": 2, "test": 4}
    assert corpus.facts == result.facts == read_json(tmp_path / "out" / "corpus.json")
    train = result.facts["splits"]["train"]
    assert (train["utterances"], train["speakers"], train["hours"]) == (14, 7, round(14 * 0.3 / 3600, 4))
    assert result.facts["language"] == "en"
    assert result.facts["synthetic"] is False
    (source,) = result.facts["sources"]
    assert re.fullmatch("[0-9a-f]{6}", source.pop("place"))
    assert source == {"name": "lab", "split": None, "language": None, "synthetic": False}
    row = next(corpus.utterances("train"))
    assert (row.role, row.source, row.language, row.session) == ("child", "lab", "en", None)
    assert (row.start_s, row.end_s, row.duration_s, row.sampling_rate) == (0, 0.3, 0.3, 16_000)
    assert row.extra == {}


def test_speakers_are_in_one_split_each(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    splits: dict[str | None, set[str]] = {}
    for row in rows(tmp_path / "out"):
        splits.setdefault(row.speaker, set()).add(row.split)
    assert len(splits) == 10 and all(len(found) == 1 for found in splits.values())
    table = read_json(tmp_path / "out" / "split.json")
    listed = {name: split for split, kinds in table["splits"].items() for name in kinds["speakers"]}
    assert {str(name): {split} for name, split in listed.items()} == splits
    assert sum(int(row["train"]) for row in table["strata"]) == 7


def test_prepared_again_with_new_speakers_everyone_keeps_their_place(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    before, names = _places(tmp_path / "out"), _pseudonyms(tmp_path / "out")
    more = children(10) | children(10, "new")
    write_kaldi(lab, more)
    result = prepared(lab, tmp_path / "out")
    after = _places(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {key: _pseudonyms(tmp_path / "out")[key] for key in names} == names
    assert len(set(_pseudonyms(tmp_path / "out").values())) == 20
    assert Counter(after.values()) == {"train": 14, "dev": 2, "test": 4}
    assert "10 speakers keep the place that split.json gave them; 10 are new." in result.facts["notes"]


def test_a_second_folder_of_the_same_name_gives_nobody_another_name(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    before, names = _places(tmp_path / "out"), _pseudonyms(tmp_path / "out")
    second = write_kaldi(tmp_path / "later" / lab.name, children(5, "late"))
    facts = prepare(CorpusRecipe(), [*find(lab), *find(second)], tmp_path / "out").facts
    assert {name: _places(tmp_path / "out")[name] for name in before} == before
    assert {key: _pseudonyms(tmp_path / "out")[key] for key in names} == names
    assert not any("is not given" in note for note in facts["notes"])
    renamed = lab.rename(tmp_path / "renamed")
    facts = prepared(renamed, tmp_path / "out").facts
    assert any(
        note.startswith("speakers.csv has 10 speakers and sessions of a source that is not given.")
        for note in facts["notes"]
    )


def test_by_hash_a_folder_may_be_called_anything(lab: Path, tmp_path: Path) -> None:
    split = SplitRecipe(by="hash", train=0.4, dev=0.3, test=0.3)
    prepared(lab, tmp_path / "first", split=split)
    prepared(lab.rename(tmp_path / "renamed"), tmp_path / "second", split=split)
    assert _places(tmp_path / "first") == _places(tmp_path / "second")
    assert set(_places(tmp_path / "first").values()) == {"train", "dev", "test"}


def test_without_a_test_nobody_keeps_a_place_there(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    before = _places(tmp_path / "out")
    prepared(lab, tmp_path / "out", split=SplitRecipe(test=0))
    after = _places(tmp_path / "out")
    assert "test" in before.values() and set(after.values()) == {"train", "dev"}
    assert all(after[name] == place for name, place in before.items() if place != "test")


def test_who_was_away_finds_the_old_place(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    before = _places(tmp_path / "out")
    prepared(lab, tmp_path / "out", select="age_years < 10")
    between = _places(tmp_path / "out")
    assert {name for name, split in between.items() if not split} == {f"kid{number:03d}" for number in range(5, 10)}
    assert all(before[name] == split for name, split in between.items() if split)
    pseudonyms = {name: pseudonym for (_, name), pseudonym in _pseudonyms(tmp_path / "out").items()}
    absent = {pseudonyms[name]: before[name] for name, split in between.items() if not split}
    assert read_json(tmp_path / "out" / "split.json")["absent"] == absent
    prepared(lab, tmp_path / "out")
    assert _places(tmp_path / "out") == before


def test_pseudonyms_do_not_depend_on_the_selection(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "all")
    prepared(lab, tmp_path / "some", select='gender == "f"')
    assert _pseudonyms(tmp_path / "all") == _pseudonyms(tmp_path / "some")


def test_select(tmp_path: Path) -> None:
    speakers = children(8) | {"old": (34.0, "f"), "unknown": (None, "f")}
    lab = write_kaldi(tmp_path / "lab", speakers)
    result = prepared(lab, tmp_path / "out", select="age_years < 18")
    assert result.facts["select"] == "age_years < 18"
    assert result.facts["ledger"] == {
        "segments": 20,
        "kept": 16,
        "joined": 0,
        "dropped": {"not selected": 2, "not selected: age_years is unknown": 2},
    }
    details = {entry["detail"] for entry in ledger(tmp_path / "out") if entry["fate"] == "dropped"}
    assert details == {"age_years is 34", "age_years is unknown"}
    with pytest.raises(RecipeError, match="Known columns"):
        prepared(lab, tmp_path / "out", select="years < 18")


def test_select_by_what_only_the_audio_tells(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(6))
    write_audio(lab / "wav/kid000/0.wav", noise(2))
    prepared(lab, tmp_path / "out", select="duration_s < 1")
    assert dropped(tmp_path / "out") == {"text:1": "not selected"}


def test_audio_that_nobody_wants_is_not_read(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(6) | {"old": (40.0, "m")})
    (lab / "wav/old/0.wav").write_bytes(b"broken")
    prepared(lab, tmp_path / "out", select="age_years < 18")
    assert set(dropped(tmp_path / "out").values()) == {"not selected"}


def test_what_is_lost_of_someone_who_is_not_wanted_is_no_loss(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(6) | {"old": (40.0, "m")})
    (lab / "wav/old/0.wav").unlink()
    (lab / "wav/kid000/0.wav").unlink()
    prepared(lab, tmp_path / "out", select="age_years < 18")
    assert Counter(dropped(tmp_path / "out").values()) == {"not selected": 2, "transcript without audio": 1}


def test_every_segment_has_one_fate(lab: Path, tmp_path: Path) -> None:
    (lab / "wav/kid000/0.wav").write_bytes(b"")
    (lab / "wav/kid001/0.wav").unlink()
    write_audio(lab / "wav/extra.wav", noise(1))
    with (lab / "text").open("a") as file:
        file.write("kid003-0 TWICE\nkid009-9   \n")
    result = prepared(lab, tmp_path / "out")
    counts = result.facts["ledger"]
    assert counts["kept"] + sum(counts["dropped"].values()) == counts["segments"] == len(ledger(tmp_path / "out"))
    assert counts["dropped"] == {
        "audio empty": 1,
        "audio without transcript": 1,
        "name given twice": 1,
        "transcript without audio": 2,
    }
    kept = {entry["id"] for entry in ledger(tmp_path / "out") if entry["fate"] == "kept"}
    assert kept == {row.id for row in rows(tmp_path / "out")}
    assert len(kept) == counts["kept"] == 18
    wheres = Counter(entry["where"] for entry in ledger(tmp_path / "out"))
    assert set(wheres.values()) == {1}
    shown = "\n".join(str(part) for part in describe(result))
    assert "23 segments: 18 kept, 5 dropped" in shown and "2 dropped: transcript without audio" in shown


def test_lost_words_of_a_test_speaker_are_listed_with_the_split(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    tested = next(name for name, split in _places(tmp_path / "out").items() if split == "test")
    (lab / f"wav/{tested}/1.wav").write_bytes(b"")
    prepared(lab, tmp_path / "out")
    (lost,) = [entry for entry in ledger(tmp_path / "out") if entry["fate"] == "dropped"]
    text = dict(line.split(" ", 1) for line in (lab / "text").read_text().splitlines())[f"{tested}-1"]
    assert (lost["split"], lost["text"], lost["reason"]) == ("test", text, "audio empty")


def test_a_test_split_is_never_filtered(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in "ab":
            write_audio(tmp_path / "lab" / split / f"{name}.wav", noise(6, ord(name)))
            write_lines(tmp_path / "lab" / split / f"{name}.txt", ["0\t5\tlong", "5\t6\tshort"])
    result = prepared(tmp_path / "lab", tmp_path / "out", max_segment_s=3.0)
    assert dropped(tmp_path / "out") == {
        "train/a.txt:1": "longer than 3 s",
        "train/b.txt:1": "longer than 3 s",
    }
    flagged = [row for row in open_corpus(tmp_path / "out").utterances("test") if row.text == "long"]
    assert [row.extra["flags"] for row in flagged] == [["longer than 3 s"]] * 2
    assert result.facts["flags"] == {"longer than 3 s": 2}


def test_silence_is_kept_and_flagged(lab: Path, tmp_path: Path) -> None:
    write_audio(lab / "wav/kid000/0.wav", np.zeros(4000, np.int16))
    result = prepared(lab, tmp_path / "out")
    assert [row.duration_s for row in rows(tmp_path / "out") if row.extra.get("flags") == ["silent"]] == [0.25]
    assert result.facts["flags"] == {"silent": 1}


def test_the_same_line_twice_is_one_row(tmp_path: Path) -> None:
    for name in "abc":
        write_audio(tmp_path / "lab/train" / f"{name}.wav", noise(3, ord(name)))
        write_lines(tmp_path / "lab/train" / f"{name}.txt", ["0\t1\tone", "0\t1\tone", "0\t1\ttwo"])
    prepared(tmp_path / "lab", tmp_path / "out")
    assert dropped(tmp_path / "out") == {f"train/{name}.txt:2": "given twice" for name in "abc"}
    assert len(rows(tmp_path / "out")) == 6


def test_speakers_of_two_sources_with_one_name_are_two_people(tmp_path: Path) -> None:
    sources = [find(write_kaldi(tmp_path / name, children(3)))[0] for name in ("north", "south")]
    prepared(sources, tmp_path / "out")
    assert len({row.speaker for row in rows(tmp_path / "out")}) == 6
    assert len(_pseudonyms(tmp_path / "out")) == 6


def test_a_source_that_is_only_a_test(lab: Path, tmp_path: Path) -> None:
    (source,) = find(lab)
    result = prepared([replace(source, split="test")], tmp_path / "out")
    assert open_corpus(tmp_path / "out").splits() == {"test": 20}
    assert result.facts["sources"][0]["split"] == "test"
    one = write_kaldi(tmp_path / "one", children(1))
    assert prepared([Source(name="one", path=one, split="test")], tmp_path / "out1").facts["ledger"]["kept"] == 2
    # Every row is where the user puts it: no dev is carved.
    prepared([Source(name="lab", path=lab, split="train")], tmp_path / "out2")
    assert open_corpus(tmp_path / "out2").splits() == {"train": 20}


def test_splits_that_a_source_brings(tmp_path: Path) -> None:
    write_kaldi(tmp_path / "lab" / "train", children(16))
    write_kaldi(tmp_path / "lab" / "test", children(4, "other"))
    result = prepared(tmp_path / "lab", tmp_path / "out")
    places = _places(tmp_path / "out")
    assert {places[f"other00{number}"] for number in range(4)} == {"test"}
    assert Counter(places.values()) == {"train": 14, "dev": 2, "test": 4}
    assert "The source brings no dev split: it is taken from its train split." in result.facts["notes"]


def test_who_has_no_split_where_the_source_gives_one_to_all_others(tmp_path: Path) -> None:
    given = [("a", "train"), ("b", "dev"), ("c", "test"), ("d", "")]
    for name, _ in given:
        write_audio(tmp_path / "lab" / f"{name}.wav", noise(0.5, ord(name)))
    lines = [f"{name}.wav,one,{name},{split}" for name, split in given]
    write_lines(tmp_path / "lab" / "t.csv", ["file,text,speaker,split", *lines])
    prepared(tmp_path / "lab", tmp_path / "out")
    assert sorted(row.split for row in rows(tmp_path / "out")) == ["dev", "test", "train", "train"]


def test_a_leak_that_the_source_brings_is_said(tmp_path: Path) -> None:
    write_kaldi(tmp_path / "lab" / "train", children(6))
    write_kaldi(tmp_path / "lab" / "test", children(1))
    result = prepared(tmp_path / "lab", tmp_path / "out")
    leaky = _pseudonyms(tmp_path / "out")["lab", "kid000"]
    assert read_json(tmp_path / "out" / "split.json")["leaks"] == {leaky: ["test", "train"]}
    assert any(note.startswith(f"Leak: {leaky} is in test and train") for note in result.facts["notes"])
    assert {row.split for row in rows(tmp_path / "out") if row.speaker == leaky} == {"train", "test"}


def test_unknown_speakers_are_split_by_session_or_recording(tmp_path: Path) -> None:
    for session in ("visit 1", "visit 2", "visit 3"):
        for name in "abc":
            path = tmp_path / "data" / "pool" / session / name
            write_audio(path.with_suffix(".wav"), noise(0.5, hash((session, name)) % 1000))
            write_lines(path.with_suffix(".txt"), [f"0\t0.5\t{session} {name}"])
    result = prepared(tmp_path / "data" / "pool", tmp_path / "out")
    found = {(row.text.rsplit(" ", 1)[0], row.session, row.split) for row in rows(tmp_path / "out")}
    assert len(found) == 3 and {split for *_, split in found} == {"train", "dev", "test"}
    assert {row.speaker for row in rows(tmp_path / "out")} == {None}
    assert "9 recordings have no speaker: split by session." in result.facts["notes"]


def test_too_few_speakers(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(2))
    with pytest.raises(InputError, match="--split test"):
        prepared(lab, tmp_path / "out")
    lab = write_kaldi(tmp_path / "lab", children(2) | {"old": (50.0, "f")})
    with pytest.raises(InputError, match="Too few speakers to split: 2 for 3"):
        prepared(lab, tmp_path / "out", select="age_years < 18")
    assert [path.name for path in tmp_path.iterdir()] == ["lab"]


def test_nothing_kept(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(4))
    with pytest.raises(InputError, match=r"none of 8 segments can be kept .*not selected: 8"):
        prepared(lab, tmp_path / "out", select="age_years > 99")
    assert not (tmp_path / "out").exists()


def test_a_language_that_whisper_lacks_is_noted(lab: Path, tmp_path: Path) -> None:
    klingon, finnish = (recipes.build({"corpus": {"language": name}}).corpus for name in ("Klingon", "Finnish"))
    facts = prepare(klingon, find(lab, recipe=klingon), tmp_path / "klingon").facts
    assert facts["language"] == "klingon" and any("no language 'klingon'" in note for note in facts["notes"])
    facts = prepare(finnish, find(lab, recipe=finnish), tmp_path / "finnish").facts
    assert facts["language"] == "fi" and not any("no language" in note for note in facts["notes"])


def test_what_the_readers_say_is_told_of_nothing_kept_too(tmp_path: Path) -> None:
    write_lines(tmp_path / "lab" / "table.csv", ["audio,text,speaker", *(f"{n}.wav,one two,{n}" for n in "abcd")])
    (tmp_path / "lab" / "notes.pdf").write_bytes(b"%PDF")
    with pytest.raises(
        InputError, match=r"none of 4 segments .*\n.*Note: lab: 1 other file is not a transcript: notes.pdf"
    ):
        prepared(tmp_path / "lab", tmp_path / "out")


def test_unchanged_is_not_done_again(lab: Path, tmp_path: Path) -> None:
    first = prepared(lab, tmp_path / "out")
    written = (tmp_path / "out" / "corpus.json").stat().st_mtime_ns
    again = prepared(lab, tmp_path / "out")
    assert again.unchanged and not first.unchanged and again.facts == first.facts
    assert (tmp_path / "out" / "corpus.json").stat().st_mtime_ns == written
    assert not prepare(CorpusRecipe(), find(lab), tmp_path / "out", force=True).unchanged
    assert not prepared(lab, tmp_path / "out", margin_s=0.2).unchanged
    write_audio(lab / "wav/kid000/0.wav", noise(0.4, 77))
    assert not prepared(lab, tmp_path / "out", margin_s=0.2).unchanged


def test_two_runs_give_the_same_bytes(lab: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepared(lab, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_key_is_that_of_the_content(lab: Path, tmp_path: Path) -> None:
    key = prepared(lab, tmp_path / "out").facts["key"]
    copy = tmp_path / "elsewhere" / lab.name
    shutil.copytree(lab, copy, copy_function=shutil.copy)  # with times of its own
    assert prepared(copy, tmp_path / "of a copy").facts["key"] == key
    assert prepared(lab, tmp_path / "of fewer", select="age_years > 6").facts["key"] != key
    write_audio(copy / "wav/kid000/0.wav", noise(0.4, 77))
    assert prepared(copy, tmp_path / "of other audio").facts["key"] != key


def test_what_an_audit_left_is_not_what_prepare_made(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    apply(tmp_path / "out", audit(tmp_path / "out"), tmp_path / "cleaned")
    assert not prepared(lab, tmp_path / "cleaned").unchanged


def test_a_folder_that_is_not_ours_is_not_overwritten(lab: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "thesis" / "chapter1.tex", ["years of work"])
    with pytest.raises(InputError, match=r"holds chapter1\.tex"):
        prepared(lab, tmp_path / "thesis")
    with pytest.raises(InputError, match="a file is in the way"):
        prepared(lab, tmp_path / "thesis" / "chapter1.tex")
    prepared(lab, tmp_path / "out")
    write_lines(tmp_path / "out" / "notes.txt", ["mine"])
    with pytest.raises(InputError, match=r"notes.txt"):
        prepared(lab, tmp_path / "out", margin_s=0.3)
    (tmp_path / "empty").mkdir()
    prepared(lab, tmp_path / "empty")


def _state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("failure", ["full disk", "little room", "interrupted"])
def test_an_unfinished_prepare_leaves_the_old_corpus_and_nothing_else(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    prepared(lab, tmp_path / "out")
    before, around = _state(tmp_path / "out"), sorted(path.name for path in tmp_path.iterdir())
    write_audio(lab / "wav/kid000/0.wav", noise(0.4, 77))
    taken = 0

    def add(self: shards.ShardWriter, utterance: Utterance) -> None:
        nonlocal taken
        taken += 1
        if taken == 30:  # in the second pass
            raise KeyboardInterrupt if failure == "interrupted" else OSError(errno.ENOSPC, "No space left on device")
        real(self, utterance)

    real = shards.ShardWriter.add
    expected: type[BaseException] = KeyboardInterrupt if failure == "interrupted" else ResourceError
    if failure == "little room":
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    else:
        monkeypatch.setattr(shards.ShardWriter, "add", add)
    with pytest.raises(expected):
        prepared(lab, tmp_path / "out")
    assert _state(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == around


def _digests(folder: Path) -> dict[str, str]:
    """What every file of a corpus holds."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_killed_at_any_point_and_run_again_it_is_the_same_corpus(tmp_path: Path) -> None:
    source = write_kaldi(tmp_path / "lab", children(12), per_speaker=20, duration_s=2.0)
    script = (
        "import sys, time; from pathlib import Path; from smallvoice.corpus.ingest import prepare;"
        "from smallvoice.corpus.sources import find; from smallvoice.recipe import CorpusRecipe;"
        "found = find(Path(sys.argv[1])); print('go', flush=True);"
        "prepare(CorpusRecipe(), found, Path(sys.argv[2])); print('done', flush=True)"
    )

    def run(out: Path, kill_after_s: float | None) -> bool:
        process = subprocess.Popen([sys.executable, "-c", script, str(source), str(out)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.kill()
        finished = process.stdout.readline() == b"done\n"
        process.wait()
        process.stdout.close()
        return finished

    started = time.monotonic()
    assert run(tmp_path / "whole", None)
    seconds = time.monotonic() - started
    killed = [run(tmp_path / "out", seconds * share / 6) for share in range(5)]
    assert not all(killed)
    assert run(tmp_path / "out", None)
    assert _digests(tmp_path / "out") == _digests(tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_killed_prepare_is_cleaned_up_by_the_next(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    places = _places(tmp_path / "out")
    write_lines(tmp_path / ".out.building" / "waiting-00000.parquet", ["half"])
    (tmp_path / "out").rename(tmp_path / ".out.replaced")  # killed between the two renames
    with replacing_folder(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
        assert _places(tmp_path / "out") == places
        with pytest.raises(InputError, match="another smallvoice is"), replacing_folder(tmp_path / "out"):
            pass
        write_lines(folder / "new", ["corpus"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "out"]


def test_rows_hold_no_name_and_no_path(tmp_path: Path) -> None:
    """Names of people and folders stay in speakers.csv and ledger.jsonl; rows and split.json have pseudonyms."""
    for child in ("Annabella", "Benedict", "Cleopatra"):
        path = tmp_path / "Lab-Of-Dr-Who" / "train" / child / f"{child}-tape"
        write_audio(path.with_suffix(".wav"), noise(1, len(child)))
        write_lines(path.with_suffix(".txt"), ["0\t1\thello"])
    lab = write_kaldi(tmp_path / "lab", {"Annabella": (6.0, "f"), "Benedict": (7.0, "m"), "Dorothea": (7.0, "f")})
    prepared([*find(tmp_path / "Lab-Of-Dr-Who" / "train"), *find(lab)], tmp_path / "out")
    secrets = ["annabella", "benedict", "cleopatra", "dorothea", "dr-who", "tape", str(tmp_path).lower(), ".wav"]
    shown = [f"{replace(row, audio=b'')}" for row in rows(tmp_path / "out")]
    shown += [(tmp_path / "out" / name).read_text() for name in ("split.json", "corpus.json")]
    raw = [path.read_bytes().decode("latin-1") for path in (tmp_path / "out").glob("*.parquet")]
    for secret in secrets:
        assert not any(secret in text.lower() for text in [*shown, *raw]), secret
    assert "Annabella" in (tmp_path / "out" / "speakers.csv").read_text()
    assert str(tmp_path) not in (tmp_path / "out" / "ledger.jsonl").read_text()


def test_ids_name_the_same_thing_wherever_it_lies(lab: Path, tmp_path: Path) -> None:
    prepared(lab, tmp_path / "out")
    shutil.copytree(lab, tmp_path / "moved" / "lab")
    prepared(tmp_path / "moved" / "lab", tmp_path / "out2")
    assert [row.id for row in rows(tmp_path / "out")] == [row.id for row in rows(tmp_path / "out2")]
    assert _places(tmp_path / "out") == _places(tmp_path / "out2")
    write_audio(lab / "wav/kid000/0.wav", noise(0.3, 4711))
    prepared(lab, tmp_path / "out")
    assert len({row.id for row in rows(tmp_path / "out")} - {row.id for row in rows(tmp_path / "out2")}) == 1


def test_how_the_text_is_written(lab: Path, tmp_path: Path) -> None:
    plain = {"case": "upper", "punctuation": False, "digits": False}
    assert prepared(lab, tmp_path / "out").facts["text"] == plain
    content = (lab / "text").read_text()
    (lab / "text").write_text(content.replace("AND", "DON'T WELL-KNOWN O’CLOCK"))
    assert prepared(lab, tmp_path / "out").facts["text"] == plain
    (lab / "text").write_text(content.replace("AND", "and, 3"))
    assert prepared(lab, tmp_path / "out").facts["text"] == {"case": "mixed", "punctuation": True, "digits": True}
    (lab / "text").write_text("".join(line.split()[0] + " schöne grüße\n" for line in content.splitlines()))
    assert prepared(lab, tmp_path / "out").facts["text"] == plain | {"case": "lower"}


def test_language_of_row_source_and_recipe(lab: Path, tmp_path: Path) -> None:
    write_lines(lab / "utt2lang", ["kid000-0 de"])
    (source,) = find(lab)
    result = prepared([replace(source, language="fr")], tmp_path / "out", language="en")
    assert Counter(row.language for row in rows(tmp_path / "out")) == {"fr": 19, "de": 1}
    assert result.facts["language"] is None
    prepared(lab, tmp_path / "out")
    assert Counter(row.language for row in rows(tmp_path / "out")) == {None: 19, "de": 1}


def test_another_rate_is_noted(tmp_path: Path) -> None:
    lab = write_kaldi(tmp_path / "lab", children(3))
    write_audio(lab / "wav/kid000/0.wav", noise(0.5, rate=8000), 8000)
    prepared(lab, tmp_path / "out")
    (row,) = [row for row in rows(tmp_path / "out") if row.extra]
    assert row.extra == {"source_sampling_rate": 8000} and row.duration_s == 0.5
    assert len(decode_flac(row.audio)) == 8000


def test_real_children(shared_data: Path, tmp_path: Path) -> None:
    """The default split of the real job: at least 12 children and 240 utterances that are only ever tested."""
    found = find("speechocean762", shared_data)
    result = prepare(CorpusRecipe(select="age_years < 18"), found, tmp_path / "out")
    counts = {name: (part["speakers"], part["utterances"]) for name, part in result.facts["splits"].items()}
    assert counts == {"train": (40, 800), "dev": (6, 120), "test": (12, 240)}
    assert result.facts["text"] == {"case": "upper", "punctuation": False, "digits": False}
    assert result.facts["ledger"] == {
        "segments": 2500,
        "kept": 1160,
        "joined": 0,
        "dropped": {"not selected": 1340},
    }
    where = {entry["id"]: entry["recording"] for entry in ledger(tmp_path / "out") if entry["fate"] == "kept"}
    row = next(open_corpus(tmp_path / "out").utterances("test"))
    original, _ = soundfile.read(found[0].path / where[row.id], dtype="int16")
    assert np.array_equal(decode_flac(row.audio) * 32_768, original)
    strata = read_json(tmp_path / "out" / "split.json")["strata"]
    assert all(stratum["test"] >= 1 for stratum in strata)
    assert "0001" not in json.dumps(read_json(tmp_path / "out" / "split.json")["splits"]).replace("S0001", "")


def test_a_link_stays_one_and_a_private_folder_private(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "out").symlink_to("disk")
    for margin_s in (0.1, 0.2):
        prepared(lab, tmp_path / "out", margin_s=margin_s)
        assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "corpus.json").is_file()
        assert (tmp_path / "disk").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {"lab", "disk", "out"}
