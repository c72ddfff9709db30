"""The paper's forms as estimators and simulations: they learn, and say what they are."""

import signal
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import neurolp
from neurolp import BoundedBrain, BrainDensity, FormatError, LinearBrain, Recorder
from neurolp.cli.app import app
from neurolp.data.problems_2d import problem_log_density
from neurolp.runs import figures
from neurolp.runs.density import run
from neurolp.runs.kinds import read_configuration

SIMULATIONS = Path(__file__).parent.parent.parent / "simulations"
BOTH = [LinearBrain, BoundedBrain]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.laplace(size=(1500, 2)) @ [[1.0, -0.4], [0.6, 1.0]] * [1.0, 20.0] + [0.0, 300.0]


@pytest.fixture(scope="module", params=[*BOTH, "synchronous"])
def brain(request, data):
    if request.param == "synchronous":
        return LinearBrain(random_state=0, max_epochs=10, stepping="synchronous", n_steps=2).fit(
            data
        )
    return request.param(random_state=0, max_epochs=10).fit(data)


# --- simulations --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["linear", "bounded"])
def simulated(request, tmp_path_factory):
    configuration = read_configuration(SIMULATIONS / f"{request.param}.toml")
    path = tmp_path_factory.mktemp("runs") / f"{request.param}.h5"
    return request.param, run(configuration.model_copy(update={"compare": False}), path)


def test_shipped_simulations_learn_towards_the_known_entropy(simulated):
    """The entropy is that of the very test rows, so that their luck drops out."""
    name, result = simulated
    log_density = problem_log_density("mixed_sources", result.data.test)
    with neurolp.open_trajectory(result.path) as file:
        surprise = file["surprise"].sel(split="test").values
    gap = surprise - -log_density.mean()
    learned = gap[result.brain.n_epochs_]
    assert abs(-log_density.mean() - 3.6014) < 0.05
    # On 10,000 rows the mean of log (true / Phi) is known to about sqrt(2 KL / n) nats.
    assert learned > -3 * np.sqrt(2 * max(learned, 1e-3) / len(log_density))
    if name == "linear":
        assert gap[0] > 0.1
        assert learned < 0.02
    else:
        assert gap[0] > 0.3
        assert learned < 0.16
    assert neurolp.audit(result.brain, n_points=1).log_det_holds == (name == "linear")


def test_shipped_simulations_can_be_read_back_and_drawn(simulated):
    name, result = simulated
    again = neurolp.load(result.path)
    assert type(again) is type(result.brain)
    rows = result.data.test[:50]
    assert np.array_equal(again.score_samples(rows), result.brain.score_samples(rows))
    with neurolp.open_trajectory(result.path) as file:
        assert file.brain["model"] == name
        assert file["surprise"].dims == ("time", "split")
        assert file["coupling"].shape == (2, 2)
        drawn = figures(file)
    assert set(drawn) == {"surprise", "potentials", "weights", "density"}
    plt.close("all")


def test_command_line_counts_epochs(tmp_path):
    from typer.testing import CliRunner

    arguments = ["run", str(SIMULATIONS / "linear.toml"), "-o", str(tmp_path / "x.h5")]
    outcome = CliRunner().invoke(
        app, [*arguments, "--set", "brain.max_epochs=2", "--set", "compare=false"]
    )
    assert outcome.exit_code == 0, outcome.output
    assert "epoch 2/2: surprise (nats)" in outcome.output
    assert "brain (2 epochs)" in outcome.output


# --- estimators -----------------------------------------------------------------------------------


def test_score_evolve_and_rewind_fit_together_in_the_units_of_the_data(brain, data):
    rows = data[:200]
    potential, log_det = brain.evolve(rows)
    np.testing.assert_allclose(brain.rewind(potential), rows, rtol=1e-9)
    energy = brain.form_.energy(potential.T)
    np.testing.assert_allclose(brain.score_samples(rows), log_det - energy, rtol=1e-12)


def test_integral_of_the_claim_in_the_units_of_the_data(brain):
    """1 for the exact flow, 1 / det for synchronous steps, less than 1 times that when bounded."""
    x = np.linspace(-25, 25, 401)
    y = 300 + 20 * x
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    total = np.exp(brain.score_samples(grid)).sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert abs(total - neurolp.audit(brain, n_points=1).integral) < 2e-3
    form = brain.form_
    dt = form.duration / form.n_steps
    det = np.linalg.det(np.eye(2) + dt * form.weights) ** form.n_steps
    if isinstance(brain, BoundedBrain):
        assert 0.5 < total * det < 0.999
    else:
        expected = 1 if form.stepping == "exact" else 1 / det
        assert abs(total - expected) < 2e-3


