"""Streams: reference sequences, laws of the sources, files, and what is wrong with files."""

import itertools
import tracemalloc

import numpy as np
import pytest

from neurolp.data.streams import GENERATORS, generator, settings_of
from neurolp.data.streams.generating import FINITE
from neurolp.data.streams.markov import entropy_rate
from neurolp.errors import ConfigurationError
from neurolp.kernels import sources
from neurolp.stream.sensors import ContinuousSensor, check_rows

WITH_TRUTH = ("markov3", "ar2", "mackey_glass", "causality")


def truth_of(stream, size=5000):
    return np.concatenate([truth for _, truth in stream.blocks_with_truth(size)])


# --- the reference sequences, as problems.md defines them ----------------------------------------


def test_markov3_is_what_choice_draws_from_dirichlet_tables():
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.full(8, 0.3), 512)
    context, wanted = 0, []
    for _ in range(500):
        wanted.append(rng.choice(8, p=tables[context]))
        context = (8 * context + wanted[-1]) % 512
    np.testing.assert_array_equal(generator("markov3").read(500)[:, 0], wanted)


def test_ar2_is_the_recursion():
    z = np.random.default_rng(0).standard_normal(800)
    x = np.zeros(802)
    for t in range(800):
        x[t + 2] = 1.5 * x[t + 1] - 0.75 * x[t] + z[t]
    np.testing.assert_allclose(generator("ar2").read(300)[:, 0], x[502:], rtol=1e-12, atol=1e-12)


def test_mackey_glass_is_the_map():
    z = 0.02 * np.random.default_rng(0).standard_normal(1100)
    x = [1.2] * 18
    for t in range(1100):
        x.append(x[-1] + 0.2 * x[-18] / (1 + x[-18] ** 10) - 0.1 * x[-1] + z[t])
    # The map is chaotic: 1100 steps make a rounding error of 1e-16 visible, but no more.
    np.testing.assert_allclose(generator("mackey_glass").read(100)[:, 0], x[-100:], atol=1e-4)


