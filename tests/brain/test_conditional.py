"""Missing values: draws follow Phi(x_missing | x_observed)."""

import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal
from sklearn.datasets import load_digits, load_iris

from neurolp import BoundedBrain, BrainDensity, DataError, LinearBrain, OnlineBrain
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.brain.imputation import Proposal, sample_missing
from neurolp.data.problems_2d import sample_problem

MEAN = np.array([1.0, -2.0, 0.5, 30.0, 0.0])
ROOT = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.9, 0.3, 0.0, 0.0, 0.0],
        [-0.5, 0.5, 0.7, 0.0, 0.0],
        [8.0, 1.0, -3.0, 4.0, 0.0],
        [0.1, 0.0, 0.1, -0.2, 0.05],
    ]
)
COVARIANCE = ROOT @ ROOT.T
PATTERNS = [[0], [3], [0, 1], [1, 4], [0, 2, 3], [0, 1, 2, 4]]


def dreams_of(kind, rng):
    """Draws of the Gaussian, or of one shifted by half a deviation on all axes and too narrow."""
    shift, scale = (0.0, 1.0) if kind == "exact" else (0.5, 0.7)
    return lambda n: MEAN + (shift + scale * rng.standard_normal((n, 5))) @ ROOT.T


@pytest.mark.parametrize("dreams", ["exact", "wrong"])
def test_conditionals_of_a_gaussian_are_those_of_the_closed_form(dreams):
    """Whitened by conditional mean and covariance the draws are standard normal, in each direction.

    With wrong dreams the proposals are poor, and acceptance has to make up for it.
    """
    rng = np.random.default_rng(0)
    rows = MEAN + rng.standard_normal((len(PATTERNS), 5)) @ ROOT.T
    for row, pattern in zip(rows, PATTERNS, strict=True):
        row[pattern] = np.nan
    draws = sample_missing(
        lambda x: multivariate_normal(MEAN, COVARIANCE).logpdf(x),
        dreams_of(dreams, rng),
        rows,
        1000,
        rng,
    )
    for i, m in enumerate(PATTERNS):
        o = np.setdiff1d(np.arange(5), m)
        gain = np.linalg.solve(COVARIANCE[np.ix_(o, o)], COVARIANCE[np.ix_(o, m)]).T
        mean = MEAN[m] + gain @ (rows[i, o] - MEAN[o])
        covariance = COVARIANCE[np.ix_(m, m)] - gain @ COVARIANCE[np.ix_(o, m)]
        z = np.linalg.solve(np.linalg.cholesky(covariance), (draws[:, i, m] - mean).T)
        assert np.abs(z.mean(axis=1)).max() < 4 / np.sqrt(1000)
        assert np.abs(z @ z.T / 1000 - np.eye(len(m))).max() < 4 * np.sqrt(2 / 1000)
        assert min(kstest(direction, "norm").pvalue for direction in z) > 1e-3


def test_the_proposal_draws_from_the_conditional_of_its_mixture():
    """Against the conditional by the textbook formula, for a block in the middle of a row."""
    rng = np.random.default_rng(1)
    factors = np.array([ROOT, 0.5 * np.eye(5) + 0.1 * np.tril(np.ones((5, 5)))])
    mixture = MixtureHead(np.array([0.3, 0.7]), np.array([MEAN, MEAN + 1.0]), factors)
    covariances = factors @ factors.mT
    proposal = Proposal(mixture, np.linalg.inv(covariances), np.zeros(5), np.ones(5))
    x = np.tile(MEAN + 0.3, (20_000, 1))
    block, valid = np.tile([1, 3, 0], (20_000, 1)), np.tile([True, True, False], (20_000, 1))
    shift, noise = proposal.conditional(x, block, valid).draw(rng)
    assert not shift[:, 2].any()
    assert not noise[:, 2].any()
    m, o = [1, 3], [0, 2, 4]
    weight, mean, second = np.empty(2), np.empty((2, 2)), np.empty((2, 2, 2))
    for k in range(2):
        c = covariances[k]
        gain = np.linalg.solve(c[np.ix_(o, o)], c[np.ix_(o, m)]).T
        centre = mixture.means[k]
        mean[k] = centre[m] + gain @ (x[0, o] - centre[o])
        second[k] = c[np.ix_(m, m)] - gain @ c[np.ix_(o, m)] + np.outer(mean[k], mean[k])
        weight[k] = np.log(mixture.weights[k]) + multivariate_normal(
            centre[o], c[np.ix_(o, o)]
        ).logpdf(x[0, o])
    weight = np.exp(weight - np.logaddexp(*weight))
    drawn = (x[:, [1, 3, 0]] + shift + noise)[:, :2]
    expected = weight @ mean
    covariance = np.tensordot(weight, second, 1) - np.outer(expected, expected)
    z = np.linalg.solve(np.linalg.cholesky(covariance), (drawn - expected).T)
    assert np.abs(z.mean(axis=1)).max() < 4 / np.sqrt(20_000)
    assert np.abs(z @ z.T / 20_000 - np.eye(2)).max() < 0.06


MOON_BRAINS = [
    BrainDensity(random_state=0, max_slices=60),
    BrainDensity(random_state=0, max_slices=60, head="base", dtype="float32"),
    LinearBrain(random_state=0, max_epochs=5),
    BoundedBrain(random_state=0, max_epochs=5),
    OnlineBrain(random_state=0, n_slices=10, max_epochs=5),
]


