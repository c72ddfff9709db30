"""What one can do to a StreamBrain by hand, each with its effect: weights, lesions, currents."""

import numpy as np
import pytest
from scipy import sparse

from neurolp import ConfigurationError, DataError, StreamBrain
from tests.estimators.stream_cases import SMALL, SYMBOLS, VALUE, VECTOR, edges, rows_of

SENSORS = (VALUE, SYMBOLS)
ROWS = rows_of(SENSORS, 120, missing=0)
N = SMALL["n_hidden"]


def brain_of(connectivity="full", **settings):
    return StreamBrain(
        SENSORS, **SMALL | {"connectivity": connectivity, "random_state": 0} | settings
    )


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 0.9), ("process_noise", 0.1), ("recurrent_rate", 0.9), ("homeostasis", 0.5),
        ("train_connectivity", False), ("train_input_weights", False), ("mixing_rate", 0.9),
    ],
)  # fmt: skip
def test_what_can_change_has_an_effect_from_then_on(name, value):
    rule = "nlms" if name == "rate" else "rls"
    kept, changed = brain_of(rule=rule), brain_of(rule=rule)
    kept.run(ROWS[:60])
    changed.run(ROWS[:60])
    assert changed.set_params(**{name: value}) is changed
    assert changed.get_params()[name] == value
    surprise = kept.run(ROWS[60:]).total, changed.run(ROWS[60:]).total
    assert surprise[0][0] == surprise[1][0]  # it is what was learned that differs, not the memory
    assert not np.array_equal(*surprise)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_hidden": 3}, "argument `n_hidden` is fixed when a brain is made"),
        ({"speed": 3}, "argument `speed` is not known; there are sensors, "),
        ({"recurrent_rate": 2.0}, "`recurrent_rate`"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_has_changed(parameters, message):
    brain = brain_of()
    with pytest.raises(ConfigurationError, match=message):
        brain.set_params(homeostasis=0.7, **parameters)
    assert brain.get_params()["homeostasis"] == 0.0


def test_the_parameters_make_the_same_brain_again():
    brain = brain_of(input_weights=np.ones((N, 4)), recurrent_rate=0.2)
    again = StreamBrain(**brain.get_params())
    np.testing.assert_array_equal(brain.run(ROWS).total, again.run(ROWS).total)


def test_the_call_is_what_is_shown():
    brain = brain_of(connectivity=None, recurrent_rate=0.2)
    brain.run(ROWS)
    shown = repr(brain)
    assert shown.startswith("StreamBrain([ContinuousSensor(")
    assert "recurrent_rate=0.2" in shown
    assert "rule=" not in shown
    assert shown.endswith("# 120 steps")


# --- given weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("lags", ["last row", "all lags", "with the constant"])
def test_given_input_weights_are_used_as_given(lags):
    rng = np.random.default_rng(0)
    n_outputs = 4  # a value and three symbols
    width = {"last row": n_outputs, "all lags": 16, "with the constant": 17}[lags]
    given = rng.standard_normal((N, width)) * (rng.random((N, width)) < 0.5)
    brain = brain_of("none", input_weights=given, recurrent_rate=0.0)
    brain.run(ROWS[:50])
    features = brain._state.memory.features[:17].copy()
    past = features[:17] if width == 17 else features[1 : 1 + width]
    np.testing.assert_allclose(brain.activity, np.tanh(given @ past), atol=1e-14)
    sparse_one = brain_of("none", input_weights=sparse.csr_array(given), recurrent_rate=0.0)
    np.testing.assert_array_equal(sparse_one.run(ROWS[:50]).total, brain_of(
        "none", input_weights=given, recurrent_rate=0.0).run(ROWS[:50]).total)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((N, 3)), r"of shape \(12, 4\) or \(12, 16\) or \(12, 17\).*shape \(12, 3\)"),
        (np.full((N, 4), np.nan), r"must be finite, but contains NaN at \[0, 0\]"),
        (np.full((N, 4), "a"), "must be numbers of shape"),
        (np.ones(4), "shape"),
    ],
)
def test_input_weights_that_cannot_be_used_are_named(given, message):
    with pytest.raises(ConfigurationError, match=f"argument `input_weights` .*{message}"):
        brain_of(input_weights=given)


