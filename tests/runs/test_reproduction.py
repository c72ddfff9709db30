"""A file reproduces itself: brains, streams, experiments; what changed is named."""

import h5py
import numpy as np
import pytest

import neurolp
from neurolp import BrainDensity, open_trajectory, reproduce
from neurolp.errors import ConfigurationError, DataError, FormatError
from neurolp.runs import run
from tests.processes import neurolp_command

BRAIN = '[data]\nfile = "table.csv"\n[brain]\nmax_slices = 4\n[record]\nevery = 2\n'
STREAM = '[stream]\nfile = "table.csv"\n[brain]\nn_hidden = 8\nn_lags = 2\nn_contexts = 64\n[record]\ndream = 5\n'
EXPERIMENT = 'experiment = "principle"\nn_steps = 50\nn_runs = 2\nn_samples = 60\n'
KINDS = {"brain": BRAIN, "stream": STREAM, "experiment": EXPERIMENT}


@pytest.fixture
def folder(tmp_path):
    table = np.random.default_rng(0).standard_normal((200, 3)) @ [
        [1, 0.5, 0],
        [0, 1, 0.5],
        [0, 0, 1],
    ]
    np.savetxt(tmp_path / "table.csv", table, delimiter=",", header="a,b,c", comments="")
    return tmp_path


def ran(folder, text):
    config = folder / "config.toml"
    config.write_text(text)
    run(config, folder / "first.h5").close()
    return folder / "first.h5"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_reproduces_itself(folder, kind):
    # The seed is generated, and kept in the file.
    found = reproduce(ran(folder, KINDS[kind]))
    assert found.identical, found.differences
    assert found.n_compared > 20
    assert found.versions == {}


@pytest.mark.parametrize("model", ["linear", "bounded", "online"])
def test_brains_that_learn_in_epochs_reproduce_themselves(folder, model):
    text = f'[data]\nname = "iris"\ndequantise = true\n[brain]\nmodel = "{model}"\nmax_epochs = 2\n'
    assert reproduce(ran(folder, text)).identical


def test_the_number_of_threads_does_not_matter(folder):
    assert reproduce(ran(folder, BRAIN), ["brain.n_threads=3"]).identical


def test_one_bit_is_found_and_how_much_it_is(folder):
    path = ran(folder, BRAIN)
    with h5py.File(path, "r+") as file:
        values = file["surprise"][...]
        values[0, 1] = np.nextafter(values[0, 1], 99)
        file["surprise"][...] = values
        file["result"].attrs["test_log_prob"] += 0.5
        del file["mean"]
        file["time"][0] = 7
    found = {d.name: d.what for d in reproduce(path).differences}
    assert found.keys() == {"surprise", "result.test_log_prob", "mean", "time"}
    assert found["surprise"].startswith("1 of 15 values differ, by at most")
    assert found["result.test_log_prob"] == "1 of 1 values differ, by at most 0.5"
    assert found["mean"] == "was not there"
    assert found["time"] == "1 of 5 values differ, by at most 7"


def test_data_that_changed_are_named(folder):
    path = ran(folder, BRAIN)
    table = folder / "table.csv"
    moved = folder / "elsewhere.csv"
    table.rename(moved)
    with pytest.raises(DataError, match=r"table.csv: no such file, but .*first.h5 was made of it"):
        reproduce(path)
    assert reproduce(path, [f"data.file={moved}"]).identical
    table.write_text(moved.read_text().replace("1", "2", 1))
    with pytest.raises(
        DataError, match=r"table.csv: has changed since .*first.h5 was made .*sha256"
    ):
        reproduce(path)


def test_versions_that_changed_are_named(folder):
    path = ran(folder, EXPERIMENT)
    with h5py.File(path, "r+") as file:
        file["provenance"].attrs["version_scipy"] = "0.1"
        file["provenance"].attrs["python"] = "3.8.1"
    found = reproduce(path)
    assert found.identical
    assert found.versions.keys() == {"scipy", "python"}
    assert found.versions["scipy"][0] == "0.1"


def test_what_cannot_be_reproduced_says_so(folder):
    X = np.random.default_rng(0).standard_normal((50, 2))
    BrainDensity(max_slices=1, random_state=0).fit(X).save(folder / "by_hand.h5")
    with pytest.raises(
        FormatError, match="holds no configuration that could be run, only a fitted model"
    ):
        reproduce(folder / "by_hand.h5")
    path = ran(folder, EXPERIMENT)
    with pytest.raises(ConfigurationError, match="unknown key 'n_stops'"):
        reproduce(path, ["n_stops=3"])
    with h5py.File(path, "r+") as file:
        file.attrs["status"] = "interrupted"
    with pytest.raises(FormatError, match="is interrupted: only what ended by itself"):
        reproduce(path)


def test_what_diverged_diverges_again(folder):
    table = 1e-60 * np.random.default_rng(0).standard_normal((300, 2))
    table[150:, 0] = 1e100
    np.savetxt(folder / "table.csv", table, delimiter=",", header="a,b", comments="")
    with pytest.raises(neurolp.NeurolpError):
        ran(folder, STREAM.replace("n_lags", "experts = false\nn_lags"))
    path = folder / "first.h5"
    with open_trajectory(path) as file:
        assert file.status == "diverged"
    assert reproduce(path).identical


def test_the_command_exits_0_or_1(folder):
    path = ran(folder, EXPERIMENT)
    done = neurolp_command("reproduce", path, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "identical, bit by bit" in done.stdout.splitlines()[-1]
    with h5py.File(path, "r+") as file:
        name = next(
            k for k in file if isinstance(file[k], h5py.Dataset) and file[k].dtype.kind == "f"
        )
        file[name][...] = file[name][...] + 1
    done = neurolp_command("reproduce", path, cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{name}: " in done.stdout
    assert "1 of" in done.stdout.splitlines()[-1]
    assert neurolp_command("reproduce", path, "-q", cwd=folder).stdout == ""
    done = neurolp_command("reproduce", "absent.h5", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (65, 1)
