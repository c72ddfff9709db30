"""Predictions of symbols: as the oracle's, normalised, in constant memory, without what is missing."""

import numpy as np
import pytest

from neurolp import CategoricalSensor, ContinuousSensor, StreamBrain
from neurolp.data.streams import generator
from neurolp.stream.contexts import are_characters, class_of, orders
from tests.naive_stream import NaiveStreamBrain

NETWORK = {"n_hidden": 3, "n_lags": 2, "random_state": 0}
ALONE = {"n_hidden": 0, "n_lags": 0, "random_state": 0}
SENTENCES = (
    "'We met,' she said: \"then?\" He (the 2nd) didn't; it was 1,000 'ways'.\n"
    "'Oh!' cried Alice. 'Ways--that is it!' And so did he, and so did she.\n\n"
)


def symbols_of(text):
    """Sensor of the characters of a text, and the text as symbols."""
    alphabet = sorted(set(text))
    number = {a: k for k, a in enumerate(alphabet)}
    return CategoricalSensor(alphabet), np.array([number[a] for a in text], dtype=float)


def pairs(n, n_symbols=4, seed=0):
    """Symbols that often follow the one before the last."""
    rng = np.random.default_rng(seed)
    x = rng.integers(n_symbols, size=n)
    for t in range(2, n):
        if rng.random() < 0.7:
            x[t] = (x[t - 2] + 1) % n_symbols
    return x.astype(float)


