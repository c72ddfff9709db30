"""ConditionalClassifier: p(label | x) by softmax and by Bayes' theorem."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurolp import BrainDensity, ConditionalClassifier, ConfigurationError, DataError
from neurolp.differentiation.ensemble import EnsembleConfig
from neurolp.differentiation.perceptron import Perceptron
from neurolp.differentiation.softmax_unit import learn_labels, softmax_loss

QUICK = {"hidden": (8,), "decays": (1.0,), "n_members": 2, "rate": 0.02, "max_epochs": 30}
PLAIN = GaussianMixture(reg_covar=1e-3, random_state=0)


@parametrize_with_checks([ConditionalClassifier(route="bayes", density=PLAIN, random_state=0)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def blobs():
    """Three Gaussian classes in the plane, with names, and the true p(label | x)."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [2.0, 0.5], [0.5, 2.5]])
    prior = np.array([0.5, 0.2, 0.3])
    label = rng.choice(3, 1200, p=prior)
    X = centres[label] + rng.standard_normal((1200, 2)) * [[1.0, 0.7]]
    log_joint = np.column_stack(
        [
            multivariate_normal(c, [1.0, 0.49]).logpdf(X) + np.log(p)
            for c, p in zip(centres, prior, strict=True)
        ]
    )
    return X, np.array(["b", "a", "c"])[label], log_joint[:, [1, 0, 2]]


@pytest.fixture(scope="module", params=["softmax", "bayes"])
def model(request, blobs):
    X, y, _ = blobs
    density = GaussianMixture(1, random_state=0)
    return ConditionalClassifier(
        route=request.param, density=density, hidden=(16,), n_members=3, rate=0.01, random_state=0
    ).fit(X[:800], y[:800])


def test_probabilities_sum_to_1_and_are_near_the_truth(model, blobs):
    X, y, log_joint = blobs
    proba = model.predict_proba(X[800:])
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-14)
    assert np.all(proba >= 0)
    truth = softmax(log_joint[800:], axis=1)
    assert np.mean(np.sum(truth * (np.log(truth) - np.log(proba)), axis=1)) < 0.03
    assert list(model.classes_) == ["a", "b", "c"]
    assert set(model.predict(X)) == {"a", "b", "c"}
    assert model.score(X[800:], y[800:]) == np.mean(model.predict(X[800:]) == y[800:])
    assert -model.log_prob(X[800:], y[800:]).mean() == pytest.approx(log_loss(y[800:], proba))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_far_away_probabilities_still_sum_to_1(model):
    far = np.array([[1e3, -1e3], [-1e8, 1e8], [0.0, 1e150]])
    proba = model.predict_proba(far)
    assert np.all(np.isfinite(proba))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


def test_bayes_is_bayes(blobs):
    """p(x) = sum_c p(c) p(x | c) and p(c | x) ~ p(c) p(x | c)^beta, from the densities alone."""
    X, y, log_joint = blobs
    model = ConditionalClassifier(route="bayes", density=GaussianMixture(1, random_state=0)).fit(
        X, y
    )
    log_density = np.column_stack([d.score_samples(X) for d in model.densities_])
    joint = log_density + np.log(model.class_prior_)
    np.testing.assert_allclose(model.score_samples(X), np.log(np.exp(joint).sum(axis=1)))
    beta = model.inverse_temperature_
    tempered = beta * log_density + np.log(model.class_prior_)
    np.testing.assert_allclose(model.predict_proba(X), softmax(tempered, axis=1))
    assert beta > 0.7  # the densities are right, and so are the odds
    np.testing.assert_allclose(model.class_prior_, [np.mean(y == c) for c in "abc"])
    truth = np.logaddexp.reduce(log_joint, axis=1)
    assert np.mean(abs(model.score_samples(X) - truth)) < 0.1
    assert np.all(model.noise_width_ == 0)


def test_complex_labels_are_refused_in_one_line():
    with pytest.raises(DataError, match=r"^argument `y`: Complex data not supported$"):
        ConditionalClassifier().fit(np.arange(12.0)[:, None], 1j * np.arange(12))


def test_softmax_does_not_claim_to_know_the_density(blobs):
    X, y, _ = blobs
    model = ConditionalClassifier(**QUICK, random_state=0).fit(X[:60], y[:60])
    assert not hasattr(model, "score_samples")
    assert hasattr(ConditionalClassifier(route="bayes"), "score_samples")


