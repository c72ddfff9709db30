"""Constant columns among columns of one range: they could have had the other values."""

import itertools

import numpy as np
import pandas as pd
import pytest

from neurolp import BrainDensity
from neurolp.data.columns import Columns


def kinds(**columns):
    return Columns.infer(pd.DataFrame(columns)).kinds


def test_one_value_among_binary_columns_is_nominal_with_both_values():
    columns = Columns.infer(np.array([[0, 1, 0, 1, 0], [1, 1, 1, 0, 0]] * 3))
    assert columns.kinds == ("nominal",) * 5
    assert (columns[1].categories, columns[4].categories) == ((1, 0), (0, 1))


def test_one_value_among_columns_of_one_scale_is_ordinal():
    columns = Columns.infer(np.array([[0, 4, 2, 0, 3], [4, 1, 0, 4, 3], [2, 0, 4, 1, 3]] * 3))
    assert columns.kinds == ("ordinal",) * 5
    assert "level 3" in columns[4].describe()


def test_one_value_among_others_is_a_constant():
    assert kinds(age=[20, 31, 45], kids=[0, 1, 2], rooms=[3, 4, 6], one=[1, 1, 1])[-1] == "constant"
    binary = [0, 1, 1]
    assert kinds(a=binary, b=binary, one=[1, 1, 1])[-1] == "constant"  # too few alike
    assert kinds(a=binary, b=binary, c=binary, two=[2, 2, 2])[-1] == "constant"
    assert kinds(a=binary, b=binary, c=binary, z=["x", "y", "x"], one=[1, 1, 1])[-1] == "constant"
    assert kinds(a=binary, b=binary, c=[0.12, 0.34, 0.99], one=[1, 1, 1])[-1] == "constant"


@pytest.mark.parametrize("highest", [1, 3])
def test_its_other_values_have_a_small_probability(highest):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, highest + 1, (300, 3))
    X = np.column_stack([rows, np.zeros(300, dtype=int)])
    model = BrainDensity(max_slices=5, random_state=0).fit(X)
    beyond = range(2) if highest == 1 else range(-80, 81)  # the grid is open
    each = [*[range(highest + 1)] * 3, beyond]
    every = np.array(list(itertools.product(*each)))
    log_prob = model.score_samples(every)
    inside = every[:, 3] == 0
    assert np.exp(log_prob[inside]).sum() > 0.95
    assert np.all(np.isfinite(log_prob[np.abs(every[:, 3]) <= 1]))
    assert 0.0 < np.exp(log_prob[~inside]).sum() < 0.05
    if highest == 1:  # all there is
        assert np.exp(log_prob).sum() == pytest.approx(1.0, abs=1e-9)
    assert model.sample(100, random_state=0).shape == (100, 4)
