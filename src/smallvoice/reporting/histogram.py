"""Histograms as SVG that lies inside a page, in its colours, light or dark, with a text alternative."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from smallvoice.corpus.inspect import Histogram

_WIDTH, _HEIGHT = 480, 200
_LEFT, _BOTTOM, _TOP = 46, 38, 10
_MAX_LABELS = 8
_STRIDES = (1, 2, 4, 5, 10, 20)
_COLOURS = {"train": "--tuned", "dev": "--muted", "test": "--base"}


def histogram_svg(histogram: Histogram) -> str:
    """One bar a bin, the splits on top of each other."""
    name = histogram.key.replace("_", "-")
    parts = [*_grid(histogram), *_bars(histogram), *_labels(histogram)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-description">'
        f'<title id="{name}-title">{escape(histogram.name)}</title>'
        f'<desc id="{name}-description">{escape(in_words(histogram))}</desc>{"".join(parts)}</svg>'
    )


def in_words(histogram: Histogram) -> str:
    """What the plot shows, for those who do not see it."""
    totals = _totals(histogram)
    fullest = max(range(len(totals)), key=totals.__getitem__)
    place = f"{histogram.edges[fullest]:g}"
    if not _is_whole(histogram):
        place = f"between {place} and {histogram.edges[fullest + 1]:g}"
    return (
        f"{histogram.name}: from {histogram.least:.3g} to {histogram.most:.3g} {histogram.unit}, "
        f"median {histogram.median:.3g}; most often {place} ({totals[fullest]:,} of {sum(totals):,})."
    )


def colour(split: str) -> str:
    """The CSS variable of a split's colour."""
    return _COLOURS.get(split, "--ink")


def _totals(histogram: Histogram) -> list[int]:
    return [sum(counts) for counts in zip(*histogram.counts.values(), strict=True)]


def _x(position: float, num_bins: int) -> float:
    return _LEFT + position * (_WIDTH - _LEFT - 8) / num_bins


def _y(count: float, highest: int) -> float:
    return _HEIGHT - _BOTTOM - count * (_HEIGHT - _BOTTOM - _TOP) / highest


def _grid(histogram: Histogram) -> Iterator[str]:
    highest = _round_up(max(_totals(histogram)))
    for share in (0, 0.5, 1):
        count = highest * share
        if count != int(count):
            continue
        y = _y(count, highest)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        yield _text(_LEFT - 6, y + 3.5, f"{int(count):,}", "end")


def _bars(histogram: Histogram) -> Iterator[str]:
    highest = _round_up(max(_totals(histogram)))
    num_bins = len(histogram.edges) - 1
    width = max(_x(1, num_bins) - _x(0, num_bins) - 1, 1)
    below = [0] * num_bins
    for split, counts in histogram.counts.items():
        for number, count in enumerate(counts):
            if count:
                top = _y(below[number] + count, highest)
                height = _y(below[number], highest) - top
                yield (
                    f'<rect x="{_x(number, num_bins):.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'fill="var({colour(split)})"/>'
                )
                below[number] += count


def _labels(histogram: Histogram) -> Iterator[str]:
    """Round numbers under the axis: at the edges, or under the bars where a bar is one whole number."""
    edges = histogram.edges
    num_bins, step = len(edges) - 1, edges[1] - edges[0]
    whole = _is_whole(histogram)
    stride = next(stride for stride in _STRIDES if num_bins <= stride * _MAX_LABELS)
    for number in range(num_bins + (not whole)):
        if round(edges[number] / step) % stride == 0:
            yield _text(_x(number + 0.5 * whole, num_bins), _HEIGHT - _BOTTOM + 15, f"{edges[number]:g}", "middle")
    yield _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, histogram.unit, "middle")


def _is_whole(histogram: Histogram) -> bool:
    """Whether each bar is one whole number."""
    return histogram.key in ("words", "age_years") and histogram.edges[1] - histogram.edges[0] == 1


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="var(--muted)">{escape(text)}</text>'
    )


def _round_up(count: int) -> int:
    """The next number of one or two figures and zeros whose half is whole too, but for 1."""
    size = int("1" + "0" * max(len(str(count)) - 2, 0))
    rounded = -(-count // size) * size
    return rounded + size if rounded % 2 and rounded > 1 else rounded
