"""CTranslate2 writes what torch writes, at every window, and nothing depends on what stands beside an utterance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import tone

from smallvoice import using, verbs
from smallvoice.decoding.models import Model, open_model
from smallvoice.errors import InputError, RecipeError
from smallvoice.exporting import ctranslate2
from smallvoice.recipe import DecodeRecipe, WindowRecipe

pytest.importorskip("ctranslate2")
CLIPS = [tone(0.8, 1), tone(1.1, 2), tone(1.9, 3)]


@pytest.fixture(scope="module")
def exported(tuned_run: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports")
    using.export(str(tuned_run), "ctranslate2", precision="float32", corpus=tiny_corpus, out=out, accept_drift=True)
    return out / "ctranslate2-float32"


@pytest.fixture
def both(tuned_run: Path, exported: Path) -> Iterator[tuple[Model, Model]]:
    yield open_model(str(tuned_run)), open_model(str(exported))


def test_an_export_knows_how_its_model_was_trained(both: tuple[Model, Model]) -> None:
    tuned, converted = both
    assert converted.converted and (converted.system, tuned.system) == ("tuned-ctranslate2", "tuned")
    assert converted.window == tuned.window and converted.window.kind == "trim"
    assert converted.facts and tuned.facts and converted.facts.text_style == tuned.facts.text_style
    assert converted.decode == tuned.decode
    assert converted.engine(DecodeRecipe()).facts()["runtime"].startswith("ctranslate2 ")
    assert all(parameter.is_meta for parameter in converted.whisper.network.parameters())


@pytest.mark.parametrize("kind", ["trim", "full"])
@pytest.mark.parametrize("beams", [1, 2])
def test_it_writes_what_torch_writes(both: tuple[Model, Model], kind: str, beams: int) -> None:
    decode = DecodeRecipe(beams=beams, tokens_base=6, tokens_per_s=2.0)
    torch_engine, engine = (replace(model, window=WindowRecipe(kind=kind)).engine(decode) for model in both)
    expected = torch_engine.decode(CLIPS, "en")
    found = engine.decode(CLIPS, "en")
    assert [one.text for one in found] == [one.text for one in expected]
    assert [one.capped for one in found] == [one.capped for one in expected]
    assert [one.num_tokens for one in found] == [one.num_tokens for one in expected]
    assert engine.num_frames(1.9) == torch_engine.num_frames(1.9)


def test_its_log_probability_is_that_of_torch(both: tuple[Model, Model]) -> None:
    decode = DecodeRecipe(tokens_base=6, tokens_per_s=2.0)
    expected, found = (model.engine(decode).decode(CLIPS, "en") for model in both)
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.avg_logprob == pytest.approx(ours.avg_logprob, abs=1e-3)


def test_its_words_are_at_their_time(both: tuple[Model, Model]) -> None:
    decode = DecodeRecipe(tokens_base=6, tokens_per_s=2.0)
    expected, found = (model.engine(decode).decode(CLIPS, "en", words=True) for model in both)
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.words is not None and ours.words is not None
        assert [word.text for word in theirs.words] == [word.text for word in ours.words]
        for a, b in zip(ours.words, theirs.words, strict=True):
            assert b.start_s == pytest.approx(a.start_s, abs=0.1) and b.probability == pytest.approx(
                a.probability, rel=0.02
            )


def test_nothing_depends_on_the_batch(both: tuple[Model, Model]) -> None:
    """A long utterance beside a short one does not raise its cap."""
    engine = both[1].engine(DecodeRecipe(tokens_base=2, tokens_per_s=4.0))
    together = engine.decode(CLIPS, "en")
    alone = [engine.decode([clip], "en")[0] for clip in CLIPS]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.num_tokens for one in together] == [one.num_tokens for one in alone]
    assert any(one.capped for one in together), "the caps do something here"


def test_silence_and_draws(both: tuple[Model, Model]) -> None:
    engine = both[1].engine(DecodeRecipe(tokens_base=6, tokens_per_s=2.0))
    nothing = engine.decode([np.zeros(1_600, np.float32)], "en", words=True)[0]
    assert nothing.words is not None
    assert engine.decode(CLIPS, "en", temperature=1.0) != engine.decode(CLIPS, "en")


def test_english_only_models(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """Without an export of smallvoice's own: any CTranslate2 folder, if it is asked for."""
    base = open_model(str(tiny_models["english"]))
    folder = tmp_path / "converted"
    ctranslate2.write(base, folder, "float32")
    assert open_model(str(folder)).converted is None, "weights like others: they decode in torch"
    converted = open_model(str(folder), "ctranslate2")
    decode = DecodeRecipe(tokens_base=6, tokens_per_s=2.0)
    expected, found = (model.engine(decode).decode(CLIPS, None) for model in (base, converted))
    assert [one.text for one in found] == [one.text for one in expected]
    with pytest.raises(InputError, match="English-only"):
        converted.engine(decode).detect(CLIPS)


def test_evaluate_and_transcribe_take_an_export(exported: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    block = verbs.evaluate(str(exported), tiny_corpus, out=tmp_path)
    again = verbs.evaluate(str(exported), tiny_corpus, out=tmp_path / "torch", runtime="torch")
    assert block["decoding"]["runtime"].startswith("ctranslate2") and again["decoding"]["runtime"] == "torch"
    assert block["decoding"]["window"] == again["decoding"]["window"]
    assert block["wer"]["normalised"] == again["wer"]["normalised"]
    speech = using.opened(str(exported))
    transcript = speech.transcribe((CLIPS[2] * 32_767).astype(np.int16))
    assert transcript.facts["engine"]["runtime"].startswith("ctranslate2")


def test_what_cannot_be(tuned_run: Path, exported: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no CTranslate2 folder"):
        open_model(str(tuned_run), "ctranslate2")
    with pytest.raises(RecipeError, match="not known"):
        open_model(str(tuned_run), "tensorflow")
    with pytest.raises(RecipeError, match="an export already"):
        using.export(str(exported), "huggingface", corpus=tiny_corpus, out=tmp_path)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_model_that_knows_silence_may_write_nothing(tiny_models: dict[str, Path], tmp_path: Path, beams: int) -> None:
    """What may not come first travels with the export; beams of CTranslate2 would always write something."""
    silent = open_model(str(tiny_models["multilingual"]))
    generation = silent.whisper.generation
    end = generation.eos_token_id
    generation.begin_suppress_tokens = [token for token in generation.begin_suppress_tokens if token != end]
    with torch.no_grad():  # here the end is the likeliest token of all
        silent.whisper.network.proj_out.weight[end] *= -10
    ctranslate2.write(silent, tmp_path, "float32")
    converted = open_model(str(tmp_path), "ctranslate2")
    assert end not in converted.whisper.generation.begin_suppress_tokens
    decode = DecodeRecipe(tokens_base=6, beams=beams)
    ours, theirs = (model.engine(decode).decode(CLIPS, "en", words=True) for model in (silent, converted))
    assert [one.text for one in theirs] == [one.text for one in ours] == [""] * 3
    assert [one.avg_logprob for one in theirs] == pytest.approx([one.avg_logprob for one in ours], abs=1e-3)
    assert all(one.words == [] and not one.capped for one in theirs)


def test_an_export_says_what_it_was_made_of(both: tuple[Model, Model]) -> None:
    tuned, converted = both
    assert converted.adapter_sha256 == tuned.adapter_sha256 == tuned.key