def test_gradient_of_the_softmax_loss_through_the_network():
    rng = np.random.default_rng(1)
    shape = Perceptron(3, (5,), 4)
    parameters = shape.start(2, rng) + 0.5 * rng.standard_normal((2, shape.size))
    x, label = rng.standard_normal((2, 6, 3)), rng.integers(0, 4, (2, 6))
    out = np.empty_like(parameters)
    outputs, layers = shape.forward(parameters, x)
    loss, change = softmax_loss(outputs, label)
    np.testing.assert_allclose(
        loss,
        -np.log(np.take_along_axis(softmax(outputs, axis=2), label[..., None], axis=2)[..., 0]),
    )
    shape.backward(parameters, layers, change, out)
    step = 1e-6
    for i in np.ndindex(parameters.shape):
        up, down = parameters.copy(), parameters.copy()
        up[i] += step
        down[i] -= step
        slope = (
            softmax_loss(shape.forward(up, x)[0], label)[0]
            - softmax_loss(shape.forward(down, x)[0], label)[0]
        ).sum() / (2 * step)
        assert slope == pytest.approx(out[i], rel=1e-6, abs=1e-6)


def test_the_average_of_the_members_is_the_average_of_their_probabilities(blobs):
    X, y, _ = blobs
    label = np.unique(y, return_inverse=True)[1]
    unit = learn_labels(
        X[:90],
        label[:90],
        3,
        EnsembleConfig(hidden=(4,), decays=(1.0,), input_noise=(0.0, 0.5), n_members=2),
        seed=0,
    )
    ((_, outputs),) = unit.ensemble.blocks(X)
    smooth = np.einsum("r,rnc->nc", unit.ensemble.weights, softmax(outputs, axis=2))
    steps = softmax(np.column_stack([trees.predict(X) for trees in unit.boosted.scores]), axis=1)
    expected = (1 - unit.share) * smooth + unit.share * steps
    np.testing.assert_allclose(np.exp(unit.log_proba(X)), expected, rtol=1e-10)
    assert unit.ensemble.weights.sum() == pytest.approx(1)
    assert 0 < unit.share < 1


def test_validation_rows_and_seed(blobs):
    X, y, _ = blobs
    a = ConditionalClassifier(**QUICK, random_state=0).fit(
        X[:200], y[:200], X_validation=X[200:300], y_validation=y[200:300]
    )
    assert a.held_out_score_ == pytest.approx(a.log_prob(X[200:300], y[200:300]).mean(), abs=1e-5)
    b = ConditionalClassifier(**QUICK).fit(X[:200], y[:200])
    c = ConditionalClassifier(**QUICK, random_state=b.seed_).fit(X[:200], y[:200])
    assert np.array_equal(b.predict_proba(X), c.predict_proba(X))
    brain = BrainDensity(max_slices=3, head="base")
    d = ConditionalClassifier(route="bayes", density=brain, random_state=0)
    d.fit(X[:200], y[:200], X_validation=X[200:300], y_validation=y[200:300])
    assert d.score(X[300:], y[300:]) > 0.6
    e = ConditionalClassifier(route="bayes", density=brain, random_state=0)
    assert np.array_equal(
        e.fit(X[:200], y[:200]).predict_proba(X),
        ConditionalClassifier(route="bayes", density=brain, random_state=0)
        .fit(X[:200], y[:200])
        .predict_proba(X),
    )


