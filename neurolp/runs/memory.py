"""Memory that a run needs at least and at most, and the check against the limit.

Sizes are in bytes. ``least`` is what is allocated at once, or kept before a run can stop early: a
run is refused where this machine has less. ``most`` is a bound that sweeps plan with, checked
against what runs were seen to take.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurolp.errors import ConfigurationError
from neurolp.runs.resources import memory_limit

NUMBER = 8  # bytes
PROCESS = 500e6  # the interpreter, libraries and compiled kernels
SEVERAL_MODELS = 700e6  # of scikit-learn and ours, fitted to small tables


@dataclass(frozen=True)
class Memory:
    """What a run needs at least and at most, and the ``keys`` of the configuration that say so."""

    keys: str
    least: float = 0.0
    most: float = PROCESS


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
