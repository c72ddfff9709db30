"""Weights of rows: a row of weight w counts as w equal rows, and the order of rows as nothing."""

import numpy as np
import pandas as pd
import pytest

from neurolp import (
    BrainDensity,
    ConditionalClassifier,
    ConditionalDensity,
    MonotoneDensity,
    OnlineBrain,
    TriangularDensity,
)
from neurolp.errors import DataError
from neurolp.estimators.weights import repeated

N = 60


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(N)
    return pd.DataFrame(
        {
            "x": np.where(rng.random(N) < 0.1, np.nan, x),
            "legs": (np.abs(x) * 2).astype(int),
            "animal": rng.choice(["cat", "hen", "eel"], N, p=[0.6, 0.3, 0.1]),
            "y": x + 0.3 * rng.standard_normal(N),
        }
    )


@pytest.fixture(scope="module")
def weight():
    return np.random.default_rng(1).integers(0, 4, N)


def _fitted(kind, frame, **options):
    """Log-probabilities that a fit gives to some rows."""
    if kind is BrainDensity:
        return kind(random_state=0, max_slices=4).fit(frame, **options).score_samples
    if kind is TriangularDensity:
        return kind(random_state=0, max_layers=4).fit(frame, **options).score_samples
    if kind is OnlineBrain:
        numbers = [frame["y"], np.cos(3 * frame["y"])]
        model = kind(random_state=0, max_epochs=2).fit(np.column_stack(numbers), **options)
        return lambda rows: model.score_samples(np.column_stack([rows["y"], np.cos(3 * rows["y"])]))
    if kind is MonotoneDensity:
        model = kind(random_state=0).fit(frame["y"], **options)
        return lambda rows: model.score_samples(rows["y"])
    small = {"random_state": 0, "hidden": (4,), "max_epochs": 3, "n_members": 2}
    target = "animal" if kind is ConditionalClassifier else "y"
    model = kind(**small).fit(frame.drop(columns=target), frame[target], **options)
    return lambda rows: model.log_prob(rows.drop(columns=target), rows[target])


KINDS = [BrainDensity, TriangularDensity, ConditionalDensity, ConditionalClassifier]
KINDS += [MonotoneDensity, OnlineBrain]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_weights_are_repeated_rows(kind, frame, weight):
    twice = frame.loc[frame.index.repeat(weight)]
    weighted = _fitted(kind, frame, sample_weight=weight)(frame.iloc[:7])
    np.testing.assert_array_equal(weighted, _fitted(kind, twice)(frame.iloc[:7]))
    assert not np.array_equal(weighted, _fitted(kind, frame)(frame.iloc[:7]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_rows_has_no_effect(kind, frame):
    if kind is not ConditionalClassifier:  # categories of inputs are numbered as they appear
        frame = frame.drop(columns="animal")
    other = frame.sample(frac=1, random_state=0)
    rows = frame.iloc[:7]
    np.testing.assert_array_equal(_fitted(kind, frame)(rows), _fitted(kind, other)(rows))


def test_rows_of_weight_zero_leave_no_trace(frame):
    odd = pd.concat([frame, frame.iloc[:1].assign(animal="unicorn", legs=10**6)])
    weight = np.append(np.ones(N), 0)
    brain = BrainDensity(random_state=0, max_slices=2).fit(odd, sample_weight=weight)
    assert "unicorn" not in brain.categories_["animal"]
    assert brain.columns_["legs"].levels[-1] < 10**6
    plain = BrainDensity(random_state=0, max_slices=2).fit(frame)
    np.testing.assert_array_equal(plain.score_samples(frame), brain.score_samples(frame))


def test_fractions_are_rounded_with_the_right_mean():
    codes = np.random.default_rng(0).standard_normal((50, 2))
    weight = np.random.default_rng(1).random(50) * 3
    counts = np.array(
        [np.bincount(repeated(codes, weight, seed), minlength=50) for seed in range(4000)]
    )
    assert set(np.unique(counts - np.floor(weight))) == {0.0, 1.0}
    error = np.sqrt((weight % 1) * (1 - weight % 1) / len(counts))
    assert np.all(np.abs(counts.mean(axis=0) - weight) < 5 * error + 1e-12)
    assert set(counts.sum(axis=1)) <= {int(weight.sum()), int(weight.sum()) + 1}


@pytest.mark.parametrize(
    ("weight", "what"),
    [
        (np.ones((N, 2)), r"must have shape \(60,\)"),
        (np.ones(3), r"has shape \(3,\)"),
        (np.full(N, -1.0), "is -1 at row 0"),
        (np.full(N, np.nan), "is nan at row 0"),
        (["a"] * N, "must have numbers"),
        (np.zeros(N), "must have a positive number, but all are zero"),
        (np.full(N, 0.01), "has 0.6; sample_weight / sample_weight.mean"),
        (np.full(N, 5000.0), "has 300000;"),
    ],
)
def test_weights_that_are_none_are_refused_in_one_line(frame, weight, what):
    with pytest.raises(DataError, match=what) as caught:
        BrainDensity(random_state=0).fit(frame, sample_weight=weight)
    assert "argument `sample_weight`" in str(caught.value)
    assert "\n" not in str(caught.value)
