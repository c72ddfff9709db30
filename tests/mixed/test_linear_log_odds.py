"""Linear log-odds of chains: the penalised optimum, inputs of cells, and what they are good for."""

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from neurolp.kernels.logit import add_products, choose_logit, fit_logit
from neurolp.mixed.chain_learning import BoostingConfig, fit_chain
from neurolp.mixed.linear_inputs import LinearInputs

ORDER = np.array([2, 0, 1])
COUNTS = [np.array([5, 40, 15]), np.array([50, 10]), np.array([10, 20, 20, 10])]
ORDERED = np.array([False, False, True])


def questions(n, seed, slope):
    rng = np.random.default_rng(seed)
    inputs = np.column_stack([np.ones(n), rng.standard_normal((n, 3))])
    odds = 0.3 + inputs[:, 1:] @ np.array([slope, -slope, 0.0])
    return inputs, (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int8)


@pytest.mark.parametrize("ridge", [0.3, 10.0])
@pytest.mark.parametrize("n_inputs", [4, 2])
def test_the_fit_is_the_penalised_optimum(ridge, n_inputs):
    inputs, answer = questions(200, 0, 3.0)
    rows = np.arange(0, 200, 2).astype(np.int32)

    def loss(w):
        f = 0.5 + inputs[rows, :n_inputs] @ w
        return np.logaddexp(0, np.where(answer[rows], -f, f)).sum() + 0.5 * ridge * w @ w

    def slope(w):
        p = 1 / (1 + np.exp(-0.5 - inputs[rows, :n_inputs] @ w))
        return inputs[rows, :n_inputs].T @ (p - answer[rows]) + ridge * w

    weights = np.full(n_inputs, 5.0)  # far away: steps are halved
    assert check_grad(loss, slope, weights) < 1e-4
    fit_logit(inputs, rows, answer[rows], 0.5, ridge, weights)
    best = minimize(loss, np.zeros(n_inputs), jac=slope)
    assert loss(weights) <= best.fun + 1e-3
    np.testing.assert_allclose(weights, best.x, atol=0.02)
    score = np.full(len(rows), 0.5)
    add_products(inputs, rows, weights, score)
    np.testing.assert_allclose(score, 0.5 + inputs[rows, :n_inputs] @ weights)


def test_separable_answers_have_finite_weights():
    inputs, _ = questions(50, 0, 1.0)
    answer = (inputs[:, 1] > 0).astype(np.int8)
    weights = np.zeros(4)
    fit_logit(inputs, np.arange(50).astype(np.int32), answer, 0.0, 0.3, weights)
    assert 1 < weights[1] < 100


@pytest.mark.parametrize(("slope", "learned"), [(2.0, True), (0.0, False)])
def test_linear_log_odds_are_kept_where_validation_rows_gain(slope, learned):
    inputs, answer = questions(600, 1, slope)
    rows, validation = np.arange(400).astype(np.int32), np.arange(400, 600).astype(np.int32)
    weights = np.ones(4)
    ridges = np.array([100.0, 10.0, 1.0])
    ridge = choose_logit(inputs, rows, validation, answer, 0.3, ridges, 4.0, weights)
    assert (ridge in ridges) == learned
    assert weights.any() == learned

    def loss(w):
        f = 0.3 + inputs[validation] @ w
        return np.logaddexp(0, np.where(answer[validation], -f, f)).sum()

    gain = loss(np.zeros(4)) - loss(weights)
    assert (gain > 4.0) == learned


def test_inputs_are_scores_of_ordered_cells_and_indicators_of_others():
    inputs = LinearInputs.of(ORDER, COUNTS, ORDERED)
    assert inputs.first.tolist() == [1, 2, 5, 6]
    assert inputs.n_inputs == 6
    cells = np.repeat(np.arange(4), COUNTS[2])
    rows = np.column_stack([np.zeros_like(cells), np.zeros_like(cells), cells])
    score = inputs.matrix(rows)[:, 1]
    assert score.mean() == pytest.approx(0, abs=1e-3)
    assert score.std() == pytest.approx(1, abs=1e-3)
    assert np.all(np.diff(np.unique(score)) > 0)
    few = inputs.matrix(np.array([[0, 1, 0], [2, 0, 3], [-1, -1, -1]]))
    np.testing.assert_array_equal(few[:, [0, 2, 3, 4, 5]],
                                  [[1, 1, 0, 0, 1], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0]])  # fmt: skip
    assert few[2, 1] == 0.0
    # Of the last column: 100 rows, five inputs, of which those of the nominal one share a row.
    rows, questions = np.array([0.0, 100.0, 0.0]), np.array([0, 2, 0])
    assert inputs.work(COUNTS, rows, questions) == pytest.approx(
        10 * (100 * 3 * 5 / 2 + 2 * 5**3 / 3)
    )


def linear_table(n, seed):
    """Three columns of 20 cells whose sum, with noise, decides the last one, of three."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 20, (n, 3))
    total = cells.sum(axis=1) + 3 * rng.standard_normal(n)
    return np.column_stack([cells, np.digitize(total, [24, 33])])


def test_a_chain_learns_sums_from_few_rows_and_stays_normalised(monkeypatch):
    train, validation, test = (linear_table(n, seed) for seed, n in enumerate((200, 100, 2000)))
    n_cells, ordered = np.array([20, 20, 20, 3]), np.array([True, True, True, False])

    def learn():
        return fit_chain(train, validation, n_cells, ordered, np.arange(4), BoostingConfig())

    model = learn()
    assert model.weights[model.first_question[3] :].any()
    share = model.distribution(3, test[:50])
    np.testing.assert_allclose(share.sum(axis=1), 1)
    terms = model.conditional(test[:50])[:, 3]
    np.testing.assert_allclose(np.log(share[np.arange(50), test[:50, 3]]), terms)
    drawn = model.sample(np.column_stack([np.repeat(test[:1, :3], 4000, 0), np.full(4000, -1)]),
                         np.random.default_rng(0))  # fmt: skip
    frequency = np.bincount(drawn[:, 3], minlength=3) / 4000
    np.testing.assert_allclose(frequency, share[0], atol=0.03)
    monkeypatch.setattr("neurolp.mixed.chain_learning._MOST_LINEAR_WORK", 0.0)
    trees = learn()
    assert trees.inputs is None
    assert model.conditional(test)[:, 3].mean() > trees.conditional(test)[:, 3].mean() + 0.05
