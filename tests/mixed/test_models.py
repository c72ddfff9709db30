"""Models of cells: normalised over all combinations, marginals are sums, draws follow them."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurolp.data.columns import Columns
from neurolp.mixed.average import fit_cell_average
from neurolp.mixed.chain_learning import BoostingConfig, fit_chain
from neurolp.mixed.classes import fit_latent_classes
from neurolp.mixed.dependence_tree import fit_dependence_tree, mutual_information
from neurolp.mixed.groups import CellGroups
from neurolp.mixed.questions import Questions

N_CELLS, ORDERED = np.array([3, 2, 5, 1, 4]), np.array([0, 0, 1, 0, 0], dtype=bool)
ALL = np.array(list(product(*map(range, N_CELLS))))
# Two groups of the five cells of the third column.
GROUPS = CellGroups(
    np.array([0, 3, 5, 10, 11, 15]),
    np.array([0, 1, 2, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 2, 3]),
    np.log([1, 1, 1, 1, 1, 0.2, 0.3, 0.5, 0.9, 0.1, 1, 1, 1, 1, 1]),
)


def table(n, rng):
    a = rng.integers(0, 3, n)
    b = (rng.random(n) < 0.2 + 0.3 * a).astype(int)
    c = np.minimum(rng.poisson(1 + a), 4)
    e = (a + b + (rng.random(n) < 0.3)) % 4
    return np.column_stack([a, b, c, np.zeros(n, dtype=int), e])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    train, validation = table(800, rng), table(200, rng)
    train[rng.random(train.shape) < 0.1] = -1
    return train, validation


def chain(data, order=(2, 0, 4, 3, 1)):
    return fit_chain(*data, N_CELLS, ORDERED, np.array(order), BoostingConfig(n_leaves=4))


MODELS = {
    "chain": chain,
    "classes": lambda d: fit_latent_classes(*d, GROUPS, np.random.default_rng(0)),
    "tree": lambda d: fit_dependence_tree(*d, GROUPS),
}


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_combinations_sum_to_one(data, name):
    model = MODELS[name](data)
    assert np.exp(model.log_prob(ALL)).sum() == pytest.approx(1, abs=1e-12)
    independent = sum(
        np.log(np.bincount(v[v >= 0], minlength=k) / (v >= 0).sum())[w]
        for v, w, k in zip(data[0].T, data[1].T, N_CELLS, strict=True)
    )
    assert model.log_prob(data[1]).mean() > independent.mean() + 0.3


@pytest.mark.parametrize("name", ["classes", "tree"])
def test_marginals_are_sums(data, name):
    model = MODELS[name](data)
    joint = np.exp(model.log_prob(ALL))
    for gaps in ([0], [1, 4], [0, 2, 4], [0, 1, 2, 3, 4]):
        holes = data[1][:20].copy()
        holes[:, gaps] = -1
        for row, log_p in zip(holes, model.log_prob(holes), strict=True):
            matches = np.all((row < 0) | (row == ALL), axis=1)
            assert np.exp(log_p) == pytest.approx(joint[matches].sum(), rel=1e-5)


def test_columns_that_come_last_in_a_chain_are_summed_out_by_leaving_them_out(data):
    model = chain(data)
    holes = data[1][:20].copy()
    holes[:, [3, 1]] = -1
    joint = np.exp(model.log_prob(ALL))
    for row, log_p in zip(holes, model.log_prob(holes), strict=True):
        matches = np.all((row < 0) | (row == ALL), axis=1)
        assert np.exp(log_p) == pytest.approx(joint[matches].sum(), rel=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_draws_follow_the_model(data, name):
    model = MODELS[name](data)
    drawn = model.sample(np.full((20_000, 5), -1), np.random.default_rng(1))
    number = np.ravel_multi_index(tuple(drawn.T), tuple(N_CELLS))
    expected = 20_000 * np.exp(model.log_prob(ALL))
    observed = np.bincount(number, minlength=len(ALL))
    rare = expected < 5
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def test_conditional_distributions_agree_with_the_terms_of_the_product(data):
    model, rows = chain(data), data[1]
    terms = model.conditional(rows)
    for j in range(5):
        p = model.distribution(j, rows)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
        np.testing.assert_allclose(
            np.log(p[np.arange(len(rows)), rows[:, j]]), terms[:, j], atol=1e-12
        )


@pytest.mark.parametrize("counts", [[5], [3, 1], [1, 100, 2, 0, 7], [10] * 17])
@pytest.mark.parametrize("make", [Questions.ordered, Questions.nominal])
def test_questions_lead_to_every_cell_once(make, counts):
    questions = make(np.array(counts, dtype=float))
    answers = questions.answers()
    assert answers.shape == (len(counts) - 1, len(counts))
    assert len({tuple(column) for column in answers.T}) == len(counts)
    rows = np.array(counts, dtype=float) + 0.3
    p = 1 / (1 + np.exp(-questions.prior_log_odds(np.array(counts, dtype=float))))
    for c, path in enumerate(questions.paths()):
        mass = np.prod([p[q] if answer else 1 - p[q] for q, answer in path])
        assert mass == pytest.approx(rows[c] / rows.sum())


def test_mutual_information_is_that_of_the_counts():
    rng = np.random.default_rng(3)
    cells = table(50_000, rng)
    found = mutual_information(cells, GROUPS)
    joint = np.zeros((3, 2))
    np.add.at(joint, (cells[:, 0], cells[:, 1]), 1 / len(cells))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    expected = np.sum(joint * np.log(joint / independent)) - 2 / (2 * len(cells))
    assert found[0, 1] == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert found[1, 3] == 0


def test_names_of_categories_change_nothing():
    rng = np.random.default_rng(4)
    names = np.array(list("pqrs"))
    a, b = rng.integers(0, 4, (2, 400))
    frames = [
        pd.DataFrame({"a": n[a], "b": n[(a + (b == 0)) % 4], "c": rng.standard_normal(400)})
        for n, rng in ((names, np.random.default_rng(5)), (names[::-1], np.random.default_rng(5)))
    ]
    scores = []
    for frame in frames:
        columns = Columns.infer(frame)
        codes = columns.encode(frame)
        average = fit_cell_average(columns, codes[:300], codes[300:], seed=0).final
        assert average.laws["all"].weights.sum() == pytest.approx(1)
        scores.append(average.log_prob(codes))
    np.testing.assert_array_equal(*scores)


def test_groups_have_the_order_of_their_cells_and_shares_of_one():
    rng = np.random.default_rng(6)
    n_cells, ordered = np.array([200, 40, 9]), np.array([True, False, True])
    cells = np.column_stack([rng.integers(0, k, 900) for k in n_cells])
    cells[:300, 0] = 17  # a frequent one
    cells[rng.random(cells.shape) < 0.1] = -1
    groups = CellGroups.of(cells, n_cells, ordered)
    assert groups.n_groups[0] < 20
    assert list(groups.n_groups[1:]) == [40, 9]
    for a, b in zip(groups.offset, groups.offset[1:], strict=False):
        own = groups.group[a:b]
        assert np.all(np.isin(np.diff(own), [0, 1]))
        np.testing.assert_allclose(np.bincount(own, np.exp(groups.log_share[a:b])), 1)
    drawn = groups.draw(np.full_like(cells, -1), groups.coarse(np.abs(cells)), rng)
    np.testing.assert_array_equal(groups.coarse(drawn), groups.coarse(np.abs(cells)))
    np.testing.assert_array_equal(groups.draw(cells, groups.coarse(cells), rng)[cells >= 0],
                                  cells[cells >= 0])  # fmt: skip


def test_questions_are_smoothed_as_far_as_validation_rows_want():
    rng = np.random.default_rng(7)
    width = rng.uniform(0.5, 2, 32)
    p = width / width.sum()
    questions = Questions.ordered(rng.multinomial(100, p).astype(float))
    counts, validation = rng.multinomial(100, p), rng.multinomial(50, p)
    odds = questions.smooth_log_odds(counts, validation, width)

    def law(odds):
        q = 1 / (1 + np.exp(-odds))
        return np.array([np.prod([q[k] if yes else 1 - q[k] for k, yes in path])
                         for path in questions.paths()])  # fmt: skip

    assert law(odds).sum() == pytest.approx(1)
    plain = law(questions.prior_log_odds(counts))
    assert np.sum(p * np.log(law(odds))) > np.sum(p * np.log(plain)) + 0.05


def test_spans_are_those_of_the_answers():
    questions = Questions.nominal(np.array([5.0, 1, 9, 2, 2, 30]))
    place, span = questions.spans()
    assert sorted(place) == list(range(6))
    answers = questions.answers()
    for q, (first, middle, last) in enumerate(span):
        np.testing.assert_array_equal(answers[q] == 0, (place >= first) & (place < middle))
        np.testing.assert_array_equal(answers[q] == 1, (place >= middle) & (place < last))
    assert questions.depth == max(map(len, questions.paths()))
