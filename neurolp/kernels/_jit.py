"""Compilation of kernels, and the validity of what is cached.

Two interfaces of Numba used here are private: where a kernel's cache keeps its index and the state
of its source, and the option ``_nrt``. Where a version of Numba lacks them kernels are compiled in
every process, and ``vector_kernel`` counts references.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])

# ``fastmath=False`` is said because a kernel would else inherit the flags of its first caller.
_PLAIN: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
_FUSED = _PLAIN | {"fastmath": {"contract"}}
_ORDERED = _FUSED | {"_nrt": False}
_VECTOR = _PLAIN | {"fastmath": {"reassoc", "contract", "nsz"}, "_nrt": False}


def kernel(function: F) -> F:
    """Compile ``function`` on first use, cache it on disk, and run it without the GIL.

    No ``fastmath``: it would make sums depend on how the compiler vectorises them, and would
    remove the NaN checks. ``error_model="numpy"`` drops the division-by-zero branches.
    """
    return cast(F, _compiled(function, _PLAIN))


def fused_kernel(function: F) -> F:
    """Compile like :func:`kernel`, and let a product and its sum be rounded once.

    Sums keep their order: results do not depend on vector lengths, but on whether the processor has
    the instruction (fused multiply-add).
    """
    return cast(F, _compiled(function, _FUSED))


def ordered_kernel(function: F) -> F:
    """Compile like :func:`fused_kernel`, without counting references; nothing may be allocated.

    A function that a kernel calls is compiled by itself and once more with its caller, and a
    process takes the one or the other: sums that may be reordered can then differ in their last
    bits between the process that compiled them and those that read them from the disk.
    """
    return cast(F, _compiled(function, _ORDERED))


def vector_kernel(function: F) -> F:
    """Compile like :func:`kernel`, and let sums be reordered so that they run in vector registers.

    For passes over matrices that serve one step of time: they are sums, and four times faster so.
    The order depends on the processor's vector length, never on threads; NaN and infinity stay.
    Nothing may be allocated inside: references are not counted, which would cost a microsecond a
    step (some hundred atomic operations).
    """
    return cast(F, _compiled(function, _VECTOR))


def _compiled(function: Callable[..., object], options: dict[str, Any]) -> Any:
    """The dispatcher of ``function``, cached on disk where that is possible."""
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
        # Numba looks at the file of a kernel alone, and would go on with the old code of those that
        # it calls in other files: what is cached must be good only as long as no kernel changes.
        if hasattr(dispatcher, "py_func"):  # with NUMBA_DISABLE_JIT it is the function itself
            file = dispatcher._cache._cache_file
            file._source_stamp = (file._source_stamp, _SOURCES)
            file._load_index = _or_empty(file._load_index)
        return dispatcher
    except KeyError:  # an option that this version of Numba does not have
        if "_nrt" not in options:
            raise
        return _compiled(function, {k: v for k, v in options.items() if k != "_nrt"})
    except RuntimeError:  # no folder can be written
        _say_once("no folder for their cache can be written (NUMBA_CACHE_DIR names one)")
    except AttributeError:
        _say_once(f"their cache is not where Numba {numba.__version__} is expected to keep it")
    return numba.njit(**options)(function)


def _or_empty(load: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """The cache index that ``load`` reads, or an empty one where it cannot be unpickled.

    Numba compares the stamp after it has unpickled the types of the arguments, which may since have
    been renamed; such an index, or a damaged one, is out of date and will be written anew.
    """

    def index() -> dict[Any, Any]:
        try:
            return load()
        except Exception:  # damaged or outdated pickles raise errors of many kinds
            return {}

    return index


@cache
def _say_once(reason: str) -> None:
    """Warn once a process and reason, whichever kernel is the first."""
    warnings.warn(
        f"kernels are compiled in every process, which takes about a minute: {reason}",
        RuntimeWarning,
        stacklevel=4,
    )


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _sources()
