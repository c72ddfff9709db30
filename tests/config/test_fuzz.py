"""Hostile configurations: a run, or one line and the right exit code; never a traceback."""

import ast
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import hostile
from tests.processes import ROOT, neurolp_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return hostile.folder_for(tmp_path_factory.mktemp("hostile"))


@settings(
    max_examples=250, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.integers(0, 2**64 - 1))
def test_a_run_or_one_line(folder, number):
    generator = random.Random(number)
    text, given_settings = hostile.configuration(generator), hostile.settings_of(generator)
    assert hostile.fault(*hostile.outcome(folder, text, given_settings)) == "", (
        text,
        given_settings,
    )


def test_the_real_command_says_the_same(folder):
    tried = 0
    for number in range(10**6, 10**6 + 1000):
        text = hostile.configuration(random.Random(number))
        code, line = hostile.outcome(folder, text)
        if code == "run":
            continue
        (folder / "config.toml").write_bytes(text)
        done = neurolp_command("run", folder / "config.toml", "-o", folder / "out.h5", cwd=ROOT)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", line)
        tried += 1
        if tried == 6:
            return


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[data]\nname = "iris"\ndequantise = true\n[brain]\nmax_slices = 1_000_000_000_000\npatience = 1_000_000_000_000', "brain.patience"),
        ('[data]\nname = "iris"\ndequantise = true\n[brain]\nmodel = "online"\nn_slices = 1_000_000_000_000', "brain.n_slices"),
        ('[data]\nname = "iris"\ndequantise = true\n[brain]\nmodel = "online"\nn_hidden = 1_000_000', "brain.n_hidden"),
        ('[stream]\nsource = "ar2"\nn_steps = 50\n[brain]\nn_hidden = 1_000_000', "`n_hidden`"),
        ('[stream]\nsource = "ar2"\nn_steps = 50\n[brain]\nn_lags = 1_000_000', "`n_lags`"),
        ('[stream]\nsource = "markov3"\nn_steps = 50\n[brain]\nn_contexts = 1_000_000_000_000', "`n_contexts`"),
        ('[stream]\nsource = "ar2"\nn_steps = 1_000_000_000_000\n[record]\nweights_every = 1', "section record"),
        ('[stream]\nsource = "ar2"\nn_steps = 50\n[record]\ndream = 1_000_000_000_000', "record.dream"),
        ('[stream]\nsource = "mackey_glass"\nn_steps = 50\ndelay = 1_000_000_000_000', "stream.delay"),
        ('[stream]\nsource = "video"\nn_steps = 50\nshape = [100_000, 1_000_000]', "stream.shape"),
        ('[stream]\nsource = "ar2"\nn_steps = 50\n[brain]\nn_hidden = 1_000_000\n[connectivity]\nkind = "small_world"\nseed = 0\nneighbours = 100_000\nrewiring = 0.1', "section connectivity"),
        ('experiment = "univariate"\nn_seeds = 1_000_000_000_000', "n_seeds"),
        ('experiment = "principle"\nn_runs = 1_000_000_000_000', "n_runs"),
        ('experiment = "reservoir"\n[free_run]\nn_runs = 1_000_000_000_000', "free_run"),
        ('experiment = "reservoir"\n[capacity]\nn_hidden = 1_000_000\nn_steps = 10_000_000', "capacity"),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_with_the_estimate(folder, text, message):
    code, line = hostile.outcome(folder, text.encode())
    assert code == 78
    assert message in line
    assert " GB" in line
    assert hostile.fault(code, line) == ""


FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "code",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", sorted((ROOT / "neurolp").rglob("*.py")), ids=lambda p: p.stem)
def test_nothing_in_the_sources_runs_what_a_file_says(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            assert name not in FORBIDDEN_CALLS
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in (
                "np.load",
                "numpy.load",
            ):
                allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
                assert [ast.unparse(value) for value in allowed] == ["False"]
            assert not any(k.arg == "shell" for k in node.keywords)
        assert not isinstance(node, ast.Assert)
