"""Cells of values on a grid against SciPy; run with the JIT and with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from neurolp.kernels import stream_cells as cells
from neurolp.kernels import stream_laws as laws
from tests.kernels.test_stream_expert_kernels import some_laws


def test_the_density_of_a_cell_is_its_mass_a_unit_in_both_tails():
    for z in np.linspace(-30, 30, 61):
        for half in (1e-4, 0.1, 3.0):
            found = cells.cell_density(z, half, False) * 2 * half / np.sqrt(2 * np.pi)
            low, high = sorted((abs(z) - half, abs(z) + half))
            expected = norm.sf(low) - norm.sf(high)
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-300)
        assert cells.cell_density(z, 1e-9, False) == pytest.approx(np.exp(-0.5 * z * z), rel=1e-12)
        opened = cells.cell_density(z, 0.5, True) / np.sqrt(2 * np.pi)
        assert opened == pytest.approx(norm.cdf(z + 0.5), rel=1e-5, abs=1e-300)
        assert cells.below_cell(z, 0.5, True) == 0
        assert cells.below_cell(z, 0.5, False) == pytest.approx(norm.cdf(z - 0.5), rel=1e-5)


@pytest.mark.parametrize("shape", ["normal", "ladder", "free"])
def test_masses_of_all_cells_add_to_one(shape):
    ladder, moments = some_laws(n_pairs=400)
    ladder[:], moments[:] = ladder[:, :1], moments[:, :, :1]
    components, n = np.zeros_like(moments), 400
    laws.free_components(moments, components)
    z = np.arange(n) * 0.25 - 30.0
    half, density, cdf = np.full(n, 0.125), np.zeros(n), np.zeros(n)
    if shape == "normal":

        def call(u):
            return cells.normal_cells(z, half, False, u, density, cdf)
    elif shape == "ladder":
        part = np.zeros((laws.N_RUNGS, n))

        def call(u):
            return cells.ladder_cells(z, half, False, u, ladder, density, cdf, part)
    else:
        part = np.zeros((laws.N_FREE, n))

        def call(u):
            return cells.free_cells(z, half, False, u, components, density, cdf, part)

    call(1.0)
    mass = density * 0.25 / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(np.cumsum(mass), cdf - cdf[0] + mass[0], atol=1e-12)
    assert cdf[-1] == pytest.approx(1, abs=1e-4)
    upper = cdf.copy()
    call(0.25)
    np.testing.assert_allclose(cdf, upper - 0.75 * mass, atol=1e-14)
    if shape != "normal":
        np.testing.assert_allclose(part.sum(axis=0), density)


def test_a_mixture_has_the_masses_of_its_components():
    shape = np.array([[0.7, 0.0, 1.0], [0.3, -0.7, 0.2]])
    w, m, s = shape.T
    for e in (-2.0, 0.1, 5.0):
        inside = cells.mixture_cell(shape, e, 0.3, False) * 0.6 / np.sqrt(2 * np.pi)
        expected = w @ (norm.cdf(e + 0.3, m, s) - norm.cdf(e - 0.3, m, s))
        assert inside == pytest.approx(expected, rel=1e-5)
        below = cells.below_mixture_cell(shape, e, 0.3, False)
        assert below == pytest.approx(w @ norm.cdf(e - 0.3, m, s), rel=1e-5)


def test_places_fill_a_cell_evenly():
    places = np.array([cells.place_in_cell(n) for n in range(1000)])
    assert kstest(places, "uniform").statistic < 0.005
