"""Designs of sweeps: grids, lists, draws, replicates, their faults, and what names a job."""

import json

import numpy as np
import pytest

from neurolp import Sweep
from neurolp.errors import ConfigurationError, DataError
from neurolp.runs.kinds import read_configuration
from neurolp.sweep.design import read_sweep
from tests.processes import ROOT
from tests.sweep.quick import QUICK, QUICK_TOML, written


def test_grids_lists_draws_and_replicates_are_combined(tmp_path):
    path = written(
        tmp_path,
        QUICK_TOML
        + """
[sweep]
n_draws = 3
replicates = 2
seed = 10
seeds = ["seed", "stream.seed"]
[sweep.grid]
brain.n_hidden = [1, 2]
"brain.rule" = ["nlms", "diagonal_rls"]
[sweep.lists]
"brain.n_lags" = [1, 2, 3]
"brain.fan_in" = [1, 2, 3]
[sweep.random]
brain.rate = {low = 1e-3, high = 1, log = true}
"brain.max_order" = {low = 1, high = 3, integer = true}
"brain.dtype" = {choice = ["float32", "float64"]}
""",
    )
    design = read_sweep(path)
    assert design.title == "Quick"
    assert design.how == {
        "brain.n_hidden": "grid", "brain.rule": "grid", "brain.n_lags": "list", "brain.fan_in": "list",
        "brain.rate": "random", "brain.max_order": "random", "brain.dtype": "random",
    }  # fmt: skip
    assert len(design.jobs) == 2 * 2 * 3 * 3 * 2
    assert len({p.identity for p in design.jobs}) == len(design.jobs)
    for p in design.jobs:
        assert p.configuration.seed == p.configuration.stream.seed == 10 + p.replicate
        assert p.settings["brain.n_lags"] == p.settings["brain.fan_in"]
        for key, value in p.settings.items():
            assert getattr(p.configuration.brain, key.partition(".")[2]) == value
    # Every combination of a grid meets the same draws.
    rates = [p.settings["brain.rate"] for p in design.jobs]
    assert rates[:18] == rates[18:36]
    assert len(set(rates)) == 3


def test_draws_have_the_distribution_that_was_asked_for():
    random = {
        "brain.rate": {"low": 1e-3, "high": 1, "log": True},
        "brain.process_noise": {"low": 0.2, "high": 0.4},
        "brain.n_lags": {"low": 1, "high": 4, "integer": True},
        "brain.n_hidden": {"low": 1, "high": 100, "integer": True, "log": True},
        "brain.rule": {"choice": ["nlms", "rls"]},
    }
    jobs = Sweep(QUICK, random=random, n_draws=2000).jobs
    drawn = {key: np.array([p.settings[key] for p in jobs]) for key in random}
    log_rate = np.log10(drawn["brain.rate"])
    assert -3 <= log_rate.min() < -2.9
    assert -0.1 < log_rate.max() <= 0
    assert abs(log_rate.mean() + 1.5) < 0.06
    assert abs(drawn["brain.process_noise"].mean() - 0.3) < 0.005
    np.testing.assert_allclose(np.bincount(drawn["brain.n_lags"])[1:] / 2000, 0.25, atol=0.04)
    assert (drawn["brain.n_hidden"].min(), drawn["brain.n_hidden"].max()) == (1, 100)
    assert abs(np.mean(drawn["brain.n_hidden"] <= 10) - np.log(11) / np.log(101)) < 0.04
    assert abs(np.mean(drawn["brain.rule"] == "nlms") - 0.5) < 0.04


def test_a_sweep_that_grows_keeps_its_jobs():
    rate = {"brain.rate": {"low": 0.1, "high": 1}}
    few = Sweep(QUICK, grid={"brain.n_hidden": [1]}, random=rate, n_draws=3, replicates=2)
    more = Sweep(
        QUICK,
        grid={"brain.n_hidden": [1, 2]},
        random=rate | {"brain.process_noise": {"choice": [0.0]}},
        n_draws=5,
        replicates=3,
    )
    assert {p.identity for p in few.jobs} < {p.identity for p in more.jobs}


