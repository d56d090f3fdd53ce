from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from tests.corpus.corpora import children, noise, write_audio, write_kaldi, write_lines

from smallvoice.corpus.sources import Source, find, find_all, fingerprint, items, place_of, with_distinct_names
from smallvoice.corpus.transcripts.segment import Recording
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data of this machine, no ./data."""
    monkeypatch.delenv("SMALLVOICE_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def _official(folder: Path) -> Path:
    """The official download's layout: WAVE/ beside train/ and test/."""
    for half in ("train", "test"):
        write_kaldi(folder / half, children(3, half))
        shutil.copytree(folder / half / "wav", folder / "wav", dirs_exist_ok=True)
        shutil.rmtree(folder / half / "wav")
    return folder


def test_the_official_layout_holds_both_halves(tmp_path: Path) -> None:
    root = _official(tmp_path / "data" / "speechocean762")
    for data in (tmp_path / "data", root):
        assert find("speechocean762", data) == [Source(name="speechocean762", path=root / "train", language="en")]
        assert find("speechocean762-test", data) == [
            Source(name="speechocean762-test", path=root / "test", language="en")
        ]


def test_a_plain_kaldi_folder_is_the_training_half(tmp_path: Path) -> None:
    plain = write_kaldi(tmp_path / "data" / "speechocean762", children(3))
    for data in (tmp_path / "data", plain):
        assert find("speechocean762", data)[0].path == plain
        with pytest.raises(InputError, match="official test half"):
            find("speechocean762-test", data)
    held_out = write_kaldi(tmp_path / "data" / "speechocean762-test", children(3))
    assert find("speechocean762-test", tmp_path / "data")[0].path == held_out


def test_the_test_half_is_never_taken_for_the_training_half(tmp_path: Path) -> None:
    held_out = write_kaldi(tmp_path / "speechocean762-test", children(3))
    with pytest.raises(InputError, match="official training half"):
        find("speechocean762", held_out)


def test_places_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = write_kaldi(Path("data/speechocean762"), children(3))
    assert find("speechocean762")[0].path == here
    shared = write_kaldi(tmp_path / "shared" / "speechocean762", children(3))
    monkeypatch.setenv("SMALLVOICE_DATA", str(tmp_path / "shared"))
    assert find("speechocean762")[0].path == shared
    given = write_kaldi(tmp_path / "given" / "speechocean762", children(3))
    assert find("speechocean762", tmp_path / "given")[0].path == given


def test_what_is_not_there_says_what_it_is_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        find("speechocean762", tmp_path)
    for part in ("openslr.org/101", "free for commercial", "Mandarin", "--data DIR"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="By name: speechocean762, speechocean762-test, nursery"):
        find("speechocaen762")
    with pytest.raises(InputError, match="no such folder"):
        find("./nowhere")
    with pytest.raises(InputError, match="No source is given"):
        find_all("")


def test_folders(tmp_path: Path) -> None:
    kaldi = write_kaldi(tmp_path / "lab", children(3))
    write_audio(tmp_path / "other/data/train/a.wav", noise(1))
    write_lines(tmp_path / "other/data/train/a.txt", ["0\t1\thello"])
    found = find_all([str(kaldi), str(tmp_path / "other")])
    assert found == [Source(name="lab", path=kaldi), Source(name="other", path=tmp_path / "other")]


def test_two_folders_of_one_name_are_two_sources(tmp_path: Path) -> None:
    first = Source(name="data", path=write_kaldi(tmp_path / "maria" / "data", children(3)))
    second = Source(name="data", path=write_kaldi(tmp_path / "jose" / "data", children(3)))
    third = Source(name="lab", path=tmp_path)
    names = [source.name for source in with_distinct_names([first, second, third], {})]
    assert len(set(names)) == 3 and names[2] == "lab"
    assert [source.name for source in with_distinct_names([second, first], {})] == [names[1], names[0]]
    assert "maria" not in names[0]
    known = {place_of(first): "data"}
    by_name = dataclasses.replace(first, name="speechocean762")
    assert with_distinct_names([by_name], known) == [by_name]
    assert [source.name for source in with_distinct_names([second, first], known)] == [names[1], "data"]
    with pytest.raises(InputError, match="given twice"):
        with_distinct_names([first, first], {})


def test_the_nursery_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smallvoice.corpus import nursery

    made = []

    def write_source(folder: Path) -> None:
        made.append(folder)
        for split in ("train", "dev", "test"):
            write_kaldi(folder / split, children(2, split))

    monkeypatch.setattr(nursery, "write_source", write_source)
    (source,) = find("nursery", cache_dir=tmp_path / "cache")
    assert source == Source(name="nursery", path=tmp_path / "cache/nursery", language="en", synthetic=True)
    assert find("nursery", cache_dir=tmp_path / "cache") == [source]
    assert len(made) == 1 and not made[0].exists()


def test_a_nursery_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smallvoice.corpus import nursery

    def write_source(folder: Path) -> None:
        (folder / "train").mkdir()
        raise InputError("no voice")

    monkeypatch.setattr(nursery, "write_source", write_source)
    with pytest.raises(InputError, match="no voice"):
        find("nursery", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path / "lab", children(3))
    moved_audio = shutil.move(folder / "wav", tmp_path / "wav")
    sources = [Source(name="lab", path=folder)]
    recipe = CorpusRecipe(audio=[str(tmp_path)])
    first, by_content = fingerprint(sources, recipe), fingerprint(sources, recipe, rehash=True)
    assert fingerprint(sources, recipe) == first
    assert fingerprint([Source(name="lab", path=folder, split="test")], recipe) != first
    path = Path(moved_audio) / "kid000/0.wav"
    path.touch()
    assert fingerprint(sources, recipe) != first
    assert fingerprint(sources, recipe, rehash=True) == by_content
    write_audio(path, noise(0.3, 99))
    assert fingerprint(sources, recipe, rehash=True) != by_content


def test_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"hf:nobody/nothing: cannot be had from the hub: "):
        find("hf:nobody/nothing", cache_dir=tmp_path)

    def download(name: str, repo_type: str, local_dir: Path) -> None:
        assert (name, repo_type) == ("lab/kids", "dataset")
        write_audio(local_dir / "clips" / "a.wav", noise(1))
        write_lines(local_dir / "metadata.csv", ["file_name,transcription", "clips/a.wav,hello there"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    (source,) = find("hf:lab/kids", cache_dir=tmp_path)
    assert (source.name, source.path) == ("lab--kids", tmp_path / "hub" / "lab--kids")
    (recording,) = [item for item in items(source, CorpusRecipe()) if isinstance(item, Recording)]
    assert recording.segments[0].text == "hello there"
