"""Exports, read back by the programs they are for; Kaldi's by its own rules, and by smallvoice."""

from __future__ import annotations

import dataclasses
import gzip
import json
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora import RATE, prepared, rows
from numpy.typing import NDArray
from spoken import Said, corpus_of, rewritten, voice, words

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.interchange import export_corpus
from smallvoice.corpus.utterance import Utterance
from smallvoice.errors import InputError
from smallvoice.recipe import SplitRecipe


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two splits, seven speakers, lengths that are no whole number of frames; words that are no ASCII."""
    said = [
        Said(
            split="test" if number % 4 == 3 else "train",
            speaker=f"{'test' if number % 4 == 3 else 'train'}{number % 5}",
            text=f"{words(number)} ÉTÉ",
            samples=voice(0.5 + number * 0.0137),
        )
        for number in range(14)
    ]
    return corpus_of(tmp_path, said)


def samples_of(row: Utterance) -> NDArray[np.float32]:
    return decode_flac(row.audio)


def table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def check_kaldi(folder: Path) -> None:
    """What Kaldi's utils/validate_data_dir.sh asks for of a folder without features."""

    def first_column(name: str) -> list[str]:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.endswith("\n") and "\n\n" not in text
        column = [line.split()[0] for line in text.splitlines()]
        ordered = subprocess.run(
            ["sort", "-u"], input="\n".join(column), env={"LC_ALL": "C"}, capture_output=True, text=True, check=True
        )
        assert ordered.stdout.splitlines() == column, name
        return column

    utterances = first_column("utt2spk")
    for name in ("text", "wav.scp", "utt2lang"):
        if (folder / name).exists():
            assert first_column(name) == utterances, name
    by_speaker = subprocess.run(
        ["sort", "-k2", str(folder / "utt2spk")], env={"LC_ALL": "C"}, capture_output=True, text=True, check=True
    )
    assert by_speaker.stdout == (folder / "utt2spk").read_text()
    speakers = first_column("spk2utt")
    inverse = [f"{name} {line.split()[0]}" for line in open_lines(folder / "spk2utt") for name in line.split()[1:]]
    assert inverse == open_lines(folder / "utt2spk")
    if (folder / "spk2gender").exists():
        assert first_column("spk2gender") == speakers
        assert set(table(folder / "spk2gender").values()) <= {"f", "m"}
    assert all(line.strip() for line in table(folder / "text").values())
    assert "~" not in (folder / "wav.scp").read_text()


def open_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_kaldi_folders_are_valid(corpus: Path, tmp_path: Path) -> None:
    exported = export_corpus(corpus, "kaldi", tmp_path / "out")
    assert exported.utterances == {"train": 11, "test": 3}
    for split in ("train", "test"):
        folder = tmp_path / "out" / split
        check_kaldi(folder)
        for row in (row for row in rows(corpus) if row.split == split):
            name = f"{row.speaker}-{row.id}"
            assert table(folder / "text")[name] == row.text
            assert table(folder / "utt2lang")[name] == "en"
            command = table(folder / "wav.scp")[name].split()
            assert command[:4] == ["flac", "-c", "-d", "-s"] and command[5] == "|"
            audio, rate = soundfile.read(tmp_path / "out" / command[4], dtype="float32")
            assert rate == RATE and np.array_equal(audio, samples_of(row))
    assert not (tmp_path / "out" / "train" / "spk2gender").exists()  # nobody's is known


def test_kaldi_order_of_many_speakers_and_of_unknown_ones(corpus: Path, tmp_path: Path) -> None:
    """S1000 and S10000, a session, a recording: still sorted by speaker and by utterance."""
    names = ["S1000", "S10000", "S1001", "S0999", None]
    given = {row.id: number for number, row in enumerate(rows(corpus))}

    def change(row: Utterance) -> Utterance:
        number = given[row.id]
        speaker = names[number % 5]
        session = "V0001" if speaker is None and number % 2 else None
        about = {"age_years": 6.5, "gender": "f"} if row.split == "train" else {"age_years": None, "gender": None}
        return dataclasses.replace(row, speaker=speaker, session=session, **about)  # type: ignore[arg-type]

    changed = rewritten(corpus, change)
    export_corpus(changed, "kaldi", tmp_path / "out")
    train = tmp_path / "out" / "train"
    check_kaldi(train)
    check_kaldi(tmp_path / "out" / "test")
    assert set(table(train / "spk2age").values()) == {"6.5"} == {table(train / "spk2age")["S10000"]}
    assert table(train / "spk2gender")["S1000"] == "f"
    assert set(table(train / "utt2spk").values()) > {"S1000", "S10000", "V0001"}
    assert not (tmp_path / "out" / "test" / "spk2age").exists()


