"""BrainDensity as a scikit-learn user meets it."""

import signal

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp import (
    BrainDensity,
    ConfigurationError,
    DataError,
    LinearBrain,
    NetworkError,
    NeurolpError,
    OnlineBrain,
    Recorder,
)
from neurolp.simulation.batch import Progress


@pytest.fixture(scope="module")
def iris():
    return load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))


@pytest.fixture(scope="module")
def brain(iris):
    return BrainDensity(random_state=0).fit(iris)


@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_score_samples_is_a_normalised_density_in_the_units_of_the_data(base):
    """Integral over x of exp(score_samples), for data far from standardised, is 1."""
    rng = np.random.default_rng(1)
    X = 1e4 + 250 * np.concatenate([rng.normal(-1, 0.2, 300), rng.normal(1, 0.5, 300)])[:, None]
    brain = BrainDensity(base=base, random_state=0).fit(X)
    x = np.linspace(1e4 - 12_000, 1e4 + 12_000, 400_001)
    assert abs(np.trapezoid(np.exp(brain.score_samples(x[:, None])), x) - 1) < 1e-6


def test_two_dimensional_density_in_units_of_the_data():
    rng = np.random.default_rng(1)
    shape, centre = np.array([[3.0, 2.0], [0.0, 0.02]]), np.array([5.0, -1.0])
    X = rng.standard_normal((500, 2)) @ shape + centre
    brain = BrainDensity(random_state=0, max_slices=20).fit(X)
    # Along the axes of the data, at midpoints of equal steps of sinh: far out where it is flat.
    t = np.arcsinh(800) * (2 * np.arange(400) + 1 - 400) / 400
    z, width = 0.5 * np.sinh(t), 0.5 * np.cosh(t) * (t[1] - t[0])
    points = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2) @ shape + centre
    density = np.exp(brain.score_samples(points)).reshape(400, 400)
    assert abs(width @ density @ width * np.linalg.det(shape) - 1) < 5e-6


def test_evolve_rewind_and_score_fit_together(brain, iris):
    potential, _ = brain.evolve(iris)
    assert np.abs(brain.rewind(potential) - iris).max() < 1e-9
    plain = BrainDensity(random_state=0, head="base").fit(iris)
    potential, log_det = plain.evolve(iris)
    log_rho = -0.5 * (potential**2).sum(axis=1) - 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(plain.score_samples(iris), log_rho + log_det, rtol=1e-12)
    assert brain.score(iris) == pytest.approx(brain.score_samples(iris).mean())


def test_dreams_have_the_moments_of_the_data(brain, iris):
    dreams = brain.sample(20_000, random_state=1)
    assert np.array_equal(dreams, brain.sample(20_000, random_state=1))
    assert np.all(np.abs(dreams.mean(axis=0) - iris.mean(axis=0)) < 0.3 * iris.std(axis=0))
    assert np.all(np.abs(np.log(dreams.std(axis=0) / iris.std(axis=0))) < 0.25)
    # A dream is as surprising as its density says: mean log-density of the dreams is minus the
    # entropy, and no other density scores higher on them.
    shifted = dreams + 0.05 * iris.std(axis=0)
    assert brain.score(dreams) > brain.score(shifted)


def test_units_of_the_data_change_the_density_by_the_jacobian_only(iris):
    a = BrainDensity(random_state=0).fit(iris)
    scale = np.array([2.0, 0.5, 1024.0, 1.0])  # powers of two: exact in binary
    b = BrainDensity(random_state=0).fit(iris * scale)
    expected = a.score_samples(iris) - np.log(scale).sum()
    np.testing.assert_allclose(b.score_samples(iris * scale), expected, rtol=1e-9)


def test_validation_data_may_be_given_and_test_data_change_nothing(iris):
    train, validation, test = iris[::3], iris[1::3], iris[2::3]
    a = BrainDensity(random_state=0, head="base", marginal_transform=False).fit(
        train, X_validation=validation
    )
    seen: list[Progress] = []
    b = BrainDensity(random_state=0, head="base", marginal_transform=False).fit(
        train, X_validation=validation, X_test=test, progress=seen.append
    )
    assert np.array_equal(a.score_samples(test), b.score_samples(test))
    assert [p.time for p in seen] == list(range(1, len(b.network_.slices) + 1))
    recorded = b.record_.surprise["test"][b.n_slices_]
    assert recorded == pytest.approx(-b.score(test), rel=1e-12)
    assert b.n_slices_ == int(np.argmin(b.record_.surprise["validation"]))


def test_more_features_than_rows_and_duplicated_columns_are_survived():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 30))
    assert np.isfinite(BrainDensity(random_state=0).fit(X).score(X))
    twins = np.repeat(rng.standard_normal((200, 2)), 2, axis=1)
    assert np.isfinite(BrainDensity(random_state=0, max_slices=40).fit(twins).score(twins))


def test_a_single_column_and_two_rows(iris):
    brain = BrainDensity(random_state=0).fit(iris[:, :1])
    assert brain.evolve(iris[:, :1])[0].shape == (150, 1)
    assert np.isfinite(BrainDensity(random_state=0).fit(iris[:3]).score(iris[:3]))


