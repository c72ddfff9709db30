"""The one place that says how kernels are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile ``function`` on first use, cache it on disk, and run it without the GIL.

    No ``fastmath``: it would make sums depend on how the compiler vectorises them, and would
    remove the NaN checks. ``error_model="numpy"`` drops the division-by-zero branches.
    """
    # ``fastmath=False`` is said because a kernel would else inherit the flags of its first caller.
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function)
    return cast(F, _stamped(compiled))


def vector_kernel(function: F) -> F:
    """Compile like :func:`kernel`, and let sums be reordered so that they run in vector registers.

    For passes over matrices that serve one step of time: they are sums, and four times faster so.
    The order depends on the processor's vector length, never on threads; NaN and infinity stay.
    Nothing may be allocated inside: references are not counted, which would cost a microsecond a
    step (some hundred atomic operations).
    """
    flags = {"reassoc", "contract", "nsz"}
    options: Any = {"_nrt": False}
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=flags, **options)(
        function
    )
    return cast(F, _stamped(compiled))


def _stamped(compiled: Any) -> Any:
    """Let what is cached be good only as long as no kernel changes.

    Numba looks at the file of a kernel alone, and would go on with the old code of those that it
    calls in other files.
    """
    if hasattr(compiled, "py_func"):  # with NUMBA_DISABLE_JIT it is the function itself
        file = compiled._cache._cache_file
        file._source_stamp = (file._source_stamp, _SOURCES)
    return compiled


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _sources()
