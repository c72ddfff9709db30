"""Models of continuous columns say so where values have a mass."""

import warnings

import numpy as np
import pandas as pd
import pytest

from neurolp import BoundedBrain, DataWarning, LinearBrain, MonotoneDensity, OnlineBrain

MODELS = {
    "online": OnlineBrain(random_state=0, max_epochs=1, n_slices=2),
    "linear": LinearBrain(random_state=0, max_epochs=1),
    "bounded": BoundedBrain(random_state=0, max_epochs=1),
}
RNG = np.random.default_rng(0)
SMOOTH = RNG.standard_normal(100)
DISCRETE = {
    "whole numbers": (RNG.poisson(3.0, 100), "is ordinal with .* levels from 0 to "),
    "zeros and ones": (RNG.integers(0, 2, 100), "is nominal with 2 categories"),
    "few values": (RNG.choice([0.5, 1 / 3, 0.25], 100), "is ordinal with 3 levels"),
    "zeros among others": (np.where(RNG.random(100) < 0.5, 0.0, SMOOTH), "has atoms 0"),
}


@pytest.mark.parametrize("case", DISCRETE)
@pytest.mark.parametrize("name", MODELS)
def test_one_line_names_the_column_once(name, case):
    values, words = DISCRETE[case]
    X = pd.DataFrame({"smooth": SMOOTH, "hard": values})
    with pytest.warns(DataWarning, match=f"argument `X`: column 'hard' {words}") as caught:
        MODELS[name].fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    line = str(caught[0].message)
    assert "\n" not in line
    assert "BrainDensity takes columns of any kind" in line


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_said_of_continuous_columns(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MODELS[name].fit(np.column_stack([SMOOTH, SMOOTH[::-1]]))


def test_other_columns_are_counted():
    X = np.column_stack([SMOOTH, np.round(SMOOTH), np.round(3 * SMOOTH)])
    with pytest.warns(DataWarning, match="column 1 is ordinal .* [(]and 1 other is discrete[)]"):
        MODELS["online"].fit(X)


def test_only_the_first_presentation_is_looked_at():
    X = np.column_stack([SMOOTH, np.round(SMOOTH)])
    brain = OnlineBrain(random_state=0)
    with pytest.warns(DataWarning, match="column 1 is ordinal") as caught:
        brain.partial_fit(X)
    assert caught[0].filename == __file__
    brain.partial_fit(X)  # a warning would be an error


def test_one_variable():
    with pytest.warns(DataWarning, match="column 0 is ordinal") as caught:
        MonotoneDensity(random_state=0).fit(np.round(3 * SMOOTH[:30]))
    assert caught[0].filename == __file__
    MonotoneDensity(random_state=0).fit(SMOOTH[:30])