def test_kaldi_comes_back_as_it_was(corpus: Path, tmp_path: Path) -> None:
    ages = {row.speaker: 5 + index for index, row in enumerate(rows(corpus))}
    aged = rewritten(corpus, lambda row: dataclasses.replace(row, age_years=ages[row.speaker], gender="m"))
    export_corpus(aged, "kaldi", tmp_path / "exported")
    result = prepared(tmp_path / "exported", tmp_path / "again", split=SplitRecipe(dev=0.0))
    assert result.facts["ledger"]["dropped"] == {}
    old, new = ({row.text: row for row in rows(path)} for path in (aged, tmp_path / "again"))
    assert old.keys() == new.keys() and len(old) == 14
    partitions = []
    for side in (old, new):
        partition = defaultdict(set)
        for text, row in side.items():
            partition[row.speaker].add(text)
        partitions.append(sorted(map(sorted, partition.values())))
    assert partitions[0] == partitions[1] and len(partitions[0]) > 3
    for text, row in old.items():
        again = new[text]
        assert np.array_equal(samples_of(row), samples_of(again))
        assert (row.split, row.age_years, row.gender, row.language) == (
            again.split,
            again.age_years,
            again.gender,
            again.language,
        )


def test_lhotse_reads_it(corpus: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    aged = rewritten(corpus, lambda row: dataclasses.replace(row, age_years=7.5, session="V0001", role="child"))
    export_corpus(aged, "lhotse", tmp_path / "out")
    for split, number in (("train", 11), ("test", 3)):
        expected = {row.id: row for row in rows(aged) if row.split == split}
        recordings = lhotse.RecordingSet.from_file(tmp_path / "out" / f"recordings_{split}.jsonl.gz")
        supervisions = lhotse.SupervisionSet.from_file(tmp_path / "out" / f"supervisions_{split}.jsonl.gz")
        recordings = recordings.with_path_prefix(tmp_path / "out")
        lhotse.qa.validate_recordings_and_supervisions(recordings, supervisions, read_data=True)
        segments = {segment.id: segment for segment in supervisions}
        cuts = lhotse.CutSet.from_file(tmp_path / "out" / f"cuts_{split}.jsonl.gz").with_recording_path_prefix(
            tmp_path / "out"
        )
        lhotse.validate(cuts, read_data=True)
        assert {cut.id for cut in cuts} == set(expected) and len(list(recordings)) == number
        for cut in cuts:
            row = expected[cut.id]
            (supervision,) = cut.supervisions
            assert supervision == segments[cut.id]
            assert (supervision.text, supervision.speaker, supervision.language) == (row.text, row.speaker, "en")
            assert (supervision.age_years, supervision.role, supervision.session) == (7.5, "child", "V0001")
            assert np.array_equal(cut.load_audio()[0], samples_of(row))


def test_nemo_manifests(corpus: Path, tmp_path: Path) -> None:
    export_corpus(corpus, "nemo", tmp_path / "out")
    for split in ("train", "test"):
        manifest = tmp_path / "out" / f"{split}.jsonl"
        lines = [json.loads(line) for line in open_lines(manifest)]
        expected = [row for row in rows(corpus) if row.split == split]
        assert [(line["text"], line["speaker"], line["lang"]) for line in lines] == [
            (row.text, row.speaker, "en") for row in expected
        ]
        for line, row in zip(lines, expected, strict=True):
            audio, rate = soundfile.read(manifest.parent / line["audio_filepath"], dtype="float32")
            assert np.array_equal(audio, samples_of(row)) and line["duration"] == pytest.approx(len(audio) / rate)
            assert None not in line.values()


def test_hugging_face_reads_the_corpus_as_it_is(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    files = {split: str(corpus / f"{split}-*.parquet") for split in ("train", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    for split, dataset in loaded.items():
        expected = [row for row in rows(corpus) if row.split == split]
        assert dataset.features["audio"] == datasets.Audio(sampling_rate=RATE)
        assert dataset.features["age_years"].dtype == "float64"
        raw = dataset.cast_column("audio", datasets.Audio(sampling_rate=RATE, decode=False))
        for row, item in zip(expected, raw, strict=True):
            assert item["audio"] == {"bytes": row.audio, "path": f"{row.id}.flac"}
            assert (item["id"], item["text"], item["speaker"]) == (row.id, row.text, row.speaker)


@pytest.mark.parametrize("to", ["kaldi", "lhotse", "nemo"])
def test_it_is_whole_or_absent(corpus: Path, tmp_path: Path, to: str) -> None:
    def stop(done: int, total: int, split: str) -> None:
        assert total == 14 and split in ("train", "test")
        if done == 12:
            raise KeyboardInterrupt

    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export_corpus(corpus, to, tmp_path / "out", report=stop)  # type: ignore[arg-type]
    assert set(tmp_path.iterdir()) == before
    (tmp_path / "out").mkdir()
    export_corpus(corpus, to, tmp_path / "out")  # type: ignore[arg-type]
    first = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert len(list((tmp_path / "out").rglob("*.flac"))) == 14
    with pytest.raises(InputError, match="exists already and is not empty"):
        export_corpus(corpus, to, tmp_path / "out")  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == first
    export_corpus(corpus, to, tmp_path / "again")  # type: ignore[arg-type]
    again = {path: path.read_bytes() for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert list(again.values()) == list(first.values())


def test_no_name_and_no_place_leaves(corpus: Path, tmp_path: Path) -> None:
    for to in ("kaldi", "lhotse", "nemo"):
        export_corpus(corpus, to, tmp_path / to)  # type: ignore[arg-type]
        for path in (tmp_path / to).rglob("*"):
            if path.is_file() and path.suffix != ".flac":
                content = path.read_bytes()
                text = gzip.decompress(content) if path.suffix == ".gz" else content
                assert str(tmp_path).encode() not in text and b"train1" not in text, path