@pytest.mark.parametrize("max_order", [0, 1, 3, 12])
@pytest.mark.parametrize("characters", [True, False])
def test_every_step_of_a_text_is_that_of_the_oracle(characters, max_order):
    """Words, sentences, quotations, matches; with gaps, and steps of which nothing is learned."""
    sensor, x = symbols_of(3 * SENTENCES)
    sensor = sensor if characters else CategoricalSensor(sensor.n_symbols)
    assert are_characters(sensor.labels) == characters
    x[150], x[200:203] = np.nan, np.nan
    brain = StreamBrain(sensor, **NETWORK, max_order=max_order)
    oracle = NaiveStreamBrain(brain)
    learn = np.arange(len(x)) % 160 < 150
    expected = [oracle.step(row, learn=now)[0] for row, now in zip(x[:, None], learn, strict=True)]
    surprise = np.full(len(x), np.nan)
    for start in np.flatnonzero(np.diff(learn, prepend=not learn[0])):
        stop = next((t for t in range(start, len(x)) if learn[t] != learn[start]), len(x))
        part = slice(start, stop)
        surprise[part] = brain.run(x[part], learn=bool(learn[start])).surprise[:, 0]
    np.testing.assert_allclose(surprise, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n_symbols", [2, 3, 8, 9, 300])
def test_probabilities_of_all_symbols_sum_to_one(n_symbols):
    x = pairs(400, n_symbols)
    run = StreamBrain(CategoricalSensor(n_symbols), **NETWORK).run(x, predictions=True)
    p = run.probabilities["symbol"]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert p.min() > 0
    np.testing.assert_allclose(run.surprise[:, 0], -np.log(p[np.arange(400), x.astype(int)]))


def test_the_bound_is_reached_and_never_passed():
    """Random symbols cost log K, and a chain its entropy rate."""
    x = np.random.default_rng(0).integers(4, size=20_000)
    excess = StreamBrain(CategoricalSensor(4), **ALONE).run(x).total[10_000:] - np.log(4)
    assert -2 * excess.std() / 100 < excess.mean() < 0.01
    x = pairs(20_000)
    rate = -0.775 * np.log(0.775) - 0.225 * np.log(0.075)
    surprise = StreamBrain(CategoricalSensor(4), **ALONE).run(x).total[10_000:]
    assert -2 * surprise.std() / 100 < surprise.mean() - rate < 0.015


@pytest.mark.parametrize("n_contexts", [1, 4, 16, 64, 500])
def test_few_contexts_forget_and_stay_normalised(n_contexts):
    sensor, x = symbols_of(2 * SENTENCES)
    brain = StreamBrain(sensor, **ALONE, n_contexts=n_contexts)
    sizes = {name: a.shape for name, a in brain._state.contexts._asdict().items()}
    p = brain.run(x, predictions=True).probabilities["symbol"]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    contexts = brain._state.contexts
    assert {name: a.shape for name, a in contexts._asdict().items()} == sizes
    check_chains(contexts)


def check_chains(contexts):
    """Each entry is in one chain or free; chains hold what the slots say."""
    seen = []
    for slot in np.flatnonzero(contexts.first[0]):
        chain = entries(contexts, contexts.first[0, slot])
        seen += chain
        assert contexts.key[0, slot] != 0
        assert contexts.distinct[0, slot] == len(chain)
        assert len(set(contexts.symbol[0, chain])) == len(chain)
        np.testing.assert_allclose(contexts.counts[0, chain].sum(), contexts.total[0, slot])
    seen += entries(contexts, contexts.free[0, 0])
    assert sorted(seen) == list(range(contexts.free[0, 1]))


def entries(contexts, first):
    out = []
    while first > 0:
        out.append(int(first) - 1)
        first = contexts.following[0, first - 1]
    return out


def test_long_streams_leave_tables_as_they_should_be():
    sensor, x = symbols_of(30 * SENTENCES)
    rng = np.random.default_rng(0)
    x[rng.random(len(x)) < 0.2] = rng.integers(sensor.n_symbols)
    brain = StreamBrain(sensor, **ALONE, n_contexts=2000)
    brain.run(x)
    check_chains(brain._state.contexts)


def test_counts_are_halved_before_they_lose_their_precision():
    brain = StreamBrain(CategoricalSensor(3), **ALONE, max_order=0)
    brain.run([0, 1, 2])
    contexts = brain._state.contexts
    slot = int(np.argmax(contexts.total[0]))
    chain = entries(contexts, contexts.first[0, slot])
    contexts.counts[0, chain] = 1
    contexts.counts[0, chain[0]] = 999_999
    contexts.total[0, slot] = 1_000_001
    brain.run([0])
    assert 499_000 < contexts.total[0, slot] < 501_001
    np.testing.assert_allclose(contexts.counts[0, chain].sum(), contexts.total[0, slot])


def test_what_is_missing_breaks_contexts_and_is_no_evidence():
    brain = StreamBrain(CategoricalSensor(4), **ALONE)
    brain.run(pairs(3000))
    fresh = brain.copy()
    brain.run([np.nan] * 3)
    fresh.reset()
    p, q = (one.predict()["symbol"].probabilities for one in (brain, fresh))
    np.testing.assert_allclose(p, q, rtol=1e-12)
    assert brain._state.contexts.known[0] == 0


def test_a_match_foretells_what_came_after_the_same_symbols():
    """A long random passage, once more: no short context knows it."""
    x = np.random.default_rng(1).integers(4, size=600).astype(float)
    surprise = StreamBrain(CategoricalSensor(4), **ALONE, max_order=3).run([*x, *x]).total
    without = StreamBrain(CategoricalSensor(4), **ALONE, max_order=3, n_contexts=0).run([*x, *x])
    assert surprise[700:].mean() < 0.5
    assert without.total[700:].mean() > 1.3


def test_labels_that_are_characters_give_words():
    """The same symbols, named or not: names of characters help to read."""
    stream = generator("text")
    x = stream.read(20_000)
    named = StreamBrain(stream.sensors, **ALONE).run(x).total[10_000:].mean()
    numbers = CategoricalSensor(stream.sensors[0].n_symbols)
    assert named < StreamBrain(numbers, **ALONE).run(x).total[10_000:].mean() - 0.03
    assert not are_characters(("sun", "rain"))
    assert not are_characters(("0", "1"))
    assert not are_characters((0, 1))
    assert [class_of(c) for c in 'eé z9\n"’?%'] == [0, 0, 3, 1, 2, 4, 5, 6, 7, 8]
    assert orders(12) == [0, 1, 2, 3, 4, 5, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("sensors", "given", "expected"),
    [
        (CategoricalSensor(3), {}, (0, 0)),
        (CategoricalSensor(3), {"n_hidden": 7}, (7, 0)),
        (CategoricalSensor(3), {"n_lags": 4}, (0, 4)),
        (CategoricalSensor(3), {"connectivity": "none"}, (600, 20)),
        ([CategoricalSensor(3), CategoricalSensor(2, "other")], {}, (0, 20)),
        ([CategoricalSensor(3), ContinuousSensor()], {}, (600, 20)),
        (ContinuousSensor(), {"n_lags": 0}, (600, 0)),
    ],
)
def test_symbols_alone_need_no_network(sensors, given, expected):
    brain = StreamBrain(sensors, **given, rule="nlms", random_state=0)
    parameters = brain.get_params()
    assert (parameters["n_hidden"], parameters["n_lags"]) == expected
    assert len(brain.activity) == expected[0]


def test_pieces_copies_and_files_go_on_as_one_run(tmp_path):
    sensor, x = symbols_of(3 * SENTENCES)
    whole = StreamBrain(sensor, **NETWORK).run(x).total
    brain = StreamBrain(sensor, **NETWORK)
    first = brain.run(x[:200]).total
    brain.save(tmp_path / "brain.h5")
    loaded = StreamBrain.load(tmp_path / "brain.h5")
    brain.predict()
    brain.dream(20, random_state=0)
    for later in (brain, loaded):
        np.testing.assert_array_equal(np.append(first, later.run(x[200:]).total), whole)
