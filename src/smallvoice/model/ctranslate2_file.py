"""CTranslate2's `model.bin`, read without CTranslate2.

The layout of binary version 6 is that of `ModelSpec._serialize` in CTranslate2's
`python/ctranslate2/specs/model_spec.py`: little-endian numbers, names, and the bytes of each variable.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smallvoice.errors import WeightsError

Variables = dict[str, "np.ndarray[Any, np.dtype[Any]]"]

_BINARY_VERSION = 6
_SPECIFICATION = "WhisperSpec"
_LAST_REVISION = 3
_DTYPES = ("<f4", "<i1", "<i2", "<i4", "<f2", "<u2")
"""By CTranslate2's type number; the last, bfloat16, is unknown to numpy and widened to float32 when read."""
_BFLOAT16 = 5


def read_variables(parts: Sequence[Path]) -> Variables:
    """Read every variable of a CTranslate2 Whisper, aliases included, by CTranslate2's name.

    The arrays are views of the memory-mapped files in the type that is stored there (bfloat16 becomes
    float32), so nothing large is read before it is used; they may be unaligned. Quantised weights come as
    they are, with their `<name>_scale`.

    Args:
        parts: `model.bin`, or the files whose concatenation it is.

    Raises:
        WeightsError: missing, truncated, or not a Whisper in CTranslate2's binary version 6.
    """
    if not parts:
        raise WeightsError("model.bin is missing: not a CTranslate2 folder.")
    cursor = _Cursor(parts)
    version = cursor.number("I", "its version")
    if version != _BINARY_VERSION:
        raise WeightsError(
            f"{cursor.where}: not a CTranslate2 model of binary version {_BINARY_VERSION} (found {version}). "
            "Convert it again with ct2-transformers-converter of CTranslate2 3 or later."
        )
    specification = cursor.string("its specification")
    revision = cursor.number("I", "its revision")
    if specification != _SPECIFICATION or revision > _LAST_REVISION:
        raise WeightsError(
            f"{cursor.where}: holds {specification} revision {revision}; "
            f"smallvoice reads {_SPECIFICATION} up to revision {_LAST_REVISION}."
        )
    variables: Variables = {}
    for _ in range(cursor.number("I", "the number of variables")):
        name, array = cursor.variable()
        variables[name] = array
    for _ in range(cursor.number("I", "the number of aliases")):
        alias, name = cursor.string("an alias"), cursor.string("the target of an alias")
        if name not in variables:
            raise WeightsError(f"{cursor.where}: damaged: {alias} stands for {name}, which is not there.")
        variables[alias] = variables[name]
    if cursor.remaining:
        raise WeightsError(f"{cursor.where}: damaged: {cursor.remaining:,} bytes after the last variable.")
    return variables


class _Cursor:
    """A place in the concatenation of some files, which never reads past their end."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self.where = str(parts[0])
        self._maps = [_mapped(part) for part in parts]
        self._offset = 0
        self._size = sum(len(part) for part in self._maps)

    @property
    def remaining(self) -> int:
        return self._size - self._offset

    def take(self, count: int, what: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The next bytes: a view, or a copy where they lie in two parts."""
        if count > self.remaining:
            raise WeightsError(
                f"{self.where}: truncated or damaged: {what} at byte {self._offset:,} needs {count:,} bytes "
                f"and {self.remaining:,} are left of {self._size:,}. Download it again."
            )
        pieces, begin, end = [], self._offset, self._offset + count
        for part in self._maps:
            if begin < len(part) and end > 0:
                pieces.append(part[max(begin, 0) : end])
            begin, end = begin - len(part), end - len(part)
        self._offset += count
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.uint8), *pieces])

    def number(self, code: str, what: str) -> int:
        form = f"<{code}"
        return int(struct.unpack(form, self.take(struct.calcsize(form), what).tobytes())[0])

    def string(self, what: str) -> str:
        raw = self.take(self.number("H", what), what).tobytes()
        try:
            if not raw.endswith(b"\0"):
                raise ValueError
            return raw[:-1].decode()
        except ValueError:
            raise WeightsError(f"{self.where}: damaged: {what} is not a name ({raw[:20]!r}).") from None

    def variable(self) -> tuple[str, np.ndarray[Any, np.dtype[Any]]]:
        name = self.string("the name of a variable")
        shape = tuple(self.number("I", name) for _ in range(self.number("B", name)))
        dtype = self.number("B", name)
        num_bytes = self.number("I", name)
        if dtype >= len(_DTYPES) or math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != num_bytes:
            raise WeightsError(
                f"{self.where}: damaged: {name} has shape {shape}, type number {dtype} and {num_bytes:,} "
                "bytes, which do not fit together."
            )
        array = self.take(num_bytes, name).view(_DTYPES[dtype]).reshape(shape)
        if dtype == _BFLOAT16:
            # The upper half of a float32.
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return name, array


def _mapped(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: empty.")
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}.") from None
