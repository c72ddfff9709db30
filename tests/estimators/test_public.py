"""What all public estimators have in common: scikit-learn's conventions."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurolp
from neurolp import MonotoneDensity
from tests.estimators.public import CASES, public_estimators


def test_every_public_estimator_is_tested():
    assert {type(estimator) for estimator in CASES.values()} == public_estimators()


# scikit-learn checks little of a model of one column: see test_univariate.py. Some tables that it
# tries are whole numbers.
@pytest.mark.filterwarnings("ignore::neurolp.errors.DataWarning")
@parametrize_with_checks([e for e in CASES.values() if not isinstance(e, MonotoneDensity)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CASES.values(), ids=CASES)
def test_an_unknown_attribute_is_refused(estimator):
    with pytest.raises(AttributeError, match=r"^\w+ has no parameter 'recurrent_rate'; it has "):
        estimator.recurrent_rate = 0.5


def test_all_that_learns_can_be_saved():
    learning = {c for name in neurolp.__all__ if hasattr(c := getattr(neurolp, name), "fit")}
    for kind in {*learning - {neurolp.LearnedHead}, neurolp.StreamBrain}:
        assert callable(kind.save)
        assert callable(kind.load)