def test_lorenz_starts_at_ones_and_adds_the_noise():
    state, path = np.ones(3), np.empty((1200, 3))
    sources.lorenz_path(state, 0.01, 5, path)
    z = 0.3 * np.random.default_rng(0).standard_normal(1000)
    np.testing.assert_array_equal(generator("lorenz").read(1000)[:, 0], path[200:, 0] + z)
    three = generator("lorenz", vector=True)
    assert three.sensors == (ContinuousSensor(3, "xyz"),)
    clean = three.read(1000) - 0.3 * np.random.default_rng(0).standard_normal((1000, 3))
    np.testing.assert_allclose(clean, path[200:], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "n", "last", "rate"),
    [
        ("markov3", 50_000, 1.26077, 1.26630),
        ("ar2", 20_000, 1.4138, 1.4189),
        ("mackey_glass", 20_000, -2.5029, -2.4931),
    ],
)
def test_the_true_surprise_of_the_reference_sequences(name, n, last, rate):
    stream = generator(name, n)
    digits = 5 if name == "markov3" else 4
    assert round(truth_of(stream)[-n // 5 :].mean(), digits) == last
    assert round(stream.rate, digits) == rate


# --- laws of the sources --------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_TRUTH)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_true_surprise_approaches_the_rate(name, seed):
    stream = generator(name, 400_000, seed)
    truth = truth_of(stream)
    means = truth.reshape(200, -1).mean(axis=1)  # long against the memory of the sources
    error = means.std(ddof=1) / np.sqrt(200)
    assert abs(truth.mean() - stream.rate) < 4 * error
    assert sum(stream.rates) == pytest.approx(stream.rate)


@pytest.mark.parametrize(
    ("settings"), [{"n_symbols": 2, "order": 5}, {"n_symbols": 3, "order": 1, "concentration": 1.0}]
)
def test_markov_frequencies_are_the_table(settings):
    stream = generator("markov3", 300_000, seed=2, table_seed=7, **settings)
    s, k = settings["n_symbols"], settings["order"]
    concentration = settings.get("concentration", 0.3)
    table = np.random.default_rng(7).dirichlet(np.full(s, concentration), s**k)
    x = stream.read(300_000)[:, 0].astype(int)
    context = sum(x[k - 1 - j : len(x) - 1 - j] * s**j for j in range(k))
    counts = np.zeros((s**k, s))
    np.add.at(counts, (context, x[k:]), 1)
    n = counts.sum(axis=1, keepdims=True)
    often = n[:, 0] > 200
    error = np.sqrt(table * (1 - table) / np.maximum(n, 1))[often] + 1e-3
    assert (np.abs(counts / np.maximum(n, 1) - table)[often] < 5 * error).all()


def test_entropy_rate_against_eigenvectors_and_of_a_periodic_chain():
    table = np.random.default_rng(3).dirichlet(np.ones(3), 9)
    step = np.zeros((9, 9))
    for c, k in itertools.product(range(9), range(3)):
        step[c, (3 * c + k) % 9] = table[c, k]
    values, vectors = np.linalg.eig(step.T)
    pi = np.real(vectors[:, np.argmax(np.real(values))])
    pi /= pi.sum()
    assert entropy_rate(table) == pytest.approx(-(pi[:, None] * table * np.log(table)).sum())
    assert entropy_rate(np.array([[0.0, 1.0], [1.0, 0.0]])) == 0.0
    # Symbol 0 only leads to itself, where 1 would be a coin: the walk starts in 0.
    assert entropy_rate(np.array([[1.0, 0.0], [0.5, 0.5]])) == 0.0
    slow = np.array([[1 - 1e-7, 1e-7], [3e-7, 1 - 3e-7]])
    assert entropy_rate(slow) is None


def test_ar2_autocovariances_are_those_of_the_closed_form():
    a, b, sd = 0.6, -0.3, 2.0
    x = generator("ar2", coefficients=(a, b), noise=sd).read(1_000_000)[:, 0]
    g0 = sd**2 * (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2))
    g1 = a * g0 / (1 - b)
    wanted = [g0, g1, a * g1 + b * g0]
    found = [np.mean(x[k:] * x[: len(x) - k]) for k in range(3)]
    np.testing.assert_allclose(found, wanted, atol=0.01 * g0)


def test_causality_has_its_probabilities_and_its_surprise():
    stream = generator("causality", 200_000, delay=2, n_distractors=2, otherwise=0.05)
    assert [s.name for s in stream.sensors] == ["A", "B", "distractor 1", "distractor 2"]
    rows = stream.read(200_000)
    a, b = rows[:-2, 0] == 1, rows[2:, 1]
    assert b[a].mean() == pytest.approx(0.9, abs=0.01)
    assert b[~a].mean() == pytest.approx(0.05, abs=0.005)
    np.testing.assert_allclose(rows[:, [0, 2, 3]].mean(axis=0), 0.1, atol=0.005)
    chance = np.full((len(a), 4), 0.1)
    chance[:, 1] = np.where(a, 0.9, 0.05)
    surprise = -np.log(np.where(rows[2:] == 1, chance, 1 - chance)).sum(axis=1)
    np.testing.assert_allclose(truth_of(stream)[2:], surprise)


def test_video_moves_a_digit_a_pixel_a_step():
    from sklearn.datasets import load_digits

    stream = generator("video", shape=(12, 14), noise=1e-9, hold=5)
    assert stream.frame_shape == (12, 14)
    assert stream.sensors == (ContinuousSensor(168, "retina"),)
    frames = stream.read(20).reshape(20, 12, 14).round(6)
    totals = load_digits().images.sum(axis=(1, 2)) / 16
    assert np.abs(totals - frames[0].sum()).min() < 1e-3
    shifts = list(itertools.product((-1, 0, 1), (-1, 0, 1)))
    for t in range(19):
        moved = [np.allclose(np.roll(frames[t], s, (0, 1)), frames[t + 1]) for s in shifts]
        assert sum(moved) == (t % 5 != 4)  # every fifth step brings another digit
    assert stream.bound == pytest.approx(168 * np.log(1e-9 * np.sqrt(2 * np.pi * np.e)))


def test_video_bounces_without_losing_a_pixel():
    stream = generator("video", shape=(9, 11), noise=1e-9, hold=40, edges="bounce")
    frames = stream.read(40).reshape(40, 9, 11).round(6)
    np.testing.assert_allclose(frames.sum(axis=(1, 2)), frames[0].sum())
    assert (frames.max(axis=0) > 0).sum() > (frames[0] > 0).sum()
    corner = generator("video", shape=(8, 8), noise=1e-9, hold=7, edges="bounce").read(7)
    np.testing.assert_allclose(corner, corner[:1].repeat(7, axis=0), atol=1e-7)


def test_text_is_the_book():
    stream = generator("text")
    rows = stream.read(stream.n_steps + 10)
    assert rows.shape == (142_400, 1)
    words = "".join(stream.sensors[0].labels[int(k)] for k in rows[:, 0])
    assert words.startswith(
        "chapter i. down the rabbit-hole\nalice was beginning to get very tired"
    )
    assert words.endswith("and the happy summer days.")
    assert [(s.n_symbols, s.name) for s in stream.sensors] == [(43, "character")]
    assert generator("text", lower_case=False).sensors[0].n_symbols == 69


# --- what holds for every stream ------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_do_not_depend_on_blocks_and_resume_anywhere(name):
    n = 20_000 if name != "video" else 300
    stream = generator(name, n)
    whole = stream.read(n)
    assert whole.shape == (n, stream.n_columns)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(check_rows(whole, stream.sensors), whole)
    for size in (7, 4096, 8192, n + 1) if n > 300 else (7, 50, 301):
        blocks = list(stream.blocks(size))
        assert all(len(b) == size for b in blocks[:-1])
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
    for start in (1, 100, n - 3):
        np.testing.assert_array_equal(stream.read(n, start), whole[start:])
    assert list(stream.blocks(5, n)) == []
    np.testing.assert_array_equal(generator(name).read(50), whole[:50])  # longer: same beginning
    np.testing.assert_array_equal(stream.head(30).read(99), whole[:30])
    if stream.has_truth:
        np.testing.assert_array_equal(truth_of(stream, 13), truth_of(stream, 20_000))
        (_, late), *_ = stream.blocks_with_truth(5, 9000)
        np.testing.assert_array_equal(late, truth_of(stream)[9000:9005])


def test_a_block_that_was_given_out_is_the_readers_own():
    blocks = generator("ar2").blocks(10)
    first = next(blocks)
    first[:] = 0
    assert (next(blocks) != 0).all()
    assert (generator("ar2").read(10) != 0).all()


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in FINITE])
def test_another_seed_is_another_sequence(name):
    first, second = generator(name, 200), generator(name, 200, seed=1)
    assert (first.read(200) != second.read(200)).mean() > 0.05
    np.testing.assert_array_equal(second.read(200), generator(name, 200, seed=1).read(200))
    assert first.rate == second.rate


