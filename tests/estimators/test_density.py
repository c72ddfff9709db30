"""What reads the density: marginal maps, mixture energies, heads and their average."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from neurolp import BrainDensity
from neurolp.brain.base_density import BASES, base_density
from neurolp.brain.heads.head import WeightedHead, dream, joint_log_prob, log_prob
from neurolp.brain.heads.mixture import MixtureHead, _quadratic, fit_mixture
from neurolp.brain.heads.selection import learn_heads
from neurolp.brain.heads.tree import TreeHead, fit_tree
from neurolp.brain.marginal import MarginalMap, grow_marginal_map, learn_marginal_transform
from neurolp.data.problems_2d import problem_log_density, sample_problem
from neurolp.errors import NetworkError
from tests import naive
from tests.networks import random_network


def lattice(seed, n=600):
    """A third continuous, the rest on seven narrow values, and three outliers."""
    rng = np.random.default_rng(seed)
    spikes = rng.integers(-3, 4, 2 * n) + rng.uniform(-1e-3, 1e-3, 2 * n)
    return np.concatenate([rng.standard_normal(n), spikes, [30.0, -40.0, 9.0]])


def mixture(seed, n_components, n_nodes):
    rng = np.random.default_rng(seed)
    factors = np.tril(0.3 * rng.standard_normal((n_components, n_nodes, n_nodes)))
    factors[:, np.arange(n_nodes), np.arange(n_nodes)] = rng.uniform(
        0.3, 1, (n_components, n_nodes)
    )
    weights = rng.dirichlet(np.full(n_components, 3.0))
    return MixtureHead(weights, rng.standard_normal((n_components, n_nodes)), factors)


# --- marginal maps


@pytest.mark.parametrize("base", BASES.names)
def test_receptor_is_the_naive_one_and_comes_back(base):
    density = base_density(base)
    u = lattice(0)
    marginal_map = grow_marginal_map(density, u)
    assert len(marginal_map.masses) > 10
    near = np.linspace(-4, 4, 1001)
    out, log_slope = marginal_map.forward(near)
    wanted = np.array([naive.marginal_map(density, marginal_map, x) for x in near]).T
    assert np.allclose(out, wanted[0], rtol=1e-9, atol=1e-9)
    assert np.allclose(log_slope, wanted[1], rtol=1e-9, atol=1e-9)
    far = np.concatenate([u, np.linspace(-1e4, 1e4, 401), marginal_map.edges])
    assert np.allclose(
        marginal_map.inverse(marginal_map.forward(far)[0]), far, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("base", BASES.names)
def test_slope_of_a_receptor_is_its_derivative(base):
    density = base_density(base)
    marginal_map = MarginalMap(density, np.array([-1.0, 0.2, 1.5]), np.array([0.1, 0.5, 0.1, 0.3]))
    u, h = np.linspace(-6, 6, 397), 1e-6
    up, down = marginal_map.forward(u + h)[0], marginal_map.forward(u - h)[0]
    inside = np.all(np.abs(u[:, None] - marginal_map.edges) > 2 * h, axis=1)
    slope = np.log((up - down) / (2 * h))
    assert np.allclose(marginal_map.forward(u)[1][inside], slope[inside], atol=1e-7)


def test_every_bin_of_a_receptor_holds_its_mass():
    density = base_density("normal")
    marginal_map = MarginalMap(
        density, np.array([-2.0, 0.0, 0.5]), np.array([0.05, 0.05, 0.7, 0.2])
    )
    for low, high, mass in ((-2.0, 0.0, 0.05), (0.0, 0.5, 0.7)):
        x, w = np.polynomial.legendre.leggauss(40)
        u = (low + high) / 2 + x * (high - low) / 2
        out, log_slope = marginal_map.forward(u)
        density_there = np.exp(log_slope - density.energy(out))
        assert (w * density_there).sum() * (high - low) / 2 == pytest.approx(mass, abs=1e-12)


def test_a_receptor_of_a_smooth_column_is_the_identity():
    rng = np.random.default_rng(0)
    density = base_density("normal")
    assert len(grow_marginal_map(density, rng.standard_normal(500)).masses) <= 3
    smooth = np.exp(0.7 * rng.standard_normal((3, 1000)))
    learned = learn_marginal_transform(density, smooth[:, :700], smooth[:, 700:])
    assert learned is None or sum(len(r.masses) > 1 for r in learned.nodes) <= 1


def test_columns_with_spikes_get_receptors_and_others_do_not():
    spiky, rng = np.random.default_rng(1).permutation(lattice(2)), np.random.default_rng(3)
    both = np.stack([spiky, rng.standard_normal(len(spiky))])
    density = base_density("normal")
    learned = learn_marginal_transform(density, both[:, :1200], both[:, 1200:])
    assert [len(r.masses) > 1 for r in learned.nodes] == [True, False]


@pytest.mark.parametrize(
    ("edges", "masses", "text"),
    [
        ([0.0, 0.0], [0.2, 0.3, 0.5], "edges must increase"),
        ([0.0], [0.2, 0.3, 0.5], "one fewer"),
        ([0.0], [0.0, 1.0], "masses must be positive"),
        ([0.0], [0.5, 0.6], "sum to 1"),
    ],
)
def test_wrong_receptors_are_refused(edges, masses, text):
    with pytest.raises(NetworkError, match=text):
        MarginalMap(base_density("normal"), np.array(edges), np.array(masses))


# --- mixture energies


def test_mixture_is_that_of_scipy():
    energy = mixture(0, 3, 4)
    u = 2 * np.random.default_rng(1).standard_normal((4, 5000))
    parts = [
        w * multivariate_normal(m, f @ f.T).pdf(u.T)
        for w, m, f in zip(energy.weights, energy.means, energy.factors, strict=True)
    ]
    assert np.allclose(np.exp(energy.log_prob(u)), sum(parts), rtol=1e-10)
    rows = u.T[:100]
    upper = np.triu_indices(4)
    moments = np.hstack([np.ones((100, 1)), rows, rows[:, upper[0]] * rows[:, upper[1]]])
    assert np.allclose(moments @ _quadratic(energy).T, energy.joint_log_prob(rows), atol=1e-9)


def test_mixture_draws_have_its_moments():
    energy = mixture(1, 3, 2)
    draws = energy.sample(200_000, np.random.default_rng(0))
    mean = energy.weights @ energy.means
    second = sum(
        w * (f @ f.T + np.outer(m, m))
        for w, m, f in zip(energy.weights, energy.means, energy.factors, strict=True)
    )
    assert np.allclose(draws.mean(axis=1), mean, atol=0.015)
    assert np.allclose(draws @ draws.T / 200_000, second, atol=0.03)


def test_fitted_mixture_takes_the_naive_step():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-2, 0.5, (200, 3)), rng.normal(1, 0.8, (300, 3))])
    settled = fit_mixture(rows.T, 2, 1.5, 0, max_iterations=3000, tolerance=1e-13)
    wanted = naive.mixture_step(settled, rows, 1.5, 2 ** (-2 / 3))
    assert np.allclose(settled.weights, wanted[0], atol=1e-5)
    assert np.allclose(settled.means, wanted[1], atol=1e-5)
    assert np.allclose(settled.factors @ settled.factors.transpose(0, 2, 1), wanted[2], atol=1e-5)


def test_a_mixture_never_beats_the_truth():
    rng = np.random.default_rng(5)
    truth = mixture(2, 3, 2)
    train, test = truth.sample(4000, rng), truth.sample(20_000, rng)
    behind = truth.log_prob(test) - fit_mixture(train, 3, 0.1, 0).log_prob(test)
    assert -4 * behind.std() / np.sqrt(20_000) < behind.mean() < 0.01


# --- trees


def xor_boxes(n, rng):
    """Uniform on the first and third quadrant of a square of side 4, and a third, dependent node."""
    sign = rng.choice([-1.0, 1.0], n)
    both = sign * rng.uniform(0, 2, (2, n))
    return np.vstack([both, rng.standard_normal(n)])


def test_tree_finds_borders_that_no_marginal_shows():
    rng = np.random.default_rng(0)
    train, test = xor_boxes(4000, rng), xor_boxes(8000, rng)
    tree = fit_tree(base_density("normal"), train)
    gate = next(g for g in tree.nodes if g.node in (0, 1) and g.parent in (0, 1))
    assert np.abs(gate.edges).min() < 0.02
    assert {g.parent for g in tree.nodes if g.node == 2} == {-1}
    behind = multivariate_normal(0, 1).logpdf(test[2]) - np.log(8.0) - tree.log_prob(test)
    assert -4 * behind.std() / np.sqrt(8000) < behind.mean() < 0.06


def test_tree_is_normalised_and_dreams_follow_it():
    rng = np.random.default_rng(1)
    tree = fit_tree(base_density("logistic"), xor_boxes(600, rng)[:2])
    edges = [np.unique(np.concatenate([g.edges, *(r.edges for r in g.maps)])) for g in tree.nodes]
    x, w = np.polynomial.legendre.leggauss(24)
    axes = {}
    every = np.unique(np.concatenate(edges))
    t = np.arcsinh(np.concatenate([[-1e6], every, [1e6]]))
    for i in range(2):
        cuts = [np.linspace(a, b, 4) for a, b in pairwise(t)]
        cut = np.unique(np.concatenate(cuts))
        half, middle = np.diff(cut) / 2, (cut[1:] + cut[:-1]) / 2
        s = (middle[:, None] + half[:, None] * x).ravel()
        axes[i] = (np.sinh(s), (half[:, None] * w).ravel() * np.cosh(s))
    total = 0.0
    for a, weight in zip(*axes[0], strict=True):
        total += weight * (np.exp(tree.log_prob(np.vstack([np.full_like(axes[1][0], a), axes[1][0]])))
                           @ axes[1][1])  # fmt: skip
    assert total == pytest.approx(1.0, abs=1e-6)
    dreams = tree.sample(20_000, np.random.default_rng(0))
    assert np.mean(dreams[0] * dreams[1] > 0) == pytest.approx(1.0, abs=0.02)


# --- heads


def test_average_of_readouts_is_normalised_and_dreams_follow_it():
    network = random_network(3, 2, n_slices=4, strength=0.2)
    heads = (
        WeightedHead(0, 0.3, mixture(0, 2, 2)),
        WeightedHead(2, 0.5),
        WeightedHead(4, 0.2, mixture(1, 3, 2)),
    )
    t = np.sinh(np.linspace(-4.5, 4.5, 1201))
    u = np.array(np.meshgrid(t, t)).reshape(2, -1)
    weight = np.cosh(np.arcsinh(t)) * (9 / 1200)
    values = np.exp(log_prob(network, heads, u)).reshape(len(t), len(t))
    assert weight @ values @ weight == pytest.approx(1.0, abs=1e-6)

    dreams = dream(network, heads, 40_000, np.random.default_rng(0))
    inside = (np.abs(u) < 1).all(axis=0).reshape(len(t), len(t))
    wanted = weight @ (values * inside) @ weight
    assert np.mean((np.abs(dreams) < 1).all(axis=0)) == pytest.approx(wanted, abs=0.01)


def test_readouts_in_any_order_are_the_ones_alone():
    network = random_network(4, 5, n_slices=5)
    heads = (WeightedHead(3, 0.4), WeightedHead(0, 0.1, mixture(0, 2, 5)), WeightedHead(5, 0.5))
    u = np.random.default_rng(0).standard_normal((5, 50))
    joint = joint_log_prob(network, heads, u)
    for head, together in zip(heads, joint, strict=True):
        alone = log_prob(network, (head,), u)
        assert np.allclose(together, alone, atol=1e-12)


@pytest.mark.parametrize("base", BASES.names)
def test_learned_readouts_are_no_worse_than_the_brain_on_validation_data(base):
    rng = np.random.default_rng(0)
    rows = sample_problem("eight_gaussians", 900, rng)
    brain = BrainDensity(base=base, max_slices=30, random_state=0, head="base")
    brain.fit(rows[:600], X_validation=rows[600:])
    plain = brain.score(rows[600:])
    train, validation = (brain._present(x).potential for x in (rows[:600], rows[600:]))
    heads = learn_heads(brain.network_, brain.n_slices_, train, validation, 0)
    assert sum(r.weight for r in heads) == pytest.approx(1.0)
    brain.heads_ = heads
    assert brain.score(rows[600:]) > plain


def test_average_of_densities_stays_above_the_entropy():
    rng = np.random.default_rng(1)
    brain = BrainDensity(random_state=0).fit(sample_problem("eight_gaussians", 6000, rng))
    test = sample_problem("eight_gaussians", 20_000, rng)
    behind = problem_log_density("eight_gaussians", test) - brain.score_samples(test)
    assert -4 * behind.std() / np.sqrt(len(test)) < behind.mean() < 0.02


def test_brain_with_receptors_and_readouts_survives_its_file_and_comes_back(tmp_path):
    u = lattice(1)
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.stack([u, 0.5 * u + 0.1 * rng.standard_normal(len(u))], axis=1))
    brain = BrainDensity(random_state=1, max_slices=20).fit(rows)
    assert brain.marginal_transform_ is not None
    assert brain.heads_ is not None
    brain.save(tmp_path / "brain.h5")
    again = BrainDensity.load(tmp_path / "brain.h5")
    assert np.array_equal(again.score_samples(rows), brain.score_samples(rows))
    assert np.array_equal(again.sample(50, 0), brain.sample(50, 0))
    potential, _ = again.evolve(rows)
    assert np.allclose(again.rewind(potential), rows, rtol=1e-9, atol=1e-9)
    end = BrainDensity(random_state=1, max_slices=20, head="base").fit(rows)
    energy = end.network_.base_density.energy(end.evolve(rows)[0]).sum(axis=1)
    assert np.allclose(end.score_samples(rows), end.evolve(rows)[1] - energy)


def test_a_brain_with_a_tree_survives_its_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = sample_problem("checkerboard", 3000, rng)
    brain = BrainDensity(random_state=0, max_slices=20).fit(rows)
    assert any(isinstance(r.head, TreeHead) for r in brain.heads_)
    test = sample_problem("checkerboard", 20_000, rng)
    behind = problem_log_density("checkerboard", test) - brain.score_samples(test)
    assert -4 * behind.std() / np.sqrt(len(test)) < behind.mean() < 0.12
    brain.save(tmp_path / "brain.h5")
    again = BrainDensity.load(tmp_path / "brain.h5")
    assert np.array_equal(again.score_samples(rows), brain.score_samples(rows))
    assert np.array_equal(again.sample(50, 0), brain.sample(50, 0))


def test_threads_do_not_change_heads():
    rows = sample_problem("two_moons", 500, np.random.default_rng(0))
    scores = [
        BrainDensity(random_state=0, max_slices=20, n_threads=n).fit(rows).score_samples(rows)
        for n in (1, 2)
    ]
    assert np.array_equal(*scores)


def test_an_interrupted_search_for_readouts_loses_nothing(monkeypatch):
    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("neurolp.estimators.density.learn_heads", interrupt)
    rows = sample_problem("two_moons", 300, np.random.default_rng(0))
    brain = BrainDensity(random_state=0, max_slices=10)
    with pytest.raises(KeyboardInterrupt):
        brain.fit(rows)
    assert brain.interrupted_
    assert np.all(np.isfinite(brain.score_samples(rows)))


def test_few_rows_are_read_by_the_base_alone():
    rows = np.random.default_rng(0).standard_normal((5, 2))
    brain = BrainDensity(random_state=0, max_slices=3).fit(rows)
    assert [r.head for r in brain.heads_] == [None]
