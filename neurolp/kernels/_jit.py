"""The one place that says how kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile ``function`` on first use, cache it on disk, and run it without the GIL.

    No ``fastmath``: it would make sums depend on how the compiler vectorises them, and would
    remove the NaN checks. ``error_model="numpy"`` drops the division-by-zero branches.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