def test_input_weights_need_lagged_input():
    with pytest.raises(ConfigurationError, match=r"`input_weights` needs .*`n_lags` of at least 1"):
        brain_of(input_weights=np.ones((N, 4)), n_lags=0)


@pytest.mark.parametrize("connectivity", ["full", edges()], ids=["full", "sparse"])
def test_what_does_not_learn_stays_as_it_is(connectivity):
    brain = brain_of(connectivity, train_connectivity=False)
    before = brain.weights
    brain.run(ROWS)
    after = brain.weights
    assert _equal(before["recurrent"], after["recurrent"])
    assert not _equal(before["afferent"], after["afferent"])
    brain = brain_of(connectivity, train_input_weights=False)
    brain.run(ROWS)
    after = brain.weights
    assert not _equal(before["recurrent"], after["recurrent"])
    assert _equal(before["afferent"], after["afferent"])


def _equal(a, b):
    return np.array_equal(*(x.toarray() if sparse.issparse(x) else x for x in (a, b)))


@pytest.mark.parametrize("connectivity", ["full", edges()], ids=["full", "sparse"])
@pytest.mark.parametrize("name", ["readout", "recurrent", "afferent"])
def test_assigned_weights_are_used_and_go_into_files(name, connectivity, tmp_path):
    brain, other = brain_of(connectivity), brain_of(connectivity)
    brain.run(ROWS[:60])
    other.run(ROWS[:60])
    weights = brain.weights
    changed = 0.5 * weights[name]
    weights[name] = changed
    assert _equal(weights[name], changed)
    assert _equal(brain.weights[name], changed)
    brain.save(tmp_path / "brain.h5")
    again = StreamBrain.load(tmp_path / "brain.h5")
    late = brain.run(ROWS[60:]).total
    assert not np.array_equal(late, other.run(ROWS[60:]).total)
    np.testing.assert_array_equal(late, again.run(ROWS[60:]).total)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("synapses", lambda w: w["readout"], "must be one of"),
        ("recurrent", lambda w: np.ones((N, N)), "must be zero on the diagonal"),
        ("recurrent", lambda w: np.ones((2, N)), r"must have shape \(12, 12\), not \(2, 12\)"),
        ("readout", lambda w: w["readout"] * np.nan, r"finite, not NaN at \[0, 0\]"),
        ("readout", lambda w: "heavy", "must be numbers"),
        ("afferent", lambda w: np.ones((N, 29)), "must be zero where there is no edge"),
    ],
)
def test_weights_that_cannot_be_used_are_named_and_change_nothing(name, make, message):
    brain = brain_of()
    before = brain.weights
    with pytest.raises(ConfigurationError, match=message):
        brain.weights[name] = make(brain.weights)
    after = brain.weights
    assert all(_equal(before[key], after[key]) for key in before)


def test_the_spectral_radius_is_that_of_the_weights():
    w = np.diag(np.arange(1.0, N), 1)
    w[-1, 0] = 3.0
    brain = brain_of(w)
    assert brain.spectral_radius == pytest.approx(np.abs(np.linalg.eigvals(w)).max())
    brain.weights["recurrent"] = 0.5 * w
    assert brain.spectral_radius == pytest.approx(0.5 * np.abs(np.linalg.eigvals(w)).max())
    assert brain_of("none").spectral_radius == 0


# --- lesions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["rls", "diagonal_rls", "nlms"])
@pytest.mark.parametrize("connectivity", ["full", edges(), "none"], ids=["full", "sparse", "none"])
def test_nodes_that_are_taken_are_silent_for_ever(connectivity, rule):
    brain, whole = (brain_of(connectivity, rule=rule, homeostasis=0.01) for _ in range(2))
    brain.run(ROWS[:60])
    whole.run(ROWS[:60])
    assert brain.lesion(nodes=[2, 7]) is brain
    result = brain.run(ROWS[60:], activity=True)
    assert not result.activity[:, [2, 7]].any()
    assert result.activity[:, [0, 1, 3]].all()
    hidden = brain.weights["readout"][:, -N:]
    assert not hidden[:, [2, 7]].any()
    recurrent = brain.weights.get("recurrent")
    if recurrent is not None:
        dense = recurrent.toarray() if sparse.issparse(recurrent) else recurrent
        assert not dense[:, [2, 7]].any()
    assert not np.array_equal(result.total, whole.run(ROWS[60:]).total)


