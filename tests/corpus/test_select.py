from __future__ import annotations

from typing import Any

import pytest

from smallvoice.corpus.select import COLUMNS, parse
from smallvoice.errors import RecipeError


def _row(**known: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS), **known}


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("age_years < 18", True),
        ("age_years >= 18", False),
        ("5 <= age_years < 7", True),
        ("5 <= age_years < 6", False),
        ('gender == "f" and age_years < 18', True),
        ('gender == "m" or age_years < 18', True),
        ('not gender == "m"', True),
        ('gender in ("f", "x")', True),
        ('gender not in ["f"]', False),
        ('(gender == "m" or age_years == 6) and duration_s > 0.5', True),
        ("start_s > -1", True),
        ('text != "HELLO"', True),
        ("session is None", True),
        ("age_years is not None", True),
        (" age_years < 18 ", True),
    ],
)
def test_what_is_accepted(expression: str, accepted: bool) -> None:
    row = _row(age_years=6.0, gender="f", duration_s=1.0, start_s=0.0, text="GOOD BYE")
    assert parse(expression).accepts(row) is accepted


@pytest.mark.parametrize(
    "expression",
    [
        "age_years < 18",
        "age_years >= 18",
        "not age_years < 18",
        "age_years != 3",
        "not age_years in (1, 2)",
        "3 < age_years < 9",
    ],
)
def test_an_unknown_age_is_neither_young_nor_old(expression: str) -> None:
    selection = parse(expression)
    assert not selection.accepts(_row())
    assert not selection.rejects(_row())
    assert selection.why_not(_row()) == "age_years is unknown"


def test_what_is_known_can_be_enough() -> None:
    either = parse('age_years < 18 or gender == "f"')
    assert either.accepts(_row(gender="f"))
    both = parse('age_years < 18 and gender == "f"')
    assert both.rejects(_row(gender="m"))
    assert both.why_not(_row(gender="m")) == "age_years is unknown, gender is 'm'"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("age < 18", "no column 'age'. Known columns: id, duration_s"),
        ("audio == 1", "Known columns"),
        ("age_years <", "cannot be read"),
        ("", "cannot be read"),
        ("age_years", "is not a comparison"),
        ("True", "is not a comparison"),
        ('age_years < "18"', "a number and a text"),
        ("gender == 1", "a number and a text"),
        ('age_years in ("a", "b")', "is not a value of age_years"),
        ('gender in "fm"', "needs a list"),
        ("age_years == None", "is None"),
        ("age_years is 3", "compares with None only"),
        ("age_years + 1 < 3", "neither a column nor a number"),
        ('__import__("os").system("true") == 0', "neither a column"),
        ('text.startswith("A")', "not a comparison"),
        ("[age_years for x in (1,)]", "not a comparison"),
        ("age_years < True", "neither a column"),
        ("(lambda: 1)() == 1", "neither a column"),
    ],
)
def test_what_is_refused(expression: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse(expression)
    assert message in str(error.value)
    assert str(error.value).startswith("select: ")


def test_columns_looked_at() -> None:
    assert parse('age_years < 3 and not gender == "f"').columns == {"age_years", "gender"}
