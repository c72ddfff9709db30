"""Configurations: valid ones round-trip, wrong ones get one line with file, key and remedy."""

import inspect
from pathlib import Path

import pytest

from neurolp import (
    BoundedBrain,
    BrainDensity,
    ConfigurationError,
    LinearBrain,
    OnlineBrain,
    Recorder,
)
from neurolp.config.load import all_keys
from neurolp.config.sections import BRAIN_SECTIONS, RecordSection
from neurolp.runs.kinds import kind_names, read_configuration, run_kind

SIMULATIONS = sorted((Path(__file__).parent.parent.parent / "simulations").glob("*.toml"))


@pytest.mark.parametrize("path", SIMULATIONS, ids=lambda p: p.stem)
def test_shipped_simulations_are_valid(path):
    configuration = read_configuration(path)
    assert configuration.title
    assert type(configuration).model_validate(configuration.model_dump()) == configuration


def test_sections_have_the_defaults_of_what_they_configure():
    """One set of defaults: the command line and Python cannot drift apart."""
    for estimator, section in (
        (BrainDensity, BRAIN_SECTIONS["density"]),
        (LinearBrain, BRAIN_SECTIONS["linear"]),
        (BoundedBrain, BRAIN_SECTIONS["bounded"]),
        (OnlineBrain, BRAIN_SECTIONS["online"]),
    ):
        brain = inspect.signature(estimator.__init__).parameters
        for name, field in section.model_fields.items():
            if name == "model":
                continue
            expected = brain[name].default
            default = field.get_default()
            assert default == (list(expected) if isinstance(expected, tuple) else expected), name
    recorder = inspect.signature(Recorder.__init__).parameters
    for name, field in RecordSection.model_fields.items():
        if name == "checkpoint_seconds":  # of runs from a configuration alone
            continue
        assert field.get_default() == recorder[name].default


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


