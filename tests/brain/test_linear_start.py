"""The first slice of a brain with clamped nodes: a ridge regression, with ridges by themselves."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from neurolp import BrainDensity
from neurolp.brain.rules.linear_start import ridge_slopes


def moments(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n = len(x)
    return x.T @ x / n, x.T @ y / n, (y**2).mean(axis=0), n


@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_slopes_are_those_of_the_ridge_of_least_cross_validation(noise):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 12)) @ rng.standard_normal((12, 12))
    y = x @ rng.standard_normal((12, 2)) + noise * rng.standard_normal((60, 2))
    slopes = ridge_slopes(*moments(x, y))
    unit = np.linalg.eigvalsh(moments(x, y)[0]).mean()
    for i in range(2):
        ridges = 60 * unit * 10.0 ** np.arange(-5.0, 2.5, 0.5)
        model = RidgeCV(ridges).fit(x, y[:, i])  # leaves one row out, nearly the same
        error = np.mean((y[:, i] - y[:, i].mean() - (x - x.mean(axis=0)) @ slopes[:, i]) ** 2)
        theirs = np.mean((y[:, i] - model.predict(x)) ** 2)
        assert error == pytest.approx(theirs, rel=0.1)


def test_many_rows_have_least_squares_and_noise_has_no_slopes():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50_000, 5))
    y = np.column_stack([x @ np.arange(5.0) + 0.1 * rng.standard_normal(50_000), x[:, 0]])
    slopes = ridge_slopes(*moments(x, y))
    np.testing.assert_allclose(slopes[:, 0], np.arange(5.0), atol=2e-3)
    few = rng.standard_normal((30, 25))
    slopes = ridge_slopes(*moments(few, rng.standard_normal((30, 1))))
    assert np.linalg.norm(slopes) < 0.5
    assert not ridge_slopes(np.zeros((2, 2)), np.zeros((2, 1)), np.ones(1), 1).any()


def table(n, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, (n, 8))
    kind = rng.integers(0, 3, n)
    target = counts @ np.linspace(-1, 1, 8) + 3.0 * kind + rng.standard_normal(n)
    frame = pd.DataFrame(counts, columns=[f"n{k}" for k in range(8)])
    return frame.assign(kind=np.array(["a", "b", "c"])[kind], target=target)


def test_what_is_linear_is_learned_from_few_rows():
    train, test = table(300, 0), table(500, 1)
    model = BrainDensity(constructions=["brain"], random_state=0, max_slices=30).fit(train)
    known = test.drop(columns="target").assign(target=np.nan)
    conditional = model.score_samples(test) - model.score_samples(known)
    truth = -0.5 * np.log(2 * np.pi * np.e)
    assert truth - 0.25 < conditional.mean() < truth + 0.05
