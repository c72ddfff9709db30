"""The paper's forms: their equations, their inverses, their local rules."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.linalg import expm
from scipy.special import expit

from neurolp.brain.node_map import SplineGrid
from neurolp.errors import NetworkError
from neurolp.paper.bounded import BARRIER_MIN, BoundedForm
from neurolp.paper.learning import Adam, bounded_gradient, learn_bounded, learn_linear
from neurolp.paper.linear import LinearForm
from neurolp.paper.node_energy import NodeEnergies
from tests import naive

GRID = SplineGrid(-3.0, 4.0, 9)


def random_weights(rng, n, strength=0.7):
    weights = strength * rng.standard_normal((n, n))
    np.fill_diagonal(weights, 0)
    return weights


def random_energies(rng, n):
    """Rough and asymmetric, but rising in both tails."""
    slopes = NodeEnergies.standard(GRID, n).slopes + rng.normal(0, 2, (n, GRID.n_intervals))
    slopes[:, 0] = -np.abs(slopes[:, 0]) - 0.2
    slopes[:, -1] = np.abs(slopes[:, -1]) + 0.2
    return NodeEnergies(GRID, slopes)


def random_linear(seed, n=4, stepping="exact", **settings):
    rng = np.random.default_rng(seed)
    return LinearForm(
        random_weights(rng, n), rng.normal(0, 0.5, n), random_energies(rng, n).slopes, GRID,
        stepping=stepping, **settings,
    )  # fmt: skip


def random_bounded(seed, n=3, duration=0.6, n_steps=4, coupled=True):
    rng = np.random.default_rng(seed)
    return BoundedForm(
        random_weights(rng, n, 1.0 if coupled else 0.0),
        rng.uniform(0.05, 1.0, n),
        rng.normal(0, 1.5, (n, 7)),
        duration,
        n_steps,
    )


# --- energies of single nodes ---------------------------------------------------------------------


def test_energies_are_normalised_and_psi_is_their_derivative():
    energies = random_energies(np.random.default_rng(0), 5)
    knots = GRID.low + GRID.spacing * np.arange(GRID.n_intervals + 1)
    for i in range(5):
        one = NodeEnergies(GRID, energies.slopes[i : i + 1])

        def density(u, one=one):
            return float(np.exp(-one.energy(np.array([[u]]))[0, 0]))

        pieces = [-np.inf, *knots, np.inf]
        total = sum(
            integrate.quad(density, a, b, epsabs=1e-14, epsrel=1e-13)[0]
            for a, b in pairwise(pieces)
        )
        assert abs(total - 1) < 1e-12
    u = np.linspace(-6, 7, 400)[None].repeat(5, 0)
    slope = (energies.energy(u + 1e-5) - energies.energy(u - 1e-5)) / 2e-5
    np.testing.assert_allclose(energies.psi(u), slope, atol=1e-8)


def test_energies_draw_from_their_own_density():
    energies = random_energies(np.random.default_rng(1), 3)
    draws = energies.draw(2000, np.random.default_rng(2))
    edges = np.linspace(-6, 8, 4001)
    centres = 0.5 * (edges[1:] + edges[:-1])
    mass = np.exp(-energies.energy(np.tile(centres, (3, 1)))) * (edges[1] - edges[0])
    for i in range(3):
        below = np.interp(draws[i], edges[1:], np.cumsum(mass[i]))
        assert stats.kstest(below, "uniform").pvalue > 1e-3


def test_energies_learn_until_the_features_of_data_and_model_agree():
    rng = np.random.default_rng(3)
    data = np.vstack([rng.laplace(0.3, 0.8, 4000), rng.normal(0.5, 1.2, 4000)])
    energies = NodeEnergies.standard(GRID, 2)
    for _ in range(60):
        energies = energies.learned(data, 0.5, 1e-9)
    points, logs = energies._quadrature
    model = np.exp(logs - energies.log_partition[:, None])
    gap = energies.features(data).mean(axis=1) - np.einsum(
        "iq,iqk->ik", model, energies.features(points)
    )
    assert np.abs(gap).max() < 1e-6
    loss = energies.energy(data).mean(axis=1)
    entropy = [stats.laplace(scale=0.8).entropy(), stats.norm(scale=1.2).entropy()]
    assert np.all(np.abs(loss - entropy) < 0.04)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:, :-1], "energy slopes must have shape"),
        (lambda s: 100 * s, "energy slopes must lie within"),
        (lambda s: -s, "rise towards both tails"),
    ],
)
def test_energies_that_cannot_be_normalised_are_refused(change, message):
    with pytest.raises(NetworkError, match=message):
        NodeEnergies(GRID, change(NodeEnergies.standard(GRID, 2).slopes))


# --- linear form ----------------------------------------------------------------------------------


def test_linear_flow_is_the_matrix_exponential_and_the_limit_of_small_steps():
    form = replace(random_linear(4), bias=np.zeros(4), duration=1.3)
    u = np.random.default_rng(5).standard_normal((4, 6))
    end, log_det = form.evolve(u)
    np.testing.assert_allclose(end, expm(1.3 * form.weights) @ u, rtol=1e-12, atol=1e-12)
    assert not log_det.any()
    assert abs(np.linalg.slogdet(expm(1.3 * form.weights))[1]) < 1e-12
    errors = []
    for n_steps in (100, 200):
        euler = replace(form, stepping="synchronous", n_steps=n_steps)
        errors.append(np.abs(euler.evolve(u)[0] - end).max())
    assert 1.8 < errors[0] / errors[1] < 2.2  # first order


def test_linear_bias_is_integrated_too():
    form = random_linear(6)
    slow = replace(form, stepping="synchronous", n_steps=40_000)
    u = np.zeros((4, 1))
    np.testing.assert_allclose(slow.evolve(u)[0], form.evolve(u)[0], atol=1e-3)


def test_synchronous_step_is_the_equation_for_all_nodes_at_once():
    form = random_linear(7, stepping="synchronous", n_steps=3, duration=0.9)
    u = np.random.default_rng(8).standard_normal(4)
    expected = u.copy()
    for _ in range(3):
        expected = np.array(
            [
                expected[i]
                + 0.3 * (sum(form.weights[i, j] * expected[j] for j in range(4)) + form.bias[i])
                for i in range(4)
            ]
        )
    np.testing.assert_allclose(form.evolve(u[:, None])[0][:, 0], expected, rtol=1e-13)


@pytest.mark.parametrize("stepping", ["exact", "synchronous"])
def test_linear_rewind(stepping):
    form = random_linear(9, stepping=stepping)
    u = np.random.default_rng(10).standard_normal((4, 50))
    assert np.abs(form.rewind(form.evolve(u)[0]) - u).max() < 1e-11


def laplace_mixture(rng, n):
    """Two Laplace sources, mixed: (u, entropy in nats)."""
    mixing = np.array([[1.0, 0.6], [-0.4, 1.0]])
    u = mixing @ rng.laplace(size=(2, n))
    scale = u.std(axis=1, keepdims=True)
    entropy = 2 * (1 + np.log(2)) + np.log(np.linalg.det(mixing)) - np.log(scale).sum()
    return u / scale, entropy


def learn(form, u, step, n_epochs, rng):
    adam = Adam()
    for epoch in range(n_epochs):
        for batch in np.array_split(rng.permutation(u.shape[1]), u.shape[1] // 200):
            form, _ = step(form, u[:, batch], adam, 1 / (1 + epoch / 3))
    return form


def new_linear(n=2, **settings):
    grid = SplineGrid(-4, 4, 16)
    slopes = NodeEnergies.standard(grid, n).slopes
    return LinearForm(np.zeros((n, n)), np.zeros(n), slopes, grid, **settings)


def test_linear_rule_comes_to_rest_where_the_surprise_is_stationary():
    """On a whole data set: the gradient by W of -log Phi itself vanishes at the rest point."""
    u, _ = laplace_mixture(np.random.default_rng(11), 2000)
    form = new_linear()
    for _ in range(300):
        psi = form.energies.psi(end := form.evolve(u)[0])
        force = psi @ end.T / u.shape[1]
        np.fill_diagonal(force, 0)
        energies = form.energies.learned(end, 0.5, 1e-9)
        bias = form.bias - 0.1 * psi.mean(axis=1)
        weights = form.weights - 0.5 * force
        form = replace(form, weights=weights, slopes=energies.slopes, bias=bias)

    def surprise(weights):
        return -replace(form, weights=weights).log_prob(u).mean()

    assert np.abs(force).max() < 5e-5
    assert np.abs(form.weights).max() > 0.2
    # E[psi_i u_i] is 1 but for what the splines of the energies cannot represent.
    unscaled = np.abs(np.mean(psi * end, axis=1) - 1).max()
    assert unscaled < 5e-3
    h = 1e-4
    for i, j in ((0, 1), (1, 0)):
        step = np.zeros((2, 2))
        step[i, j] = h
        gradient = (surprise(form.weights + step) - surprise(form.weights - step)) / (2 * h)
        assert abs(gradient) < unscaled + 1e-4
        # Somewhere else the rule pushes, and the surprise is not stationary: the test can fail.
        moved = form.weights + 500 * step
        elsewhere = (surprise(moved + step) - surprise(moved - step)) / (2 * h)
        assert abs(elsewhere) > 0.01


def test_linear_form_learns_and_only_synchronous_steps_claim_less_than_the_entropy():
    rng = np.random.default_rng(12)
    chol = np.linalg.cholesky([[1.0, 0.8], [0.8, 1.0]])
    entropy = 1 + np.log(2 * np.pi) + 0.5 * np.log(1 - 0.64)
    train, test = chol @ rng.standard_normal((2, 4000)), chol @ rng.standard_normal((2, 20_000))
    surprise = {}
    for stepping in ("exact", "synchronous"):
        form = new_linear(stepping=stepping, n_steps=2)
        before = -form.log_prob(test).mean()
        form = learn(
            form, train, lambda f, u, a, r: learn_linear(f, u, a, 0.02 * r, 0.1 * r, 1e-3), 6, rng
        )
        surprise[stepping] = -form.log_prob(test).mean()
        assert before - entropy > 0.45  # they start at independent nodes: 0.51 nats of information
    # The sample of the test rows itself varies by 0.007 nats.
    assert -0.02 < surprise["exact"] - entropy < 0.05
    claimed_too_much = 2 * np.linalg.slogdet(np.eye(2) + 0.5 * form.weights)[1]
    assert surprise["synchronous"] - entropy < -0.08
    assert abs(surprise["synchronous"] - claimed_too_much - entropy) < 0.05


# --- bounded form ---------------------------------------------------------------------------------


def test_bounded_step_is_the_implicit_equation():
    form = random_bounded(13)
    rng = np.random.default_rng(14)
    u = 3 * rng.standard_normal((3, 20))
    a, (new, denominator) = expit(u), form.step(u)
    for c in range(20):
        for i in range(3):
            drive = a[i, c] + form.dt * sum(form.weights[i, j] * a[j, c] for j in range(3))
            expected = naive.bounded_step(form.grid, form.shape[i], form.barrier[i], form.dt, drive)
            assert abs(expit(new[i, c]) - expected) < 1e-12
            slope = naive.bounded_slope(
                form.grid, form.shape[i], form.barrier[i], form.dt, expected
            )
            width = expected * (1 - expected)
            np.testing.assert_allclose(width / denominator[i, c], slope, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_bounded_rewind_finds_the_past_and_knows_when_there_is_none(seed):
    # Strong barriers: where weak ones let states pile up at an edge, double precision forgets them.
    form = replace(random_bounded(seed), barrier=np.array([0.7, 1.0, 1.5]))
    u = 2 * np.random.default_rng(seed).standard_normal((3, 200))
    end, _ = form.evolve(u)
    assert np.abs(form.rewind(end) - u).max() < 1e-8
    # An edge is an entrance: no state within its reach has a past.
    assert np.isnan(form.rewind(np.full((3, 1), 30.0))).all()


def test_bounded_states_stay_inside_for_any_weights_and_time_step():
    rng = np.random.default_rng(15)
    form = BoundedForm(
        100 * random_weights(rng, 4), np.full(4, BARRIER_MIN), np.zeros((4, 6)), 20.0, 4
    )
    u = rng.standard_normal((4, 100)) * 10.0 ** rng.uniform(0, 2, 100)
    end, log_det = form.evolve(u)
    assert np.all(np.isfinite(end))
    assert np.all(np.isfinite(log_det))


def test_bounded_gradient_is_exact_for_uncoupled_nodes():
    form = random_bounded(16, coupled=False)
    u = 2 * np.random.default_rng(17).standard_normal((3, 30))
    loss, gradient = bounded_gradient(form, u)
    log_prob = -form.log_prob(u).mean()
    base = form.energy(u).mean()
    np.testing.assert_allclose(loss.sum(), log_prob - base, rtol=1e-12)
    for name in ("barrier", "shape"):
        analytic, values = gradient[name], getattr(form, name)
        for at in np.ndindex(*values.shape):
            h, moved = 1e-5, []
            for sign in (1, -1):
                changed = values.copy()
                changed[at] += sign * h
                moved.append(-replace(form, **{name: changed}).log_prob(u).mean())
            difference = (moved[0] - moved[1]) / (2 * h)
            assert abs(analytic[at] - difference) < 1e-6 * max(1, abs(difference)), (name, at)


def test_bounded_gradient_is_each_nodes_own_with_the_others_held_fixed():
    form = random_bounded(18)
    u = np.random.default_rng(19).standard_normal((3, 4))
    _, gradient = bounded_gradient(form, u)
    paths = [u]
    for _ in range(form.n_steps):
        paths.append(form.step(paths[-1])[0])
    activity = expit(np.array(paths[:-1]))  # (step, node, trajectory), held fixed

    def own_loss(i, row):
        inputs = np.einsum("j,tjc->ct", row, activity)
        return np.mean(
            [
                naive.bounded_node_loss(
                    form.grid, form.shape[i], form.barrier[i], form.dt, expit(u[i, c]), inputs[c]
                )
                for c in range(u.shape[1])
            ]
        )

    for i in range(3):
        for j in set(range(3)) - {i}:
            h = np.zeros(3)
            h[j] = 1e-4
            difference = own_loss(i, form.weights[i] + h) - own_loss(i, form.weights[i] - h)
            np.testing.assert_allclose(
                gradient["weights"][i, j], difference / 2e-4, rtol=1e-6, atol=1e-8
            )
        assert gradient["weights"][i, i] == 0


def test_bounded_form_learns_towards_the_entropy_and_never_below():
    """Two bumps on one node, where the claim is honest but for the lost volume."""
    rng = np.random.default_rng(20)

    def draw(n):
        u = 0.3 * rng.standard_normal((1, n)) + np.where(rng.random(n) < 0.5, 1, -1)
        return u * np.pi / np.sqrt(3)

    grid = np.linspace(-4, 4, 20_001)
    density = 0.5 * stats.norm.pdf(grid, 1, 0.3) + 0.5 * stats.norm.pdf(grid, -1, 0.3)
    entropy = -integrate.trapezoid(density * np.log(density), grid) + np.log(np.pi / np.sqrt(3))
    train, test = draw(4000), draw(20_000)
    form = BoundedForm(np.zeros((1, 1)), np.full(1, 0.02), np.zeros((1, 11)), 1.0, 10)
    before = -form.log_prob(test).mean()
    form = learn(form, train, lambda f, u, a, r: learn_bounded(f, u, a, 0.1 * r), 20, rng)
    after = -form.log_prob(test).mean()
    assert before - entropy > 0.6
    assert -0.01 < after - entropy < 0.1
    volume = np.diff(expit(form.evolve(np.array([[-500.0, 500.0]]))[0]))[0, 0]
    grid = np.linspace(-30, 30, 200_001)
    integral = integrate.trapezoid(np.exp(form.log_prob(grid[None])), grid)
    assert volume < 1
    assert abs(integral - volume) < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.eye(3)}, "zero on the diagonal, but node 0"),
        ({"weights": np.zeros((3, 2))}, r"must have shape \(n, n\)"),
        ({"weights": np.full((3, 3), np.nan) * (1 - np.eye(3))}, "zero on the diagonal|finite"),
        ({"duration": 0.0}, "`duration` must be positive"),
        ({"n_steps": 0}, "`n_steps` must be >= 1"),
        ({"barrier": np.zeros(3)}, "`barrier` must be at least"),
        ({"barrier": np.ones(2)}, "shapes"),
        ({"shape": np.full((3, 7), 1e3)}, "slope coefficients"),
        ({"shape": np.vstack([np.full((1, 7), 0.0), np.full((2, 7), -np.inf)])}, "slope|finite"),
    ],
)
def test_wrong_bounded_parameters_are_refused(change, message):
    with pytest.raises(NetworkError, match=message):
        replace(random_bounded(0), **change)


def test_wrong_linear_parameters_and_states_are_refused():
    form = random_linear(0)
    with pytest.raises(NetworkError, match="`stepping` must be one of"):
        replace(form, stepping="euler")
    with pytest.raises(NetworkError, match="`bias` must have shape"):
        replace(form, bias=np.zeros(3))
    with pytest.raises(ValueError, match=r"`potential` must have shape \(4, n_trajectories\)"):
        form.evolve(np.zeros((3, 2)))
