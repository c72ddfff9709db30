"""Memory, chaos and answers to a pulse, against networks whose truth is known."""

import numpy as np
import pytest
from scipy import sparse

from neurolp import ConfigurationError, ContinuousSensor, DataError, StreamBrain
from neurolp.evaluation.dynamics import lyapunov_exponent, memory_capacity, pulse_response

UNIT = ContinuousSensor(location=0.0, scale=1.0)


def brain_of(w, v=None, **settings):
    n = w.shape[0]
    v = np.zeros((n, 1)) if v is None else v
    settings = {"n_hidden": n, "n_lags": 1, "experts": False, "random_state": 0} | settings
    return StreamBrain(UNIT, connectivity=w, input_weights=v, **settings)


def shift(n, strength=1.0):
    """Each node passes on what the one before it said."""
    return strength * np.eye(n, k=-1)


def test_a_delay_line_remembers_as_many_steps_as_it_has_nodes():
    n = 10
    v = np.zeros((n, 1))
    v[0] = 1e-3  # nearly linear
    found = memory_capacity(brain_of(shift(n), v), 20)
    np.testing.assert_allclose(found.by_delay[:n], 1, atol=1e-3)
    assert found.by_delay[n:].max() < 0.02
    assert found.total == pytest.approx(n, abs=0.2)


def test_more_is_remembered_near_the_edge_than_far_from_it():
    total = []
    for radius in (0.3, 0.95):
        brain = StreamBrain(
            UNIT, n_hidden=40, n_lags=1, fan_in=1, strength=0.1, spectral_radius=radius,
            connectivity="full", experts=False, random_state=0,
        )  # fmt: skip
        assert brain.spectral_radius == pytest.approx(radius)
        total.append(memory_capacity(brain, n_steps=3000).total)
    assert total[1] > total[0] + 3
    assert total[1] < 40


@pytest.mark.parametrize("radius", [0.5, 0.9, 1.3])
def test_the_exponent_of_a_linear_network_is_the_log_of_its_radius(radius):
    w = radius * np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    np.fill_diagonal(w, 0)
    brain = brain_of(w)
    expected = np.log(np.abs(np.linalg.eigvals(w)).max())
    assert lyapunov_exponent(brain, np.zeros(400)) == pytest.approx(expected, abs=0.02)


def test_a_silent_network_forgets_at_once():
    assert lyapunov_exponent(brain_of(np.zeros((4, 4))), np.zeros(20)) == -np.inf


def test_a_pulse_travels_along_the_edges():
    n = 6
    brain = brain_of(shift(n, 0.5))
    before = brain.activity
    answer = pulse_response(brain, [0], np.zeros(n), current=1e-3)
    expected = np.zeros((n, n))
    expected[np.arange(n), np.arange(n)] = 1e-3 * 0.5 ** np.arange(n)
    np.testing.assert_allclose(answer, expected, atol=1e-9)
    np.testing.assert_array_equal(brain.activity, before)
    assert brain.n_steps_ == 0


def test_what_cannot_be_measured_is_named():
    brain = brain_of(shift(5))
    with pytest.raises(ConfigurationError, match="`n_steps` must be at least"):
        memory_capacity(brain, n_steps=30)
    with pytest.raises(DataError, match="`rows` must have at least 10 rows, but has 3"):
        lyapunov_exponent(brain, np.zeros(3))
    none = StreamBrain(UNIT, n_hidden=0)
    for measure in (memory_capacity, lambda b: lyapunov_exponent(b, np.zeros(20))):
        with pytest.raises(ConfigurationError, match="argument `brain` must have"):
            measure(none)
    two = StreamBrain(ContinuousSensor(2), n_hidden=5)
    with pytest.raises(ConfigurationError, match="must have one column and hidden nodes"):
        memory_capacity(two)


def test_assigned_activity_is_used_and_what_is_wrong_is_named():
    brain = brain_of(shift(4, 0.5))
    brain.activity = [0.1, 0.2, 0.3, 0.4]
    brain.run([0.0], learn=False)
    np.testing.assert_allclose(brain.activity, np.tanh([0.0, 0.05, 0.1, 0.15]), atol=1e-12)
    with pytest.raises(ConfigurationError, match=r"`activity` must have shape \(4,\), not"):
        brain.activity = [1.0]


@pytest.mark.parametrize("make", [np.array, sparse.csr_array], ids=["dense", "sparse"])
def test_given_weights_are_scaled_to_a_spectral_radius(make):
    w = np.random.default_rng(0).standard_normal((6, 6)) * (1 - np.eye(6))
    radius = np.abs(np.linalg.eigvals(w)).max()
    brain = brain_of(make(w), spectral_radius=0.9)
    given = brain.weights["recurrent"]
    given = given.toarray() if sparse.issparse(given) else given
    np.testing.assert_allclose(given, 0.9 / radius * w, rtol=1e-12)


def test_lesioned_nodes_are_no_part_of_the_dynamics():
    w, v = 0.2 * (1 - np.eye(5)), np.full((5, 1), 0.1)
    rows = np.sin(np.arange(300.0))
    whole = brain_of(w, v)
    cut, small = brain_of(w, v).lesion(nodes=[1]), brain_of(w[1:, 1:], v[1:])
    expected = lyapunov_exponent(small, rows)
    assert expected < lyapunov_exponent(whole, rows) - 0.1
    assert lyapunov_exponent(cut, rows) == pytest.approx(expected, abs=1e-3)
