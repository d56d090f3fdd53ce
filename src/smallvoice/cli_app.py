"""What all verbs of the command line share."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

import smallvoice
from smallvoice.errors import InputError
from smallvoice.storage import json_text, no_space_as_error

app = App(
    name="smallvoice",
    help="Fine-tune Whisper on the voices it heard least, and measure honestly what changed.",
    version=lambda: smallvoice.__version__,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says what was kept
)
app["--help"].group = app["--version"].group = "Also"

Split = Literal["train", "dev", "test"]
Count = Annotated[int, Parameter(validator=Number(gte=1))]
CountOrZero = Annotated[int, Parameter(validator=Number(gte=0))]
"""How many; none is an answer too."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What every verb takes."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON document on standard output."""
    debug: Annotated[bool, Parameter(negative="")] = False
    """Log more, and show where an error came from."""


def answer(content: dict[str, Any], common: Common, says: str | None = None) -> None:
    """Print the JSON document, or what a person wants to know last.

    Raises:
        InputError: standard output is closed.
        ResourceError: the disk that it goes to is full.
    """
    text = json_text(content, indent=2) if common.json else says
    if not text:
        return
    if sys.stdout is None:
        raise InputError("Standard output is closed: what was asked for cannot be written. The work itself is done.")
    with no_space_as_error("standard output"):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
