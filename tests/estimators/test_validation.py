"""What all estimators share: seeds, declared parameters, fits that are interrupted."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from neurolp import (
    BoundedBrain,
    BrainDensity,
    ConditionalClassifier,
    ConditionalDensity,
    ConfigurationError,
    DataError,
    LinearBrain,
    MonotoneDensity,
    OnlineBrain,
    StreamBrain,
    TriangularDensity,
)
from neurolp.estimators.ranges import check_parameters, check_value, declared_parameters, wanted
from neurolp.estimators.validation import read_columns, resolve_seed

ESTIMATORS = (
    BrainDensity,
    OnlineBrain,
    LinearBrain,
    BoundedBrain,
    TriangularDensity,
    MonotoneDensity,
    ConditionalDensity,
    ConditionalClassifier,
    StreamBrain,
)


def test_numpy_numbers_and_sequences_are_taken_as_python_s():
    check_parameters(
        BrainDensity,
        {
            "max_slices": np.int64(3),
            "log_scale": np.bool_(False),
            "spline_range": 2,
            "synapse_thresholds": np.array([1.0, 2.0]),
            "update_order": [np.array([0, 1]), (2,)],
            "random_state": "of no interest here",
        },
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_slices": -1}, "argument `max_slices` must be an integer >= 0, but is -1"),
        ({"max_slices": True}, "argument `max_slices` must be an integer >= 0, but is True"),
        ({"patience": 1.5}, "argument `patience` must be an integer >= 1, but is 1.5"),
        ({"node_rate": 1.5}, "argument `node_rate` must be a number in [0, 1], but is 1.5"),
        ({"node_ridge": np.nan}, "argument `node_ridge` must be a number >= 0, but is nan"),
        ({"synapse_slope": 0}, "argument `synapse_slope` must be a number > 0, but is 0"),
        (
            {"marginal_transform": 1},
            "argument `marginal_transform` must be True or False, but is 1",
        ),
        ({"fine_tune": 0}, "argument `fine_tune` must be an integer >= 1, 'all' or None, but is 0"),
        ({"synapse_thresholds": 3}, "argument `synapse_thresholds` must be a sequence of numbers"),
        ({"head": "x"}, "argument `head` must be 'auto', 'mixture' or 'base', but is 'x'"),
        ({"validation_fraction": 2}, "argument `validation_fraction` must be a number in [0, 1]"),
    ],
)
def test_faults_are_named(values, message):
    with pytest.raises(ConfigurationError) as error:
        check_parameters(BrainDensity, values)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.__name__)
def test_every_parameter_is_declared_in_words_and_its_default_is_in_range(estimator):
    elsewhere = {"sensors", "connectivity", "input_weights", "random_state", "order", "density"}
    declared = declared_parameters(estimator)
    assert declared.keys() == inspect.signature(estimator).parameters.keys() - elsewhere
    for name, (kind, default) in declared.items():
        assert wanted(kind), name
        check_value(name, default, kind)


def test_seeds():
    assert resolve_seed(np.int64(5)) == 5
    for generator in (np.random.default_rng, np.random.RandomState):
        rng = generator(3)
        first, second = resolve_seed(rng), resolve_seed(rng)
        assert first != second
        assert first == resolve_seed(generator(3))
    assert resolve_seed(None) != resolve_seed(None)
    with pytest.raises(ValueError, match="random_state"):
        resolve_seed(-1)
    with pytest.raises(ValueError, match="cannot be used to seed"):
        resolve_seed("three")


@pytest.mark.parametrize("generator", [np.random.default_rng, np.random.RandomState])
def test_random_state_may_be_a_generator(generator):
    x = np.random.default_rng(0).normal(size=30)
    one, other = (MonotoneDensity(random_state=generator(1)).fit(x) for _ in range(2))
    assert one.seed_ == other.seed_
    assert np.array_equal(one.sample(5, generator(2)), other.sample(5, generator(2)))


CASES = {
    "monotone": (MonotoneDensity(random_state=0), "monotone.learn_network", "x"),
    "triangular": (TriangularDensity(random_state=0, max_layers=2), "triangular_learning.learn_heads", ""),
    "conditional": (ConditionalDensity(random_state=0), "conditional_density.learn_conditional", "y"),
    "classifier": (ConditionalClassifier(random_state=0), "classifier.learn_labels", "label"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_fit_leaves_an_estimator_that_is_not_fitted(case, monkeypatch):
    estimator, work, target = CASES[case]
    estimator = clone(estimator)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 1 if target == "x" else 2))
    y = {"y": X[:, 0], "label": X[:, 0] > 0}.get(target)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"neurolp.estimators.{work}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    with pytest.raises(NotFittedError):
        estimator.predict(X) if y is not None else estimator.score_samples(X)


class Reader(TransformerMixin, BaseEstimator):
    """An estimator that reads tables of any columns, as scikit-learn's checks meet it."""

    def __init__(self, kinds=None):
        self.kinds = kinds

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def fit(self, X, y=None):
        read_columns(self, X, "X", kinds=self.kinds, reset=True)
        return self

    def transform(self, X):
        check_is_fitted(self)
        return np.where(self.columns_.supported(codes := read_columns(self, X)), codes, np.inf)


@parametrize_with_checks([Reader()])
def test_columns_are_read_as_scikit_learn_has_it(estimator, check):
    check(estimator)


def test_columns_are_read():
    frame = pd.DataFrame({"n": [3, 1, 1], "s": ["b", None, "a"]})
    reader = Reader({"s": "nominal"}).fit(frame)
    assert reader.columns_.kinds == ("ordinal", "nominal")
    assert reader.feature_names_in_.tolist() == ["n", "s"]
    assert reader.n_features_in_ == 2
    np.testing.assert_array_equal(reader.transform(frame), [[3, 0], [1, np.nan], [1, 1]])
    with pytest.warns(UserWarning, match="fitted with feature names"):
        np.testing.assert_array_equal(reader.transform([[3, "a"]]), [[3, 1]])
    np.testing.assert_array_equal(reader.transform(frame[["s", "n"]]), reader.transform(frame))
    with pytest.raises(DataError, match=r"must have the columns of fit, but also has 'more'$"):
        reader.transform(frame.assign(more=1))
    with pytest.raises(ConfigurationError, match="unknown column 'x'"):
        Reader({"x": "nominal"}).fit(frame)
    assert not hasattr(Reader().fit(frame.to_numpy()), "feature_names_in_")
