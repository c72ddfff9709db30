"""Inputs of any kind, with holes, of ConditionalClassifier and ConditionalDensity."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import norm

import neurolp
from neurolp import (
    ConditionalClassifier,
    ConditionalDensity,
    ConfigurationError,
    DataError,
    NeurolpError,
)
from tests.hostile_frames import columns, tables

QUICK = {"hidden": (8,), "decays": (1.0,), "input_noise": (0.0,), "n_members": 2, "max_epochs": 15}
MODELS = {
    "labels": ConditionalClassifier(**QUICK, random_state=0),
    "density": ConditionalDensity(**QUICK, random_state=0),
}
KINDS = np.array(["red", "green", "blue"])
EFFECT = {"red": -1.5, "green": 0.0, "blue": 2.0}


def problem(n, seed=0):
    """Columns of every kind, with holes; labels; a continuous target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "size": rng.standard_normal(n),
        "colour": rng.choice(KINDS, n),
        "count": rng.poisson(3.0, n),
        "old": rng.random(n) < 0.4,
        "grade": pd.Categorical(rng.choice(list("abc"), n), categories=list("abc"), ordered=True),
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "h"),
        "same": "always",
    })  # fmt: skip
    score = frame["size"] + frame["colour"].map(EFFECT) + 0.3 * frame["count"] - 1.0
    label = np.where(rng.random(n) < expit(2.0 * score), "yes", "no")
    y = score.to_numpy() + 0.5 * rng.standard_normal(n)
    frame["count"] = frame["count"].astype("Int64")
    for column in ("size", "colour", "count"):
        frame.loc[rng.random(n) < 0.15, column] = None
    return frame, label, y


def target(name, label, y):
    return label if name == "labels" else y


def by_hand(frame):
    """The inputs of the columns, in the order of first appearance of the colours."""
    colours = frame["colour"].dropna().unique()
    return np.column_stack([
        frame["size"].astype(float),
        *(frame["colour"].eq(c).fillna(False) for c in colours),
        frame["colour"].isna(),
        frame["count"].astype(float),
        frame["old"],
        frame["grade"].cat.codes,
        (frame["when"] - pd.Timestamp("1970-01-01")) / pd.Timedelta("1D"),
        np.zeros(len(frame)),
    ]).astype(float)  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_frame_is_what_its_inputs_by_hand_are(name):
    frame, label, y = problem(200)
    model = MODELS[name]
    a = model.fit(frame, target(name, label, y)).log_prob(frame, target(name, label, y))
    table = by_hand(frame)
    b = model.fit(table, target(name, label, y)).log_prob(table, target(name, label, y))
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_names_of_categories_change_nothing_and_one_row_is_one_of_many(name):
    frame, label, y = problem(200)
    model = MODELS[name]
    known = model.fit(frame, target(name, label, y)).log_prob(frame, target(name, label, y))
    alone = [
        model.log_prob(frame[i : i + 1], target(name, label, y)[i : i + 1])[0] for i in range(5)
    ]
    np.testing.assert_allclose(alone, known[:5], rtol=1e-6)
    other = frame.replace({"colour": {"red": "blue", "blue": "red"}})
    again = model.fit(other, target(name, label, y)).log_prob(other, target(name, label, y))
    np.testing.assert_array_equal(again, known)
    turned = other[other.columns[::-1]]  # columns go by their names
    np.testing.assert_array_equal(model.predict(turned), model.predict(other))


@pytest.mark.parametrize("name", MODELS)
def test_unseen_values_and_new_holes_are_predicted(name, tmp_path):
    frame, label, y = problem(200)
    model = MODELS[name].fit(frame, target(name, label, y))
    new = frame[:6].copy()
    new["colour"] = ["violet", None, "red", "red", "red", "red"]
    new["old"] = pd.array([None, True, True, True, None, False], dtype="boolean")
    new["when"] = pd.NaT
    new["same"] = ["never", None, *["always"] * 4]
    new["grade"] = pd.Categorical(["d", *"abcab"], categories=list("abcd"), ordered=True)
    log_prob = model.log_prob(new, target(name, label, y)[:6])
    assert np.all(np.isfinite(log_prob))
    model.save(tmp_path / "model.h5")
    again = neurolp.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.log_prob(new, target(name, label, y)[:6]), log_prob)
    assert again.columns_.kinds == model.columns_.kinds
    nothing = frame[:2].copy().astype(object)
    nothing[:] = None
    with_nothing = model.predict(nothing)
    assert with_nothing[0] == with_nothing[1]


