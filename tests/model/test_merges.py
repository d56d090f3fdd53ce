"""A tokenizer makes of a text the tokens that Whisper was trained with, whatever its file lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.tiny import write_tokenizer
from transformers import WhisperTokenizer

from smallvoice.model import ctranslate2_weights, weights
from smallvoice.model.merges import complete_merges

MERGES = ["Ġ t", "h e", "Ġt he", "i n", "in g", "Ġt h"]


def write(folder: Path, merges: list[str], without: tuple[str, ...] = ()) -> WhisperTokenizer:
    """A tokenizer whose vocabulary all merges make, and whose file lacks some."""
    path = folder / "tokenizer.json"
    write_tokenizer(path, 51_865)
    content = json.loads(path.read_text())
    bytes_alone = [token for token in content["model"]["vocab"] if not token.startswith("filler")]
    vocabulary = [*bytes_alone, *("".join(merge.split()) for merge in merges)]
    content["model"]["vocab"] = {token: number for number, token in enumerate(vocabulary)}
    content["model"]["merges"] = [merge for merge in merges if merge not in without]
    path.write_text(json.dumps(content))
    return WhisperTokenizer.from_pretrained(folder, tokenizer_file=str(path), local_files_only=True)


def tokens(tokenizer: WhisperTokenizer, text: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("lost", [("Ġ t",), ("h e",), ("Ġt he", "in g"), ("Ġ t", "h e", "i n")])
def test_lost_merges_come_back_from_the_vocabulary(tmp_path: Path, lost: tuple[str, ...]) -> None:
    whole = write(tmp_path, MERGES)
    text = " the thing in her tin"
    expected = tokens(whole, text)
    assert expected[:3] == ["Ġthe", "Ġth", "ing"]
    tokenizer = write(tmp_path, MERGES, lost)
    assert tokens(tokenizer, text) != expected
    assert set(complete_merges(tokenizer)) == {"".join(merge.split()) for merge in lost}
    assert tokens(tokenizer, text) == expected
    assert tokenizer.encode("<|startoftranscript|> the") == whole.encode("<|startoftranscript|> the")
    merges = [tokenizer.backend_tokenizer.to_str(), whole.backend_tokenizer.to_str()]
    assert json.loads(merges[0])["model"]["merges"] == json.loads(merges[1])["model"]["merges"]


def test_a_whole_tokenizer_and_a_vocabulary_that_was_filled_up_stay_as_they_are(tmp_path: Path) -> None:
    whole = write(tmp_path, MERGES)
    before = whole.backend_tokenizer.to_str()
    assert complete_merges(whole) == [] and whole.backend_tokenizer.to_str() == before
    write_tokenizer(tmp_path / "tokenizer.json", 51_865)
    filled = ctranslate2_weights.tokenizer({"tokenizer.json": tmp_path / "tokenizer.json"})
    assert tokens(filled, " the") == ["Ġ", "t", "h", "e"]


def test_a_vocabulary_in_another_order_is_left(tmp_path: Path) -> None:
    write(tmp_path, MERGES, ("i n",))
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"].reverse()
    path.write_text(json.dumps(content))
    tokenizer = WhisperTokenizer.from_pretrained(tmp_path, tokenizer_file=str(path), local_files_only=True)
    before = tokens(tokenizer, " the thing in")
    assert complete_merges(tokenizer) == []
    assert tokens(tokenizer, " the thing in") == before


def test_what_earlier_tokens_cannot_make_is_left(tmp_path: Path) -> None:
    tokenizer = write(tmp_path, [*MERGES, "xy z"], without=("xy z",))  # nothing makes "xy"
    assert complete_merges(tokenizer) == []
    assert tokens(tokenizer, "xyz the") == ["x", "y", "z", "Ġthe"]


def test_a_folder_with_such_a_file_is_loaded_whole(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_models["multilingual"], folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    fillers = [token for token in vocabulary if token.startswith("filler")]
    first = vocabulary[fillers[0]]
    # Every place of the vocabulary is taken by merges of bytes, as in a real one; the first merge is lost.
    made = ["Ġt", "he", *(f"{chr(a)}{chr(b)}" for a in range(161, 500) for b in range(161, 500))]
    alphabet = {token for token in vocabulary if len(token) == 1}
    made = [token for token in made if set(token) <= alphabet and token not in vocabulary][: len(fillers)]
    assert len(made) > 20_000
    kept = {token: number for token, number in vocabulary.items() if not token.startswith("filler")}
    content["model"]["vocab"] = kept | {token: first + number for number, token in enumerate(made)}
    content["model"]["merges"] = [[token[0], token[1]] for token in made[1:]]
    path.write_text(json.dumps(content))
    assert tokens(weights.load(str(folder)).tokenizer, " the") == ["Ġt", "he"]


@pytest.mark.parametrize("name", ["openai/whisper-base", "openai/whisper-tiny.en"])
def test_every_token_of_the_real_ones_is_made_of_its_own_text(name: str, tmp_path: Path) -> None:
    """Whisper's labels must be the tokens that it writes: that is what its decoder knows."""
    weights.load(name).tokenizer.save_pretrained(tmp_path)
    tokenizer = WhisperTokenizer.from_pretrained(tmp_path)  # as other runtimes read what is saved
    assert tokens(tokenizer, " the turned them to that") == ["Ġthe", "Ġturned", "Ġthem", "Ġto", "Ġthat"]
    ids = range(tokenizer.eos_token_id - 1)
    texts = [tokenizer.decode([number]) for number in ids]
    whole = [(number, text) for number, text in zip(ids, texts, strict=True) if "\ufffd" not in text]
    assert len(whole) > 40_000
    made = tokenizer([text for _, text in whole], add_special_tokens=False)["input_ids"]
    others = {text for (number, text), back in zip(whole, made, strict=True) if back != [number]}
    # Contractions are split off in lower case alone.
    assert others <= {"'S", "'T", "'M", "'RE", "'D"}
