"""A kind of run from outside the package works wherever the package's own do."""

import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import neurolp
from neurolp.errors import ConfigurationError, FormatError
from neurolp.runs import figures, kinds, summary
from neurolp.runs.kinds import configuration_of, kind_names, kind_of, run_kind
from tests import processes
from tests.processes import ROOT

# A package of someone else: a module, and an entry point that names it.
MODULE = '''
from typing import Literal
from pydantic import PositiveInt
from neurolp import RunKind, SummaryTable
from neurolp.arrays import NamedArrays
from neurolp.config.sections import RunConfiguration
from neurolp.runs import computed, watched
import numpy as np

class CoinConfiguration(RunConfiguration):
    """Tosses of a coin."""
    experiment: Literal["coin"]
    n_tosses: PositiveInt = 100

def compute(configuration, observe):
    out = NamedArrays()
    rng = np.random.default_rng(configuration.seed)
    for _ in watched(["toss"], observe):
        heads = rng.random(configuration.n_tosses) < 0.5
    out.add_coordinate("toss", np.arange(len(heads)), "1", "toss")
    out.add("heads", ("toss",), heads.astype(np.int64), "1", "whether it is heads")
    out.attributes["result"] = {"share": float(heads.mean())}
    return out

def summary(file):
    return [SummaryTable("Tosses", ("share",), [(f"{file.result['share']:.3f}",)])]

def draw(file, figure):
    figure("tosses", 4, 3, "Heads and tails.").subplots().plot(file["heads"].values)

KIND = RunKind("coin", CoinConfiguration, computed(compute), summary=summary, draw=draw)
'''
CONFIG = 'experiment = "coin"\nseed = 3\nn_tosses = 200\n'
SWEEP = 'base = "coin.toml"\n[sweep]\nreplicates = 2\n[sweep.grid]\nn_tosses = [80, 90]\n'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Where the other package is installed."""
    folder = tmp_path / "site"
    about = folder / "coins-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "coins.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: coins\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[neurolp.run_kinds]\ncoin = coins:KIND\n")
    (tmp_path / "coin.toml").write_text(CONFIG)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    monkeypatch.syspath_prepend(str(folder))
    kinds._installed.cache_clear()
    yield folder
    kinds._installed.cache_clear()


def test_another_kind_runs_from_python_and_reproduces_itself(package, tmp_path):
    assert "coin" in kind_names()
    told = []
    with neurolp.run(tmp_path / "coin.toml", observe=told.append) as results:
        path = results.path
        assert results.status == "complete"
        assert results["heads"].shape == (200,)
        assert kind_of(results).name == "coin"
        assert summary(results)[0].rows == [(f"{results.result['share']:.3f}",)]
        drawn = figures(results)
        assert {name: each.caption for name, each in drawn.items()} == {
            "tosses": "Heads and tails."
        }
        assert kind_of(results).finite_numbers(results) == {"share": results.result["share"]}
    assert [event.message for event in told] == ["toss"]
    del results
    assert not path.exists()  # it was temporary
    neurolp.run({"experiment": "coin", "seed": 3}, tmp_path / "a.h5", settings=["n_tosses=7"])
    assert neurolp.reproduce(tmp_path / "a.h5").identical
    with pytest.raises(FormatError):
        neurolp.resume(tmp_path / "a.h5")


def test_another_kind_has_the_command_line_and_sweeps(package, tmp_path):
    path = f"{package}:{ROOT}"
    neurolp_command = partial(processes.neurolp_command, PYTHONPATH=path)
    done = neurolp_command("run", "coin.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Tosses" in done.stdout
    assert "experiment: coin" in neurolp_command("info", "coin.h5", cwd=tmp_path).stdout
    assert "tosses.png" in neurolp_command("plot", "coin.h5", cwd=tmp_path).stdout
    assert neurolp_command("reproduce", "coin.h5", cwd=tmp_path).returncode == 0
    wrong = neurolp_command("validate", "coin.toml", "--set", "n_toses=3", cwd=tmp_path)
    assert "the nearest valid key is 'n_tosses'" in wrong.stderr
    swept = neurolp_command("sweep", "sweep.toml", "-o", "out", "--workers", "1", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    assert neurolp_command("collect", "out", cwd=tmp_path).returncode == 0
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["done"] * 4
    assert np.all([0 < float(row["share"]) < 1 for row in rows])


def test_a_kind_can_be_registered_in_a_script(tmp_path):
    kind = run_kind("principle")
    neurolp.runs.register(replace(kind, name="mine"))
    try:
        assert run_kind("mine").configuration is kind.configuration
        assert "mine" in kind_names()
    finally:
        del kinds._registered["mine"]
    with pytest.raises(ConfigurationError, match=r"must be one of .*'principle'"):
        configuration_of({"experiment": "mine"}, "here")


def test_an_unknown_kind_of_file_is_one_line(package, tmp_path, monkeypatch):
    neurolp.run(tmp_path / "coin.toml", tmp_path / "a.h5").close()
    with monkeypatch.context() as patch, neurolp.open_trajectory(tmp_path / "a.h5") as file:
        patch.setattr(kinds, "_installed", dict)
        with pytest.raises(FormatError, match="not installed, 'coin'"):
            kind_of(file)
