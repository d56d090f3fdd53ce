"""The words, counts and alignments of one system's hypotheses in every form, each made once and only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from smallvoice.scoring import hypotheses, normalize
from smallvoice.scoring.alternatives import Token
from smallvoice.scoring.groups import Row
from smallvoice.scoring.normalize import Normaliser
from smallvoice.scoring.word_errors import AlignedWord, ErrorCounts, align_all, count_all

Words = list[list[Token]]
_Made = TypeVar("_Made")


class Scored:
    """Rows of a hypotheses file, ready to be counted."""

    def __init__(self, rows: list[Row], like: Scored | None = None) -> None:
        """Args: like: another system's of the same utterances, whose references are taken."""
        self.rows = rows
        self._like = like
        self._kept: dict[tuple[str, str], Any] = {}

    def rules(self, form: str) -> list[Normaliser]:
        """The normaliser of each utterance, by its language."""
        return self._once("rules", form, lambda: [normalize.normaliser(form, row.get("language")) for row in self.rows])

    def said(self, form: str) -> Words:
        """The words of each reference."""
        if self._like:
            return self._like.said(form)
        return self._once(
            "said",
            form,
            lambda: [rule.reference(row["reference"]) for rule, row in zip(self.rules(form), self.rows, strict=True)],
        )

    def heard(self, form: str) -> Words:
        """The words of each hypothesis; none where decoding failed."""
        return self._once(
            "heard",
            form,
            lambda: [rule.tokens(hypotheses.heard(row)) for rule, row in zip(self.rules(form), self.rows, strict=True)],
        )

    def counts(self, form: str) -> list[ErrorCounts]:
        """The word errors of each utterance."""
        return self._once("counts", form, lambda: count_all(self.said(form), self.heard(form)))

    def aligned(self, form: str) -> list[list[AlignedWord]]:
        """Each utterance, word by word."""
        return self._once("aligned", form, lambda: align_all(self.said(form), self.heard(form)))

    def _once(self, what: str, form: str, make: Callable[[], _Made]) -> _Made:
        key = (what, form)
        if key not in self._kept:
            self._kept[key] = make()
        kept: _Made = self._kept[key]
        return kept
