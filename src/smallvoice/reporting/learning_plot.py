"""The learning curve as an SVG file that stands alone: word error rate against the number of speakers heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smallvoice.reporting import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page's colours, for a file that no page colours; see style.css.
_COLOURS = (
    "<style>svg{--font:system-ui,sans-serif;--ink:#1a1d21;--muted:#59626c;--line:#dcdfe3;--base:#a85b00;"
    "--tuned:#0a5fa8;background:#fff}</style>"
)


def learning_curve(
    speakers: Sequence[int],
    rates: Sequence[float],
    intervals: Sequence[Sequence[float] | None],
    outlook: tuple[int, float, Sequence[float]] | None,
    split: str,
    alternative: str,
) -> str:
    """Word error rate, with its interval, of each share of the training speakers.

    Args:
        speakers: how many each model heard.
        rates: word error rates, in percent; `intervals` likewise.
        outlook: speakers, rate and interval of what would come next if the trend went on; drawn dotted.
        split: who was decoded.
        alternative: the same in words.
    """

    def draw(axes: Axes) -> None:
        axes.plot(speakers, rates, "s-", color=plots._TUNED, linewidth=1.6, markersize=6)
        for number, bounds in zip(speakers, intervals, strict=True):
            if bounds is not None:
                axes.plot([number, number], bounds, color=plots._TUNED, linewidth=1.4)
        ticks = list(speakers)
        if outlook is not None:
            number, rate, bounds = outlook
            axes.plot([speakers[-1], number], [rates[-1], rate], ":", color=plots._BASE, linewidth=1.6)
            axes.plot([number, number], bounds, color=plots._BASE, linewidth=1.4)
            hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.8}
            axes.plot([number], [rate], "o", color=plots._BASE, markersize=7, **hollow)
            axes.annotate(
                "if the trend goes on", (number, rate), (-8, -4), textcoords="offset points", ha="right", va="top"
            )
            ticks.append(number)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("speakers in training")
        axes.set_ylabel(f"word error rate on {split}, %")
        axes.grid(axis="y")

    svg = plots._svg(draw, 3.2, "learning", "Word error rate by number of speakers in training", alternative)
    at = svg.index(">") + 1
    return svg[:at] + _COLOURS + svg[at:]
