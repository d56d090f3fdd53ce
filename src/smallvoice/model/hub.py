"""What the Hugging Face hub has of a model, or this machine's cache of it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from smallvoice.storage import digest

log = logging.getLogger(__name__)

HUB_TIMEOUT_S = 5
UPLOADED = (
    "model.safetensors",
    "model-*.safetensors",
    "adapter_model.safetensors",
    "bottleneck.safetensors",
    "model.bin",
)
"""Weights that are downloaded. `*.safetensors` would be those of large-v3 twice, once in float32."""

READ = ("*.json", *UPLOADED, "*.txt")
"""All that is downloaded."""


class NotThere(Exception):
    """This source does not have the model."""


def offline() -> bool:
    """Whether the user has switched the hub off, as huggingface_hub reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")


def snapshot(identifier: str, *, local: bool) -> Path:
    """The folder of a hub model, downloaded unless `local`."""
    import huggingface_hub

    if identifier.count("/") != 1 or identifier.startswith((".", "/", "~")):
        raise NotThere("no such folder")
    try:
        folder = huggingface_hub.snapshot_download(
            identifier,
            allow_patterns=list(READ),
            etag_timeout=HUB_TIMEOUT_S,
            local_files_only=local,
        )
    except (OSError, ValueError) as error:  # what the hub's errors derive from
        log.debug("hub: %s", error)
        raise NotThere("not in the hub's cache" if local else "the hub cannot be reached or lacks it") from None
    except Exception as error:  # the hub's HTTP client has errors of its own, which differ between its versions
        log.debug("hub: %s", error)
        raise NotThere(f"the hub answered {type(error).__name__}") from None
    if not any(file for pattern in UPLOADED for file in Path(folder).glob(pattern)):
        raise NotThere(
            "only part of it is in the hub's cache" if local else "the hub has no weights that are read here"
        )
    return Path(folder)


def content_of(folder: Path) -> str:
    """What tells a snapshot from those before and behind it: the content of what is read, as the cache's links name it.

    A commit that changes only the card is the same model. Where the cache has no links, it is the commit.
    """
    read = (path for path in folder.iterdir() if any(path.match(pattern) for pattern in READ))
    contents = sorted([path.name, path.readlink().name] for path in read if path.is_symlink())
    return digest(contents) if contents else folder.name
