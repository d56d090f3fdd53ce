"""Plots as SVG that lies inside the page: its text is text, its colours are the page's, light or dark.

matplotlib draws with placeholder colours; `_finish` turns each into a CSS variable. Nothing in a plot depends
on the date, the machine or chance, so the same run gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _MUTED, _GRID, _BASE, _TUNED = "#010203", "#010204", "#010205", "#010206", "#010207"
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--line", _BASE: "--base", _TUNED: "--tuned"}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "smallvoice",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.parse_math": False,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}

_WIDTH_IN = 5.0
"""At 72 points an inch; a phone shows it nearly at this size, so its text stays readable."""


@dataclass(frozen=True)
class Level:
    """One age group: rates in percent with their intervals (None where there are too few speakers)."""

    label: str
    before: float
    after: float
    before_interval: Sequence[float] | None
    after_interval: Sequence[float] | None


@dataclass(frozen=True)
class Curve:
    """One line of a training plot."""

    steps: list[int]
    values: list[float]
    best: int | None = None
    """Position of the value that was chosen."""


def age_levels(levels: Sequence[Level], alternative: str) -> str:
    """WER before (hollow circle) and after (filled square) for each age group, with intervals."""

    def draw(axes: Axes) -> None:
        for position, level in enumerate(levels):
            axes.plot([level.before, level.after], [position, position], color=_GRID, linewidth=3, zorder=1)
            for value, bounds, colour, offset in (
                (level.before, level.before_interval, _BASE, -0.16),
                (level.after, level.after_interval, _TUNED, 0.16),
            ):
                if bounds is not None:
                    axes.plot(bounds, [position + offset] * 2, color=colour, linewidth=1.4, zorder=2)
                    axes.plot([value], [position + offset], "|", color=colour, markersize=6, zorder=2)
        at = range(len(levels))
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.8}
        axes.plot([level.before for level in levels], at, "o", color=_BASE, label="base", markersize=7, **hollow)
        axes.plot([level.after for level in levels], at, "s", color=_TUNED, label="tuned", markersize=6)
        axes.set_yticks(list(at), [level.label for level in levels])
        axes.set_ylim(len(levels) - 0.4, -0.6)
        # An interval may end anywhere; the rates are what must be readable, and the table has its ends.
        ends = [
            end for level in levels for bounds in (level.before_interval, level.after_interval) for end in bounds or ()
        ]
        highest = max(rate for level in levels for rate in (level.before, level.after))
        axes.set_xlim(0, 1.08 * min(max([highest, *ends]), 2 * highest) or 1)
        axes.set_xlabel("normalised word error rate, %")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, handletextpad=0.3)

    return _svg(draw, 0.9 + 0.55 * len(levels), "ages", "Word error rate by age group", alternative)


def speakers(points: Sequence[tuple[float, float]], alternative: str) -> str:
    """A point for each speaker: WER before across, after upward; below the line is better."""

    def draw(axes: Axes) -> None:
        highest = 1.05 * max((max(point) for point in points), default=1.0) or 1.0
        axes.plot([0, highest], [0, highest], color=_MUTED, linewidth=0.9, linestyle="--")
        axes.plot([x for x, _ in points], [y for _, y in points], "o", color=_TUNED, markersize=6, alpha=0.75)
        axes.annotate("no change", (highest, highest), (-4, -16), textcoords="offset points", ha="right", color=_MUTED)
        axes.set_xlim(0, highest)
        axes.set_ylim(0, highest)
        axes.set_aspect("equal")
        axes.set_xlabel("base, normalised word error rate, %")
        axes.set_ylabel("tuned, %")
        axes.grid()

    return _svg(draw, 4.4, "speakers", "Each speaker before and after", alternative)


def training_loss(curves: Sequence[Curve], alternative: str) -> str:
    """Loss of every step (pale) and its running mean."""

    def draw(axes: Axes) -> None:
        for curve in curves:
            axes.plot(curve.steps, curve.values, color=_GRID, linewidth=0.8)
        for curve in curves:
            axes.plot(curve.steps, running_mean(curve.values), color=_TUNED, linewidth=1.8)
        _label(axes, "loss per token (nats)", curves)

    return _svg(draw, 2.7, "loss", "Training loss", alternative)


def dev_error(curves: Sequence[Curve], alternative: str) -> str:
    """Word error rate on dev, the chosen point ringed."""

    def draw(axes: Axes) -> None:
        for curve in curves:
            axes.plot(curve.steps, curve.values, "s-", color=_TUNED, linewidth=1.6, markersize=5)
            if curve.best is not None:
                x, y = curve.steps[curve.best], curve.values[curve.best]
                axes.plot([x], [y], "o", markersize=13, markerfacecolor="none", color=_BASE, markeredgewidth=1.6)
                axes.annotate("best", (x, y), (0, 11), textcoords="offset points", ha="center", color=_INK)
        axes.margins(x=0.08)
        _label(axes, "word error rate on dev, %", curves)

    return _svg(draw, 2.7, "dev", "Word error rate on dev", alternative)


def running_mean(values: Sequence[float]) -> list[float]:
    """The mean of the last twentieth of the run (at least 5 steps) at every step."""
    window = max(5, len(values) // 20)
    means = []
    for end in range(1, len(values) + 1):
        recent = values[max(0, end - window) : end]
        means.append(sum(recent) / len(recent))
    return means


def _label(axes: Axes, vertical: str, curves: Sequence[Curve]) -> None:
    highest = max(value for curve in curves for value in curve.values)
    axes.set_ylim(0, 1.1 * highest or 1)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel(vertical)
    axes.grid(axis="y")


def _svg(draw: Callable[[Axes], None], height_in: float, name: str, title: str, alternative: str) -> str:
    """Draw one pair of axes and give them as an `<svg>` element."""
    # Imported late: matplotlib takes a third of a second, and only the report needs it.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    return _finish(file.getvalue(), name, title, alternative)


def _finish(svg: str, name: str, title: str, alternative: str) -> str:
    """Make an SVG file part of the page: its own ids, the page's colours and font, a text alternative."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would hold for the whole page
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for placeholder, variable in _VARIABLES.items():
        svg = svg.replace(placeholder, f"var({variable})")
    svg = svg.replace("'DejaVu Sans'", "var(--font)").replace("DejaVu Sans", "var(--font)")
    opening = re.match(r"<svg[^>]*>", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert opening and view
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view.group()} '
        f'role="img" aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(alternative)}</desc>'
    )
    return head + svg[opening.end() :].strip()
