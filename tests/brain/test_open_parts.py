"""Parts of one's own: an outside package's rule, node map, base, connectivity and head plug in."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import neurolp
from neurolp.brain.parts import RULES
from tests.brain import outside_package as outside

QUICK = {"max_slices": 8, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    x[:, 1] += x[:, 0]
    x[:, 2] = np.exp(0.5 * x[:, 2])
    x[:, 3] += 0.5 * x[:, 1] ** 2
    return x


def weights_of(n):
    weights = np.zeros((n, n))
    weights[1, 0], weights[3, 1], weights[0, 2] = -0.4, 0.2, 0.1
    return weights


CASES = {
    "rule": {"rule": outside.SlowRule()},
    "node map": {"node_map": outside.AffineMap()},
    "base": {"base": outside.WideLogistic()},
    "head": {"head": outside.GaussianHead()},
    "weights": {"connectivity": weights_of(4)},
    "sparse weights": {"connectivity": sparse.csr_array(weights_of(4))},
    "sequential": {"node_map": outside.AffineMap(), "update_order": "sequential"},
    "all": {
        "rule": outside.SlowRule(rate=0.05), "node_map": outside.AffineMap(),
        "base": outside.WideLogistic(), "head": outside.GaussianHead(),
        "connectivity": weights_of(4),
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_ones_own_works_end_to_end(table, case):
    brain = neurolp.BrainDensity(**QUICK, **CASES[case]).fit(table)
    surprise = brain.record_.surprise
    assert surprise["validation"][brain.n_slices_] == min(surprise["validation"])
    if case != "all":  # whose few rules, maps and edges together do not learn
        assert min(surprise["train"][1:]) < surprise["train"][0]
    potential, _ = brain.evolve(table)
    np.testing.assert_allclose(brain.rewind(potential), table, atol=1e-7)
    assert np.all(np.isfinite(brain.sample(50, random_state=0)))
    report = neurolp.audit(brain)
    assert report.log_det_error < 1e-7


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_ones_own_survives_its_file(table, case, tmp_path):
    brain = neurolp.BrainDensity(**QUICK, **CASES[case]).fit(table)
    brain.save(tmp_path / "a.h5")
    loaded = neurolp.BrainDensity.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(loaded.score_samples(table), brain.score_samples(table))
    for name in ("rule", "node_map"):
        assert getattr(loaded, name) == getattr(brain, name)
    assert type(loaded.base) is type(brain.base)
    again = clone(loaded).fit(table)
    np.testing.assert_array_equal(again.score_samples(table), brain.score_samples(table))


def test_a_file_imports_no_module_and_calls_no_other_class(table, tmp_path, monkeypatch):
    brain = neurolp.BrainDensity(**QUICK, rule=outside.SlowRule()).fit(table)
    brain.save(tmp_path / "a.h5")
    code = f"import neurolp; neurolp.BrainDensity.load({str(tmp_path / 'a.h5')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("is not known: import tests.brain.outside_package first")
    popen = {"class": "subprocess:Popen", "fields": {"args": ["true"]}}
    monkeypatch.setattr(type(RULES), "describe", lambda self, part: popen)
    brain.save(tmp_path / "b.h5")
    with pytest.raises(neurolp.FormatError, match=r"'Popen' is not for argument `[a-z_]*`: it has"):
        neurolp.BrainDensity.load(tmp_path / "b.h5")


def test_what_cannot_be_saved_is_refused_in_one_line(table, tmp_path):
    class Local(outside.SlowRule):
        pass

    brain = neurolp.BrainDensity(**QUICK, rule=Local()).fit(table)
    with pytest.raises(neurolp.OutputError, match=r"^cannot save argument `rule` = Local: [^\n]*$"):
        brain.save(tmp_path / "a.h5")


def test_given_weights_are_the_first_slice(table):
    weights = weights_of(4)
    for given in (weights, sparse.csr_array(weights)):
        brain = neurolp.BrainDensity(**QUICK, connectivity=given).fit(table)
        found = np.zeros((4, 4))
        for group in brain.network_.slices[0].groups:
            part = group.weights[:, : len(group.sources)]
            part = part.toarray() if sparse.issparse(part) else part
            found[np.ix_(group.targets, group.sources)] = part
        np.testing.assert_array_equal(found, weights)
        online = neurolp.OnlineBrain(
            connectivity=given, update_order=[[0], [1], [2], [3]], max_epochs=0, random_state=0
        ).fit(table)
        assert online.network_.slices[0].groups[1].weights[0, 0] == pytest.approx(-0.4)


def test_edges_that_begin_at_zero_are_edges_also_in_a_file(table, tmp_path):
    weights = sparse.csr_array(weights_of(4))
    weights.data[0] = 0.0
    brain = neurolp.BrainDensity(**QUICK, connectivity=weights).fit(table)
    assert brain.network_.connectivity.n_edges == weights.nnz
    brain.save(tmp_path / "a.h5")
    again = neurolp.load(tmp_path / "a.h5")
    assert again.network_.connectivity.n_edges == weights.nnz
    np.testing.assert_array_equal(again.score_samples(table), brain.score_samples(table))


def test_names_come_from_entry_points_too(table, tmp_path, monkeypatch):
    folder = tmp_path / "outside-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[neurolp.rule]\nslow = tests.brain.outside_package:SlowRule\n"
        "[neurolp.node_map]\naffine = tests.brain.outside_package:AffineMap\n"
        "[neurolp.base]\nwide = tests.brain.outside_package:WideLogistic\n"
        "[neurolp.head]\ngaussian = tests.brain.outside_package:GaussianHead\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    names = {"rule": "slow", "node_map": "affine", "base": "wide", "head": "gaussian"}
    brain = neurolp.BrainDensity(**QUICK, **names).fit(table)
    made = {"rule": outside.SlowRule(), "node_map": outside.AffineMap(),
            "base": outside.WideLogistic(), "head": outside.GaussianHead()}  # fmt: skip
    same = neurolp.BrainDensity(**QUICK, **made).fit(table)
    np.testing.assert_array_equal(brain.score_samples(table), same.score_samples(table))
    configuration = {
        "seed": 0,
        "data": {"name": "iris", "dequantise": True},
        "brain": names | {"max_slices": 3},
    }
    path = tmp_path / "named.h5"
    neurolp.run(configuration, path).close()
    loaded = neurolp.load(path)
    assert (loaded.rule, loaded.head) == ("slow", "gaussian")
    assert np.all(np.isfinite(loaded.sample(10, random_state=0)))
    assert neurolp.reproduce(path).identical


@pytest.mark.parametrize("wrong", ["no such", 3, outside.SlowRule, object()])
@pytest.mark.parametrize("argument", ["rule", "node_map", "base", "head"])
def test_what_is_no_part_is_named(table, argument, wrong):
    brain = neurolp.BrainDensity(**{argument: wrong})
    with pytest.raises(
        neurolp.ConfigurationError, match=rf"^argument `{argument}` must be [^\n]*$"
    ):
        brain.fit(table)


def test_good_parts_are_certified():
    for rule in (outside.SlowRule(), neurolp.GreedyRule(), "greedy"):
        report = neurolp.check_rule(rule)
        assert report.local_loss < 0
        assert report.log_det_error < 1e-9
    for node_map in (outside.AffineMap(), "spline"):
        report = neurolp.check_node_map(node_map)
        assert report.local_loss < 0
        assert "ok" in str(report)


class Uphill(outside.SlowRule):
    """Steps up."""

    def learn(self, view, rng):
        step = super().learn(view, rng)
        return neurolp.LocalStep(-step.weights, -step.bias)


class NoEdges(outside.SlowRule):
    """Puts weights where there are no edges."""

    def learn(self, view, rng):
        step = super().learn(view, rng)
        return neurolp.LocalStep(step.weights + 1e-3, step.bias)


class Undefined(outside.SlowRule):
    """NaN."""

    def learn(self, view, rng):
        step = super().learn(view, rng)
        return neurolp.LocalStep(step.weights * np.nan, step.bias)


class NoStep(outside.SlowRule):
    """Returns an array."""

    def learn(self, view, rng):
        return super().learn(view, rng).weights


class WrongSlope(outside.AffineMap):
    """A log-slope that is not its derivative's."""

    def forward(self, coefficients, v):
        u, log_slope = super().forward(coefficients, v)
        return u, log_slope + 0.1 * (coefficients[:, 1:] != 0)


