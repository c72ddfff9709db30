"""Which of the keys that a sweep varied changed no result."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from neurolp.sweep.state import DONE

_TIMING = re.compile(r"seconds|_per_second")  # results that differ from run to run


def keys_without_effect(table: pd.DataFrame) -> list[str]:
    """The varied keys that changed no result.

    ``table`` is one of :func:`neurolp.sweep.collecting.collect`.

    A key is one of them if any two jobs that are done, and differ in nothing but this key, have
    equal results; at least two jobs must differ so. Keys of ``lists``, which are varied together,
    are judged together, and so are the keys of ``random``. Run times are no results.
    """
    how: dict[str, str] = table.attrs["how"]
    results = [name for name in table.attrs["results"] if not _TIMING.search(name)]
    done = table[table["state"] == DONE]
    together: dict[str, list[str]] = {}
    for key, kind in how.items():
        together.setdefault(key if kind == "grid" else kind, []).append(key)
    fixed = [*how, "replicate", "seed"]
    return [
        key
        for keys in together.values()
        if results and _same_results(done, keys, [k for k in fixed if k not in keys], results)
        for key in keys
    ]


def _same_results(
    done: pd.DataFrame, keys: Sequence[str], fixed: Sequence[str], results: Sequence[str]
) -> bool:
    """Whether jobs that agree in ``fixed`` have the same results, whatever their ``keys`` are."""
    compared = False
    for _, jobs in done.groupby(list(dict.fromkeys(fixed)), dropna=False, sort=False):
        if len(jobs[list(keys)].drop_duplicates()) < 2:
            continue
        compared = True
        values = jobs[list(results)].to_numpy(np.float64, na_value=np.nan)
        if not np.array_equal(values, np.broadcast_to(values[0], values.shape), equal_nan=True):
            return False
    return compared
