"""The hash that names a job: of its resolved configuration, in which data count by their content.

Files that are read are replaced by their digests (:func:`neurolp.storage.provenance.digest_of`).
So a job keeps its name when a data file moves to another place or machine, and gets another one
when the data change. The title is not included: it changes no number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from neurolp.errors import DataError
from neurolp.storage.provenance import digest_of

_LENGTH = 20  # hexadecimal digits, 80 bits: no two of a billion jobs have the same


def content_digest(path: Path) -> str:
    """The digest of a file, or of the images in a folder; DataError if it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot read the data, {error.strerror}") from error


def identity(configuration: BaseModel, digest: Callable[[Path], str] = content_digest) -> str:
    """The name of a job: the same for the same computation, on every machine."""

    def plain(value: Any) -> str:
        return digest(value) if isinstance(value, Path) else str(value)

    keys = configuration.model_dump(exclude={"title"})
    text = json.dumps(keys, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]
