"""Cells of columns: the law inside each is normalised, and values drawn from it follow it."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate

from neurolp.data.columns import Columns
from neurolp.mixed.cells import cells_of

RNG = np.random.default_rng(0)
COLUMNS = {
    "rating": RNG.integers(1, 6, 300),
    "count": RNG.poisson(3, 300) * 2,
    "large": RNG.integers(1000, 60000, 300),
    "decimal": np.round(RNG.gamma(2, 3, 300), 1),
    "levels": RNG.choice([0.1, 1 / 3, 2.5], 300),
    "ordered": pd.Categorical(RNG.choice(list("ac"), 300), list("abcd"), ordered=True),
    "label": RNG.choice(list("xyz"), 300),
    "name": [f"n{k}" for k in RNG.zipf(1.3, 300)],
    "flag": RNG.random(300) < 0.2,
    "real": RNG.standard_normal(300),
    "rain": np.where(RNG.random(300) < 0.6, 0.0, RNG.exponential(2, 300)),
    "same": np.full(300, 7),
}


def one(name, holes=False, smooth=True):
    frame = pd.DataFrame({"x": COLUMNS[name]})
    if holes:
        frame = frame.astype(object).where(RNG.random((300, 1)) > 0.2)
    columns = Columns.infer(frame, kinds=None)
    values = columns.encode(frame)
    check = values[::3] if smooth else None
    return columns[0], cells_of(columns, values, check)[0], values[:, 0]


def support(column, cells):
    """Values on a wide part of the support of a discrete column."""
    if column.kind == "constant":
        return np.array([0.0, 1.0])
    if column.kind == "nominal":
        return np.arange(len(column.categories) + 1.0)
    if not column.step:
        return column.levels
    low, high = column.levels[[0, -1]]
    beyond = 0 if column.categories else 400_000
    n = round((high - low) / column.step)
    return low + column.step * np.arange(-beyond, n + beyond + 1)


@pytest.mark.parametrize("name", sorted(set(COLUMNS) - {"real", "rain"}))
def test_masses_sum_to_one_in_each_cell(name):
    column, cells, values = one(name)
    x = support(column, cells)
    cell, mass = cells.cell(x), np.exp(cells.log_inner(x))
    if column.kind == "nominal":  # what was not seen has no cell
        assert mass[-1] == pytest.approx(column.unseen)
        total = np.bincount(cell[:-1], weights=mass[:-1])
        np.testing.assert_allclose(total, 1 - column.unseen, rtol=1e-12)
        return
    total = np.bincount(cell, weights=mass, minlength=cells.n_cells)
    reach = getattr(cells, "reach", 0.0)
    left_out = 2 * reach / 400_000  # of the tails, beyond the values tried
    np.testing.assert_allclose(total, 1, atol=1e-9 + left_out)
    assert np.all(np.isfinite(cells.log_inner(values)))


@pytest.mark.parametrize("name", ["real", "rain"])
def test_densities_integrate_to_one_in_each_cell(name):
    column, cells, _ = one(name)
    edges = np.concatenate([[-np.inf], cells.edges, [np.inf]])
    for c in range(cells.n_cells):
        if cells.atom[c]:
            assert cells.log_inner(edges[c : c + 1])[0] == 0
            assert edges[c] in column.atoms
            continue
        low = np.nextafter(edges[c], np.inf) if np.isfinite(edges[c]) else edges[c]
        total, _ = integrate.quad(
            lambda x: float(np.exp(cells.log_inner(np.array([x]))[0])), low,
            np.nextafter(edges[c + 1], -np.inf) if np.isfinite(edges[c + 1]) else np.inf,
            epsabs=1e-12, epsrel=1e-12, limit=500,
        )  # fmt: skip
        assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_values_drawn_from_cells_follow_their_law(name):
    column, cells, values = one(name, holes=name not in ("same",))
    known = ~np.isnan(values)
    rng = np.random.default_rng(1)
    drawn = cells.draw(np.repeat(cells.cell(values[known]), 20), rng)
    np.testing.assert_array_equal(cells.cell(drawn), np.repeat(cells.cell(values[known]), 20))
    assert np.all(np.isfinite(cells.log_inner(drawn)))
    # -log p(x | cell) of draws has the mean of the law in each cell: compare with its entropy.
    if column.kind in ("ordinal", "nominal"):
        x = support(column, cells)
        x = x[:-1] if column.kind == "nominal" else x
        cell, mass = cells.cell(x), np.exp(cells.log_inner(x))
        c = np.bincount(cell, weights=-mass * np.log(np.maximum(mass, 1e-300)))
        expected = c[cells.cell(drawn)] / (1 - getattr(column, "unseen", 0.0))
        differences = -cells.log_inner(drawn) - expected
        error = differences.std() / np.sqrt(len(drawn))
        assert abs(differences.mean()) < 5 * error + 2e-3


def test_values_off_the_grid_are_impossible():
    _, cells, _ = one("decimal")
    assert cells.log_inner(np.array([1.05]))[0] == -np.inf
    assert np.isfinite(cells.log_inner(np.array([1e6, -3.0, 1.1]))).all()
    _, cells, _ = one("same")
    np.testing.assert_array_equal(cells.log_inner(np.array([0.0, 1.0, np.nan])), [0, -np.inf, 0])


def test_levels_too_far_apart_for_shares_have_masses():
    columns, own = Columns.read(pd.DataFrame({"n": [2884177213055475, -4389672831273927]}))
    (cells,) = cells_of(columns, own[:1], own[1:])
    assert np.isfinite(cells.log_inner(own[:1, 0]))
