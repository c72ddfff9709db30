"""Provenance of a result: versions of the software, platform, time, digests of the data."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("neurolp", "numpy", "scipy", "numba", "h5py", "scikit-learn")


def provenance(seed: int, digests: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Software versions, platform, time and command: what a result needs to be believed.

    ``digests`` are those of the data files, see :func:`data_digests`.
    """
    versions = {f"version_{name}": version_of(name) for name in PACKAGES}
    about = {
        "seed": seed,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 0,
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        **versions,
    }
    return about | ({"files_sha256": json.dumps(digests)} if digests else {})


def data_digests(configuration: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of every data file that a configuration names, by key, e.g. ``"data.file"``.

    ``configuration`` holds plain values, as in the file. Files that cannot be read are left out.
    """
    digests = {}
    for key, path in data_files(configuration):
        try:
            digests[key] = digest_of(Path(path))
        except OSError:
            continue
    return digests


def data_files(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and path of every data file that a configuration names."""
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            for inner, path in data_files(value):
                yield f"{key}.{inner}", path
        elif key == "file" and value is not None:
            yield key, str(value)
        elif key == "files":
            yield from ((f"{key}.{k}", str(path)) for k, path in enumerate(value))


def digest_of(path: Path) -> str:
    """SHA-256 of a data file; of a folder that of the names and digests of its images.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if path.is_dir():
        total = hashlib.sha256()
        for member in sorted(p for p in path.iterdir() if p.suffix.lower() == ".png"):
            total.update(f"{member.name}\0{digest_of(member)}\n".encode())
        return total.hexdigest()
    if not path.is_file():  # devices have no end
        raise FileNotFoundError(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.cache
def version_of(package: str) -> str:
    """Version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
