"""Laws of axes: cells lie side by side, places lead back to values."""

import numpy as np
import pytest

from neurolp.differentiation.axes import GridAxis, LineAxis

AXES = {
    "counts": (GridAxis(np.array([0.0, 40.0]), 1.0, False), np.arange(-3.0, 50.0)),
    "tenths": (GridAxis(np.array([-1.2, 3.1]), 0.1, False), np.round(np.arange(-20, 40) * 0.1, 1)),
    "ratings": (GridAxis(np.arange(5.0), 1.0, True), np.arange(5.0)),
    "levels": (GridAxis(np.array([0.0, 0.3, 5.0, 6.0]), 0.0, True), np.array([0.0, 0.3, 5.0, 6.0])),
    "one": (GridAxis(np.array([7.0]), 0.0, True), np.array([7.0])),
}


@pytest.mark.parametrize("name", AXES)
def test_cells_lie_side_by_side_around_their_values(name):
    axis, values = AXES[name]
    place, lower, upper = axis.cells(values)
    assert np.allclose(place, values, atol=1e-12)
    assert np.array_equal(lower[1:], upper[:-1])
    assert np.all((lower < place) & (place < upper))
    if axis.closed:
        assert lower[0] == -np.inf
        assert upper[-1] == np.inf
        assert axis.seen == (-np.inf, np.inf)
    else:
        assert axis.seen[0] == pytest.approx(axis.levels[0] - axis.step / 2)
        assert axis.seen[1] == pytest.approx(axis.levels[-1] + axis.step / 2)


@pytest.mark.parametrize("name", AXES)
def test_places_in_a_cell_lead_back(name):
    axis, values = AXES[name]
    rng = np.random.default_rng(0)
    many = rng.choice(values, 2000)
    places = axis.spread(many, rng)
    assert np.all(np.isfinite(places))
    assert np.allclose(axis.values(places), many, atol=1e-12)
    _, lower, upper = axis.cells(many)
    assert np.all((lower <= places) & (places <= upper))


def test_atoms_have_gaps_and_the_rest_keeps_its_lengths():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(1000)
    values[:300], values[300:400] = 0.0, 1.0
    axis = LineAxis.of(np.array([1.0, 0.0]), values)
    place, lower, upper = axis.cells(values)
    atom = np.isin(values, (0.0, 1.0))
    assert np.array_equal(~np.isnan(lower), atom)
    assert np.all(lower[atom] < place[atom])
    assert np.all(place[atom] < upper[atom])
    for a, b in ((values < 0, 0.0), (values > 1, axis.gaps.sum())):
        assert np.allclose(place[a & ~atom], values[a & ~atom] + b)
    assert np.all(np.diff(place[np.argsort(values, kind="stable")]) >= 0)
    rest = np.sort(place[~atom])
    for low, high in {(a, b) for a, b in zip(lower[atom], upper[atom], strict=True)}:
        assert not np.any((rest > low) & (rest < high))
    spread = axis.spread(values, rng)
    back = axis.values(spread)
    assert np.array_equal(back[atom], values[atom])
    assert np.allclose(back, values, atol=1e-14)
    plain = LineAxis(np.empty(0), np.empty(0))
    assert np.array_equal(plain.spread(values, rng), values)
    assert np.array_equal(plain.values(values), values)