def test_works_in_pipelines_and_searches(iris):
    pipeline = make_pipeline(StandardScaler(), BrainDensity(random_state=0, max_slices=10))
    assert np.isfinite(pipeline.fit(iris).score(iris))
    search = GridSearchCV(
        BrainDensity(random_state=0, max_slices=5), {"log_scale": [True, False]}, cv=2
    ).fit(iris)
    assert search.best_params_["log_scale"] in (True, False)


def test_float32(iris):
    a = BrainDensity(random_state=0, max_slices=20, patience=100).fit(iris)
    b = BrainDensity(random_state=0, max_slices=20, patience=100, dtype="float32").fit(iris)
    assert b.network_.slices[0].groups[0].weights.dtype == np.float32
    np.testing.assert_allclose(a.score_samples(iris), b.score_samples(iris), atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.__setitem__((0, 1), np.inf), "`X` must be finite.*infinity at row 0"),
        (lambda X: np.multiply(X, 1e200, out=X), "column 0 has values up to"),
    ],
)
def test_bad_values_are_named(iris, change, message):
    X = iris.copy()
    change(X)
    with pytest.raises(DataError, match=message) as caught:
        BrainDensity(random_state=0).fit(X)
    assert "\n" not in str(caught.value)


def test_ctrl_c_keeps_the_slices_learned_so_far(iris):
    def press(progress):
        if progress.time == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # people press it twice

    brain = BrainDensity(random_state=0)
    with pytest.raises(KeyboardInterrupt):
        brain.fit(iris, progress=press)
    assert brain.interrupted_
    assert 1 <= brain.n_slices_ <= 3
    assert np.isfinite(brain.score(iris))


def test_bad_arguments_are_named(iris, brain):
    with pytest.raises(DataError, match="at least 2 rows"):
        BrainDensity().fit([[1.0, 2.0]])
    for name, value in (
        ("base", "cauchy"),
        ("update_order", "thirds"),
        ("dtype", "int8"),
        ("node_rate", 1.5),
        ("patience", 0),
        ("random_state", -1),
        ("n_threads", 0),
        ("validation_fraction", 2.0),
        ("synapse_slope", -1.0),
        ("shift_ridge", float("nan")),
        ("rotation", 1),
        ("spline_intervals", 1),
        ("spline_intervals", 0),
        ("log_scale", "yes"),
        ("max_slices", "a"),
        ("patience", 2.5),
        ("shift_rate", None),
        ("synapse_thresholds", None),
        ("random_state", 2**63),
    ):
        with pytest.raises(ValueError, match=name.removeprefix("synapse_").rstrip("s")):
            BrainDensity(**{name: value}).fit(iris)
    twins = np.repeat(iris[:, :2], 2, axis=1)
    with pytest.raises(NeurolpError, match="shift_ridge must be larger"):
        BrainDensity(shift_ridge=0.0, update_order="sequential", random_state=0).fit(twins)
    with pytest.raises(NeurolpError, match="node_ridge must be larger"):
        BrainDensity(node_ridge=0.0, spline_intervals=60, random_state=0).fit(iris)
    for wrong, message in (
        (np.ones((3, 3), dtype=bool), r"must have shape \(4, 4\)"),
        (np.eye(4, dtype=bool), "no self-edges, but node 0"),
        (np.full((4, 4), "a"), "must be boolean or numbers, but has dtype <U1"),
        (np.full((4, 4), np.nan), "must have finite weights, but contains NaN at"),
    ):
        with pytest.raises(NetworkError, match=message):
            BrainDensity(connectivity=wrong).fit(iris)
    with pytest.raises(ValueError, match=r"`potential` must have shape \(n_samples, 4\)"):
        brain.rewind(np.ones((2, 3)))
    with pytest.raises(ValueError, match="setting `nodes` must be below 4"):
        BrainDensity().fit(iris, recorder=Recorder(nodes=[9]))


@pytest.mark.parametrize("horizon", [2, "all"])
def test_fine_tuning_is_kept_only_where_validation_data_like_it(iris, horizon):
    train, validation = iris[::2], iris[1::2]
    settings = {"random_state": 0, "max_slices": 12, "n_threads": 1, "head": "base"}
    plain = BrainDensity(**settings).fit(train, X_validation=validation)
    tuned = BrainDensity(**settings, fine_tune=horizon).fit(train, X_validation=validation)
    assert tuned.score(validation) >= plain.score(validation)
    assert tuned.score(train) > plain.score(train)
    assert tuned.n_slices_ == plain.n_slices_
    assert len(tuned.network_.slices) == len(plain.network_.slices)
    potential, _ = tuned.evolve(iris)
    np.testing.assert_allclose(tuned.rewind(potential), iris, atol=1e-9)


def test_a_wrong_horizon_of_fine_tuning_is_named(iris):
    for wrong in (0, "some", 1.5, True):
        with pytest.raises(
            ConfigurationError, match="`fine_tune` must be an integer >= 1, 'all' or None"
        ):
            BrainDensity(fine_tune=wrong).fit(iris)


def test_fit_installs_no_signal_handlers_and_runs_beside_foreign_ones(iris, monkeypatch):
    # A handler that was not installed from Python is reported as None.
    monkeypatch.setattr(signal, "getsignal", lambda signum: None)
    monkeypatch.setattr(signal, "signal", lambda *arguments: pytest.fail("a handler was installed"))
    BrainDensity(random_state=0, max_slices=2).fit(iris)
    OnlineBrain(random_state=0, max_epochs=2).fit(iris)
    LinearBrain(random_state=0, max_epochs=2).fit(iris)
