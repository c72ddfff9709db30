"""Experiments, each small: from configuration to labelled file, summary tables and figures."""

import signal
import time

import numpy as np
import pytest
from scipy.stats import entropy

from neurolp import BrainDensity, DataError, FormatError
from neurolp.runs import figures, run, summary
from tests.processes import (
    INTERRUPTIBLE,
    assert_one_line,
    finished,
    neurolp_command,
    progress_line,
    start,
)


def done(tmp_path, text, *settings):
    """Run a configuration; the open file, its tables and its figures."""
    path = tmp_path / "small.toml"
    path.write_text(f'title = "small"\nseed = 3\n{text}')
    steps = []
    opened = run(
        path, tmp_path / "small.h5", settings=settings, overwrite=True, observe=steps.append
    )
    assert [step.time for step in steps] == list(range(1, steps[0].total + 1))
    assert opened.status == "complete"
    assert opened.provenance["seed"] == opened.configuration["seed"] == 3
    return opened, summary(opened), figures(opened)


PRINCIPLE = 'experiment = "principle"\nprobabilities = [0.5, 0.25, 0.2, 0.05]\nn_runs = 8\n'


def test_principle_learns_the_frequencies_and_is_never_less_surprised_than_the_source(tmp_path):
    file, tables, drawn = done(tmp_path, PRINCIPLE, "n_steps=3000", "n_samples=4000")
    truth = entropy([0.5, 0.25, 0.2, 0.05])
    assert file.result["entropy"] == pytest.approx(truth, rel=1e-12)
    surprise = file["surprise"]
    assert surprise.dims == ("learner", "run", "time")
    assert surprise.values.min() >= truth - 1e-12
    np.testing.assert_allclose(surprise[:, :, 0].values, np.log(4))
    end = surprise.sel(learner="averaged gradient").values[:, -1]
    # In theory 3 / (2 x 3000) = 0.0005 nats, for the best.
    assert end.mean() - truth < 0.0015
    learned = file["probability"].sel(learner="averaged gradient").values[-1]
    np.testing.assert_allclose(learned, file["true_probability"].values, atol=0.03)
    np.testing.assert_allclose(file["probability"].values.sum(axis=-1), 1, rtol=1e-12)
    # Every loss is normalised, and none beats the one that fits the noise.
    np.testing.assert_allclose(file["loss_total"].values, 1, atol=1e-10)
    cost = file["loss_kl"]
    fitting = {"normal": "squared", "Laplace": "absolute", "asymmetric Laplace": "quantile"}
    for noise, loss in fitting.items():
        row = cost.sel(noise=noise)
        assert row.sel(loss=loss).values < 2e-3
        assert row.values.min() == row.sel(loss=loss).values
    assert cost.values.min() >= 0
    assert tables[0].rows[-1][-1] == f"{truth:.5f}"
    assert set(drawn) == {"learning", "losses"}


