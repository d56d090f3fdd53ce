"""Damaged copies of a valid file, for the tests that readers survive anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallvoice.corpus.transcripts.document import Document, FileReader, Unreadable
from smallvoice.recipe import CorpusRecipe

LONGEST_S = 2.0
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "delete", "insert", "cut", "double"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    """A copy with some bytes flipped, deleted, inserted or doubled, or cut off."""
    changed = bytearray(data)
    for kind, place, length, new in edits:
        start = int(place * len(changed))
        if kind == "flip" and changed:
            changed[start] ^= new[0] or 1
        elif kind == "delete":
            del changed[start : start + length]
        elif kind == "insert":
            changed[start:start] = new
        elif kind == "cut" and length > 48:
            del changed[start:]
        elif kind == "double":
            changed[start:start] = changed[start : start + 8 * length]
    return bytes(changed)


def survives(reader: FileReader, data: bytes, folder: Path, recipe: CorpusRecipe | None = None) -> Callable[[], None]:
    """A property test: whatever is done to a file, it gives a document or a clear error, and soon."""
    path = folder / f"mutated{min(reader.suffixes)}"

    @settings(
        max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(_EDITS)
    def check(edits: list[tuple[str, float, int, bytes]]) -> None:
        path.write_bytes(mutated(data, edits))
        started = time.monotonic()
        try:
            document = reader.parse(path, path.name, recipe or CorpusRecipe())
        except Unreadable as error:
            assert error.reason and error.detail
        else:
            assert isinstance(document, Document)
            assert all(segment.text for segment in document.segments)
        assert time.monotonic() - started < LONGEST_S

    return check
