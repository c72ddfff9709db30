"""Of many rows only those constructions are learned that add something in a rehearsal."""

import numpy as np
import pandas as pd
import pytest

from neurolp import BrainDensity
from neurolp.estimators import table_brain
from neurolp.estimators.table_model import stacking_gain


@pytest.fixture
def few_rows_are_many(monkeypatch):
    monkeypatch.setattr(table_brain, "MANY_ROWS", 500)
    monkeypatch.setattr(table_brain, "_REHEARSAL_ROWS", {"train": 300, "validation": 300})


def _smooth(n=900):
    """Nearly singular continuous columns, which cells cannot follow, beside a label."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, 2))
    columns = {
        f"x{j}": z @ rng.standard_normal(2) + 0.01 * rng.standard_normal(n) for j in range(4)
    }
    return pd.DataFrame(columns).assign(label=np.where(z[:, 0] > 0, "up", "down"))


def _coarse(n=900):
    """A continuous column that is noise, and discrete ones that are functions of one another."""
    rng = np.random.default_rng(0)
    k = rng.integers(0, 8, n)
    return pd.DataFrame(
        {"k": k, "parity": np.where(k % 2, "odd", "even"), "x": rng.random(n), "bit": k >> 2}
    )


def test_what_adds_is_not_left_out(few_rows_are_many):
    brain = BrainDensity(random_state=0, max_slices=40).fit(_smooth())
    assert brain.left_out_ == ()
    assert {*brain.construction_weights_} & {"brain", "triangular"}


def test_what_adds_nothing_is_left_out(few_rows_are_many, monkeypatch):
    coarse = _coarse().drop(columns="x")
    brain = BrainDensity(random_state=0, max_slices=40).fit(coarse)
    assert brain.left_out_ == ("triangular",)
    assert brain.construction_weights_ == {"cells": 1.0}

    monkeypatch.setattr(table_brain, "_LEAST_GAIN", 10.0)  # nothing gains so much
    smooth = _smooth()
    brain = BrainDensity(random_state=0, max_slices=10).fit(smooth)
    assert brain.left_out_ == ("brain", "triangular")
    assert brain.construction_weights_ == {"cells": 1.0}
    assert not len(brain.moving_)
    assert np.all(np.isfinite(brain.score_samples(smooth)))
    again = BrainDensity(random_state=0, max_slices=10).fit(smooth)
    np.testing.assert_array_equal(again.score_samples(smooth), brain.score_samples(smooth))


def test_what_is_asked_for_is_learned(few_rows_are_many):
    brain = BrainDensity(random_state=0, max_slices=5, constructions=["brain", "cells"])
    brain.fit(_coarse())
    assert brain.left_out_ == ()
    assert brain.n_slices_ or "slices" not in brain.record_


def test_few_rows_are_not_rehearsed():
    brain = BrainDensity(random_state=0, max_slices=5).fit(_coarse(300))
    assert brain.left_out_ == ()


def test_gain_is_that_of_the_best_average():
    rng = np.random.default_rng(0)
    one, other = np.log(rng.random((2, 400)))
    shares = np.linspace(0, 1, 2001)[1:-1, None]
    best = np.logaddexp(np.log1p(-shares) + one, np.log(shares) + other).mean(axis=1).max()
    assert stacking_gain(one, other) == pytest.approx(best - one.mean(), abs=2e-3)
    assert stacking_gain(one, one - 50) == pytest.approx(0, abs=5e-3)
