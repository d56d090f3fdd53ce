"""Damaged files: what a reader must survive."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallvoice.corpus.transcripts.document import Document, FileReader, Head, Unreadable, head_of
from smallvoice.recipe import CorpusRecipe

MAX_S = 2.0
damage = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a few bytes changed, taken out, put in, doubled, or cut off at the end."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(changed)))
        end = min(len(changed), start + draw(st.integers(1, 60)))
        kind = draw(st.sampled_from(["flip", "delete", "insert", "double", "truncate"]))
        if kind == "flip" and start < len(changed):
            changed[start] ^= draw(st.integers(1, 255))
        elif kind == "delete":
            del changed[start:end]
        elif kind == "insert":
            text = st.sampled_from([b"\n", b"\t", b'"', b"{", b"<", b"-->", b"\xff", b"\0", b"9" * 400, b";;", b"NaN"])
            changed[start:start] = draw(text | st.binary(min_size=1, max_size=8))
        elif kind == "double":
            changed[start:start] = changed[start:end]
        elif kind == "truncate":
            del changed[start:]
    return bytes(changed)


def survives(reader: FileReader, path: Path, data: bytes, recipe: CorpusRecipe | None = None) -> None:
    """A reader gives a document or says that it cannot, in time; its recogniser gives an answer."""
    path.write_bytes(data)
    started = time.monotonic()
    try:
        reader.recognises(head_of(path))
        document = reader.parse(path, path.name, recipe or CorpusRecipe())
    except Unreadable as error:
        assert error.reason and error.detail
    else:
        assert isinstance(document, Document)
        for item in (*document.segments, *document.problems):
            if item.where == path.name:  # of the file as a whole
                continue
            name, _, line = item.where.rpartition(":")
            assert name == path.name and 0 < int(line) <= data.count(b"\n") + data.count(b"\r") + 1
    assert time.monotonic() - started < MAX_S


def damaged(reader: FileReader, name: str, valid: str | bytes) -> Callable[[Path], None]:
    """A test that `reader` survives whatever becomes of the valid file."""
    data = valid.encode() if isinstance(valid, str) else valid

    @damage
    @given(data=mutated(data))
    def test(tmp_path: Path, data: bytes) -> None:
        survives(reader, tmp_path / name, data)

    return test


def check_damage(reader: FileReader, data: bytes, folder: Path, recipe: CorpusRecipe | None = None) -> None:
    """The same for data that only a test's own arguments make."""

    @damage
    @given(changed=mutated(data))
    def check(changed: bytes) -> None:
        survives(reader, folder / f"damaged{min(reader.suffixes)}", changed, recipe)

    check()


def head(text: str, name: str) -> Head:
    return Head(Path(name), text.encode(), text)
