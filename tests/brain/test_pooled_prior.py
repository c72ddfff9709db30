"""Mixtures drawn towards the covariance of all rows: any units, nearly singular tables."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from neurolp import BrainDensity
from neurolp.brain.heads.mixture import fit_mixture


def clusters(n, seed, d=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((d, n)) * 0.5 + 2 * rng.integers(-1, 2, (d, n))


def test_it_is_the_same_density_in_any_units_and_directions():
    rows, test = clusters(500, 0), clusters(200, 1)
    turn = np.array([[2.0, 0.0, 0.0], [1.5, 0.4, 0.0], [-1.0, 0.3, 3.0]])
    shift = np.array([[1.0], [-2.0], [0.5]])
    # The least variance is that of standardised rows, and small beside these.
    plain, turned = (
        fit_mixture(x, 6, 0.3, 0, pooled=True, tolerance=1e-9) for x in (rows, turn @ rows + shift)
    )
    change = np.log(abs(np.linalg.det(turn)))
    found = turned.log_prob(turn @ test + shift) + change
    np.testing.assert_allclose(found, plain.log_prob(test), atol=0.02)
    round_ = [fit_mixture(x, 6, 0.3, 0, tolerance=1e-9) for x in (rows, turn @ rows + shift)]
    change = round_[1].log_prob(turn @ test + shift) + change - round_[0].log_prob(test)
    assert np.abs(change).max() > 0.1


def test_with_one_component_it_is_the_gaussian_of_the_rows():
    rows = clusters(2000, 2)
    head = fit_mixture(rows, 1, 0.1, 0, pooled=True)
    factor = head.factors[0]
    assert np.array_equal(factor, np.tril(factor))
    np.testing.assert_allclose(head.means[0], rows.mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(factor @ factor.T, np.cov(rows, bias=True), atol=1e-5)


def test_a_nearly_singular_table_is_described_better_than_by_a_mixture_of_full_covariances():
    rng = np.random.default_rng(3)
    n, d = 1500, 20
    shape = rng.standard_normal((d, d)) @ np.diag(np.geomspace(1, 1e-3, d))
    noise = np.where(rng.random((n, 1)) < 0.3, 3.0, 1.0) * rng.standard_normal((n, d))
    X = noise @ shape.T
    train, validation, test = X[:900], X[900:1200], X[1200:]
    brain = BrainDensity(random_state=0, max_slices=20).fit(train, X_validation=validation)
    scale = train.std(axis=0)
    fits = [
        GaussianMixture(k, reg_covar=reg, random_state=0).fit(train / scale)
        for k in (1, 2, 4)
        for reg in (1e-6, 1e-5, 1e-4)
    ]
    best = max(fits, key=lambda fit: fit.score(validation / scale))
    peer = best.score(test / scale) - np.log(scale).sum()
    assert brain.score(test) > peer - 0.1
    covariance = shape @ shape.T  # no density is above the entropy bound of this one
    square = np.einsum("ij,ji->i", test, np.linalg.solve(covariance, test.T))
    constant = -0.5 * (d * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1])
    parts = [np.log(p) - d * np.log(s) - 0.5 * square / s**2 for p, s in ((0.3, 3.0), (0.7, 1.0))]
    truth = float(np.mean(np.logaddexp(*parts) + constant))
    assert brain.score(test) < truth
    assert peer == pytest.approx(truth, abs=3.0)


def test_of_far_values_the_covariance_has_a_factor_too():
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((6, 300))
    rows[1] = rows[0] * 3 - 1
    rows[:, 0] *= 1e12
    head = fit_mixture(rows, 2, 0.3, 0, pooled=True)
    assert np.all(np.isfinite(head.log_prob(rows)))
