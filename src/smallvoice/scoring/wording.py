"""Numbers as people read them. Rates come as fractions; `None` is a dash, so that no sentence holds `nan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smallvoice.scoring.significance import Interval

NOTHING = "–"

FORM_NAMES = {
    "raw": "raw, as written",
    "lower_cased": "lower-cased",
    "caseless": "no case, no punctuation",
    "child": "child, spellings alike",
    "normalised": "normalised",
}


def percent(rate: float | None, digits: int = 1) -> str:
    """0.4104 → `41.0 %`."""
    return NOTHING if rate is None else f"{number(100 * rate, digits)} %"


def signed_percent(rate: float | None, digits: int = 0) -> str:
    """−0.563 → `−56 %`, 0.02 → `+2 %`."""
    return NOTHING if rate is None else f"{signed(100 * rate, digits)} %"


def points(rate: float | None, digits: int = 1) -> str:
    """A difference of two rates in percentage points: −0.231 → `−23.1`."""
    return NOTHING if rate is None else signed(100 * rate, digits)


def interval(bounds: Interval | list[float], digits: int = 0) -> str:
    """Ends of an interval of changes, in percent: `[−60, −51]`."""
    if bounds is None:
        return NOTHING
    return f"[{signed(100 * bounds[0], digits)}, {signed(100 * bounds[1], digits)}]"


def probability(p: float | None) -> str:
    """0.0123 → `0.012`; what is too small for a normal distribution to be meant is only called small."""
    return NOTHING if p is None else f"{p:.2g}" if p >= 1e-9 else "< 1e-9"


def number(value: float, digits: int) -> str:
    """A number with a true minus sign and never a negative zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """`1 speaker`, `2,340 words`."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"