def test_principle_is_reproducible(tmp_path):
    values = []
    for _ in range(2):
        file, _, _ = done(tmp_path, PRINCIPLE, "n_steps=50", "n_samples=50")
        values.append([file[name].values for name in file])
        file.close()
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def own_tables(tmp_path):
    """Two tables of a user: a CSV with names and correlated columns, and an array of one column."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(300)
    rows = [f"{a},{a + 0.1 * e}" for a, e in zip(x, rng.standard_normal(300), strict=True)]
    (tmp_path / "pairs.csv").write_text("\n".join(["mass,height", *rows]))
    np.save(tmp_path / "single.npy", rng.gamma(2, size=200))
    return tmp_path


def test_general_purpose_on_tables_of_ones_own(own_tables):
    text = 'experiment = "general_purpose"\nfiles = ["pairs.csv", "single.npy"]\n'
    file, tables, drawn = done(own_tables, text, "max_rows=100")
    assert list(file["n_rows"].values) == [100, 100]
    assert list(file["n_columns"].values) == [2, 1]
    score = file["log_prob"]
    assert list(score.coords["data"].values) == ["pairs", "single"]
    assert np.isfinite(score.values).all()
    # The first is Gaussian: nats of two standardised columns with correlation 0.995.
    exact = -np.log(2 * np.pi * np.e) - 0.5 * np.log(1 - 1 / 1.01)
    brain, gaussian, _ = score.sel(data="pairs").values
    assert gaussian == pytest.approx(exact, abs=0.4)
    assert brain == pytest.approx(gaussian, abs=0.4)
    assert [row[0] for row in tables[0].rows] == ["pairs", "single"]
    assert set(drawn) == {"gains", "maps"}
    # The map is a density: it sums to nearly 1, its ends lie just outside the data.
    (low, high), total = file["map_end"].values[0], file["map_density"].values[0].sum()
    cell = np.prod((high - low) / (file["map_density"].shape[1] - 1))
    assert total * cell == pytest.approx(1, abs=0.03)


def test_general_purpose_names_the_table_at_fault_before_it_begins(own_tables):
    (own_tables / "bad.csv").write_text("a,b\n" + "1,2\n" * 20)
    text = 'experiment = "general_purpose"\nfiles = ["pairs.csv", "bad.csv"]\n'
    with pytest.raises(DataError, match=r"bad.csv: column 'a' is constant"):
        done(own_tables, text)


def test_the_file_of_an_experiment_holds_no_brain(tmp_path):
    done(tmp_path, PRINCIPLE, "n_steps=10", "n_samples=50")[0].close()
    with pytest.raises(FormatError, match="holds no fitted model, but the experiment 'principle'"):
        BrainDensity.load(tmp_path / "small.h5")


def test_the_command_line_runs_validates_informs_and_plots(tmp_path):
    config = tmp_path / "own.toml"
    config.write_text(PRINCIPLE)
    small = ["--set", "n_steps=100", "--set", "n_samples=100"]
    assert neurolp_command("validate", config, cwd=tmp_path).stdout == f"{config}: valid\n"
    ran = neurolp_command("run", config, *small, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "1/2: symbols" in ran.stdout
    assert "entropy of the source" in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith("results: own.h5")
    info = neurolp_command("info", "own.h5", cwd=tmp_path)
    assert "experiment: principle" in info.stdout
    assert "surprise (learner: 3, run: 8, time:" in info.stdout
    assert "entropy of the source" in info.stdout
    plot = neurolp_command("plot", "own.h5", cwd=tmp_path)
    assert plot.returncode == 0, plot.stderr
    for line in plot.stdout.split():
        assert (tmp_path / line).stat().st_size > 10_000
    refused = neurolp_command("run", config, "-o", "own.h5", *small, cwd=tmp_path)
    assert_one_line(refused, 73, "exists already")
    wrong = neurolp_command("run", config, "--set", "n_stepz=3", cwd=tmp_path)
    assert_one_line(wrong, 78, "unknown key 'n_stepz', the nearest valid key is 'n_steps'")


def test_ctrl_c_during_an_experiment_leaves_nothing(tmp_path):
    config = tmp_path / "long.toml"
    config.write_text(PRINCIPLE + "n_steps = 2000000\n")
    with start(*INTERRUPTIBLE, "run", config, cwd=tmp_path) as process:
        assert progress_line(process).startswith("step 1/2")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, stderr = finished(process)
    assert process.returncode == 130
    assert stderr == "neurolp: interrupted, nothing was written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["long.toml"]


def test_univariate_learns_the_densities(tmp_path):
    text = 'experiment = "univariate"\nproblems = ["trimodal", "gamma"]\nsizes = [200, 50]\nn_seeds = 2\n'
    file, tables, drawn = done(tmp_path, text)
    kl = file["kl"]
    assert kl.dims == ("problem", "size", "seed", "estimator")
    assert list(kl.coords["size"].values) == [50, 200]
    assert kl.values.min() > 0
    small, large = kl.sel(estimator="MonotoneDensity").values.mean(axis=(0, 2))
    assert large < small < 0.3
    np.testing.assert_allclose(file["total"].values, 1, atol=1e-8)
    # y runs from 0 to 1, and its slope is the density.
    y, density = file["distribution"].values, file["density"].sel(estimator="MonotoneDensity")
    assert np.all(np.diff(y, axis=-1) >= 0)
    step = np.diff(file["grid"].values, axis=-1)[:, None]
    slope = np.diff(y, axis=-1) / step
    middle = (density.values[..., 1:] + density.values[..., :-1]) / 2
    assert np.mean(np.abs(slope - middle)) < 0.01 * middle.mean()
    assert len(tables[0].rows) == 4
    assert set(drawn) == {"densities", "distributions", "divergence"}


RESERVOIR = """experiment = "reservoir"
[capacity]
n_hidden = 20
spectral_radius = [1.6, 0.2, 0.9]
n_seeds = 2
n_steps = 1000
[free_run]
n_hidden = 60
n_train = 800
n_runs = 3
n_steps = 90
"""


def test_reservoirs_remember_most_near_a_radius_of_one_and_run_freely(tmp_path):
    file, tables, drawn = done(tmp_path, RESERVOIR)
    capacity = file["capacity"]
    assert list(capacity.coords["spectral_radius"].values) == [0.2, 0.9, 1.6]
    low, best, high = capacity.values.mean(axis=1)
    assert max(low, high) < best < 20
    np.testing.assert_allclose(file["capacity_by_delay"].values.sum(axis=2), capacity.values)
    assert file.result["greatest_capacity"] == best
    assert file.result["best_spectral_radius"] == 0.9
    assert file.result["nrmse_84[default brain]"] == file["nrmse"].values[2, 83]
    # Free runs begin well, know more than the mean of the values for some time, and differ.
    error = file["nrmse"].values
    assert error.shape == (3, 90)
    assert np.all(error[:, 0] < 0.05)
    assert np.all(error[1:, :8] < 0.5)
    assert len(np.unique(error[:, 50])) == 3
    truth, known = file["truth"].values, file["known"].values
    np.testing.assert_array_equal(known[1][:90], truth[0])
    assert [row[0] for row in tables[0].rows] == ["0.2", "0.9", "1.6"]
    assert tables[1].columns == ("brain", "1", "10", "84")
    assert set(drawn) == {"memory_capacity", "free_run"}


@pytest.mark.parametrize(
    ("setting", "changed", "same"),
    [
        ("capacity.strength=0.5", "capacity", "free_run"),
        ("capacity.n_steps=1200", "capacity", "free_run"),
        ("free_run.spectral_radius=0.5", "free_run", "capacity"),
        ("free_run.strength=1.0", "free_run", "capacity"),
        ("free_run.delay=30", "truth", "capacity"),
        ("seed=4", "capacity", "truth"),
    ],
)
def test_every_key_of_reservoirs_has_its_effect(tmp_path, setting, changed, same):
    small = ("capacity.n_seeds=1", "capacity.spectral_radius=[0.9]", "free_run.n_runs=1")
    small += ("free_run.n_steps=5", "free_run.n_train=200", "free_run.n_hidden=20")
    files = []
    for settings in (small, (*small, setting)):
        path = tmp_path / f"{len(files)}.toml"
        path.write_text(f"seed = 3\n{RESERVOIR}")
        files.append(run(path, tmp_path / f"{len(files)}.h5", settings=settings))
    assert not np.array_equal(*(file[changed].values for file in files))
    np.testing.assert_array_equal(*(file[same].values for file in files))


def test_supervised_knows_more_than_the_mean(tmp_path):
    text = 'experiment = "supervised"\nproblems = ["bimodal"]\nn_points = 300\n'
    file, tables, drawn = done(tmp_path, text)
    score = file["regression_log_prob"].sel(regression="bimodal")
    density, squares = score.values
    truth = file["regression_true_log_prob"].values[0]
    assert squares + 0.4 < density < truth
    assert file["pit_counts"].values.sum() == 2 * 5000
    known = file["map_density"].sel(map="bimodal").sel(map_model="true")
    step = np.diff(file["map_target"].values[0]).mean()
    # Of the true density some lies beyond the targets seen.
    assert np.all(known.values.sum(axis=0) * step < 1.01)
    assert [row[1] for row in tables[0].rows] == [
        "conditional density",
        "least squares",
        "the truth",
    ]
    assert set(drawn) == {"bimodal_densities"}


def test_supervised_on_a_table_of_ones_own_with_labels_in_words(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.repeat(["cat", "dog"], 60)
    size = rng.normal(np.where(kinds == "cat", 1.0, 4.0), 0.5)
    weight = rng.normal(size, 1.0)
    rows = [f"{a},{b},{kind}" for a, b, kind in zip(size, weight, kinds, strict=True)]
    (tmp_path / "pets.csv").write_text("\n".join(["size,weight,kind", *rows]) + "\n")
    text = 'experiment = "supervised"\n[table]\nfile = "pets.csv"\ntarget = "kind"\n'
    file, tables, drawn = done(tmp_path, text)
    assert list(file["log_loss"].coords["classification"].values) == ["pets"]
    assert np.all(file["accuracy"].values > 0.8)
    assert "regression_log_prob" not in file
    assert len(tables) == 2
    assert set(drawn) == {"pets_labels"}
    # Another column of the same table is a number: a regression, with two conditions.
    settings = ("table.target=weight", 'table.columns=["size"]')
    file, tables, drawn = done(tmp_path, text, *settings)
    assert list(file["map_density"].coords["map"].values) == ["pets"]
    assert np.isnan(file["map_density"].sel(map_model="true").values).all()
    assert set(drawn) == {"pets_densities"}
    with pytest.raises(DataError, match="no column 'colour' among size, weight, kind"):
        done(tmp_path, text, "table.target=colour")