@pytest.mark.parametrize("name", ["markov3", "mackey_glass", "lorenz", "causality"])
def test_memory_does_not_grow_with_the_length(name):
    stream = generator(name)
    stream.read(10)  # compile

    def peak(n):
        tracemalloc.start()
        for rows in stream.head(n).blocks(10_000):
            assert len(rows)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(2_000_000) < 1.05 * peak(50_000) + 100_000


def test_endless_streams_go_on():
    total = sum(len(b) for b in itertools.islice(generator("ar2").blocks(100_000), 100))
    assert total == 10_000_000


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: generator("ar3"), "argument `name` must be one of markov3, ar2"),
        (lambda: generator("ar2", delay=3), "generator 'ar2' has no setting `delay`; it has coeff"),
        (lambda: generator("ar2", 0), "argument `n_steps` must be an integer >= 1, but is 0"),
        (lambda: generator("ar2", seed=-1), "argument `seed` must be an integer >= 0"),
        (lambda: generator("ar2", seed=1.5), "argument `seed` must be an integer >= 0"),
        (lambda: generator("ar2", coefficients=(1.5, 0.6)), "stationary"),
        (lambda: generator("ar2", coefficients="ab"), "argument `coefficients`: .*valid tuple"),
        (lambda: generator("ar2", noise=0), "argument `noise`: .*greater than .*, but is 0"),
        (lambda: generator("ar2", noise="big"), "argument `noise`: .*number.*, but is 'big'"),
        (
            lambda: generator("markov3", n_symbols=1),
            "argument `n_symbols`: .*greater than or equal to 2",
        ),
        (lambda: generator("markov3", order=12), "must give at most 10000000 probabilities"),
        (lambda: generator("markov3", table_seed=-1), "argument `table_seed`"),
        (
            lambda: generator("causality", follows=1.0),
            "argument `follows`: .*less than 1, but is 1.0",
        ),
        (
            lambda: generator("video", shape=(7, 12)),
            "argument `shape`: .*greater than or equal to 8",
        ),
        (lambda: generator("video", shape=12), "argument `shape`: .*valid tuple, but is 12"),
        (
            lambda: generator("video", edges="torus"),
            "argument `edges`: .*'wrap' or 'bounce', but is 'torus'",
        ),
        (lambda: generator("text", 200_000), "`n_steps` must be at most 142400"),
        (lambda: generator("text", seed=3), "argument `seed` must be 0"),
        (lambda: generator("ar2").blocks(0), "argument `size` must be an integer >= 1"),
        (lambda: generator("ar2").blocks(5, -1), "argument `start` must be an integer >= 0"),
        (lambda: generator("lorenz").blocks_with_truth(5), "'lorenz' has no known truth"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_line(call, text):
    with pytest.raises(ConfigurationError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_settings_are_known():
    assert settings_of("markov3") == {
        "table_seed": 0,
        "n_symbols": 8,
        "order": 3,
        "concentration": 0.3,
    }
    assert all("seed" not in settings_of(name) for name in GENERATORS)
