"""Exports load in their own runtimes, and one that writes other words is refused."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from smallvoice import recipe_file as recipes
from smallvoice import using, verbs
from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.utterance import open_corpus
from smallvoice.decoding.models import open_model
from smallvoice.errors import Finding, RecipeError
from smallvoice.exporting import ctranslate2, export, ggml, huggingface, parity
from smallvoice.recipe import DecodeRecipe
from smallvoice.storage import read_json
from tests.conftest import needs_weights


def test_transformers_loads_what_was_trained(tuned_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    found = using.export(str(tuned_run), "huggingface", corpus=tiny_corpus, out=tmp_path)
    assert found["kept"] and found["words_differ"] == 0.0 and found["wer_model"] == found["wer_export"]
    assert found["window_cost"]["wer_30_s"] == found["wer_model"]
    folder = tmp_path / "huggingface-float32"
    assert {"config.json", "generation_config.json", "model.safetensors", "preprocessor_config.json"} <= {
        path.name for path in folder.iterdir()
    }
    from transformers import WhisperForConditionalGeneration

    loaded = dict(WhisperForConditionalGeneration.from_pretrained(folder).named_parameters())
    for name, value in open_model(str(tuned_run)).whisper.network.named_parameters():
        assert torch.equal(loaded[name], value), name
    for path in folder.rglob("*"):
        assert str(tuned_run).encode() not in path.read_bytes(), path.name
    assert list(read_json(tmp_path / "parity.json")["exports"]) == ["huggingface-float32"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_faster_whisper_loads_what_was_trained(
    tuned_run: Path, tiny_corpus: Path, tmp_path: Path, precision: str
) -> None:
    """It loads and writes; which words, a random model leaves to rounding: the real one is tested below."""
    pytest.importorskip("faster_whisper")
    found = using.export(
        str(tuned_run), "ctranslate2", precision=precision, corpus=tiny_corpus, out=tmp_path, accept_drift=True
    )
    assert (tmp_path / f"ctranslate2-{precision}" / "model.bin").is_file()
    assert found["clips"] > 0 and found["accepted"]
    assert all(clip["export"] for clip in found["differing"])


def test_an_export_that_writes_other_words_is_not_kept(
    tuned_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, precision: str, clips: list[np.ndarray], language: str | None) -> list[str]:
        return [f"{text} and more" for text in huggingface.hear(folder, precision, clips, language)]

    kind = export.FORMATS["huggingface"]
    damaged = export.Format(kind.precisions, kind.needs, kind.write, broken)
    monkeypatch.setitem(export.FORMATS, "huggingface", damaged)
    with pytest.raises(Finding, match=r"huggingface-float32 is not kept: .* --accept-drift"):
        using.export(str(tuned_run), "huggingface", corpus=tiny_corpus, out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"parity.json", "parity_reference.json"}
    block = read_json(tmp_path / "parity.json")["exports"]["huggingface-float32"]
    assert not block["kept"] and block["differing"][0]["export"].endswith("and more")
    kept = using.export(str(tuned_run), "huggingface", corpus=tiny_corpus, out=tmp_path, accept_drift=True)
    assert kept["accepted"] and not kept["kept"] and (tmp_path / "huggingface-float32").is_dir()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"to": "tflite"}, "--to tflite: not known. There are: adapter, huggingface, ctranslate2, ggml, onnx"),
        ({"to": "huggingface", "precision": "int2"}, "--precision int2: huggingface has float32, float16"),
        ({"to": "huggingface"}, "is no run: say where it goes"),
    ],
)
def test_mistakes_are_said(tiny_models: dict[str, Path], arguments: dict[str, str], problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        using.export(str(tiny_models["english"]), **arguments)


@pytest.mark.parametrize("precision", ["f16", "q8_0"])
def test_the_file_for_whisper_cpp_holds_every_tensor(
    tiny_models: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    """Read back by its own layout: sizes, filters, words as bytes, and each tensor to the file's last byte."""
    if precision != "f16":
        pytest.importorskip("gguf")
    model = open_model(str(tiny_models["multilingual"]))
    path = tmp_path / "ggml-model.bin"
    ggml.write(model, path, precision)
    data = path.read_bytes()
    magic, vocab, positions, width, *_, mels, kind = struct.unpack_from("I11i", data)
    assert (magic, vocab, positions, width, mels) == (ggml.MAGIC, 51_865, 1500, 16, 80)
    assert kind == (1 if precision == "f16" else 2_007)
    place = 48
    assert struct.unpack_from("2i", data, place) == (80, 201)
    place += 8 + 4 * 80 * 201
    (number,) = struct.unpack_from("i", data, place)
    place += 4
    words = []
    for _ in range(number):
        (length,) = struct.unpack_from("i", data, place)
        words.append(data[place + 4 : place + 4 + length])
        place += 4 + length
    assert number == 50_257 and words[:3] == [b"!", b'"', b"#"] and b" " in words[:256]
    found = {}
    while place < len(data):
        dimensions, length, kind = struct.unpack_from("3i", data, place)
        place += 12
        shape = struct.unpack_from(f"{dimensions}i", data, place)[::-1]
        place += 4 * dimensions
        name = data[place : place + length].decode()
        place += length
        count = int(np.prod(shape))
        found[name] = (shape, kind)
        place += {0: 4 * count, 1: 2 * count, 8: count // 32 * 34}[kind]
    assert place == len(data)
    network = model.whisper.network
    assert len(found) == len(network.state_dict()) - 1
    assert found["encoder.conv1.bias"] == ((16, 1), 0) and found["decoder.token_embedding.weight"][0] == (51_865, 16)
    matrices = {name: kind for name, (shape, kind) in found.items() if len(shape) == 2 and shape[1] % ggml.BLOCK == 0}
    assert len(matrices) >= 4 and set(matrices.values()) == {1 if precision == "f16" else 8}
    assert found["encoder.blocks.0.attn.query.weight"] == ((16, 16), 1)
    assert {"encoder.ln_post.weight", "decoder.ln.bias", "decoder.blocks.1.cross_attn_ln.weight"} <= set(found)


def test_limits_are_wider_for_rounded_weights() -> None:
    assert parity.limits("float16") == parity.EXACT and parity.limits("q5_0") == parity.ROUNDED


@pytest.fixture(scope="module")
def real_clips(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Utterances of two speakers."""
    corpus = tmp_path_factory.mktemp("real") / "corpus"
    recipe = recipes.build({"corpus": {"language": "en", "select": "age_years == 8"}}).corpus
    verbs.prepare(["speechocean762"], corpus, recipe=recipe, split="dev")
    return corpus


@pytest.mark.slow
@needs_weights("openai/whisper-base")
@pytest.mark.parametrize(
    ("form", "precision"),
    [
        ("adapter", "float32"),
        ("huggingface", "float32"),
        ("ctranslate2", "float16"),
        ("ctranslate2", "int8"),
        *(("ggml", precision) for precision in ggml.PRECISIONS if precision != "q5_0"),
        ("onnx", "float32"),
        ("onnx", "int8"),
    ],
)
def test_the_real_adapter_in_every_runtime(
    real_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, precision: str
) -> None:
    for package in export.FORMATS[form].needs:
        pytest.importorskip(package)
    monkeypatch.setattr(parity, "MOST_CLIPS", 8)
    adapter = Path(__file__).parents[2] / "models" / "speechocean762_base"
    found = using.export(str(adapter), form, precision=precision, corpus=real_clips, out=tmp_path, accept_drift=True)
    assert found["clips"] == 8
    assert (found["at_own_window"] is not None) == (form in ("ctranslate2", "ggml", "onnx"))
    for block in filter(None, (found, found["at_own_window"])):
        # About 25 words: one is 4 %, so the gate itself, at 5 %, is not asked here.
        assert block["words_differ"] <= (0.15 if precision in parity.ROUNDED_PRECISIONS else 0.0)


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_five_bits_are_too_few_for_the_real_adapter(
    real_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """whisper.cpp loads and decodes it, and the gate refuses it: what was learned is finer than q5_0's steps."""
    pytest.importorskip("pywhispercpp")
    monkeypatch.setattr(parity, "MOST_CLIPS", 8)
    adapter = str(Path(__file__).parents[2] / "models" / "speechocean762_base")
    with pytest.raises(Finding, match=r"ggml-q5_0 is not kept: .* --accept-drift"):
        using.export(adapter, "ggml", precision="q5_0", corpus=real_clips, out=tmp_path)
    assert not (tmp_path / "ggml-q5_0").exists()
    block = read_json(tmp_path / "parity.json")["exports"]["ggml-q5_0"]
    assert block["clips"] == 8 and not block["kept"] and 0.05 < block["words_differ"] < 0.5


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_the_real_adapter_decoded_by_ctranslate2(real_clips: Path, tmp_path: Path) -> None:
    """At the trimmed window, as smallvoice itself decodes: the words and the language of torch."""
    pytest.importorskip("ctranslate2")
    adapter = open_model(str(Path(__file__).parents[2] / "models" / "speechocean762_base"))
    ctranslate2.write(adapter, tmp_path, "float16")
    clips = [decode_flac(row.audio) for row in itertools.islice(open_corpus(real_clips).utterances("dev"), 8)]
    converted = open_model(str(tmp_path), "ctranslate2")
    converted.window = adapter.window
    ours, theirs = (model.engine(DecodeRecipe()) for model in (adapter, converted))
    assert [one.text for one in theirs.decode(clips, "en")] == [one.text for one in ours.decode(clips, "en")]
    assert theirs.detect(clips) == ours.detect(clips)
    timed = zip(ours.decode(clips, "en", words=True), theirs.decode(clips, "en", words=True), strict=True)
    starts = [
        abs(a.start_s - b.start_s)
        for one, other in timed
        for a, b in zip(one.words or [], other.words or [], strict=True)
    ]
    assert len(starts) > 20 and np.median(starts) <= 0.02 and max(starts) <= 0.3


def test_there_is_no_adapter_where_weights_moved(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="no adapter"):
        using.export(str(tiny_models["multilingual"]), "adapter", corpus=tiny_corpus, out=tmp_path)
    assert not list(tmp_path.iterdir())
