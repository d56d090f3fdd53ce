"""Where recordings and transcripts come from: folders, and corpora by name.

A recipe names a corpus, not a place. A name is looked for in `--data DIR`, in `$SMALLVOICE_DATA`, and in
`./data`; each may hold the corpus's folder or be it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.corpus.completing import Completer
from smallvoice.corpus.transcripts import kaldi, read, reader_of
from smallvoice.corpus.transcripts.files import relative, walk
from smallvoice.corpus.transcripts.segment import Item, Recording
from smallvoice.errors import InputError, require
from smallvoice.recipe import CorpusRecipe
from smallvoice.storage import digest, file_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Recordings and transcripts of one origin. Speakers of equal names in two sources are two people."""

    name: str
    path: Path
    split: str | None = None
    """The split of every row, where the user said so (`--split test`)."""
    language: str | None = None
    """The language of rows that do not say theirs."""
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Named:
    """A corpus that is known by name and lies on the user's disk."""

    about: str
    places: tuple[str, ...]
    """Where in a data folder its Kaldi folder may be; `.`: the data folder itself."""
    language: str


_SPEECHOCEAN = (
    "2,500 English sentences read by 125 children and adults with Mandarin as mother tongue, free for "
    "commercial and non-commercial use. Get speechocean762.tar.gz from https://www.openslr.org/101/ and "
    "unpack it into {folder}"
)

_NAMED = {
    "speechocean762": _Named(
        about="the official training half of speechocean762: " + _SPEECHOCEAN,
        places=("speechocean762/train", "speechocean762", "train", "."),
        language="en",
    ),
    "speechocean762-test": _Named(
        about="the official test half of speechocean762: " + _SPEECHOCEAN,
        places=("speechocean762/test", "speechocean762-test", "speechocean762_test", "test"),
        language="en",
    ),
}

NURSERY = "nursery"
HUB = "hf:"
"""How the name of a dataset on the Hugging Face hub begins: `hf:owner/name`. Nothing else asks the hub."""
NAMES = (*_NAMED, NURSERY)
"""The corpora that are known by name."""


def find(
    name_or_path: str | Path,
    data_dir: Path | None = None,
    *,
    cache_dir: Path | None = None,
    recipe: CorpusRecipe = CorpusRecipe(),
) -> list[Source]:
    """The sources that a name, a folder or a transcript file means.

    Args:
        recipe: says how transcripts are recognised.
        data_dir: where to look first for a corpus by name.
        cache_dir: where the synthetic nursery is made if it is not there yet; else `data_dir`, else `./data`.

    Raises:
        InputError: not there (the message says what the corpus is and how to get it), or a folder of no known
        shape. MissingDependency: the nursery needs a synthesiser that is not installed.
    """
    name = str(name_or_path)
    if name == NURSERY:
        return [_nursery(data_dir, cache_dir)]
    if name in _NAMED:
        return [_by_name(name, data_dir)]
    if name.startswith(HUB):
        return [_from_hub(name.removeprefix(HUB), cache_dir or data_dir or Path("data"))]
    path = Path(name_or_path).expanduser()
    if not path.exists() and path.name == name:
        raise InputError(f"{name}: no such folder, and no corpus of that name. By name: {', '.join(NAMES)}.")
    reader_of(path, recipe)
    return [Source(name=path.resolve().name, path=path)]


def find_all(
    names: str | list[str],
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    recipe: CorpusRecipe = CorpusRecipe(),
) -> list[Source]:
    """The sources of a recipe.

    Raises:
        InputError: one of them is not there or of no known shape, or the recipe names none.
    """
    found = [source for name in _listed(names) for source in find(name, data_dir, cache_dir=cache_dir, recipe=recipe)]
    if not found:
        raise InputError(f"No source is given. A folder, or by name: {', '.join(NAMES)}.")
    return found


def items(source: Source, recipe: CorpusRecipe) -> Iterator[Item]:
    """What a source holds, with what the recipe's tables and rules add.

    Raises:
        InputError: the source is of no known shape, or a table cannot be read. RecipeError: a table is wrong.
    """
    # Its own corpora are of a known format, whatever the user says of the others.
    settings = recipe
    if source.name in NAMES:
        # The official download's wav.scp is relative to the folder above its halves.
        audio = [*recipe.audio, str(source.path), str(source.path.absolute().parent)]
        settings = dataclasses.replace(recipe, format="kaldi", audio=audio)
    return Completer(recipe).complete(read(source.path, settings))


