"""Tables that nobody should make: every estimator learns from them or refuses them in one line.

``benchmarks/hostile_tables.py`` tries as many as one has the patience for.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from neurolp import (
    BrainDensity,
    ConditionalClassifier,
    DataError,
    LinearBrain,
    MonotoneDensity,
    OnlineBrain,
    TriangularDensity,
)
from neurolp.brain.marginal import student_log_cdf, student_quantile
from neurolp.mixed.reference import Reference
from tests.hostile_tables import cases, outcome

QUICK = {
    "brain": BrainDensity(max_slices=3, random_state=0),
    "triangular": TriangularDensity(max_layers=3, random_state=0),
}
RNG = np.random.default_rng(0)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(most_rows=12))
def test_any_table_is_learned_from_or_refused_in_one_line(case):
    assert outcome(case) in ("fitted", "refused")


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1e300 * RNG.standard_normal(20), "a finite variance, but column 'far' has values up to"),
        (RNG.choice([-1e300, 1.5e300], 20), "a finite variance, but column 'far' has values up to"),
        (1e-310 * RNG.standard_normal(20), "the values of column 'far' differ by"),
    ],
)
def test_numbers_without_a_variance_are_refused(name, values, message):
    frame = pd.DataFrame({"near": RNG.standard_normal(20), "far": values})
    with pytest.raises(DataError, match=message) as caught:
        QUICK[name].fit(frame)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", QUICK)
def test_one_value_far_from_all_others(name):
    frame = pd.DataFrame({"x": RNG.standard_normal(30), "who": ["a", "b", "c"] * 10})
    frame.loc[7, "x"] = 1e100
    model = QUICK[name].fit(frame)
    assert not np.any(np.isnan(model.score_samples(frame)))
    new = frame[:3].assign(x=[1.7e308, -1e200, 0.0])
    log_prob = model.score_samples(new)
    assert np.all(log_prob < np.inf)
    assert not np.any(np.isnan(model.sample(5, random_state=0)["x"]))


@pytest.mark.parametrize("name", QUICK)
def test_impossible_validation_rows_with_holes(name):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"n": rng.poisson(2.0, 20), "x": rng.standard_normal(20), "same": 1})
    other = pd.DataFrame({"n": [0.5, 1.0], "x": [np.nan, 0.1], "same": [1, 2]})
    model = QUICK[name].fit(frame, X_validation=other)
    assert np.all(np.isfinite(model.score_samples(frame)))


@pytest.mark.parametrize(
    "model", [OnlineBrain(), LinearBrain(), ConditionalClassifier(route="bayes")]
)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.period_range("2020", periods=8, freq="M"), "column 'odd' has dates"),
        (pd.to_timedelta(np.arange(8.0), unit="h"), "column 'odd' has durations"),
        (list("abcdabcd"), "column 'odd' has strings"),
        ([1, "a"] * 4, "must not mix numbers and strings in one column, but column 'odd'"),
        ([1, "n/a", "72,5", 2] * 2, "also of '72,5': make its comma a point first"),
    ],
)
def test_models_of_numbers_name_the_column_that_has_none(model, values, words):
    frame = pd.DataFrame({"x": np.arange(8) / 3, "odd": values})
    with pytest.raises(DataError, match=words) as caught:
        model.fit(frame, [0, 1] * 4)
    assert "\n" not in str(caught.value)


def test_a_column_whose_name_has_two_lines_is_named_in_one():
    with pytest.raises(DataError, match=r"column 'a\\nb'") as caught:
        OnlineBrain().fit(pd.DataFrame({"a\nb": [1.0, np.nan, 2.0]}))
    assert "\n" not in str(caught.value)


def test_one_variable_that_is_none():
    with pytest.raises(
        DataError, match="must have numbers in every column, but column 0 has dates"
    ):
        MonotoneDensity().fit(pd.Series(pd.date_range("2020", periods=5)))
    with pytest.raises(DataError, match="has shape"):
        MonotoneDensity().fit(pd.DataFrame({"a": [1.5, 2.5], "b": [0.5, 1.0]}))
    with pytest.raises(DataError, match="rows of the same length"):
        MonotoneDensity().fit([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.5, "a"] * 5, "must not mix numbers and strings"),
        (["a", None] * 5, "must not have missing values, but has one at row 1"),
        (1e300 * np.arange(10.0), "Unknown label type"),
    ],
)
def test_labels_that_are_none(y, words):
    with pytest.raises(ValueError, match=words) as caught:
        ConditionalClassifier().fit(np.arange(10.0)[:, None], np.array(y, dtype=object)
                                    if isinstance(y, list) else y)  # fmt: skip
    assert "\n" not in str(caught.value)


def test_values_whose_squares_are_no_numbers_are_scored():
    frame = pd.DataFrame({"count": [1, 2, 3] * 4, "few": [0.5, np.nan, 0.5] * 4})
    model = QUICK["brain"].fit(frame)
    far = model.score_samples(pd.DataFrame({"count": [1e15, 1.7e308], "few": [1.7e308, 1e299]}))
    assert not np.isnan(far).any()


def test_the_reference_of_far_values_has_a_mass_in_narrow_intervals():
    values = np.append(np.random.default_rng(0).standard_normal(50), 1e100)
    reference = Reference.of(values)
    edges = np.concatenate([[-np.inf], np.sort(values), [np.inf]])
    log_mass = reference.log_mass(edges[:-1], edges[1:])
    assert np.all(np.isfinite(log_mass))
    assert np.exp(log_mass).sum() == pytest.approx(1.0, abs=1e-9)
    middle = 0.5 * (edges[5] + edges[6])
    near = np.log(edges[6] - edges[5]) + reference.log_density(np.array([middle]))
    assert log_mass[5] == pytest.approx(near[0], rel=1e-12)
    drawn = reference.draw(edges[5:6], edges[6:7], np.array([0.5]))
    assert drawn[0] == pytest.approx(middle)


def test_narrow_and_wide_intervals_of_the_reference_agree():
    reference = Reference.of(np.random.default_rng(0).standard_normal(200))
    width = reference.scales.min() * np.array([0.9e-5, 1.1e-5])
    low = np.full(2, 0.3)
    log_density = reference.log_mass(low, low + width) - np.log(width)
    np.testing.assert_allclose(log_density[0], log_density[1], atol=2e-5)


def test_quantiles_whose_probability_is_below_all_numbers():
    log_p = np.array([-10.0, -700.0, -1000.0])
    x = student_quantile(log_p)
    assert np.all(np.isfinite(x))
    np.testing.assert_allclose(student_log_cdf(x[:1]), log_p[:1], rtol=1e-12)
    np.testing.assert_allclose(np.log(-x[1:]), -0.5 * (np.log(2) + log_p[1:]), rtol=1e-12)