@pytest.mark.parametrize("brain", MOON_BRAINS, ids=lambda b: f"{b.model}-{b.dtype}")
def test_conditionals_of_two_moons_are_those_of_quadrature(brain):
    """Distribution function along the missing coordinate, by the brain's own density on a grid.

    Where both moons are met, both modes must have their share.
    """
    X = 100 + [1.0, 50.0] * sample_problem("two_moons", 2000, np.random.default_rng(0))
    brain.fit(X)
    rows = np.array([[100.5, np.nan], [101.0, np.nan], [np.nan, 112.0]])
    draws = brain.sample_conditional(rows, 600, random_state=1)
    for i, j in enumerate([1, 1, 0]):
        spread = X[:, j].std()
        grid = np.linspace(X[:, j].mean() - 8 * spread, X[:, j].mean() + 8 * spread, 2001)
        points = np.tile(rows[i], (len(grid), 1))
        points[:, j] = grid
        assert np.array_equal(draws[:, i, 1 - j], points[:600, 1 - j])
        density = np.exp(brain.score_samples(points))
        steps = 0.5 * (density[1:] + density[:-1])
        below = np.append(0.0, np.cumsum(steps)) / steps.sum()
        assert kstest(draws[:, i, j], lambda y, g=grid, b=below: np.interp(y, g, b)).pvalue > 1e-3


def test_half_the_pixels_of_digits():
    """Masked dreams, filled in, are dreams again: as surprising as before, and new everywhere."""
    middle = load_digits().data[:, 16:48]
    X = middle + np.random.default_rng(12345).uniform(0, 1, middle.shape)
    brain = BrainDensity(random_state=0, max_slices=10).fit(X)
    dreams = brain.sample(50, random_state=1)
    missing = np.random.default_rng(2).random(dreams.shape) < 0.5
    rows = np.where(missing, np.nan, dreams)
    filled = brain.sample_conditional(rows, random_state=3)[0]
    assert np.array_equal(filled[~missing], dreams[~missing])
    assert np.mean(filled[missing] != dreams[missing]) == 1.0
    gain = brain.score_samples(filled) - brain.score_samples(dreams)
    assert abs(gain.mean()) < 4 * gain.std() / np.sqrt(len(gain))
    # It has used what it saw: far closer to the truth than another dream is.
    other = brain.sample(50, random_state=4)
    error, chance = ((f - dreams)[missing].std() for f in (filled, other))
    assert error < 0.8 * chance


@pytest.fixture(scope="module")
def iris():
    return load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))


@pytest.fixture(scope="module")
def brain(iris):
    return BrainDensity(random_state=0, max_slices=20).fit(iris)


def test_complete_rows_come_back_and_empty_rows_are_dreams(brain, iris):
    rows = iris[:4].copy()
    rows[1, 2], rows[3] = np.nan, np.nan
    draws = brain.sample_conditional(rows, 200, random_state=0)
    assert draws.shape == (200, 4, 4)
    assert np.all(np.isfinite(draws))
    kept = ~np.isnan(rows)
    assert np.array_equal(draws[:, kept], np.tile(rows[kept], (200, 1)))
    assert np.isnan(rows[1, 2])  # the caller's array is left alone
    dreams = brain.sample(5000, random_state=1)
    assert min(kstest(draws[:, 3, j], dreams[:, j]).pvalue for j in range(4)) > 1e-3
    assert np.array_equal(brain.sample_conditional(iris[:3]), iris[None, :3])
    assert np.array_equal(
        brain.sample_conditional(rows, 2, random_state=5),
        brain.set_params(n_threads=1).sample_conditional(rows, 2, random_state=5),
    )


def test_an_observed_value_far_from_all_data_is_survived(brain, iris):
    draws = brain.sample_conditional([[iris[0, 0], 1e4, np.nan, np.nan]], 5, random_state=0)
    assert np.all(np.isfinite(draws))


@pytest.mark.parametrize(
    ("rows", "n_samples", "message"),
    [
        ([[1.0, np.nan, 2.0]], 1, "X has 3 features, but BrainDensity is expecting 4"),
        (
            [[1.0, np.nan, 2.0, -np.inf]],
            1,
            "`X` must be finite or NaN.*infinity at row 0, column 3",
        ),
        ([[1.0, np.nan, 2.0, 3.0]], 0, "`n_samples` must be an integer >= 1, but is 0"),
        ([[1.0, 1.0, 2.0, 3.0]], 1.5, "`n_samples` must be an integer >= 1, but is 1.5"),
        ([[1.0, np.nan, 2.0, 3.0]], True, "`n_samples` must be an integer >= 1, but is True"),
    ],
)
def test_bad_input_gives_one_clear_line(brain, rows, n_samples, message):
    with pytest.raises(ValueError, match=message) as caught:
        brain.sample_conditional(rows, n_samples)
    assert "\n" not in str(caught.value)


def test_scoring_a_row_with_nan_says_what_fills_it_in(iris):
    online = OnlineBrain(random_state=0, max_epochs=1, n_slices=2).fit(iris)
    with pytest.raises(DataError, match="NaN at row 0, column 1; sample_conditional fills in"):
        online.score_samples([[1.0, np.nan, 2.0, 3.0]])