@pytest.mark.parametrize("name", MODELS)
def test_bad_inputs_are_named_in_one_line(name):
    frame, label, y = problem(60)
    model = MODELS[name].fit(frame, target(name, label, y))
    cases = [
        (frame.assign(size=np.where(np.arange(60) == 3, np.inf, 1.0)), "infinity at row 3, column 'size'"),
        (frame.assign(count="many"), "must have numbers in column 'count', as in fit"),
        (frame.assign(size=[1.0, "a"] * 30), "'size'"),
    ]  # fmt: skip
    for wrong, message in cases:
        with pytest.raises(DataError, match=message) as caught:
            model.predict(wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"must have the columns of fit, but lacks 'size'$"):
        model.predict(frame.drop(columns="size"))
    with pytest.raises(ConfigurationError, match="argument `kinds` names an unknown column 'age'"):
        model.set_params(kinds={"age": "ordinal"}).fit(frame, target(name, label, y))
    with pytest.raises(ConfigurationError, match="'colour' of `X` cannot be: strings cannot be"):
        model.set_params(kinds={"colour": "ordinal"}).fit(frame, target(name, label, y))
    model.set_params(kinds={"count": "nominal"}).fit(frame, target(name, label, y))
    assert model.columns_["count"].kind == "nominal"
    model.set_params(kinds=None)


def test_the_bayes_route_wants_numbers_without_holes():
    frame, label, _ = problem(60)
    model = ConditionalClassifier(route="bayes")
    with pytest.raises(
        DataError, match="must have numbers in every column, but column 'colour' has"
    ):
        model.fit(frame[["size", "colour"]], label)
    with pytest.raises(DataError, match="contains NaN at row"):
        model.fit(frame[["size"]], label)


def incomplete(n, seed):
    """A number and a category, each missing at random; labels; the true log-odds given the rest."""
    rng = np.random.default_rng(seed)
    x, colour = rng.standard_normal(n), rng.choice(KINDS, n)
    shift = np.array([EFFECT[c] for c in colour])
    label = rng.random(n) < norm.cdf(2.0 * (x + shift))
    no_x, no_colour = rng.random(n) < 0.25, rng.random(n) < 0.25
    # Without x the probit is that of 2 shift over the root of 1 + 2^2.
    given = np.array(list(EFFECT.values()))
    p = np.stack([
        np.where(no_x, norm.cdf(2.0 * e / np.sqrt(5.0)), norm.cdf(2.0 * (x + e))) for e in given
    ])  # fmt: skip
    truth = np.where(no_colour, p.mean(axis=0), p[np.searchsorted(given, shift), np.arange(n)])
    frame = pd.DataFrame({"x": np.where(no_x, np.nan, x), "colour": colour})
    frame.loc[no_colour, "colour"] = None
    return frame, label, np.log(np.where(label, truth, 1.0 - truth))


def test_with_values_missing_at_random_the_log_loss_approaches_that_of_bayes():
    X, label, truth = incomplete(20_000, 99)
    model = ConditionalClassifier(hidden=(16,), n_members=3, input_noise=(0.0,), random_state=0)
    excess = []
    for n in (150, 2400):
        rows, answer, _ = incomplete(n, n)
        excess.append(np.mean(truth - model.fit(rows, answer).log_prob(X, label)))
    share = np.mean(label)
    information = truth.mean() - share * np.log(share) - (1 - share) * np.log(1 - share)
    assert 0 < excess[1] < 0.5 * excess[0]
    assert excess[1] < 0.05 * information


QUICKEST = {"hidden": (3,), "n_members": 2, "max_epochs": 1, "decays": (1.0,), "random_state": 0}


def refusal(model, X, y):
    """The message with which a fit is refused; empty if it is not."""
    try:
        model.fit(X, y)
    except (NeurolpError, ValueError) as error:
        return str(error)
    return ""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables(), st.integers(0, 2**32 - 1))
def test_any_table_is_learned_from_or_refused_in_one_line(X, seed):
    rng = np.random.default_rng(seed)
    n = len(X)
    label, y = rng.permutation(np.arange(n) % 2), rng.standard_normal(n)
    for model, answer in (
        (ConditionalClassifier(**QUICKEST), label),
        (ConditionalDensity(**QUICKEST), y),
    ):
        message = refusal(model, X, answer)
        assert "\n" not in message
        if not message:
            assert np.all(np.isfinite(model.log_prob(X, answer)))
            assert len(model.predict(X)) == n


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(2, 12).flatmap(columns), st.booleans())
def test_any_target_is_learned_or_refused_in_one_line(y, wide):
    X = np.arange(len(y))[:, None] % 3.0
    model = ConditionalDensity(**QUICKEST)
    y = pd.DataFrame({"y": y}) if wide else y
    message = refusal(model, X, y)
    assert "\n" not in message
    if not message:
        assert np.all(np.isfinite(model.log_prob(X, y)))
        assert model.predict(X).shape == np.shape(y)
        assert model.sample(X, 3, random_state=0).shape == (3, *np.shape(y))
