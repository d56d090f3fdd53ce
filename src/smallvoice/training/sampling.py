"""How often each row is heard in an epoch: parts of the data with weights, and balance between groups.

Only columns are read, a shard at a time, and a row is kept as a few numbers (40 bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smallvoice.corpus.select import parse
from smallvoice.corpus.split import age_band
from smallvoice.corpus.utterance import Corpus, RowGroup
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import MixRecipe, TrainRecipe

TextLength = Callable[[str, str | None], int]
"""How many token ids a text in a language has, without prefix and end."""
UNKNOWN = "unknown"
_COLUMNS = ["speaker", "session", "recording", "age_years", "role", "source", "language"]


class Rows:
    """What planning knows of the rows of a split, in the order of its index."""

    def __init__(self, corpus: Corpus, groups: list[RowGroup], mix: list[MixRecipe], length: TextLength | None) -> None:
        self.names: dict[str, list[str]] = {}
        """For each column of `codes` what its numbers stand for."""
        self.codes: dict[str, NDArray[np.int32]] = {}
        """`unit` (what stays in one split: a speaker), `source`, `role`, `age` (its band), `language`."""
        self.weights: NDArray[np.float32] = np.ones(0, np.float32)
        """How often an epoch hears each row on average: the sum over the parts of the mix that it belongs to."""
        self.parts: NDArray[np.int32] = np.zeros(0, np.int32)
        """Rows of one number belong to the same parts of the mix."""
        self.num_tokens: NDArray[np.int32] | None = None
        """Of each text; None where nobody asked."""
        selections = [parse(part.select) for part in mix]
        names = set(_COLUMNS).union(*(selection.columns for selection in selections), ["text"] if length else [])
        members: dict[tuple[bool, ...], int] = {}
        found: dict[str, dict[str, int]] = {name: {} for name in ("unit", "source", "role", "age", "language")}
        codes: dict[str, list[NDArray[np.int32]]] = {name: [] for name in found}
        weights, parts, tokens = [], [], []
        for table in _tables(corpus, groups, sorted(names)):
            for name, column in _described(table):
                codes[name].append(_codes(column, found[name]))
            if mix:
                belongs = [tuple(selection.accepts(row) for selection in selections) for row in table.to_pylist()]
                parts.append(np.array([members.setdefault(key, len(members)) for key in belongs], np.int32))
            if length:
                texts = zip(table["text"].to_pylist(), table["language"].to_pylist(), strict=True)
                tokens.append(np.array([length(text, language) for text, language in texts], np.int32))
        for name, columns in codes.items():
            self.codes[name], self.names[name] = np.concatenate(columns), list(found[name])
        self.parts = np.concatenate(parts) if mix else np.zeros(len(self), np.int32)
        weight_of = [sum(p.weight for p, member in zip(mix, key, strict=True) if member) for key in members] or [1.0]
        weights = np.array(weight_of, np.float32)
        self.weights = weights[self.parts]
        self.num_tokens = np.concatenate(tokens) if length else None
        _check_parts(mix, members)

    def __len__(self) -> int:
        return len(self.codes["source"])

    def described(self, number: int) -> dict[str, str]:
        """Source, role and age band of a row."""
        return {name: self.names[name][self.codes[name][number]] for name in ("source", "role", "age")}


class Sampler:
    """Draws how often each row is heard in an epoch."""

    def __init__(self, rows: Rows, ids: pa.ChunkedArray, recipe: TrainRecipe, left_out: set[str]) -> None:
        weights = rows.weights.astype(np.float64)
        if left_out:
            weights[pc.is_in(ids, value_set=pa.array(sorted(left_out), pa.string())).to_numpy()] = 0.0
        self._groups = rows.parts
        if recipe.balance != "none":
            self._groups = _groups(rows, recipe.balance)
            weights = _balanced(weights, self._groups, recipe.balance)
        self._expected = weights.astype(np.float32)
        if round(float(weights.sum())) < 1:
            raise InputError("No training utterance is heard: all are left out, or train.mix gives them no weight.")

    def counts(self, seed: int, epoch: int) -> NDArray[np.int32]:
        """How often each row is heard, shape = (num_rows,): what is expected, rounded up or down by chance.

        Systematic sampling in a random order within each part or group (Madow, 1949): a row of weight 0.25 is heard
        in a quarter of the epochs, every group as often as it should be up to one, and the epoch has one length.
        """
        if not np.any(self._expected % 1.0):
            return self._expected.astype(np.int32)
        rng = np.random.default_rng([seed, epoch, 1])
        rows = np.flatnonzero(self._expected)
        order = rows[np.lexsort((rng.random(len(rows)), self._groups[rows]))]
        reached = np.cumsum(self._expected[order], dtype=np.float64)
        total = round(float(reached[-1]))
        reached *= total / reached[-1]
        reached[-1] = total
        counts = np.zeros(len(self._expected), np.int32)
        counts[order] = np.diff(np.floor(reached + rng.random()), prepend=0.0)
        return counts


def _groups(rows: Rows, balance: str) -> NDArray[np.int32]:
    """The group of each row, from 0; -1 for rows of unknown age, which are heard as without balance."""
    groups = rows.codes["unit" if balance == "speaker" else balance]
    if balance == "age" and UNKNOWN in rows.names["age"]:
        return np.where(groups == rows.names["age"].index(UNKNOWN), -1, groups).astype(np.int32)
    return groups


def _balanced(weights: NDArray[np.float64], groups: NDArray[np.int32], balance: str) -> NDArray[np.float64]:
    """Weights by which every group is heard equally often, and all together as often as before."""
    known = (groups >= 0) & (weights > 0)
    if not known.any():
        raise RecipeError(f"train.balance: {balance}, but no utterance that is heard says it. Set train.balance: none.")
    sums = np.bincount(groups[known], weights[known])
    each = sums.sum() / np.count_nonzero(sums)
    balanced = weights.copy()
    balanced[known] *= each / sums[groups[known]]
    return balanced


def _tables(corpus: Corpus, groups: list[RowGroup], names: list[str]) -> Iterator[pa.Table]:
    for shard in dict.fromkeys(group.shard for group in groups):
        yield pq.read_table(corpus.path / shard, columns=names)


def _described(table: pa.Table) -> Iterator[tuple[str, Any]]:
    """The columns of `Rows.codes`."""
    yield "unit", pc.coalesce(table["speaker"], table["session"], table["recording"])
    yield "source", table["source"]
    yield "role", table["role"]
    yield "age", table["age_years"]
    yield "language", pc.fill_null(table["language"], "")


def _codes(column: pa.ChunkedArray, names: dict[str, int]) -> NDArray[np.int32]:
    """A column as numbers; new names are added to `names`. Ages become bands."""
    encoded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    values = encoded.dictionary.to_pylist()
    if pa.types.is_floating(column.type):
        values = [age_band(value) for value in values]
    mapping = np.array([names.setdefault(value, len(names)) for value in values], np.int32)
    return mapping[encoded.indices.to_numpy()]


def _check_parts(mix: list[MixRecipe], members: dict[tuple[bool, ...], int]) -> None:
    problems = [
        f"train.mix: {part.select!r} selects no row of train. Look at the corpus: smallvoice inspect CORPUS."
        for number, part in enumerate(mix)
        if not any(key[number] for key in members)
    ]
    if problems:
        raise RecipeError(*problems)
