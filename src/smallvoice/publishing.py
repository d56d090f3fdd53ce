"""`push`: a tuned model or an export to the Hugging Face hub, when somebody asks for it and agrees to what is shown.

What goes is on a list (`uploads`), and is looked through for names. A repository is private unless it is asked to be
public.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from smallvoice.errors import InputError, RecipeError, SmallvoiceError, require
from smallvoice.scoring import wording
from smallvoice.storage import read_text
from smallvoice.terminal import console
from smallvoice.uploads import CARD, VOCABULARY, Item, gather, require_usable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SHORTEST_NAME = 3
SHORTEST_NUMBER = 6
"""A speaker who is a shorter number cannot be told from a setting or a count."""
LONGEST_HEADER = 100_000_000  # bytes, by the format of safetensors
# Words that every card or configuration holds: as somebody's name they betray nobody.
_OWN_WORDS = frozenset({"adult", "alpha", "base", "case", "child", "children", "dev", "ema", "lora", "min"})
_OWN_WORDS |= {"speaker", "test", "train"}
WEIGHTS = (".safetensors", ".bin", ".onnx", ".onnx_data", ".pt", ".gguf")
TIMEOUT_S = 30
"""For the first question to the hub, which otherwise waits without end."""


def push(folder: Path, repo: str, *, public: bool = False, yes: bool = False) -> dict[str, Any]:
    """Show what would be uploaded, ask, and upload it in one commit.

    Args:
        folder: a run (its adapter and its card), an adapter, or an export.
        repo: OWNER/NAME; made if there is none.
        public: everybody may download it.
        yes: do not ask.

    Returns:
        `repo`, `private`, `files`, `not_uploaded`, `uploaded`; and once it is, `url` and `commit`.

    Raises:
        InputError: no model or card there, one that nobody can use or that its run has no more, a speaker's name or
            a path in the user's home in a text, other weights in the repository, or the hub refuses.
        RecipeError: no such name can be, or there is nobody to ask.
        MissingDependency: huggingface_hub is not installed.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise RecipeError(f"{repo}: a repository of the hub is written OWNER/NAME.")
    items, left = gather(folder)
    names = _names_of_speakers(folder)
    _look_through(items, repo, names or set())
    require_usable(folder, items)
    _show(items, left, repo, public=public, checked=names is not None)
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RecipeError("Nothing was uploaded: there is no terminal to ask on. --yes uploads without a question.")
    found = {"repo": repo, "files": {item.path: item.size for item in items}, "not_uploaded": left}
    return {**found, **_upload(items, repo, public=public, yes=yes)}


def _names_of_speakers(folder: Path) -> set[str] | None:
    """Everybody in `speakers.csv` of the corpora beside an adapter, an export or a run; None if there is none.

    Raises:
        InputError: a table that cannot be read.
    """
    places = [place for start in (folder.absolute(), folder.resolve()) for place in (start, *start.parents[:2])]
    patterns = ("corpus/speakers.csv", "retention/*/corpus/speakers.csv")
    tables = {table for place in places for pattern in patterns for table in place.glob(pattern)}
    names: set[str] = set()
    for table in sorted(tables):
        reader = csv.DictReader(io.StringIO(read_text(table), newline=""))
        if not {"kind", "name"} <= set(reader.fieldnames or ()):
            raise InputError(f"{table}: no columns kind and name, so the names of speakers cannot be looked for.")
        names |= {row["name"] or "" for row in reader if row["kind"] == "speaker"}
    return names if tables else None


def _look_through(items: list[Item], repo: str, names: set[str]) -> None:
    """Raises: InputError: a text holds a speaker's name, which is not repeated, or a path of the user's home."""
    people, home = _pattern(names), _home()
    # An owner may well be called like a speaker, and `max_steps` is a setting; a repository `anna_tuned` is not.
    given = {"The names of the files": "\n".join(item.path for item in items)}
    given["The name of the repository"] = repo.split("/")[1]
    texts = {where: f"{text}\n{_JOINED.sub(' ', text)}" for where, text in given.items()}
    texts |= {str(item.source): _text(item) for item in items if item.content is not None}
    texts |= {str(item.source): _metadata(item.source) for item in items if item.source.suffix == ".safetensors"}
    # Many first names are words of every Whisper's vocabulary.
    silent = {str(item.source) for item in items if item.path in VOCABULARY}
    problems = []
    for where, text in texts.items():
        folded = _folded(text)
        if people and where not in silent and (found := people.search(folded)):
            newlines = folded.count("\n", 0, found.start())
            line = f", line {newlines + 1}" if where.endswith(CARD) else ""
            problems.append(f"{where}{line}: a speaker of the corpus is named here. Nothing was uploaded.")
        if home and home.search(text):
            problems.append(f"{where}: a path in your home folder is written here. Nothing was uploaded.")
    if problems:
        raise InputError(*problems)


def _pattern(names: set[str]) -> re.Pattern[str] | None:
    """Any of the names as a whole word, in folded text."""
    told = {_folded(name).strip() for name in names} - _OWN_WORDS
    told = {name for name in told if len(name) >= (SHORTEST_NUMBER if name.isdigit() else SHORTEST_NAME)}
    spaced = [r"\s+".join(map(re.escape, name.split())) for name in sorted(told)]
    return re.compile(rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)") if spaced else None


