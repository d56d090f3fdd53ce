"""Evaluation: lost audio counts, unselected rows do not, a cut-off one continues, nothing good is overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import tiny

from smallvoice import verbs
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import CorpusRecipe, DecodeRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import digest, read_json, read_jsonl, write_jsonl

DECODE = DecodeRecipe(tokens_base=4, tokens_per_s=1.0, batch_size=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A test of four speakers: one recording is broken, and the age of one speaker is unknown."""
    source = tiny.write_kaldi(tmp_path / "source", speakers=4, utterances=2)
    (source / "audio" / "anna0-0.flac").write_bytes(b"not audio")
    ages = (source / "spk2age").read_text().splitlines()
    (source / "spk2age").write_text("\n".join(ages[:3]) + "\n")
    recipe = CorpusRecipe(language="en", select="age_years < 18")
    verbs.prepare([str(source)], tmp_path / "corpus", split="test", recipe=recipe)
    return tmp_path / "corpus"


def test_lost_audio_counts_as_deletions_and_unselected_rows_do_not(
    corpus: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    block = verbs.evaluate(str(tiny_models["english"]), corpus, out=tmp_path / "out", decode=DECODE)
    rows = read_jsonl(tmp_path / "out" / "hypotheses" / "base.test.jsonl")
    assert len(rows) == block["utterances"] == 6, "two utterances of three speakers of known age"
    lost = [row for row in rows if row["error"]]
    assert len(lost) == 1
    assert lost[0]["hypothesis"] == ""
    assert lost[0]["speaker"] in {row["speaker"] for row in rows if not row["error"]}
    assert lost[0]["age_years"] == 5
    assert block["wer"]["raw"]["words"] == sum(len(row["reference"].split()) for row in rows)
    assert block["wer"]["raw"]["deletions"] >= len(lost[0]["reference"].split())
    assert block["speakers"] == 3


def test_a_cut_off_evaluation_continues(
    corpus: Path, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(tiny_models["english"])
    whole = verbs.evaluate(model, corpus, out=tmp_path / "whole", decode=DECODE)
    decode, batches = TorchEngine.decode, []

    def cut_off(self: TorchEngine, waveforms: list[np.ndarray], language: str | None, **how: bool) -> object:
        if len(batches) == 1:
            raise KeyboardInterrupt
        batches.append(waveforms)
        return decode(self, waveforms, language, **how)

    monkeypatch.setattr(TorchEngine, "decode", cut_off)
    with pytest.raises(KeyboardInterrupt):
        verbs.evaluate(model, corpus, out=tmp_path / "cut", decode=DECODE)
    monkeypatch.undo()
    partial = next((tmp_path / "cut" / "hypotheses").glob(".*.part"))
    partial.write_text(partial.read_text() + '{"id": "half a li')
    again = verbs.evaluate(model, corpus, out=tmp_path / "cut", decode=DECODE)
    assert again["wer"] == whole["wer"]
    assert again["rtfx"] is None, "the time of a part says nothing of the whole"
    assert not list((tmp_path / "cut" / "hypotheses").glob(".*.part"))
    name = "hypotheses/base.test.jsonl"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_empty_selection_overwrites_nothing(corpus: Path, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model, out = str(tiny_models["english"]), tmp_path / "out"
    verbs.evaluate(model, corpus, out=out, decode=DECODE)
    before = (out / "hypotheses" / "base.test.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"no utterance of test fits 'age_years < 3'"):
        verbs.evaluate(model, corpus, out=out, decode=DECODE, select="age_years < 3")
    assert (out / "hypotheses" / "base.test.jsonl").read_bytes() == before


def test_results_of_another_corpus_make_way(
    corpus: Path, tiny_corpus: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = str(tiny_models["english"])
    verbs.evaluate(model, corpus, out=tmp_path / "out", decode=DECODE)
    verbs.evaluate(model, tiny_corpus, out=tmp_path / "out", decode=DECODE)
    models = read_json(RunFolder(tmp_path / "out").evaluation("test"))["models"]
    assert [block["corpus"]["key"] for block in models.values()] == [read_json(tiny_corpus / "corpus.json")["key"]]


def test_a_multilingual_model_must_be_told_the_language(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    source = tiny.write_kaldi(tmp_path / "source", speakers=3, utterances=1)
    verbs.prepare([str(source)], tmp_path / "corpus", split="test")
    model = str(tiny_models["multilingual"])
    with pytest.raises(RecipeError, match="--language en"):
        verbs.evaluate(model, tmp_path / "corpus", out=tmp_path / "out", decode=DECODE)
    block = verbs.evaluate(model, tmp_path / "corpus", out=tmp_path / "out", decode=DECODE, language="en")
    assert block["utterances"] == 3


def test_every_evaluation_listens_to_silence(corpus: Path, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """A random model writes something for everything, and what it writes is kept."""
    block = verbs.evaluate(str(tiny_models["multilingual"]), corpus, out=tmp_path / "out", decode=DECODE)
    silence = block["silence"]
    assert silence["clips"] == 12 and silence["with_words"] == len(silence["written"])
    assert {"kind", "duration_s", "text"} == set(silence["written"][0])
    again = verbs.evaluate(str(tiny_models["multilingual"]), corpus, out=tmp_path / "again", decode=DECODE)
    assert again["silence"] == silence


def test_lost_audio_of_a_selection_counts_too(corpus: Path, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = str(tiny_models["english"])
    for select, lost in (("age_years <= 5", 1), ("age_years > 5", 0)):
        verbs.evaluate(model, corpus, out=tmp_path / select[-5:], decode=DECODE, select=select)
        rows = read_jsonl(tmp_path / select[-5:] / "hypotheses" / "base.test.jsonl")
        assert sum(row["error"] is not None for row in rows) == lost and len(rows) > lost


def test_lost_rows_of_one_place_are_each_counted_and_have_a_role(
    corpus: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """A file without line breaks gives all of its segments one `where`."""
    ledger = read_jsonl(corpus / "ledger.jsonl")
    (lost,) = [row for row in ledger if row["fate"] == "dropped" and row["split"] == "test" and row["age_years"] == 5]
    write_jsonl(corpus / "ledger.jsonl", [*ledger, {**lost, "text": "THE OTHER"}])
    verbs.evaluate(str(tiny_models["english"]), corpus, out=tmp_path / "out", decode=DECODE, select='role == "child"')
    rows = read_jsonl(tmp_path / "out" / "hypotheses" / "base.test.jsonl")
    errors = [row for row in rows if row["error"]]
    assert {row["reference"] for row in errors} == {lost["text"], "THE OTHER"} and len({row["id"] for row in rows}) == 7
    assert {row["role"] for row in errors} == {"child"}
    assert digest(lost["source"], lost["where"])[:16] in {row["id"] for row in errors}


def test_another_model_does_not_overwrite_what_one_wrote(
    corpus: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    english, multilingual = (str(tiny_models[kind]) for kind in ("english", "multilingual"))
    verbs.evaluate(english, corpus, out=tmp_path, decode=DECODE)
    verbs.evaluate(english, corpus, out=tmp_path, decode=DECODE, beams=2)
    before = RunFolder(tmp_path).hypotheses("base", "test").read_bytes()
    with pytest.raises(InputError, match=r"holds what another base model wrote .* Take another --out"):
        verbs.evaluate(multilingual, corpus, out=tmp_path, decode=DECODE)
    assert RunFolder(tmp_path).hypotheses("base", "test").read_bytes() == before
    verbs.evaluate(multilingual, corpus, out=tmp_path, decode=DECODE, replacing=True)
