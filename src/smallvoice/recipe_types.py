"""What a setting of a recipe may be: numbers in their ranges, names, languages."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from smallvoice.languages import language_code

# Built when a recipe is first read: 40 ms that a verb without one need not pay.
STRICT = ConfigDict(extra="forbid", strict=True, defer_build=True)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SplitName = Literal["train", "dev", "test"]


def _as_a_name(given: object) -> object:
    return "" if given is None else str(given) if type(given) is int else given


ColumnName = Annotated[str, BeforeValidator(_as_a_name)]
"""Or its place, from 1; empty: no column holds it."""


def rising(values: list[int]) -> list[int]:
    if any(before >= after for before, after in pairwise(values)):
        raise ValueError("each must be larger than the one before, such as [5, 8, 11]")
    return values


def _as_whisper_calls_it(language: str | None) -> str | None:
    return language_code(language or "") or None


Language = Annotated[str | None, AfterValidator(_as_whisper_calls_it)]
"""`EN`, `eng` and `en-US` are `en`."""