@pytest.mark.parametrize("connectivity", ["full", edges()], ids=["full", "sparse"])
@pytest.mark.parametrize("reloaded", [False, True])
def test_what_is_assigned_later_does_not_bring_nodes_back(connectivity, reloaded, tmp_path):
    brain = brain_of(connectivity)
    brain.run(ROWS[:60])
    whole = {name: w.copy() for name, w in brain.weights.items()}
    brain.lesion(nodes=[2, 7])
    if reloaded:
        brain.save(tmp_path / "brain.h5")
        brain = StreamBrain.load(tmp_path / "brain.h5")
    for name, w in whole.items():
        brain.weights[name] = 2 * w
        assert _equal(whole[name], w)  # what was given is as it was
    brain.activity = np.ones(N)
    assert not brain.activity[[2, 7]].any()
    assert brain.activity.sum() == N - 2
    after, kept = brain.weights, np.delete(np.arange(N), [2, 7])
    dense = {k: w.toarray() if sparse.issparse(w) else w for k, w in after.items()}
    assert not dense["recurrent"][[2, 7]].any()
    assert not dense["recurrent"][:, [2, 7]].any()
    assert not dense["afferent"][[2, 7]].any()
    assert not dense["readout"][:, -N:][:, [2, 7]].any()
    for name in ("recurrent", "afferent"):
        before = whole[name].toarray() if sparse.issparse(whole[name]) else whole[name]
        columns = kept if name == "recurrent" else np.arange(before.shape[1])
        of_kept = np.ix_(kept, columns)
        np.testing.assert_array_equal(dense[name][of_kept], 2 * before[of_kept])
    eigenvalues = np.linalg.eigvals(dense["recurrent"][np.ix_(kept, kept)])
    assert brain.spectral_radius == pytest.approx(np.abs(eigenvalues).max())
    assert not brain.run(ROWS[60:], activity=True).activity[:, [2, 7]].any()


@pytest.mark.parametrize("connectivity", ["full", edges()], ids=["full", "sparse"])
def test_edges_that_are_taken_do_not_grow_again(connectivity, tmp_path):
    brain = brain_of(connectivity)
    brain.run(ROWS[:60])
    before = brain.weights["recurrent"]
    before = before.toarray() if sparse.issparse(before) else before
    taken = np.argwhere(before != 0)[:5]
    brain.lesion(edges=taken)
    after = brain.weights["recurrent"].toarray()
    assert not after[tuple(taken.T)].any()
    before[tuple(taken.T)] = 0
    np.testing.assert_array_equal(after, before)
    brain.save(tmp_path / "brain.h5")
    again = StreamBrain.load(tmp_path / "brain.h5")
    surprise = brain.run(ROWS[60:]).total
    assert not brain.weights["recurrent"].toarray()[tuple(taken.T)].any()
    np.testing.assert_array_equal(surprise, again.run(ROWS[60:]).total)


def test_a_lesion_is_that_of_a_brain_that_never_had_the_edges():
    w = np.random.default_rng(0).standard_normal((N, N)) * edges().toarray()
    cut = np.argwhere(w != 0)[::3]
    without = w.copy()
    without[tuple(cut.T)] = 0.0
    settings = {"input_weights": np.ones((N, 4)), "recurrent_rate": 0.0}
    one = brain_of(sparse.csr_array(w), **settings).lesion(edges=cut)
    other = brain_of(sparse.csr_array(without), **settings)
    np.testing.assert_allclose(one.run(ROWS).total, other.run(ROWS).total, rtol=1e-12)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, "must name what is to be taken"),
        ({"nodes": [N]}, "argument `nodes` must hold hidden nodes 0 .. 11"),
        ({"nodes": [0.5]}, "argument `nodes`"),
        ({"edges": [[0, 1, 2]]}, "argument `edges` must be pairs"),
        ({"edges": [[0, 0]]}, "there are none of these"),
        ({"edges": np.zeros((3, 3), bool)}, "argument `edges` must be pairs"),
    ],
)
def test_lesions_that_cannot_be_made_are_named(what, message):
    with pytest.raises(ConfigurationError, match=message):
        brain_of().lesion(**what)