def test_a_rare_class_is_not_ruled_out():
    """Even where all its rows are in one fold, so that others never see it."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((101, 2)), np.array(["usual"] * 60 + ["other"] * 40 + ["once"])
    proba = ConditionalClassifier(**QUICK, random_state=0).fit(X, y).predict_proba(X)
    assert np.all(proba > 0)
    assert np.all(proba.argmax(axis=1) != 0)


def test_digits_as_scikit_learn_gives_them_by_bayes_and_what_is_no_digit():
    """Counts, with pixels that are blank in a class or in all; every score comes out finite."""
    X, y = load_digits(n_class=3, return_X_y=True)
    train, test = np.arange(len(X)) % 4 > 0, np.arange(len(X)) % 4 == 0
    density = BrainDensity(max_slices=40, head="base")
    model = ConditionalClassifier(route="bayes", density=density, random_state=0)
    model.fit(X[train], y[train])
    assert np.all(model.noise_width_ >= 1)
    assert model.score(X[test], y[test]) > 0.95
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 17, X[test].shape)
    shuffled = rng.permuted(X[test], axis=1)
    known = model.score_samples(X[test])
    for other in (noise, shuffled):
        score = np.concatenate([known, model.score_samples(other)])
        assert roc_auc_score(np.arange(len(score)) < len(known), score) > 0.99


def test_columns_constant_within_a_class_get_a_spread():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    X[:30, 1] = 0.123456789
    model = ConditionalClassifier(route="bayes", density=PLAIN, random_state=0).fit(
        X, np.arange(60) < 30
    )
    assert np.all(np.isfinite(model.predict_log_proba(X)))
    assert model.score(X, np.arange(60) < 30) > 0.95


def test_works_in_pipelines_searches_and_with_pandas():
    X, y = load_iris(return_X_y=True, as_frame=True)
    labels = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
    model = ConditionalClassifier(**QUICK, random_state=0).fit(X, labels)
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.score(X, labels) > 0.9
    with pytest.raises(DataError, match="must have the columns of fit, but lacks 'sepal length"):
        model.predict(X.rename(columns={X.columns[0]: "other"}))
    categorical = labels.astype("category")
    assert set(ConditionalClassifier(**QUICK).fit(X, categorical).predict(X)) <= set(labels)
    assert list(ConditionalClassifier(**QUICK).fit(X, y == 0).classes_) == [False, True]
    assert (
        make_pipeline(StandardScaler(), ConditionalClassifier(**QUICK)).fit(X, y).score(X, y) > 0.9
    )
    search = GridSearchCV(
        ConditionalClassifier(route="bayes", density=PLAIN, random_state=0),
        {"density__n_components": [1, 2]}, cv=2, scoring="neg_log_loss",
    ).fit(pd.DataFrame(X), labels)  # fmt: skip
    assert search.best_params_["density__n_components"] in (1, 2)


X_GOOD, Y_GOOD = np.random.default_rng(0).random((10, 2)), np.array(["a", "b"] * 5)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (
            np.where([[False, k == 1] for k in range(10)], np.inf, X_GOOD),
            Y_GOOD,
            "argument `X` must be finite.*, but contains infinity at row 1, column 1",
        ),
        (X_GOOD, np.where(np.arange(10) == 3, np.nan, 1.0), "argument `y` must be finite"),
        (
            X_GOOD[:1],
            Y_GOOD[:1],
            "must have at least 2 (rows|classes), but has (n_samples = 1|1 class)",
        ),
        (
            X_GOOD,
            np.full(10, "a"),
            "argument `y` must have at least 2 classes, but has 1 class, 'a'",
        ),
        (X_GOOD, Y_GOOD[:9], "argument `y` must have as many rows as `X`, 10, but has 9"),
        (X_GOOD, None, "argument `y` is missing"),
    ],
)
@pytest.mark.parametrize("route", ["softmax", "bayes"])
def test_bad_data_is_named_in_one_line(route, X, y, message):
    with pytest.raises(DataError, match=message) as caught:
        ConditionalClassifier(route=route, random_state=0).fit(X, y)
    assert "\n" not in str(caught.value)


def test_more_that_can_go_wrong():
    with pytest.raises(ValueError, match="Unknown label type"):
        ConditionalClassifier().fit(X_GOOD, X_GOOD[:, 0])
    with pytest.raises(ConfigurationError, match="argument `route` must be 'softmax' or 'bayes'"):
        ConditionalClassifier(route="naive").fit(X_GOOD, Y_GOOD)
    with pytest.raises(
        DataError,
        match="argument `y_validation` must have labels that are in `y` of fit, but has 'z'",
    ):
        ConditionalClassifier().fit(
            X_GOOD, Y_GOOD, X_validation=X_GOOD[:2], y_validation=["a", "z"]
        )
    with pytest.raises(ConfigurationError, match="argument `X_validation` must be given too"):
        ConditionalClassifier().fit(X_GOOD, Y_GOOD, y_validation=Y_GOOD)
    model = ConditionalClassifier(**QUICK, random_state=0).fit(X_GOOD, Y_GOOD)
    with pytest.raises(ValueError, match="3 features, but ConditionalClassifier is expecting 2"):
        model.predict(np.ones((2, 3)))
    with pytest.raises(
        DataError, match="argument `y` must have labels that are in `y` of fit, but has 'z'"
    ):
        model.log_prob(X_GOOD, ["z"] * 10)
    few = np.array(["a"] * 8 + ["b"] * 2)
    with pytest.raises(
        DataError, match="at least 3 rows of each class for route='bayes', but has 2 of class 'b'"
    ):
        ConditionalClassifier(route="bayes").fit(X_GOOD, few)
    still = np.column_stack([X_GOOD, np.full(10, 0.1234567891)])
    with pytest.raises(
        DataError, match="must vary in every column for route='bayes', but column 2 is constant"
    ):
        ConditionalClassifier(route="bayes").fit(still, Y_GOOD)
