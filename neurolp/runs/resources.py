"""Memory that a run may use, as the machine, a container or a batch system limits it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath


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