def fingerprint(sources: list[Source], recipe: CorpusRecipe, *, rehash: bool = False) -> str:
    """A digest of all files of the sources: by size and time or, with `rehash`, by content.

    Raises:
        InputError: a source is of no known shape.
    """
    states: dict[str, Any] = {}
    for source in sources:
        folder = source.path if source.path.is_dir() else source.path.parent
        files = {path: relative(path, folder) for path in (walk(folder) if folder == source.path else [source.path])}
        # Audio of a Kaldi folder may lie above it.
        for item in items(source, recipe):
            if isinstance(item, Recording) and isinstance(item.audio, Path):
                files[item.audio] = item.path
        for path, name in files.items():
            if path.is_file():
                state = path.stat()
                content = file_digest(path) if rehash else [state.st_size, state.st_mtime_ns]
                states[f"{source.name}/{name}"] = content
    settings = [[source.name, source.split, source.language, source.synthetic] for source in sources]
    return digest(settings, states, Completer(recipe).fingerprint())


def with_distinct_names(sources: list[Source], known: Mapping[str, str]) -> list[Source]:
    """Tell sources of equal names apart by a hash of where they lie.

    Args:
        known: `place_of` a source → the name that it had when the corpus was prepared before, and keeps: its speakers
            are known by it.

    Raises:
        InputError: the same folder is given twice.
    """
    folders = Counter(source.path.resolve() for source in sources)
    twice = [str(folder) for folder, count in folders.items() if count > 1]
    if twice:
        raise InputError(*(f"{folder}: this source is given twice." for folder in twice))
    # A corpus by name is read as what it is, whatever its folder was called before.
    sources = [source if source.name in NAMES else _as_before(source, known) for source in sources]
    names = Counter(source.name for source in sources)
    return [
        source
        if names[source.name] == 1 or source.name == known.get(place_of(source))
        else dataclasses.replace(source, name=f"{source.name}-{place_of(source)}")
        for source in sources
    ]


def _as_before(source: Source, known: Mapping[str, str]) -> Source:
    return dataclasses.replace(source, name=known.get(place_of(source), source.name))


def place_of(source: Source) -> str:
    """A hash of where a source lies. Not the path: a folder above the corpus is often called like its owner."""
    return hashlib.sha256(str(source.path.resolve()).encode()).hexdigest()[:6]


def _listed(names: str | list[str]) -> list[str]:
    return [name for name in ([names] if isinstance(names, str) else names) if name]


def _by_name(name: str, data_dir: Path | None) -> Source:
    known = _NAMED[name]
    looked = list(_data_folders(data_dir))
    for folder in looked:
        for place in known.places:
            path = folder / place
            if kaldi.is_kaldi(path) and _may_be(name, path):
                return Source(name=name, path=path, language=known.language)
    places = ", ".join(str(folder) for folder in looked)
    about = known.about.format(folder=looked[0])
    raise InputError(f"{name}: not found in {places}. It is {about}; or say where it is with --data DIR.")


def _may_be(name: str, path: Path) -> bool:
    """Keep the test half from being taken for the training half: a Kaldi folder of that name is not."""
    return name.endswith("-test") or "test" not in path.resolve().name.lower()


def _data_folders(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
    if os.environ.get("SMALLVOICE_DATA"):
        yield Path(os.environ["SMALLVOICE_DATA"])
    yield Path("data")


def _from_hub(name: str, folder: Path) -> Source:
    """A dataset of the hub, as its own files in `folder`; what is there already is not loaded again.

    Raises:
        InputError: no such dataset, or the hub cannot be reached.
    """
    hub = require("huggingface_hub", extra="train", why="A dataset of the hub")
    path = folder / "hub" / name.replace("/", "--")
    try:
        hub.snapshot_download(name, repo_type="dataset", local_dir=path)
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{HUB}{name}: cannot be had from the hub: {reason}") from None
    reader_of(path)
    return Source(name=name.replace("/", "--"), path=path)


def _nursery(data_dir: Path | None, cache_dir: Path | None) -> Source:
    """The synthetic corpus, made now if it is not there."""
    for folder in _data_folders(data_dir):
        if kaldi.recognises(folder / NURSERY):
            return Source(name=NURSERY, path=folder / NURSERY, language="en", synthetic=True)
    path = (cache_dir or data_dir or Path("data")) / NURSERY
    if not kaldi.recognises(path):
        from smallvoice.corpus import nursery

        unfinished = path.with_name(f".{NURSERY}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            nursery.write_source(unfinished)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Source(name=NURSERY, path=path, language="en", synthetic=True)
