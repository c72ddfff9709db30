"""The audit tells the truth: about forms that hold, and about forms that do not."""

import io
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter

import numpy as np
import pytest
from scipy import sparse

import neurolp
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.form import ExactForm, Form
from neurolp.brain.network import Network, Slice, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.update_order import ordered_partition
from neurolp.paper.bounded import BoundedForm
from tests.brain.test_exactness import dual_jacobian
from tests.networks import random_network
from tests.paper.test_forms import random_bounded, random_linear


@pytest.mark.parametrize("kind", ["full", "dense", "sparse"])
@pytest.mark.parametrize("log_scale", [True, False])
def test_brute_force_jacobians_are_those_of_the_naive_equations(kind, log_scale):
    network = random_network(3, 6, kind=kind, log_scale=log_scale, rotation=True)
    u = np.random.default_rng(0).standard_normal((6, 1))
    product = np.eye(6)
    for jacobian in ExactForm(network).step_jacobians(u):
        product = jacobian @ product
    np.testing.assert_allclose(product, dual_jacobian(network, u[:, 0]), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("form", [random_linear(0), random_bounded(1), random_linear(2, stepping="synchronous")])  # fmt: skip
def test_brute_force_jacobians_are_those_of_finite_differences(form):
    n = form.n_nodes
    u = np.random.default_rng(1).standard_normal((n, 1))
    product = np.eye(n)
    for jacobian in form.step_jacobians(u):
        product = jacobian @ product
    h = 1e-5 * np.eye(n)
    differences = (form.evolve(u + h)[0] - form.evolve(u - h)[0]) / 2e-5
    np.testing.assert_allclose(product, differences, atol=1e-8)


@pytest.mark.parametrize("n_nodes", [1, 2, 5])
@pytest.mark.parametrize("kind", ["full", "sparse"])
def test_exact_form_holds(n_nodes, kind):
    report = neurolp.audit(random_network(4, n_nodes, kind=kind, strength=0.2), n_dreams=50)
    assert report.holds, str(report)
    assert report.integral_method.startswith("quadrature" if n_nodes <= 2 else "importance")
    assert abs(report.integral - 1) < 1e-4
    assert str(report).count("holds") == 3


def long_network(n_nodes, n_slices, kind, rng):
    """Slices as learning leaves them: each moves the state a little, four hundred move it far."""
    if kind == "full":
        connectivity = Connectivity.full(n_nodes)
    else:
        edges = sparse.random_array((n_nodes, n_nodes), density=min(1, 20 / n_nodes), rng=rng)
        edges.setdiag(0)
        connectivity = Connectivity.from_array(edges)
    network = Network(connectivity, "normal", Synapse((-1.0, 0.5), 1.3), True, SplineGrid(-3.5, 3.5, 14))  # fmt: skip
    size = 0.03 / np.sqrt(min(n_nodes, 20) if kind == "sparse" else n_nodes)
    for _ in range(n_slices):
        updates = []
        for targets in ordered_partition("random_halves", connectivity, rng):
            sources = connectivity.sources_of(targets)
            t, s = len(targets), len(sources)

            def weights(m, targets=targets, sources=sources, t=t, s=s):
                if kind == "full":
                    return size * rng.standard_normal((t, m * s))
                allowed = sparse.csr_array(connectivity.matrix[targets][:, sources])
                values = sparse.hstack([allowed.astype(float)] * m, format="csr")
                values.data = size * rng.standard_normal(values.nnz)
                return values

            node_map = network.grid.identity(t)
            node_map[:, 1:] = np.exp(rng.normal(0, 0.05, (t, 14)))
            bias, log_scale_bias = rng.normal(0, 0.02, (2, t))
            updates.append(network.update(targets, sources, weights(3), bias, weights(2), log_scale_bias, node_map))  # fmt: skip
        network.slices.append(Slice(tuple(updates)))
    return network


@pytest.mark.parametrize("kind", ["full", "sparse"])
def test_exact_form_holds_after_400_slices(kind):
    network = long_network(30, 400, kind, np.random.default_rng(5))
    report = neurolp.audit(network, n_dreams=4)
    assert report.holds, str(report)
    assert np.abs(report.true).min() > 1  # four hundred small slices do something
    assert report.round_trip < 1e-8
    assert report.log_det_error < 1e-10


@pytest.mark.parametrize("kind", ["full", "sparse"])
def test_exact_form_holds_with_500_nodes(kind):
    network = long_network(500, 5, kind, np.random.default_rng(6))
    report = neurolp.audit(network, n_points=1, n_dreams=4)
    assert report.holds, str(report)


def test_fitted_estimators_are_audited():
    x = np.random.default_rng(7).gamma(2.0, size=(300, 2))
    brain = neurolp.BrainDensity(max_slices=12, random_state=0).fit(x)
    report = neurolp.audit(brain)
    assert report.holds, str(report)
    assert report.n_times == brain.n_slices_
    with pytest.raises(
        TypeError, match="must be a form, a network or a fitted estimator, but is int"
    ):
        neurolp.audit(3)


def test_linear_form_holds_with_the_exact_flow_and_not_with_synchronous_steps():
    assert neurolp.audit(random_linear(8, n=2)).holds
    assert neurolp.audit(random_linear(8, n=5), n_dreams=50).holds
    form = random_linear(8, n=2, stepping="synchronous", n_steps=4)
    report = neurolp.audit(form)
    true = 4 * np.linalg.slogdet(np.eye(2) + 0.25 * form.weights)[1]
    np.testing.assert_allclose(report.claimed, 0, atol=1e-15)
    np.testing.assert_allclose(report.true, true, rtol=1e-12)
    np.testing.assert_allclose(report.integral, np.exp(-true), rtol=1e-7)
    assert not report.log_det_holds
    assert not report.integral_holds
    assert report.round_trip_holds
    many = neurolp.audit(random_linear(8, n=5, stepping="synchronous"), n_dreams=50)
    assert not many.log_det_holds
    assert not many.integral_holds


def test_synchronous_defect_is_of_the_order_of_the_time_step():
    errors = []
    for n_steps in (200, 400):
        form = random_linear(9, stepping="synchronous", n_steps=n_steps)
        report = neurolp.audit(form, n_points=1, n_dreams=2)
        errors.append(float(report.claimed[0] - report.true[0]))
    trace = np.trace(form.weights @ form.weights) / 2
    assert abs(errors[0] / errors[1] - 2) < 0.05
    np.testing.assert_allclose(errors[1] * 400, trace, rtol=0.02)


def test_bounded_form_integrates_to_the_volume_of_its_image():
    """One node, b = log((1-a)/a): 0.73182, 0.37312 and 0.014854 in the limit of small steps."""
    for duration, expected in ((0.05, 0.73182), (0.2, 0.37312), (1.0, 0.014854)):
        found = []
        for n_steps in (25, 50, 100):
            form = BoundedForm(np.zeros((1, 1)), np.ones(1), np.zeros((1, 5)), duration, n_steps)
            report = neurolp.audit(form, n_points=1)
            assert report.log_det_holds  # one node: its own derivative is the determinant
            assert not report.integral_holds
            assert not report.round_trip_holds
            found.append(report.integral)
        # First order in dt: extrapolated twice.
        once = [2 * b - a for a, b in pairwise(found)]
        np.testing.assert_allclose((4 * once[1] - once[0]) / 3, expected, atol=5e-4)


def test_bounded_form_of_more_nodes_has_both_defects():
    form = replace(random_bounded(10, n=2, duration=0.3), barrier=np.array([0.1, 0.2]))
    report = neurolp.audit(form)
    true_minus_claimed = form.n_steps * np.linalg.slogdet(np.eye(2) + form.dt * form.weights)[1]
    np.testing.assert_allclose(report.true - report.claimed, true_minus_claimed, rtol=1e-9)
    assert not report.holds
    # Quadrature, and dreams that have a past, agree on the integral.
    dreamed = form.rewind(form.draw(20_000, np.random.default_rng(11)))
    share = np.isfinite(dreamed).all(axis=0).mean()
    error = np.sqrt(share * (1 - share) / 20_000)
    assert abs(report.integral * np.exp(true_minus_claimed) - share) < 5 * error
    three = neurolp.audit(random_bounded(12, duration=0.2), n_dreams=300)
    assert three.integral_error > 0
    assert not three.integral_holds


def test_an_audit_catches_a_form_that_lies_a_little():
    class Liar(Form):
        """Claims 1e-8 nats too much."""

        def __init__(self, truth):
            self.truth = truth

        def evolve(self, potential):
            end, log_det = self.truth.evolve(potential)
            return end, log_det + 1e-8

        def log_prob(self, potential):
            return self.truth.log_prob(potential) + 1e-8

        name, n_nodes, n_times = (
            property(attrgetter(f"truth.{name}")) for name in ("name", "n_nodes", "n_times")
        )
        rewind, energy, draw, step_jacobians, dream = (
            property(attrgetter(f"truth.{name}"))  # the methods of the truth
            for name in ("rewind", "energy", "draw", "step_jacobians", "dream")
        )

    report = neurolp.audit(Liar(ExactForm(random_network(13, 3))), n_dreams=20)
    assert not report.log_det_holds
    assert not report.integral_holds
    assert report.round_trip_holds


def test_textbook_defects():
    defects = neurolp.textbook_defects()
    for duration, expected in ((0.05, 0.73182), (0.2, 0.37312), (1.0, 0.014854)):
        assert abs(defects.integrals[duration] - expected) < 5e-6
    first, *_, before, last = defects.stepping
    assert (first.n_steps, first.dt) == (7, pytest.approx(0.4))
    # Synchronous: wrong in the first decimal here, and of first order in dt ...
    assert first.claimed - first.true == pytest.approx(0.2117, abs=1e-3)
    assert (before.claimed - before.true) / (last.claimed - last.true) == pytest.approx(2, abs=0.06)
    # ... while the nodes in turn are exact at any step, and both agree in the limit.
    for s in defects.stepping:
        assert abs(s.sequential - s.sequential_true) < 1e-13
    assert abs(last.sequential - last.true) < 0.02
    assert "0.73182" in str(defects)


def test_reports_are_readable_on_a_terminal():
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(neurolp.audit(random_linear(1, n=1)))
    console.print(neurolp.textbook_defects())
    text = console.export_text()
    assert "round trip" in text
    assert "five nodes" in text
