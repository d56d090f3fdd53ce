"""The page of `inspect`: a corpus in tables and histograms, and some rows of it to listen to.

The page holds recordings, so, unlike `report.html`, it is not for others.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from smallvoice.corpus.inspect import Inspection, split_cells
from smallvoice.corpus.utterance import Utterance
from smallvoice.reporting import privacy
from smallvoice.reporting.histogram import colour, histogram_svg, in_words
from smallvoice.storage import write_text

_HEADINGS = ("Split", "Utterances", "Hours", "Speakers", "Sessions", "Ages", "Roles", "Languages", "Words")


def write_inspection(inspection: Inspection, path: Path) -> None:
    """Write one HTML file that needs nothing else; audio as FLAC inside it.

    Raises:
        ResourceError: no room on the disk.
    """
    page = _render(
        title=", ".join(dict.fromkeys(privacy.source_name(source["name"]) for source in inspection.facts["sources"])),
        synthetic=inspection.facts["synthetic"],
        children=any(split.roles["child"] for split in inspection.splits.values()),
        tiles=_tiles(inspection),
        headings=_HEADINGS,
        splits=[split_cells(name, split) for name, split in inspection.splits.items()],
        colours=[(name, colour(name)) for name in inspection.splits],
        plots=[(histogram_svg(histogram), in_words(histogram)) for histogram in inspection.histograms],
        top_words=inspection.top_words,
        unseen=inspection.unseen,
        notes=inspection.facts["notes"],
        samples=[_sample(row) for row in inspection.samples],
    )
    # A lone surrogate, which JSON can hold and UTF-8 cannot, must not cost the page.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def _tiles(inspection: Inspection) -> list[tuple[str, str, str]]:
    """Label, value, what is behind it."""
    splits = inspection.splits.values()
    seconds = sum(split.duration_s for split in splits)
    people = len(set().union(*(split.genders for split in splits)))
    num_words = sum(split.words.total() for split in splits)
    ages = [age for split in splits if split.ages_years for age in split.ages_years]
    return [
        ("Utterances", f"{sum(split.num_utterances for split in splits):,}", f"{seconds / 3600:.2f} hours"),
        ("Speakers", f"{people:,}" if people else "unknown", f"{min(ages):g} to {max(ages):g} years" if ages else ""),
        ("Words", f"{num_words:,}", f"{inspection.vocabulary:,} different ones"),
    ]


def _sample(row: Utterance) -> dict[str, Any]:
    """What the page shows of a row."""
    about = [
        row.speaker or "speaker unknown",
        "age unknown" if row.age_years is None else f"{row.age_years:g} years",
        row.gender,
        row.role if row.role != "unknown" else None,
        row.language,
        f"{row.duration_s:.2f}\u00a0s",
    ]
    return {
        "id": row.id,
        "split": row.split,
        "text": row.text,
        "about": " · ".join(part for part in about if part),
        "flags": row.extra.get("flags", []),
        "audio": base64.b64encode(row.audio).decode("ascii"),
    }


def _render(**context: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = privacy.printable
    return environment.get_template("inspect.html").render(**context)
