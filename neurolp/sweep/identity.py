"""What a job is: the hash of its resolved configuration, in which data count by their content.

Files that are read are replaced by their digests (:func:`neurolp.storage.provenance.digest_of`).
So a job stays itself when a data file moves to another place or machine, and is another one when
the data change, wherever they are. The title is no part of it: it changes no number.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from neurolp.errors import DataError
from neurolp.storage.provenance import digest_of

_LENGTH = 20  # hexadecimal digits, 80 bits: no two of a billion jobs meet


class Digests:
    """Hashes of files, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """The hash of a file, or of the pictures in a folder."""
        if path not in self._known:
            try:
                self._known[path] = digest_of(path)
            except OSError as error:
                raise DataError(f"{path}: cannot read the data, {error.strerror}") from error
        return self._known[path]


def identity(configuration: BaseModel, digests: Digests) -> str:
    """The name of a job: the same for the same computation, on every machine."""
    plain = configuration.model_dump(mode="json", exclude={"title"})
    _replace_paths(configuration, plain, digests)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _replace_paths(section: BaseModel, plain: dict[str, Any], digests: Digests) -> None:
    for name, value in section:
        if isinstance(value, Path):
            plain[name] = digests(value)
        elif isinstance(value, BaseModel):
            _replace_paths(value, plain[name], digests)
        elif isinstance(value, list):
            plain[name] = [
                digests(v) if isinstance(v, Path) else p
                for v, p in zip(value, plain[name], strict=True)
            ]