DATA = '[data]\nname = "wine"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nname = ", "not valid TOML"),
        ("", "key 'data' is missing"),
        ("[data]\n", "key 'data': needs exactly one of 'name' and 'file'"),
        ('[data]\nname = "wine"\nfile = "x.csv"\n', "needs exactly one of"),
        ('[data]\nname = "wines"\n', "key 'data.name': input should be 'digits', 'wine'.*but is 'wines'"),
        (DATA + "[brain]\npatiance = 3\n", "unknown key 'brain.patiance', the nearest valid key is 'brain.patience'"),
        (DATA + "[brian]\nlog_scale = true\n", "unknown key 'brian', the nearest valid key is 'brain'"),
        ("seeed = 1\n" + DATA, "unknown key 'seeed', the nearest valid key is 'seed'"),
        (DATA + "[brain]\nnode_rate = 1.5\n", "key 'brain.node_rate': input should be less than or equal to 1, but is 1.5"),
        (DATA + "[brain]\nmax_slices = 'many'\n", "key 'brain.max_slices': .*but is 'many'"),
        (DATA + "[brain]\nshift_ridge = nan\n", "key 'brain.shift_ridge'"),
        (DATA + "[record]\ntrajectories = -1\n", "key 'record.trajectories': .*but is -1"),
        ("seed = 9223372036854775808\n" + DATA, "key 'seed': input should be less than"),
        ('title = "a\\u0000b"\n' + DATA, "key 'title'"),
        (DATA + "[brain]\nspline_intervals = 1000\n", "key 'brain.spline_intervals'"),
        (DATA + "[brain]\nmodel = 'onlin'\n", "key 'brain.model' must be one of .*'online'.*but is 'onlin'"),
        (DATA + "[brain]\nmodel = 'online'\nperoid = 2\n", "unknown key 'brain.peroid', the nearest valid key is 'brain.period'"),
        (DATA + "[brain]\nmodel = 'online'\nmax_slices = 2\n", "unknown key 'brain.max_slices'"),
        (DATA + "[brain]\nmodel = 'lineal'\n", "key 'brain.model' must be one of .*'linear'.*but is 'lineal'"),
        (DATA + "[brain]\nmodel = 'linear'\nsteping = 'exact'\n", "unknown key 'brain.steping', the nearest valid key is 'brain.stepping'"),
        (DATA + "[brain]\nmodel = 'linear'\nlog_scale = true\n", "unknown key 'brain.log_scale'"),
        (DATA + "[brain]\nmodel = 'bounded'\nbarrier = 0.0\n", "key 'brain.barrier': .*but is 0.0"),
        (DATA + '[connectivity]\nseed = 1\n', "key 'connectivity.kind' is missing, it must be one of .'full', 'random'"),
        (DATA + '[connectivity]\nkind = "ring"\n', "key 'connectivity.kind' must be one of .*, but is 'ring'"),
        (DATA + '[connectivity]\nkind = "random"\nin_degree = 3\n', "key 'connectivity.seed' is missing"),
        (DATA + '[connectivity]\nkind = "random"\nseed = 1\n', "key 'connectivity': needs exactly one of 'probability' and 'in_degree'"),
        (DATA + '[connectivity]\nkind = "random"\nseed = 1\nprobabilty = 0.1\n', "unknown key 'connectivity.probabilty', the nearest valid key is 'connectivity.probability'"),
        (DATA + '[connectivity]\nkind = "file"\nfil = "x"\n', "key 'connectivity.file' is missing"),
        (DATA + '[connectivity]\nkind = "modular"\nseed = 1\nn_modules = 2\np_within = 2.0\np_between = 0.1\n', "key 'connectivity.p_within': .*but is 2.0"),
        (DATA + 'connectivity = 3\n', "unknown key 'data.connectivity'"),
        ('connectivity = "x.npz"\n' + DATA, "key 'connectivity'.* 'x.npz'"),
        (DATA + '[brain]\nmodel = "linear"\n[connectivity]\nkind = "random"\nin_degree = 3\nseed = 1\n', "key 'connectivity': model 'linear' needs full connectivity"),
        (DATA + '[brain]\nupdate_order = "thirds"\n', "key 'brain.update_order': input should be 'random_halves', 'sequential' or 'coloring', but is 'thirds'"),
        ("brain = 3\n" + DATA, "key 'brain': .*but is 3"),
        ('experiment = "principel"\n', "key 'experiment' must be one of .*'principle'.*but is 'principel'"),
        ("experiment = [1]\n", r"key 'experiment' must be one of .*but is \[1\]"),
        ('expermient = "principle"\n', "unknown key 'expermient', the nearest valid key is 'experiment'"),
        ('experiment = "principle"\nn_step = 3\n', "unknown key 'n_step', the nearest valid key is 'n_steps'"),
        ('experiment = "principle"\nn_steps = 3\n', "key 'n_steps': .*but is 3"),
        ('experiment = "principle"\n' + DATA, "unknown key 'data'"),
        ('experiment = "principle"\nprobabilities = [0.5, 0.4]\n', "toml: 'probabilities' must sum to 1, but sum to 0.9"),
        ('experiment = "principle"\nprobabilities = [0.5, -0.5]\n', "key 'probabilities.1': .*but is -0.5"),
        ('experiment = "general_purpose"\nestimator = "brian"\n', "key 'estimator': .*but is 'brian'"),
        ('experiment = "general_purpose"\ndata = ["wines"]\n', "key 'data.0': .*but is 'wines'"),
        ('experiment = "univariate"\nsizes = [5]\n', "key 'sizes.0': .*but is 5"),
        ('experiment = "univariate"\nproblems = ["claws"]\n', "key 'problems.0': .*but is 'claws'"),
        ('experiment = "reservoir"\n[capacity]\nn_steps = 600\n', "'capacity.n_steps' must be at least 667 for 100 nodes, but is 600"),
        ('experiment = "reservoir"\n[free_run]\nn_train = 10\n', "key 'free_run.n_train': .*but is 10"),
        ('experiment = "supervised"\n[table]\nfile = "x.csv"\n', "key 'table.target' is missing"),
        ('experiment = "supervised"\n[table]\nfile = "x.csv"\ntarget = "y"\ntaks = "r"\n', "unknown key 'table.taks', the nearest valid key is 'table.task'"),
        ('experiment = "general_purpose"\n[brain]\nlog_scale = true\n', "unknown key 'brain'"),
    ],
)  # fmt: skip
def test_wrong_configurations_get_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_configuration(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_settings_override_the_file(tmp_path):
    path = write(tmp_path, "seed = 1\n" + DATA)
    configuration = read_configuration(
        path,
        ["seed=7", "brain.log_scale=false", "data.name=digits", "brain.synapse_thresholds=[0.5]"],
    )
    assert (configuration.seed, configuration.brain.log_scale) == (7, False)
    assert configuration.data.name == "digits"
    assert configuration.brain.synapse_thresholds == [0.5]
    for setting, message in (
        ("seed", "wanted key=value"),
        ("=3", "wanted key=value"),
        ("seed.x=3", "'seed' is not a section"),
        ("brain.log_scal=true", "nearest valid key is 'brain.log_scale'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read_configuration(path, [setting])


def test_paths_are_relative_to_the_file(tmp_path):
    text = '[data]\nfile = "table.csv"\n[connectivity]\nkind = "file"\nfile = "edges.npz"\n'
    path = write(tmp_path, text)
    configuration = read_configuration(path)
    assert configuration.data.file == (tmp_path / "table.csv").resolve()
    assert configuration.connectivity.file == (tmp_path / "edges.npz").resolve()
    path = write(tmp_path, 'experiment = "general_purpose"\nfiles = ["a.csv", "b/c.npy"]\n')
    files = read_configuration(path).files
    assert files == [(tmp_path / "a.csv").resolve(), (tmp_path / "b" / "c.npy").resolve()]


@pytest.mark.parametrize("kind", sorted({*kind_names()} - {"stream"}))
def test_every_key_is_documented(kind):
    text = (Path(__file__).parent.parent.parent / "docs" / "configuration.md").read_text()
    for key in all_keys(run_kind(kind).configuration):
        assert f"`{key.split('.')[-1]}`" in text or f"`[{key}]`" in text, key
