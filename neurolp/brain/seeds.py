"""Named, statistically independent random generators derived from one seed."""

from __future__ import annotations

import numpy as np

# One key for each purpose, never reused: the generators of two names have nothing in common.
KEYS = {
    name: key
    for key, name in enumerate(
        (
            "slice",  # index: time; groups, rotation and random features of a slice
            "epoch",  # index: time; order of the rows, hidden nodes
            "tuning",  # index: time; as "epoch", when learned slices are tuned together
            "presentation",  # index: step of `partial_fit`
            "groups",  # the groups of a brain that learns online, drawn once
            "hidden nodes",  # hidden nodes where a bound is reported
            "recorded hidden nodes",  # of the trajectories that are recorded
            "validation split",
            "density heads",
            "monotone units",
            "classifier",
            "stream brain",
            "stream dream",
            "principle: symbols",
            "principle: losses",
            "inputs of no class",
            "table",  # models of the cells of a table
            "spread over cells",  # of values with a mass, while a map is learned
            "holes",  # draws by which missing values are integrated out
            "holes of rows",  # index: split; what fills missing values while a model is learned
            "weights of constructions",
            "quantiles",
            "offset",  # rows whose scores tell what an outlier is
            "order of rows",  # in which training rows are learned from
            "rehearsal",  # rows by which constructions are left out
            "fractional weights",  # rounds weights of rows
        )
    )
}


def generator(seed: int, name: str, *index: int) -> np.random.Generator:
    """Generator for one purpose: a function of ``seed``, ``name`` and ``index`` alone.

    Built on ``numpy.random.SeedSequence(seed, spawn_key=...)``, whose children are independent.

    >>> a, b = generator(0, "slice", 1), generator(0, "epoch", 1)
    >>> bool(a.random() == b.random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(KEYS[name], *index)))
