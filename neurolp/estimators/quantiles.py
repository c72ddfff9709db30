"""Quantiles of one continuous column given the others, by quadrature of the joint density."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.estimators.table_model import TableModel
from neurolp.mixed.continuous_cells import ContinuousCells
from neurolp.mixed.holes import draws_for

_FIRST, _DRAWN, _MORE, _ROUNDS = 48, 48, 64, 4
_ROWS_AT_ONCE = 256


def conditional_quantiles(
    model: TableModel, codes: Array, j: int, atoms: Array, q: Array, rng: np.random.Generator
) -> Array:
    """Quantiles (n, n_q) of column j given the others in codes (n, n_columns), NaN at j.

    The density is linear between points, which are first quantiles of the column and draws of a
    proposal, then, in a few rounds, where the distribution function rises by equal steps.
    """
    marginal = np.sort(model.sample(4000, rng)[:, j])
    inner = marginal[np.linspace(0, len(marginal) - 1, _FIRST - 2).astype(np.intp)]
    spread = inner[-1] - inner[0] or 1.0
    cells = None if model.cells is None else model.cells.columns[j]
    edges = cells.edges if isinstance(cells, ContinuousCells) else np.empty(0)  # there are steps
    both = [np.nextafter(edges, -np.inf), edges]
    common = np.concatenate([[inner[0] - spread], inner, [inner[-1] + spread], *both])
    out = np.empty((len(codes), len(q)))
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        out[rows] = _quantiles(model, codes[rows], j, atoms, q, common, rng)
    return out


def _quantiles(
    model: TableModel,
    codes: Array,
    j: int,
    atoms: Array,
    q: Array,
    common: Array,
    rng: np.random.Generator,
) -> Array:
    n = len(codes)

    def log_density(points: Array) -> Array:
        every = np.repeat(codes, points.shape[1], axis=0)
        every[:, j] = points.ravel()
        n_draws = draws_for(points.shape[1])
        return model.log_marginal(every, rng, n_draws)[0].reshape(points.shape)

    drawn = model.proposal.draw(np.repeat(codes, _DRAWN, axis=0), rng)[:, j].reshape(n, _DRAWN)
    x = np.concatenate([np.tile(common, (n, 1)), drawn], axis=1)
    # At an atom there is a mass, which is none of the density.
    x = np.where(np.isin(x, atoms), np.nextafter(x, np.inf), x)
    x = np.sort(x, axis=1)
    log_f = log_density(x)
    nowhere = np.all(np.isneginf(log_f), axis=1)  # the others are too far away
    if nowhere.any():
        codes = np.where(nowhere[:, np.newaxis], np.nan, codes)
        log_f = log_density(x)
    masses = np.empty((n, 0))
    log_masses = log_density(np.tile(atoms, (n, 1))) if len(atoms) else masses
    for _ in range(_ROUNDS):
        cdf, *_ = _distribution(x, log_f, log_masses)
        total = cdf[:, -1:]
        levels = (np.arange(_MORE) + rng.random((n, _MORE))) / _MORE
        new = np.stack(
            [np.interp(a * t, c, p) for a, t, c, p in zip(levels, total, cdf, x, strict=True)]
        )
        new = np.where(np.isin(new, atoms), np.nextafter(new, np.inf), new)
        x = np.concatenate([x, new], axis=1)
        log_f = np.concatenate([log_f, log_density(new)], axis=1)
        order = np.argsort(x, axis=1, kind="stable")
        x, log_f = np.take_along_axis(x, order, 1), np.take_along_axis(log_f, order, 1)
    cdf, f, masses = _distribution(x, log_f, log_masses)
    out = np.empty((n, len(q)))
    for i in range(n):
        out[i] = _inverse(x[i], cdf[i], f[i], atoms, masses[i], q)
    return out


def _distribution(x: Array, log_f: Array, log_masses: Array) -> tuple[Array, Array, Array]:
    """Integral of the density up to each point, the density, and masses; in the same units."""
    top = np.max(np.concatenate([log_f, log_masses], axis=1), axis=1, keepdims=True)
    f, masses = np.exp(log_f - top), np.exp(log_masses - top)
    steps = 0.5 * (f[:, 1:] + f[:, :-1]) * np.diff(x, axis=1)
    return np.concatenate([np.zeros((len(x), 1)), np.cumsum(steps, axis=1)], axis=1), f, masses


def _inverse(x: Array, cdf: Array, f: Array, atoms: Array, masses: Array, q: Array) -> Array:
    """Quantiles of one row: of the density, which is linear between points, and the atoms."""
    total = cdf[-1] + masses.sum()
    level = q * total
    out = np.full(len(q), np.nan)
    below = np.zeros(len(q))
    for atom, mass in zip(atoms, masses, strict=True):
        before = np.interp(atom, x, cdf) + masses[atoms < atom].sum()
        out = np.where((level > before) & (level <= before + mass), atom, out)
        below += np.where(level > before + mass, mass, 0.0)
    level = level - below
    k = np.clip(np.searchsorted(cdf, level) - 1, 0, len(x) - 2)
    width = x[k + 1] - x[k]
    rest = level - cdf[k]
    slope = (f[k + 1] - f[k]) / np.where(width > 0, width, 1.0)
    # Root of f_k t + slope t^2 / 2 = rest, written so that nothing cancels.
    root = f[k] + np.sqrt(np.maximum(f[k] ** 2 + 2 * slope * rest, 0.0))
    t = np.where(root > 0, 2 * rest / np.where(root > 0, root, 1.0), 0.0)
    return np.where(np.isnan(out), x[k] + np.clip(t, 0.0, width), out)
