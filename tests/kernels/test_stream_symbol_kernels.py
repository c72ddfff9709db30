"""Kernels of symbols; run with the JIT and with NUMBA_DISABLE_JIT=1."""

import numpy as np
import pytest

from neurolp import CategoricalSensor, StreamBrain
from neurolp.kernels.stream_counts import bucket, learn_chain, learn_sum, predict_chain, predict_sum
from neurolp.kernels.stream_mixing import N_SINGLE, learn_mixing, mix, softmax_of
from neurolp.kernels.stream_state import Rates
from neurolp.kernels.stream_symbols import observe_symbol, receive_symbol
from neurolp.stream.contexts import symbol_scratch

K = 5
RATES = Rates(0, 0.3, 0.0, 0.0, 0.0, 0.05, True, True, 1.0, 1.0, 1.0, 1.0)


@pytest.fixture(autouse=True)
def _hashes_overflow():
    """Products of hashes overflow on purpose, of which NumPy warns without the JIT."""
    with np.errstate(over="ignore"):
        yield


def lived(n_steps=200):
    """Contexts after random symbols, with their scratch and the last step's prediction pending."""
    brain = StreamBrain(CategoricalSensor(K), max_order=2, n_contexts=1024, random_state=0)
    senses, contexts = brain._state.senses, brain._state.contexts
    room = symbol_scratch(contexts, K)
    rng = np.random.default_rng(0)
    x = (np.cumsum(rng.integers(2, size=n_steps)) % K).astype(float)
    o, error, received = np.zeros(K), np.zeros(K), np.zeros(K)
    for value in x:
        o[:] = rng.standard_normal(K)
        observe_symbol(value, 0, contexts, RATES, True, o, error, room)
        receive_symbol(value, 0, senses, contexts, True, o, received)
    o[:] = rng.standard_normal(K)
    observe_symbol(np.nan, 0, contexts, RATES, False, o, error, room)
    return contexts, room


def test_softmax_and_its_logarithm():
    f, logs = np.array([0.0, 700.0, 699.0, -1e5]), np.zeros(4)
    softmax_of(f, logs)
    np.testing.assert_allclose(f[:3].sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(logs[1:3], np.log(f[1:3]), rtol=1e-12)
    assert f[3] >= 0


@pytest.mark.parametrize("n", [0.0, 0.3, 0.5, 1.0, 2.0, 3.0, 6.9, 7.0, 100.0, 1e6])
def test_buckets_are_two_for_each_power_of_two(n):
    exponent = np.floor(np.log2(n + 1))
    assert bucket(n) == min(2 * exponent + (n + 1 >= 1.5 * 2**exponent), 11)


def loss_of_neuron(contexts, room, k, y):
    mix(contexts, 0, room, np.zeros(K))
    return -np.log(room.neuron[k, y])


@pytest.mark.parametrize("k", range(5))
def test_neurons_follow_the_gradient_of_their_own_surprise(k):
    """The change of each weight is in proportion to the derivative by finite differences."""
    contexts, room = lived()
    y, h = 3, 1e-3
    weights = contexts.single[0, k] if k < N_SINGLE else contexts.of_symbols[0, k - N_SINGLE]
    chosen, before = room.selected[k], weights.copy()
    mix(contexts, 0, room, np.zeros(K))
    learn_mixing(contexts, 0, room, y, K, 1e-3)
    change = (weights - before)[chosen]
    weights[:] = before
    slope = np.zeros_like(change)
    for at in np.ndindex(change.shape):
        both = []
        for sign in (1, -1):
            weights[(chosen, *at)] = before[(chosen, *at)] + sign * h
            both.append(loss_of_neuron(contexts, room, k, y))
        weights[(chosen, *at)] = before[(chosen, *at)]
        slope[at] = (both[0] - both[1]) / (2 * h)
    ratio = -(change * slope).sum() / (slope**2).sum()
    assert ratio > 0
    np.testing.assert_allclose(change, -ratio * slope, atol=2e-3 * abs(change).max())
    others = np.delete(weights - before, chosen, axis=0)
    assert not others.any()


def test_the_chain_follows_the_gradient_of_each_context():
    contexts, room = lived()
    y, h = 2, 1e-2  # counts are in single precision
    q, logs = room.q, np.zeros_like(room.q)
    predict_chain(contexts, 0, room.slots, q, logs)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.log(q), logs, rtol=1e-9)
    before = {name: getattr(contexts, name).copy() for name in ("discount", "prior")}
    learn_chain(contexts, 0, room.slots, q.copy(), y)
    changes = {name: getattr(contexts, name) - start for name, start in before.items()}
    for name, start in before.items():
        mine, change = getattr(contexts, name), changes[name]
        assert change.any()
        for i, c in zip(*np.nonzero(change[0]), strict=True):
            both = []
            for sign in (1, -1):
                for other, values in before.items():
                    getattr(contexts, other)[:] = values
                mine[0, i, c] = start[0, i, c] + sign * h
                predict_chain(contexts, 0, room.slots, q, logs)
                both.append(logs[i, y])
            slope = (both[0] - both[1]) / (2 * h)
            np.testing.assert_allclose(change[0, i, c], 0.02 * slope, rtol=5e-3, atol=1e-6)


def test_the_sum_follows_its_gradient():
    contexts, room = lived()
    p, logs, y = np.zeros(K), np.zeros(K), 1
    predict_sum(contexts, 0, room.slots, p, logs)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-12)
    before = contexts.weight.copy()
    learn_sum(contexts, 0, room.slots, p, y)
    change = contexts.weight - before
    for entry in np.flatnonzero(change[0]):
        a = contexts.symbol[0, entry]
        assert np.sign(change[0, entry]) == (1 if a == y else -1)
    predict_sum(contexts, 0, room.slots, p, logs)
    assert logs[y] > np.log(0.2)
