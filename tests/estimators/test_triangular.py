"""Laws of TriangularDensity: normalised, exact CDFs and quantiles, scikit-learn conventions."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from scipy.stats import kstest, multivariate_normal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp import ConfigurationError, DataError, TriangularDensity
from neurolp.brain.evolution import rewind
from neurolp.brain.heads.tree import TreeHead
from neurolp.data.problems_2d import sample_problem


@pytest.fixture(scope="module")
def iris():
    return load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))


@pytest.fixture(scope="module")
def density(iris):
    return TriangularDensity(random_state=0).fit(iris)


def test_jacobian_of_the_cdf_is_the_density(density, iris):
    h = 1e-6
    rows = iris[:20]
    jacobian = np.empty((20, 4, 4))
    for j in range(4):
        step = h * np.eye(4)[j]
        jacobian[:, :, j] = (density.cdf(rows + step) - density.cdf(rows - step)) / (2 * h)
    inside = jacobian[:, density.order_][:, :, density.order_]
    assert np.all(np.triu(inside, 1) == 0)
    log_det = np.linalg.slogdet(inside)
    assert np.all(log_det.sign == 1)
    assert np.allclose(log_det.logabsdet, density.score_samples(rows), atol=1e-3)
    assert density.score(rows) == pytest.approx(density.score_samples(rows).mean())


def test_quantile_is_the_inverse_of_the_cdf(density, iris):
    y = density.cdf(iris)
    assert np.all((y > 0) & (y < 1))
    assert np.array_equal(y, density.pit(iris))
    assert np.abs(density.quantile(y) - iris).max() < 1e-9
    u = np.random.default_rng(0).uniform(size=(200, 4))
    assert np.abs(density.cdf(density.quantile(u)) - u).max() < 1e-9
    assert np.all(np.isfinite(density.quantile([[0.0, 1.0, 0.5, 0.0]])))


def test_transforms_of_samples_are_uniform(density):
    """Kolmogorov-Smirnov over 100 seeds: the p-values are uniform themselves."""
    draws = np.array([density.sample(100, seed) for seed in range(100)])
    y = density.pit(draws.reshape(-1, 4)).reshape(draws.shape)
    p = np.array([[kstest(column, "uniform").pvalue for column in rows.T] for rows in y])
    for column in p.T:
        assert kstest(column, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(y.reshape(-1, 4).T) - np.eye(4)).max() < 0.045
    assert np.array_equal(density.sample(5, 1), density.sample(5, 1))


def test_potentials_are_normal_independent_and_come_back(density, iris):
    z = density.transform(iris)
    assert np.allclose(z, ndtri(density.cdf(iris)), atol=1e-6)
    assert np.abs(density.inverse_transform(z) - iris).max() < 1e-9
    far = np.random.default_rng(0).standard_normal((40, 4))
    far[:, density.order_[-1]] = np.linspace(-12, 12, 40)  # of some y no digit is left
    assert np.allclose(density.transform(density.inverse_transform(far)), far, atol=1e-6)
    z = density.transform(density.sample(2000, 0))
    for column in z.T:
        assert kstest(column, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(z.T) - np.eye(4)).max() < 0.1


def test_what_comes_before_a_missing_value_is_known_and_what_comes_after_is_not(density, iris):
    rows = iris[:3].copy()
    second, later = density.order_[1], density.order_[1:]
    rows[1, second] = np.nan
    for method in (density.cdf, density.pit, density.transform):
        expected = method(iris[:3])
        expected[1, later] = np.nan
        np.testing.assert_allclose(method(rows), expected, rtol=1e-12)


def test_potentials_are_frames_where_they_are_asked_for(iris):
    frame = pd.DataFrame(iris, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), TriangularDensity(random_state=0, max_layers=5))
    z = pipeline.set_output(transform="pandas").fit_transform(frame)
    assert list(z.columns) == list(pipeline[-1].get_feature_names_out()) == list("abcd")
    back = pipeline[-1].inverse_transform(z)
    pd.testing.assert_frame_equal(back, pipeline[0].transform(frame))
    with pytest.raises(DataError, match=r"`Z` must have the columns \['a', 'b', 'c', 'd'\]"):
        pipeline[-1].inverse_transform(z[list("bacd")])
    numbered = TriangularDensity(random_state=0, max_layers=5).fit(pd.DataFrame(iris))
    z = numbered.set_output(transform="pandas").transform(pd.DataFrame(iris))
    assert list(z.columns) == ["x0", "x1", "x2", "x3"]
    np.testing.assert_allclose(numbered.inverse_transform(z), iris, atol=1e-9)


@pytest.mark.parametrize("kind", ["clusters", "uniform", "heavy"])
def test_one_column_is_normalised_in_its_own_units(kind):
    rng = np.random.default_rng(1)
    x = {
        "clusters": np.concatenate([rng.normal(-1, 0.2, 300), rng.normal(1, 0.5, 300)]),
        "uniform": rng.uniform(-1, 1, 600),
        "heavy": rng.standard_t(3, 600),
    }[kind]
    X = 1e4 + 250 * x[:, None]
    density = TriangularDensity(random_state=0).fit(X)
    # Gauss-Legendre between the places where the density may jump.
    table, jumps = (
        density.table_,
        [-1e60, 1e60],
    )  # the tails of a marginal map are those of a Student density
    for weighted in density.map_.heads:
        for gated in getattr(weighted.head, "nodes", ()):
            edges = np.concatenate([marginal_map.edges for marginal_map in gated.maps])[None]
            start = rewind(density.map_.network, edges, n_slices=weighted.time)
            jumps += list(table._place(0, start[0]))
    if table.marginals[0] is not None:
        jumps += list(table.marginals[0].edges * table.scale[0] + table.mean[0])
    t = np.arcsinh((np.unique(jumps) - 1e4) / 250)
    fine, coarse = np.linspace(-9, 9, 4000), np.linspace(t[0], t[-1], 300)
    cuts = np.unique(np.concatenate([t, fine, coarse]))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    s = (middle[:, None] + half[:, None] * nodes).ravel()
    weight = (half[:, None] * weights).ravel() * 250 * np.cosh(s)
    total = weight @ np.exp(density.score_samples(1e4 + 250 * np.sinh(s)[:, None]))
    assert total == pytest.approx(1.0, abs=1e-8)
    y = density.cdf(X)
    # Where the density is small, the last bit of y is worth more than that.
    rounding = np.finfo(np.float64).eps / np.exp(density.score_samples(X))[:, None]
    assert np.all(np.abs(density.quantile(y) - X) < 1e-6 + rounding)
    assert np.all(np.diff(density.cdf(np.sort(X, axis=0))[:, 0]) > 0)


def test_two_columns_are_normalised_in_their_own_units():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((500, 2)) @ [[3.0, 2.0], [0.0, 0.2]] + [5.0, -1.0]
    density = TriangularDensity(random_state=0, order="given", max_layers=30).fit(X)
    assert not any(isinstance(r.head, TreeHead) for r in density.map_.heads)
    s = np.linspace(-7, 7, 501)
    x = 5 + 3 * np.sinh(s)
    median, upper = (
        density.quantile(np.stack([density.cdf(np.stack([x, x], axis=1))[:, 0], y + 0 * x], axis=1))
        for y in (0.5, 0.84)
    )
    t = np.linspace(-7, 7, 401)
    spread = (upper - median)[:, 1, None]
    y = median[:, 1, None] + spread * np.sinh(t)
    weight = 3 * np.cosh(s)[:, None] * (s[1] - s[0]) * (t[1] - t[0]) * spread * np.cosh(t)
    rows = np.stack([np.repeat(x, len(t)), y.ravel()], axis=1)
    total = weight.ravel() @ np.exp(density.score_samples(rows))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_units_and_the_numbering_of_columns_change_nothing_else(iris):
    plain = TriangularDensity(order=[2, 0, 3, 1], random_state=0).fit(iris)
    scale = np.array([2.0, 0.5, 1024.0, 1.0])  # powers of two: exact in binary
    scaled = TriangularDensity(order=[2, 0, 3, 1], random_state=0).fit(iris * scale)
    expected = plain.score_samples(iris) - np.log(scale).sum()
    assert np.allclose(scaled.score_samples(iris * scale), expected, rtol=1e-9)
    assert np.allclose(scaled.cdf(iris * scale), plain.cdf(iris), atol=1e-9)
    shuffle = np.array([3, 1, 0, 2])  # column k of the shuffled rows is column shuffle[k]
    order = [int(np.flatnonzero(shuffle == j)[0]) for j in (2, 0, 3, 1)]
    shuffled = TriangularDensity(order=order, random_state=0).fit(iris[:, shuffle])
    assert np.allclose(
        shuffled.score_samples(iris[:, shuffle]), plain.score_samples(iris), rtol=1e-9
    )
    assert np.allclose(shuffled.cdf(iris[:, shuffle]), plain.cdf(iris)[:, shuffle], atol=1e-9)
    moved = TriangularDensity(order=[2, 0, 3, 1], random_state=0).fit(iris + 64.0)
    assert np.allclose(moved.score_samples(iris + 64.0), plain.score_samples(iris), atol=1e-6)


@pytest.mark.parametrize("n", [60, 2000])
def test_gaussian_rows_are_described_as_a_gaussian_describes_them(n):
    rng = np.random.default_rng(0)
    factor = np.tril(rng.standard_normal((4, 4))) + 2 * np.eye(4)
    truth = multivariate_normal(np.arange(4.0), factor @ factor.T)
    train, test = truth.rvs(n, random_state=rng), truth.rvs(20_000, random_state=rng)
    density = TriangularDensity(random_state=0).fit(train)
    best = multivariate_normal(train.mean(axis=0), np.cov(train.T, bias=True))
    gaussian = (truth.logpdf(test) - best.logpdf(test)).mean()
    ours = (truth.logpdf(test) - density.score_samples(test)).mean()
    assert 0 < ours < 2 * gaussian + 0.02  # which rows are for validation counts where they are few


def test_curved_rows_are_described_better_than_by_a_gaussian():
    rng = np.random.default_rng(0)
    train, test = (sample_problem("two_moons", n, rng) for n in (1000, 4000))
    density = TriangularDensity(random_state=0).fit(train)
    gaussian = multivariate_normal(train.mean(axis=0), np.cov(train.T)).logpdf(test).mean()
    assert density.score(test) > gaussian + 0.7
    # The first column in the order is described by its own distribution function.
    first = density.order_[0]
    empirical = (train[:, first] <= np.median(train[:, first])).mean()
    row = np.median(train, axis=0)[None]
    assert density.cdf(row)[0, first] == pytest.approx(empirical, abs=0.03)


def test_the_order_that_is_chosen_is_a_permutation_and_threads_do_not_matter(density, iris):
    assert sorted(density.order_) == [0, 1, 2, 3]
    scores = [
        TriangularDensity(random_state=0, n_threads=n, max_layers=20).fit(iris).score_samples(iris)
        for n in (1, 2)
    ]
    assert np.array_equal(*scores)
    given = TriangularDensity(order="given", random_state=0, max_layers=5).fit(iris)
    assert list(given.order_) == [0, 1, 2, 3]


def test_validation_rows_are_used_where_they_are_given(iris):
    train, other = iris[::2], iris[1::2]
    a = TriangularDensity(random_state=0, order="given").fit(train, X_validation=other)
    assert np.allclose(a.table_.mean, train.mean(axis=0))
    b = TriangularDensity(random_state=0, order="given").fit(train, X_validation=other + 0.5)
    assert a.score(other) > b.score(other)


def test_awkward_tables_are_survived(iris):
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((12, 30))
    twins = np.repeat(rng.standard_normal((200, 2)), 2, axis=1)
    spikes = np.stack([rng.integers(0, 3, 400) + rng.uniform(0, 1e-3, 400), rng.normal(size=400)])
    outlier = np.vstack([rng.standard_normal((100, 2)), [[1e6, -1e6]]])
    for rows in (wide, twins, spikes.T, outlier, iris[:3], iris.astype(np.float32)):
        density = TriangularDensity(random_state=0, max_layers=40).fit(rows)
        assert np.isfinite(density.score(rows))
        y = density.cdf(rows)
        assert np.all((y >= 0) & (y <= 1))
        assert np.all(np.isfinite(density.quantile(y)))
        assert density.sample(3, 0).shape == (3, rows.shape[1])


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda X: X.__setitem__((3, 1), np.inf), "contains infinity at row 3, column 1"),
        (lambda X: X.__setitem__((slice(None), 2), 1e200 * X[:, 2]), "finite variance.*column 2"),
    ],
)
def test_spoiled_rows_are_named_in_one_line(iris, spoil, text):
    rows = iris.copy()
    spoil(rows)
    with pytest.raises(DataError, match=text) as caught:
        TriangularDensity().fit(rows)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_named_in_one_line(density, iris):
    with pytest.raises(DataError, match="at least 2 rows"):
        TriangularDensity().fit(iris[:1])
    with pytest.raises(DataError, match=r"is constant .* in the training rows"):
        TriangularDensity(random_state=0).fit(iris[:2])
    for order in ("best", [0, 1, 2], [0, 1, 2, 2], [[0, 1, 2, 3]], 3, [0.5, 1, 2, 3]):
        with pytest.raises(ConfigurationError, match="`order` must"):
            TriangularDensity(order=order).fit(iris)
    for name, value in (
        ("max_layers", -1),
        ("patience", 0),
        ("validation_fraction", 2.0),
        ("n_threads", 0),
        ("random_state", -1),
    ):
        with pytest.raises(ValueError, match=name):
            TriangularDensity(**{name: value}).fit(iris)
    for method in (density.score_samples, density.cdf, density.quantile, density.inverse_transform):
        with pytest.raises(ValueError, match="3 features"):
            method(np.full((2, 3), 0.5))
    with pytest.raises(
        DataError, match=r"`U` must lie in \[0, 1\], but contains 1.5 at row 0, col"
    ):
        density.quantile([[0.5, 1.5, 0.5, 0.5]])
    with pytest.raises(DataError, match="`X_validation` must be finite"):
        TriangularDensity().fit(iris, X_validation=np.full((2, 4), np.inf))
    with pytest.raises(DataError, match="`Z` must be finite, but contains infinity"):
        density.inverse_transform(np.full((2, 4), np.inf))
    for wrong in (0, 2.5, True):
        with pytest.raises(ConfigurationError, match="`n_samples` must be an integer >= 1"):
            density.sample(wrong)
