"""Files between stages: written whole or not at all, each with a schema version, each stage with a marker."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from smallvoice.errors import InputError, ResourceError

SCHEMA_VERSION = 1
"""One number for every file that smallvoice writes. It rises when a reader of the old form would be misled."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block ends well, else remove it.

    The rename is atomic on one file system, so a reader sees the old file or the new one, never half of one.

    Raises:
        InputError: a folder is there.
        ResourceError: the disk is full.
    """
    require_no_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name may have 255 bytes, and this one has 15 more than the path's.
    stem = os.fsencode(path.stem)[:200].decode("utf-8", "ignore")
    handle, name = tempfile.mkstemp(prefix=f".{stem}{path.suffix}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with no_space_as_error(path):
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_no_folder(path: Path) -> None:
    """See that a file may be written here, before the work that ends with it.

    Raises:
        InputError: a folder is there.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder is there; give a file.")


@contextmanager
def no_space_as_error(path: Path | str) -> Iterator[None]:
    """Turn "no space left on device" into an error that names the place.

    Raises:
        ResourceError: the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"No room left on the disk while writing {path}. Free some space and run the same command again: "
                "what was finished is kept."
            ) from None
        raise


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one JSON object, `schema_version` first."""
    versioned = {"schema_version": SCHEMA_VERSION, **content}
    write_text(path, json_text(versioned, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, each with its `schema_version`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row))


def json_line(row: dict[str, Any]) -> str:
    return json_text({"schema_version": SCHEMA_VERSION, **row}) + "\n"


def json_text(content: Any, indent: int | None = None) -> str:
    """JSON that UTF-8 can hold: a lone surrogate, which only JSON can, stays as its escape."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json`, without its `schema_version`.

    Raises:
        InputError: missing, not JSON, not an object, or of an unknown schema version.
    """
    return _checked(parse_json(read_text(path), str(path)), str(path))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file of `write_jsonl`, without the `schema_version` of each row.

    Raises:
        InputError: missing, or a line that is not a JSON object of a known schema version.
    """
    rows = []
    # Not splitlines(): a text may hold U+2028, which JSON does not escape.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        rows.append(_checked(parse_json(line, f"{path}:{number}"), f"{path}:{number}"))
    return rows


def parse_json(text: str, where: str) -> Any:
    """Args: where: the file, and perhaps the line, in error messages.

    Raises:
        InputError: not JSON, or JSON that Python does not take: nested too deep, a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in text else ""
        raise InputError(f"{where}{line}: not valid JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: JSON that cannot be read: {error}.") from None


def recover_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file to which rows are appended; a last row that was cut off is removed from it.

    Raises:
        InputError: a row before the last is damaged.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        with replacing(path) as temporary:
            temporary.write_bytes(content[: content.rfind(b"\n") + 1])
    return read_jsonl(path)


def read_text(path: Path) -> str:
    """Read UTF-8.

    Raises:
        InputError: missing, a folder, unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start}: 0x{error.object[error.start]:02x}).") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None


def _checked(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(content).__name__}.")
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{where}: schema_version is {version!r}; this smallvoice reads {SCHEMA_VERSION}. "
            "Make the file again, or use the smallvoice that wrote it."
        )
    return content


def digest(*parts: Any) -> str:
    """A hash of JSON-like values: equal values give equal digests on every machine."""
    canonical = json.dumps([SCHEMA_VERSION, *parts], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_digest(*paths: Path) -> str:
    """The sha256 of a file's content, or of several files one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder for one process; the lock ends with the process, however it ends.

    Raises:
        InputError: another process works in it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another smallvoice works in it now. Wait for it to end.") from None
        yield
    finally:
        os.close(handle)


def write_marker(folder: Path, stage: str, key: str, **facts: Any) -> None:
    """Say that `stage` is complete for `key`. Always the last thing that a stage writes."""
    write_json(_marker(folder, stage), {"stage": stage, "key": key, **facts})


def read_marker(folder: Path, stage: str) -> dict[str, Any] | None:
    """The marker of a completed stage, or None where there is none that can be used."""
    with suppress(InputError):
        return read_json(_marker(folder, stage))
    return None


def file_states(paths: Iterable[Path]) -> list[list[int]]:
    """Size and time of files, for a marker; a missing one has neither."""
    found = (path.stat() if path.is_file() else None for path in paths)
    return [[stat.st_size, stat.st_mtime_ns] if stat else [] for stat in found]


def unchanged(before: list[list[int]], paths: Iterable[Path]) -> bool:
    """Whether files are as a marker says; one of an earlier version knows only the first of them."""
    return file_states(paths)[: len(before)] == before


def remove_marker(folder: Path, stage: str) -> None:
    _marker(folder, stage).unlink(missing_ok=True)


def _marker(folder: Path, stage: str) -> Path:
    return folder / ".stages" / f"{stage}.json"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
