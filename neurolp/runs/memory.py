"""Memory that a run needs at least and at most, and the check against the limit.

Sizes are in bytes. ``least`` is what is allocated at once, or kept before a run can stop early: a
run is refused where this machine has less. ``most`` is a bound that sweeps plan with, checked
against what runs were seen to take.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurolp.errors import ConfigurationError

NUMBER = 8  # bytes
PROCESS = 500e6  # the interpreter, libraries and compiled kernels
SEVERAL_MODELS = 700e6  # of scikit-learn and ours, fitted to small tables


@dataclass(frozen=True)
class Memory:
    """What a run needs at least and at most, and the ``keys`` of the configuration that say so."""

    keys: str
    least: float = 0.0
    most: float = PROCESS


def memory_limit(root: Path = Path("/")) -> float:
    """Bytes of memory that this process and its children may use together.

    The least of the machine's memory and of the limits of all control groups that the process is
    in, of version 1 or 2 (containers, systemd, Slurm). ``root`` is where ``proc`` and ``sys`` are.
    """
    limits = [float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")]
    groups = root / "sys" / "fs" / "cgroup"
    lines = ""
    with contextlib.suppress(OSError):  # not Linux
        lines = (root / "proc" / "self" / "cgroup").read_text()
    for line in lines.splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:
            folder, file = groups, "memory.max"
        elif "memory" in controllers.split(","):
            folder, file = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        path = PurePosixPath(name)
        for group in (path, *path.parents):  # a container may see its own group as the root
            with contextlib.suppress(OSError, ValueError):  # "max" is no limit
                limits.append(float(int((folder / group.relative_to("/") / file).read_text())))
    return min(limits)


def check_memory(memory: Memory) -> None:
    """Refuse a run that needs more memory than there is.

    Raises
    ------
    ConfigurationError
        With the estimate, and the keys that determine it.
    """
    available = memory_limit()
    if memory.least > available:
        verb = "ask" if memory.keys.startswith("keys") else "asks"
        raise ConfigurationError(
            f"{memory.keys} {verb} for at least {format_bytes(memory.least)} of memory, "
            f"but this machine has {format_bytes(available)}"
        )


def format_bytes(size: float) -> str:
    """A size as text, such as ``1.5 GB``."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"