def test_dreams_are_drawn_from_the_normalised_claim(brain):
    """The probability below a threshold, by quadrature and by dreaming."""
    dreams = brain.sample(20_000, random_state=1)
    assert np.array_equal(dreams, brain.sample(20_000, random_state=1))
    x = np.linspace(-25, 25, 401)
    y = 300 + 20 * x
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    mass = np.exp(brain.score_samples(grid))
    mass /= mass.sum()
    for column, threshold in ((0, 0.7), (1, 310.0), (1, 270.0)):
        expected = mass[grid[:, column] < threshold].sum()
        found = np.mean(dreams[:, column] < threshold)
        assert abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 20_000) + 4e-3


def test_files_keep_the_brain(brain, data, tmp_path):
    path = tmp_path / "brain.h5"
    brain.save(path)
    again = type(brain).load(path)
    assert again.get_params() == brain.get_params() | {"random_state": brain.seed_}
    assert np.array_equal(again.score_samples(data), brain.score_samples(data))
    assert again.n_epochs_ == brain.n_epochs_
    for name, values in brain.record_.items():
        np.testing.assert_array_equal(again.record_[name], values)
    with pytest.raises(FormatError, match=f"holds a {type(brain).__name__}, wanted BrainDensity"):
        BrainDensity.load(path)
    again.save(tmp_path / "twice.h5")
    twice = neurolp.load(tmp_path / "twice.h5")
    assert np.array_equal(twice.score_samples(data), brain.score_samples(data))


def test_a_file_without_parameters_holds_no_brain(data, tmp_path):
    brain = LinearBrain(random_state=0, max_epochs=1).fit(data, recorder=Recorder(parameters=False))
    brain.save(tmp_path / "record.h5")
    with pytest.raises(FormatError, match="holds no fitted model"):
        neurolp.load(tmp_path / "record.h5")


@pytest.mark.parametrize("kind", BOTH)
def test_learning_is_reproducible_and_the_best_epoch_is_kept(kind, data):
    a = kind(random_state=3, max_epochs=4).fit(data, X_test=data[:100])
    b = kind(random_state=3, max_epochs=4).fit(data, X_test=data[100:200])
    assert np.array_equal(a.score_samples(data), b.score_samples(data))  # test rows change nothing
    surprise = a.record_.surprise["validation"]
    assert a.n_epochs_ == int(np.argmin(surprise))
    assert len(a.record_.surprise["test"]) == len(surprise)
    unlearned = kind(random_state=3, max_epochs=0).fit(data)
    assert unlearned.n_epochs_ == 0
    assert a.score(data) > unlearned.score(data)


@pytest.mark.parametrize("kind", BOTH)
def test_ctrl_c_keeps_the_epochs_learned_so_far(kind, data):
    brain = kind(random_state=0)

    def press(progress):
        if progress.time == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="can be used"):
        brain.fit(data, progress=press)
    assert brain.interrupted_
    assert len(brain.record_["local_loss"]) == 3  # times 0, 1, 2
    assert np.all(np.isfinite(brain.score_samples(data)))


@pytest.mark.parametrize(
    ("brain", "message"),
    [
        (LinearBrain(stepping="euler"), "`stepping` must be 'exact' or"),
        (LinearBrain(n_steps=2.5), "`n_steps` must be an integer .*, but is 2.5"),
        (LinearBrain(duration="long"), "`duration` must be a number .*, but is 'long'"),
        (LinearBrain(rate=-1.0), "`rate` must be a number in"),
        (BoundedBrain(barrier=0.0), "`barrier` must be a number in"),
        (BoundedBrain(batch_size=0), "`batch_size` must be an integer >= 1"),
        (BoundedBrain(max_epochs=True), "`max_epochs` must be an integer"),
    ],
)
def test_wrong_parameters_get_one_line(brain, message, data):
    with pytest.raises(neurolp.ConfigurationError, match=message):
        brain.fit(data)


def test_a_bounded_brain_that_cannot_dream_says_so(data):
    brain = BoundedBrain(random_state=0, max_epochs=0, barrier=1000.0, duration=100.0).fit(data)
    with pytest.raises(neurolp.NeurolpError, match="cannot dream"):
        brain.sample(3, random_state=0)


def test_linear_form_finds_the_sources_that_were_mixed(data):
    """The potentials at time T are the sources up to order, sign and scale."""
    brain = LinearBrain(random_state=0).fit(data)
    sources = np.linalg.solve(
        np.array([[1.0, 0.6], [-0.4, 1.0]]), ((data - [0.0, 300.0]) / [1.0, 20.0]).T
    )
    correlation = np.abs(np.corrcoef(np.vstack([brain.evolve(data)[0].T, sources]))[:2, 2:])
    assert np.all(np.sort(correlation, axis=1)[:, 1] > 0.99)
    assert stats.pearsonr(*brain.evolve(data)[0].T).statistic < 0.1