def test_jobs_that_meet_are_one():
    sweep = Sweep(QUICK, random={"brain.n_hidden": {"choice": [1, 2]}}, n_draws=20)
    assert len(sweep) == 2
    assert sweep.design.n_repeated == 18


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'sweep' is missing: it says what is varied"),
        ("[sweep.grid]\nbrain.hiden = [1]\n", "with brain.hiden = 1: unknown key 'brain.hiden', the nearest valid key is 'brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = [1, -1]\n", "with brain.n_hidden = -1: key 'brain.n_hidden': input should be greater than or equal to 0, but is -1"),
        ("[sweep.grid]\nbrain.n_hidden = []\n", "key 'sweep.grid.brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = 3\n", "key 'sweep.grid.brain.n_hidden'"),
        ("[sweep.grid]\nbrain.n_hidden = [1, 2, 1]\n", "'brain.n_hidden' has 1 twice"),
        ("[sweep.grid]\nstream.source.x = [1]\n", "key 'stream.source.x': 'source' is not a section"),
        ("[sweep]\nreplicate = 3\n", "unknown key 'sweep.replicate', the nearest valid key is 'sweep.replicates'"),
        ("[sweep]\nreplicates = 0\n", "key 'sweep.replicates'"),
        ("[sweep]\nreplicates = 2\n[sweep.grid]\nseed = [1, 2]\n", "'seed' is varied already, by 'replicates'"),
        ("[sweep.grid]\nbrain.n_hidden = [1]\n[sweep.lists]\nbrain.n_hidden = [1]\n", "'brain.n_hidden' is varied twice"),
        ("[sweep.lists]\nbrain.n_hidden = [1]\nbrain.n_lags = [1, 2]\n", "'lists' must be equally long"),
        ("[sweep.random]\nbrain.rate = {low = 0, high = 1}\n", "'random' and 'n_draws' need each other"),
        ("[sweep]\nn_draws = 2\n", "'random' and 'n_draws' need each other"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {lo = 0, high = 1}\n", "sweep.random.'brain.rate': unknown key 'lo', the nearest valid key is 'low'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 0, high = 1, log = true}\n", "'low' must be positive where 'log' is true"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 2, high = 1}\n", "'low' must be below 'high'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {high = 1}\n", "needs 'low' and 'high', or 'choice'"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\n\"brain.rate\" = 3\n", "'brain.rate' must be a table"),
        ("[sweep]\nn_draws = 2\n[sweep.random]\nbrain.rate = {low = 1, high = 9}\n", "key 'brain.rate': input should be less than or equal to 1"),
        ("[sweep]\nreplicates = 2000\n[sweep.grid]\nbrain.n_hidden = [" + ",".join(map(str, range(1000))) + "]\n", "describes 2,000,000 jobs"),
        ("[base.nothing]\nx = 1\n[sweep]\nreplicates = 1\n", "[base]: unknown key 'nothing'"),
    ],
)  # fmt: skip
def test_faults_of_a_sweep_are_one_line(tmp_path, text, message):
    path = written(tmp_path, QUICK_TOML + text)
    with pytest.raises(ConfigurationError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_base_is_a_file_beside_the_sweep(tmp_path):
    written(tmp_path, 'title = "Of the base"\n[stream]\nsource = "ar2"\nn_steps = 300\n', "b.toml")
    path = written(tmp_path, 'base = "b.toml"\n[sweep.grid]\nbrain.n_hidden = [1]\n')
    (job,) = read_sweep(path).jobs
    assert read_sweep(path).title == "Of the base"
    assert job.configuration.seed == 0  # a run without a seed would be another one each time
    (same,) = Sweep(tmp_path / "b.toml", grid={"brain.n_hidden": [1]}).jobs
    assert job.identity == same.identity
    with pytest.raises(ConfigurationError, match=r"key 'base': no such file as .*c\.toml"):
        read_sweep(written(tmp_path, 'base = "c.toml"\n[sweep]\nreplicates = 1\n'))
    with pytest.raises(ConfigurationError, match="describes a sweep"):
        read_configuration(path)


@pytest.mark.parametrize("path", sorted(ROOT.glob("simulations/**/*.toml")), ids=lambda p: p.stem)
def test_anything_that_can_be_run_can_be_swept(path):
    if path.parent.name == "sweeps":
        assert read_sweep(path).jobs
    else:
        sweep = Sweep(path, replicates=2)
        assert len(sweep) == 2
        again = json.loads(json.dumps(sweep.jobs[0].configuration.model_dump(mode="json")))
        assert (
            type(sweep.jobs[0].configuration).model_validate(again) == sweep.jobs[0].configuration
        )


def test_data_count_by_content_not_by_place(tmp_path):
    rows = np.random.default_rng(0).standard_normal((50, 2))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", rows)

    def identities():
        return [
            Sweep({"stream": {"file": str(tmp_path / f / "x.npy")}}).jobs[0].identity for f in "ab"
        ]

    one, other = identities()
    assert one == other
    np.save(tmp_path / "b" / "x.npy", rows + 1)
    changed = identities()
    assert changed[0] == one
    assert changed[1] != one
    frames = [
        Sweep({"experiment": "general_purpose", "files": [str(tmp_path / f / "x.npy")]})
        for f in "ab"
    ]
    assert frames[0].jobs[0].identity != frames[1].jobs[0].identity
    titled = Sweep(QUICK | {"title": "x"}).jobs[0].identity
    assert titled == Sweep(QUICK).jobs[0].identity
    with pytest.raises(DataError, match=r"none\.npy: cannot read the data"):
        Sweep({"stream": {"file": str(tmp_path / "none.npy")}})