_JOINED = re.compile(r"_|(?<=[^\W\d])(?=\d)")
"""What joins a name to other words in the name of a file: `anna_tuned`, `anna2`."""


def _folded(text: str) -> str:
    """Text in which a name is one sequence of characters, however it was typed."""
    return unicodedata.normalize("NFC", text).casefold()


def _home() -> re.Pattern[str] | None:
    try:
        homes = {str(Path.home()), str(Path.home().resolve())} - {"/"}
    except RuntimeError:  # a user without one
        return None
    return re.compile(rf"(?<![\w.~-])(?:{'|'.join(map(re.escape, sorted(homes)))})(?![\w.-])") if homes else None


def _text(item: Item) -> str:
    """The text of a file; of JSON its keys and values, without the escapes that they are written with.

    Raises:
        InputError: it cannot be read.
    """
    try:
        text = (item.content or b"").decode("utf-8")
        if not item.path.endswith(".json"):
            return text
        return "\n".join(_scalars(json.loads(text, object_pairs_hook=list)))  # a key given twice is there twice
    except (ValueError, RecursionError) as error:
        raise InputError(f"{item.source}: cannot be read, so it cannot be looked through: {error}.") from None


def _metadata(path: Path) -> str:
    """What a safetensors file says beside its tensors: free text. Raises: InputError: it cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LONGEST_HEADER)), object_pairs_hook=list)
        return "\n".join(_scalars([said for name, said in header if name == "__metadata__"]))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header cannot be read, so it cannot be looked through: {error}.") from None


def _scalars(content: Any) -> Iterator[str]:
    if isinstance(content, list | tuple):
        for inner in content:
            yield from _scalars(inner)
    else:
        yield str(content)


def _show(items: list[Item], left: list[str], repo: str, *, public: bool, checked: bool) -> None:
    lines = [f"{repo}, {'public: everybody can download it' if public else 'private'}"]
    width = max(len(item.path) for item in items)
    lines += [f"  {item.path:{width}}  {decimal(item.size)}" for item in items]
    lines.append(f"  {wording.count(len(items), 'file')}, {decimal(sum(item.size for item in items))}")
    if left:
        lines.append(f"Not uploaded: {', '.join(left)}")
    if not checked:
        lines.append("No corpus beside it: names of speakers could not be looked for.")
    for line in lines:
        console.print(line, soft_wrap=True)


def _upload(items: list[Item], repo: str, *, public: bool, yes: bool) -> dict[str, Any]:
    """Ask, and upload. Returns what is known then. Raises what `push` raises."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    require("huggingface_hub", extra="train", why="Uploading to the hub")
    from huggingface_hub import CommitOperationAdd, HfApi

    with _problems_of_the_hub(repo):
        api = HfApi(token=True)
        exists = _is_private(api, repo)
        private = not public if exists is None else exists
        _refuse_public(repo, private, public)
        if exists is not None:
            there = api.model_info(repo, timeout=TIMEOUT_S).siblings or []
            _refuse_others(repo, {file.rfilename for file in there}, items)
        if public and exists:
            console.print(f"{repo} is there and is private; it stays so.", soft_wrap=True)
        if not yes and not _agreed():
            return {"private": private, "uploaded": False}
        if exists is None:
            api.create_repo(repo, private=private)
        # Nothing goes before the hub says, after the answer, what the repository is now.
        _refuse_public(repo, _is_private(api, repo), public)
        additions = [
            CommitOperationAdd(item.path, item.source.absolute() if item.content is None else item.content)
            for item in items
        ]
        commit = api.create_commit(repo, additions, commit_message="Upload with smallvoice")
        return {"private": private, "uploaded": True, "url": f"{api.endpoint}/{repo}", "commit": commit.oid}


def _is_private(api: HfApi, repo: str) -> bool | None:
    """Whether a repository is private; None if there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.model_info(repo, timeout=TIMEOUT_S).private is True
    except RepositoryNotFoundError:
        return None


def _refuse_public(repo: str, private: bool | None, public: bool) -> None:
    if not private and not public:
        raise InputError(f"{repo} is not private: others could download it. Nothing was uploaded; --public allows it.")


def _refuse_others(repo: str, there: set[str], items: list[Item]) -> None:
    """Weights of another form beside these would be taken for them: transformers loads an adapter if there is one."""
    weights = {name for name in there if name.endswith(WEIGHTS) or name == "adapter_config.json"}
    if others := sorted(weights - {item.path for item in items}):
        raise InputError(
            f"{repo} holds other weights, which this would stand beside: {', '.join(others)}. Nothing was uploaded; "
            "delete them there, or take another name."
        )


def _agreed() -> bool:
    try:
        return console.input("Upload? [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def _problems_of_the_hub(repo: str) -> Iterator[None]:
    """Raises: InputError: whatever goes wrong with the hub or on the way to it, in a line."""
    try:
        yield
    except SmallvoiceError:
        raise
    except Exception as error:  # the hub's HTTP client has errors of its own, which differ between its versions
        raise InputError(f"{repo}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "the hub is switched off (HF_HUB_OFFLINE). Nothing was uploaded."
    if isinstance(error, LocalTokenNotFoundError):
        return "no token for the hub. Run `hf auth login` with one that may write, or set HF_TOKEN."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"the hub does not take the token, or the token may not write there (HTTP {status})."
    said = " ".join(str(error).split()) or "no reason given"
    return f"the hub, or the way to it, refused: {type(error).__name__}: {said}"
