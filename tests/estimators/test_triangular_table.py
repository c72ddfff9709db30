"""Laws of triangular maps of tables: sums and integrals are one, draws follow the law."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare, kstest

from neurolp.data.columns import Columns
from neurolp.errors import ConfigurationError
from neurolp.estimators.triangular_table import TriangularTable

N = 600


def frame(seed, n=N):
    rng = np.random.default_rng(seed)
    who = rng.choice(["ann", "bob", "eve"], n, p=[0.5, 0.3, 0.2])
    shift = pd.Series(who).map({"ann": 0.0, "bob": 1.5, "eve": -1.0}).to_numpy()
    count = rng.poisson(np.exp(0.3 * shift + 0.5))
    rain = np.where(rng.random(n) < 0.4, 0.0, np.exp(0.5 * shift + 0.3 * rng.standard_normal(n)))
    height = shift + 0.5 * count + 0.7 * rng.standard_normal(n)
    grade = pd.Categorical.from_codes(
        np.clip(np.rint(height + 1), 0, 3).astype(int), ["d", "c", "b", "a"], ordered=True
    )
    return pd.DataFrame(
        {"height": height, "who": who, "count": count, "rain": rain, "grade": grade, "one": 1}
    )


@pytest.fixture(scope="module")
def columns():
    out = Columns.infer(frame(0, 3 * N))
    assert out.kinds == ("continuous", "nominal", "ordinal", "continuous", "ordinal", "constant")
    assert out["rain"].atoms == (0.0,)
    return out


def fitted(columns, order=None, max_layers=8):
    train, validation = (columns.encode(frame(seed)) for seed in (1, 2))
    return TriangularTable.fit(
        train, validation, columns, order=order, max_layers=max_layers, n_threads=1
    )


@pytest.fixture(scope="module")
def table(columns):
    return fitted(columns)


@pytest.fixture(scope="module")
def mixed_order(columns):
    """The nominal column in the middle, the continuous one with an atom first."""
    return fitted(columns, np.array([3, 2, 1, 0, 4, 5]))


def test_sums_over_all_ordinal_values_are_one(table, columns):
    """Ordinal columns one by one and together, given all others; every nominal value."""
    rows = columns.encode(frame(3, 2))
    counts, grades = np.arange(-60.0, 100.0), np.arange(4.0)
    for row, k in product(rows, range(4)):  # 3: a name that was not seen
        row[1] = k
        for j, values in ((2, counts), (4, grades)):
            many = np.tile(row, (len(values), 1))
            many[:, j] = values
            units = table.units(many)
            beyond = units.lower[0, j] + (1 - units.upper[-1, j])  # of Student's tails
            assert beyond < 1e-4
            total = np.exp(units.log_prob[:, j]).sum() + beyond
            assert total == pytest.approx(1.0, abs=1e-9)
            assert np.allclose(
                np.exp(units.log_prob[:, j]), units.upper[:, j] - units.lower[:, j], atol=1e-12
            )
            assert np.array_equal(units.log_prob[:, [1, 5]], np.zeros((len(values), 2)))


@pytest.mark.parametrize("which", ["table", "mixed_order"])
def test_densities_are_slopes_of_y_which_runs_from_0_to_1_with_steps_at_atoms(
    which, columns, request
):
    table, h = request.getfixturevalue(which), 1e-6
    for row, j in product(columns.encode(frame(4, 2)), (0, 3)):
        x = np.sort(frame(5, 200)[columns.names[j]].to_numpy())
        x = np.concatenate([[-1e9], x[x != 0.0], [1e9]])

        def units(x, row=row, j=j):
            many = np.tile(row, (len(x), 1))
            many[:, j] = x
            return (part[:, j] for part in table.units(many))

        log_prob, lower, upper = units(x)
        assert np.array_equal(lower, upper)
        assert np.all(np.diff(lower) >= 0)
        assert lower[0] < 1e-6
        assert lower[-1] > 1 - 1e-6
        (_, _, up), (_, _, down) = units(x + h), units(x - h)
        error = np.abs((up - down) / (2 * h) - np.exp(log_prob))[1:-1]
        assert np.quantile(error, 0.98) < 1e-6  # there are a few steps
        if j == 3:
            tiny = 1e-13
            log_prob, lower, upper = units(np.array([-tiny, 0.0, tiny]))
            assert np.exp(log_prob[1]) == pytest.approx(upper[1] - lower[1], abs=1e-12)
            assert upper[0] == pytest.approx(lower[1], abs=1e-10)
            assert upper[1] == pytest.approx(lower[2], abs=1e-10)
            assert upper[1] - lower[1] > 0.01


def nominal_unit(table, columns):
    """Any law of the nominal column that depends on what comes before it."""
    place = {int(j): k for k, j in enumerate(table.order)}

    def log_p(j, codes):
        before = [i for i in range(len(columns)) if i in place and place[i] < place[j]]
        drive = np.tanh(codes[:, before].sum(axis=1)) if before else np.zeros(len(codes))
        raw = np.stack([0.5 + 0 * drive, drive, -drive, -3 + 0 * drive], axis=1)
        return raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))

    return log_p


@pytest.mark.parametrize("which", ["table", "mixed_order"])
def test_draws_follow_the_law(which, columns, request):
    table = request.getfixturevalue(which)
    nominal = nominal_unit(table, columns)
    rng = np.random.default_rng(0)
    start = np.full((3000, 6), np.nan)
    start[:, 5] = 0.0
    codes, log_weight = table.draw(start, rng, nominal)
    assert np.array_equal(log_weight, np.zeros(len(codes)))
    assert columns.supported(codes).all()
    units = table.units(codes)
    level = units.lower + rng.random(codes.shape) * (units.upper - units.lower)
    for j in (0, 2, 3, 4):  # randomised probability integral transforms
        assert kstest(level[:, j], "uniform").pvalue > 1e-3
    share = np.exp(nominal(1, codes))
    seen = np.bincount(codes[:, 1].astype(int), minlength=4)
    assert chisquare(seen, share.sum(axis=0)).pvalue > 1e-3
    # E[q / Phi] = 1 over the nominal column alone: its unit is in log_prob.
    with_unit, without = table.log_prob(codes, nominal), table.log_prob(codes)
    given = nominal(1, codes)[np.arange(len(codes)), codes[:, 1].astype(int)]
    assert np.allclose(with_unit - without, given)


def test_weights_of_draws_are_the_probabilities_of_what_was_given(mixed_order, columns):
    nominal = nominal_unit(mixed_order, columns)
    rows = columns.encode(frame(5, 1))
    # All given: the weight is the density.
    same, log_weight = mixed_order.draw(rows, np.random.default_rng(0), nominal)
    assert np.array_equal(same, rows)
    assert np.allclose(log_weight, mixed_order.log_prob(rows, nominal), atol=1e-10)
    # Without the count, its mean over draws is the sum over all counts.
    many = np.tile(rows, (200, 1))
    many[:, 2] = np.arange(-50, 150)
    exact = np.exp(mixed_order.log_prob(many, nominal)).sum()
    many = np.tile(rows, (2000, 1))
    many[:, 2] = np.nan
    weight = np.exp(mixed_order.draw(many, np.random.default_rng(1), nominal)[1])
    assert abs(weight.mean() - exact) < 4 * weight.std() / np.sqrt(len(weight))
    with pytest.raises(ConfigurationError, match="argument `nominal`"):
        mixed_order.draw(many[:5], np.random.default_rng(0))


def test_it_learns_what_depends_on_what(table, columns):
    """On new rows far better than independent columns would be, given the nominal one."""
    rows = columns.encode(frame(6, 1000))
    mixed_up = rows.copy()
    rng = np.random.default_rng(0)
    for j in (0, 2, 3, 4):
        mixed_up[:, j] = rng.permutation(mixed_up[:, j])
    assert table.log_prob(rows).mean() > table.log_prob(mixed_up).mean() + 1.0


def test_values_beyond_those_seen_are_possible_and_declared_ends_are_ends(table, columns):
    row = columns.encode(frame(7, 1))
    row[0, 2] = 60
    assert np.isfinite(table.log_prob(row)).all()
    row[0, 2] = -1
    assert np.isfinite(table.log_prob(row)).all()
    assert table.units(row).log_prob[0, 2] < -3


def test_tables_of_nominal_columns_alone():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.choice(["x", "y"], 50), "b": rng.choice(["u", "v", "w"], 50)})
    columns = Columns.infer(rows)
    codes = columns.encode(rows)
    table = TriangularTable.fit(codes[:30], codes[30:], columns)

    def log_p(j, codes):
        return np.log(np.full((len(codes), 3 + j), 1 / (3 + j)))

    assert np.array_equal(table.log_prob(codes), np.zeros(50))
    assert np.allclose(table.log_prob(codes, log_p), -np.log(12))
    drawn, _ = table.draw(np.full((100, 2), np.nan), rng, log_p)
    assert set(drawn[:, 0]) == {0.0, 1.0, 2.0}
