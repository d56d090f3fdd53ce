"""What a user can get wrong, and the exit code of each.

    SmallvoiceError            exit code 1
    ├── InputError             a file or folder that cannot be used as it is
    ├── RecipeError            a recipe, or an option, that cannot be right
    ├── MissingDependency      an extra that is not installed
    ├── WeightsError           no model weights, or not the ones that were promised
    ├── ResourceError          no room on the disk, no memory
    └── Finding                exit code 3: the work was done and found something (a leak)

Wrong usage of the command line exits with 2 and is raised by the command-line parser. Anything else that
escapes is a bug in smallvoice.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class SmallvoiceError(Exception):
    """One or several mistakes, each a sentence: what, where, what was found, what to do."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InputError(SmallvoiceError):
    """A file or folder that cannot be used as it is."""


class RecipeError(SmallvoiceError):
    """A recipe or an option that cannot be right."""


class MissingDependency(SmallvoiceError):
    """An optional dependency that is not installed."""


class WeightsError(SmallvoiceError):
    """No model weights, or not the ones that were promised."""


class ResourceError(SmallvoiceError):
    """Not enough room on the disk or in memory."""


class OutOfMemory(ResourceError):
    """The device has no room for what the settings ask for: with others it may."""


class Finding(SmallvoiceError):
    """The work was done, and what it found must stop an automatic process."""

    exit_code = 3


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingDependency: it is not installed; the message holds the one command that adds it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependency(
            f"{why} needs {module}, which is not installed. Add it with: pip install 'smallvoice[{extra}]'"
        ) from None