class WrongInverse(outside.AffineMap):
    """An inverse that leads elsewhere."""

    def inverse(self, coefficients, u):
        return super().inverse(coefficients, u) + 1e-3


class Falling(outside.AffineMap):
    """Decreases after learning."""

    def forward(self, coefficients, v):
        sign = np.where(np.any(coefficients, axis=1), -1.0, 1.0)[:, None]
        u, log_slope = super().forward(coefficients, v)
        return sign * u, log_slope


@pytest.mark.parametrize(
    ("rule", "message"),
    [(Uphill, "must lower the local loss"), (NoEdges, "absent edges"), (Undefined, "nan"),
     (NoStep, "must return a neurolp.LocalStep")],
)  # fmt: skip
def test_a_rule_that_breaks_its_promise_is_found_out(rule, message):
    with pytest.raises(neurolp.NetworkError, match=message):
        neurolp.check_rule(rule())


@pytest.mark.parametrize(
    ("node_map", "message"),
    [(WrongSlope, "log-slopes must be"), (WrongInverse, "inverse"), (Falling, "must increase")],
)
def test_a_node_map_that_breaks_its_promise_is_found_out(node_map, message):
    with pytest.raises(neurolp.NetworkError, match=message):
        neurolp.check_node_map(node_map())


def test_gradients_are_refused_where_no_one_knows_them(table):
    brain = neurolp.BrainDensity(**QUICK, node_map=outside.AffineMap(), fine_tune="all")
    message = "^argument `fine_tune` needs the node map 'spline'"
    with pytest.raises(neurolp.ConfigurationError, match=message):
        brain.fit(table)


class Wordless:
    """A rule that returns no step."""

    node_rate = 0.5

    def learn(self, view, rng):
        return None


def test_what_a_rule_does_wrong_is_no_divergence():
    X = np.random.default_rng(0).standard_normal((60, 3))
    brain = neurolp.BrainDensity(rule=Wordless(), max_slices=2, random_state=0)
    with pytest.raises(neurolp.NetworkError, match="a learning rule must return a"):
        brain.fit(X)