# --- currents, memory, single rows ----------------------------------------------------------------


@pytest.mark.parametrize("split", [None, 37])
def test_injected_current_is_added_to_the_potential(split):
    current = np.random.default_rng(1).standard_normal((50, 2))
    settings = {"input_weights": np.ones((N, 4)), "recurrent_rate": 0.0}
    brain, plain = brain_of("none", **settings), brain_of("none", **settings)
    pieces = [slice(0, 50)] if split is None else [slice(0, split), slice(split, 50)]
    for part in pieces:
        inject = {"nodes": [3, 7], "current": current[part]}
        brain.run(ROWS[:50][part], inject=inject)
    plain.run(ROWS[:50])
    difference = np.arctanh(brain.activity) - np.arctanh(plain.activity)
    expected = np.zeros(N)
    expected[[3, 7]] = current[-1]
    np.testing.assert_allclose(difference, expected, atol=1e-9)


def test_one_current_for_all_nodes_and_masks():
    mask = np.arange(N) < 3
    runs = []
    for inject in (
        {"nodes": mask, "current": np.ones(50)},
        {"nodes": [0, 1, 2], "current": np.ones((50, 3))},
    ):
        brain = brain_of()
        brain.run(ROWS[:50], inject=inject)
        runs.append(brain.activity)
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize(
    ("inject", "error", "message"),
    [
        ([1, 2], ConfigurationError, 'a mapping with "nodes" and "current"'),
        ({"nodes": [1]}, ConfigurationError, 'a mapping with "nodes" and "current"'),
        ({"nodes": [99], "current": np.ones(9)}, ConfigurationError, "hidden nodes 0 .. 11"),
        ({"nodes": [1, 1], "current": np.ones(9)}, ConfigurationError, "each once"),
        ({"nodes": [], "current": np.ones(9)}, ConfigurationError, "each once"),
        ({"nodes": [1], "current": np.ones(8)}, DataError, r"shape \(9,\) or \(9, 1\) for 9 rows"),
        (
            {"nodes": [1], "current": np.full(9, np.inf)},
            DataError,
            r"but contains infinity at \[0\]",
        ),
        ({"nodes": [1], "current": np.full(9, np.nan)}, DataError, r"but contains NaN at \[0\]"),
        ({"nodes": [1], "current": ["a"] * 9}, DataError, "must be numbers"),
    ],
)
def test_currents_that_cannot_be_injected_are_named_and_change_nothing(inject, error, message):
    brain = brain_of()
    with pytest.raises(error, match=message):
        brain.run(ROWS[:9], inject=inject)
    assert brain.n_steps_ == 0


def test_reset_clears_the_memory_and_nothing_else():
    sensors = (VALUE, SYMBOLS, VECTOR)
    rows = rows_of(sensors, 120, missing=0)
    brain, other = (
        StreamBrain(sensors, **SMALL, connectivity="full", random_state=0) for _ in range(2)
    )
    brain.run(rows)
    other.run(rows)
    other.run(rows[:30], learn=False)  # another memory
    before = brain.weights
    assert brain.reset() is brain
    other.reset()
    assert not brain.activity.any()
    assert all(_equal(before[name], brain.weights[name]) for name in ("readout", "afferent"))
    first, second = brain.run(rows[:20], learn=False), other.run(rows[:20], learn=False)
    assert np.isfinite(first.total).all()
    np.testing.assert_allclose(first.surprise[:, 1], second.surprise[:, 1], rtol=1e-9)


def test_one_row_at_a_time_as_in_river():
    brain, other = brain_of(), brain_of()
    for row in ROWS[:40]:
        x = {"value": row[0], "symbol": row[1]}
        score = brain.score_one(x)
        assert score == brain.score_one(x)
        assert score == pytest.approx(other.observe(row), rel=1e-12)
        brain.learn_one(x)
    best = brain.predict_one()
    expected = brain.predict()
    assert best["value"] == expected["value"].mean[0]
    assert best["symbol"] == np.argmax(expected["symbol"].probabilities)
