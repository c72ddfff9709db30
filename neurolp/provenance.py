"""Where a result comes from: what a file says of the program that wrote it."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from importlib import metadata
from typing import Any


def provenance(seed: int) -> dict[str, Any]:
    """Software versions, platform, time and command: what a result needs to be believed."""
    packages = ("neurolp", "numpy", "scipy", "numba", "h5py", "scikit-learn")
    versions = {f"version_{name}": _version(name) for name in packages}
    return {
        "seed": seed,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 0,
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        **versions,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
