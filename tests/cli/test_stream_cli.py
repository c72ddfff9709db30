"""Streams through the real command: files, figures, exit codes, Ctrl-C, memory."""

import inspect
import signal
import tomllib
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from neurolp import FormatError, StreamBrain, open_trajectory
from neurolp.config.stream_sections import StreamBrainSection
from neurolp.data.streams import generator
from neurolp.errors import DataError, NeurolpError, OutputError
from neurolp.plotting.stream.weights import arrows, input_weights
from neurolp.runs import figures
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run
from neurolp.simulation.stream_contents import stored_sensors
from tests.processes import (
    INTERRUPTIBLE,
    assert_one_line,
    finished,
    neurolp_command,
    progress_line,
    python,
    start,
)

SMALL = "[brain]\nn_hidden = 12\nn_lags = 4\n"
AR2 = f'seed = 1\n[stream]\nsource = "ar2"\nn_steps = 600\n{SMALL}'


def ran(tmp_path, text, *settings, name="a"):
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return run(read_configuration(path, settings), tmp_path / f"{name}.h5", overwrite=True).path


def test_run_info_and_plot(tmp_path):
    config = tmp_path / "swing.toml"
    config.write_text(AR2)
    done = neurolp_command("run", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("step 600/600: surprise ") for line in lines)
    assert "entropy rate 1.4189" in done.stdout
    assert "Mean surprise of the last fifth, nats a step" in done.stdout
    assert "600 steps" in done.stdout
    assert lines[-1].endswith("results: swing.h5")
    info = neurolp_command("info", "swing.h5", cwd=tmp_path)
    assert "experiment: stream" in info.stdout
    assert "rate: 1.41894" in info.stdout
    assert "surprise (step: 600, sensor: 1) [nat]" in info.stdout
    assert "i.i.d. baseline" in info.stdout
    plot = neurolp_command("plot", "swing.h5", cwd=tmp_path)
    assert plot.returncode == 0, plot.stderr
    assert {Path(line).stem for line in plot.stdout.split()} == {
        "surprise", "calibration", "predictions", "dream", "readout", "recurrent", "activity"
    }  # fmt: skip
    for line in plot.stdout.split():
        assert (tmp_path / line).stat().st_size > 10_000
    assert neurolp_command("validate", config, cwd=tmp_path).stdout == f"{config}: valid\n"
    assert_one_line(
        neurolp_command("run", config, "-o", "swing.h5", cwd=tmp_path), 73, "exists already"
    )
    quiet = neurolp_command("run", config, "-o", "swing.h5", "--force", "-q", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_the_file_holds_what_the_brain_does_by_hand_and_the_brain_itself(tmp_path):
    path = ran(tmp_path, AR2, "record.weights_every=250", "train_steps=500")
    stream = generator("ar2", 700)
    rows = stream.read(700)
    brain = StreamBrain(stream.sensors, n_hidden=12, n_lags=4, random_state=1)
    early = brain.run(rows[:500])
    late = brain.run(rows[500:600], learn=False)
    with open_trajectory(path) as file:
        surprise = np.concatenate([early.surprise, late.surprise])
        np.testing.assert_array_equal(file["surprise"].values, surprise.astype("f4"))
        np.testing.assert_array_equal(
            file["readout"].coords["weights_time"].values, [0, 250, 500, 600]
        )
        np.testing.assert_array_equal(file["readout"][-1].values, brain.weights["readout"])
        np.testing.assert_array_equal(file["recurrent"][-1].values, brain.weights["recurrent"].data)
        np.testing.assert_array_equal(file["activity"][-1].values, brain.activity.astype("f4"))
        np.testing.assert_array_equal(file["dream"].values, brain.dream(200, random_state=1))
        assert list(file["readout"].coords["feature"].values) == brain.feature_names
        assert list(file["predicted"].coords["output"].values) == brain.output_names
        assert file["pit_counts"].values.sum() == 600
    loaded = StreamBrain.load(path)
    np.testing.assert_array_equal(loaded.run(rows[600:]).surprise, brain.run(rows[600:]).surprise)
    # The brain is optional: its covariance may be large.
    small = ran(tmp_path, AR2, "record.brain=false", name="small")
    assert small.stat().st_size < path.stat().st_size
    with pytest.raises(FormatError, match="holds no fitted model"):
        StreamBrain.load(small)


# --- configurations -------------------------------------------------------------------------------


def test_the_brain_section_has_the_parameters_of_the_brain():
    parameters = dict(inspect.signature(StreamBrain).parameters)
    # What has a place of its own, and weights, which are not in a file of settings.
    for other in ("sensors", "connectivity", "random_state", "input_weights"):
        del parameters[other]
    fields = StreamBrainSection.model_fields
    assert {name: p.default for name, p in parameters.items()} == {
        name: field.default for name, field in fields.items()
    }


TEXT = '[stream]\nsource = "text"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[stream]\nsource = "ar2"\n', "key 'stream.n_steps' is missing"),
        ('[stream]\nsource = "ar3"\nn_steps = 3\n', "key 'stream.source' must be one of ('markov3', "),
        ("[stream]\nn_steps = 3\n", "key 'stream': needs exactly one of 'source' and 'file'"),
        ('[stream]\nfile = "a.csv"\nsource = "ar2"\n', "needs exactly one of 'source' and 'file'"),
        ('[stream]\nsource = "file"\n', "key 'stream.file' is missing"),
        ("stream = 3\n", "key 'stream': input should be a valid dictionary"),
        ('[stream]\nsource = "ar2"\nn_steps = 0\n', "key 'stream.n_steps': input should be greater than 0"),
        ('[stream]\nsource = "ar2"\nn_steps = 9\nnoize = 3\n', "unknown key 'stream.noize', the nearest valid key is 'stream.noise'"),
        ('[stream]\nsource = "ar2"\nn_steps = 9\nhold = 3\n', "unknown key 'stream.hold'"),
        ('[stream]\nsource = "ar2"\nn_steps = 9\nnoise = -1.0\n', "key 'stream.noise': input should be greater than 0, but is -1.0"),
        ('[stream]\nsource = "ar2"\nn_steps = 9\ncoefficients = [2.0, 0.0]\n', "argument `coefficients` must be two numbers a, b of a stationary process"),
        ('[stream]\nsource = "causality"\nn_steps = 9\nfollows = 1.0\n', "key 'stream.follows': input should be less than 1"),
        ('[stream]\nsource = "text"\nseed = 3\n', "argument `seed` must be 0 for generator 'text'"),
        (TEXT + '[data]\nname = "wine"\n', "key 'data' has no meaning beside 'stream'"),
        ('experiment = "principle"\n' + TEXT, "unknown key 'stream'"),
        ("train_stepss = 3\n" + TEXT, "unknown key 'train_stepss', the nearest valid key is 'train_steps'"),
        (TEXT + "[brain]\nhiden = 3\n", "unknown key 'brain.hiden', the nearest valid key is 'brain.n_hidden'"),
        (TEXT + '[brain]\nrule = "magic"\n', "key 'brain.rule': input should be 'rls', 'diagonal_rls' or 'nlms'"),
        (TEXT + "[brain]\nn_hidden = -1\n", "key 'brain.n_hidden'"),
        (TEXT + "[brain]\ntime_constants = [0.5, 3.0]\n", "key 'brain.time_constants': must be two numbers"),
        (TEXT + "[record]\nweights_evry = 5\n", "unknown key 'record.weights_evry', the nearest valid key is 'record.weights_every'"),
        (TEXT + "[record]\nevery = 0\n", "key 'record.every'"),
        (TEXT + "[record]\nweights_at = [9, -1]\n", "key 'record.weights_at.1'"),
        (TEXT + "[record]\nactivity_at = [999999]\n", "key 'record.activity_at' must be at most 142400, the steps of the stream, but contains 999999"),
        (TEXT + '[connectivity]\nkind = "ful"\n', "key 'connectivity.kind' must be one of ('none', 'full', "),
        (TEXT + '[connectivity]\nkind = "random"\nseed = 1\nin_degree = 99\n[brain]\nn_hidden = 5\n', "`in_degree` must be an integer in [0, 4], but is 99"),
    ],
)  # fmt: skip
def test_faults_of_a_configuration_are_one_line(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(NeurolpError) as caught:
        run(read_configuration(path), tmp_path / "a.h5")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.toml"]


def test_connectivities(tmp_path):
    edges = np.eye(12, k=1, dtype=bool)
    np.save(tmp_path / "edges.npy", edges)
    for kind, n_edges in (
        ('kind = "none"', 0),
        ('kind = "full"', 144),
        ('kind = "file"\nfile = "edges.npy"', 11),
    ):
        path = ran(tmp_path, AR2 + f"[connectivity]\n{kind}\n")
        with open_trajectory(path) as file:
            assert ("recurrent" in file) == (n_edges > 0)
            if n_edges:
                assert np.prod(file["recurrent"].shape[1:]) == n_edges
            assert ("recurrent" in figures(file)) == (n_edges > 0)


# --- bad input ------------------------------------------------------------------------------------


def bad_file(folder, name):
    """A user's file with one thing wrong."""
    rows = np.random.default_rng(0).standard_normal((300, 2))
    lines = ["x,y", *(f"{a},{b}" for a, b in rows)]
    if name == "infinite":
        lines[200] = "1.0,inf"
    elif name == "a word":
        lines[200] = "1.0,red"
    elif name == "too many":
        lines[200] += ",3"
    elif name == "empty":
        lines = []
    elif name == "header only":
        lines = lines[:1]
    path = folder / "table.csv"
    if name != "absent":
        path.write_text("\n".join(lines) + ("\n" if lines else ""))
    if name == "truncated":
        with h5py.File(folder / "table.h5", "w") as file:
            file["x"] = rows
        whole = (folder / "table.h5").read_bytes()
        path = folder / "table.h5"
        path.write_bytes(whole[: len(whole) // 2])
    if name == "infinite array":
        rows[250, 1] = np.inf
        path = folder / "table.npy"
        np.save(path, rows)
    config = folder / "bad.toml"
    config.write_text(f'[stream]\nfile = "{path.name}"\n{SMALL}')
    return config


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "table.csv: no such file or folder"),
        ("infinite", "column 'y'"),
        ("a word", "'red'"),
        ("too many", "line 201"),
        ("empty", "is empty"),
        ("header only", "table.csv"),
        ("truncated", "table.h5"),
        ("infinite array", "table.npy"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, name, message):
    with pytest.raises(DataError) as caught:
        run(read_configuration(bad_file(tmp_path, name)), tmp_path / "a.h5")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*a.h5"))
    assert not list(tmp_path.glob(".neurolp*"))


def test_bad_files_exit_65_and_leave_nothing(tmp_path):
    done = neurolp_command("run", bad_file(tmp_path, "infinite array"), "-q", cwd=tmp_path)
    assert_one_line(done, 65, "table.npy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.toml", "table.csv", "table.npy"]


def test_bad_configurations_exit_78_and_unwritable_places_73(tmp_path):
    (tmp_path / "bad.toml").write_text('[stream]\nsource = "ar2"\n')
    done = neurolp_command("run", "bad.toml", cwd=tmp_path)
    assert_one_line(done, 78, "bad.toml: key 'stream.n_steps' is missing")
    (tmp_path / "good.toml").write_text(AR2)
    with pytest.raises(OutputError, match="its folder does not exist"):
        run(read_configuration(tmp_path / "good.toml"), tmp_path / "no" / "a.h5")


def test_a_surprise_that_is_no_number_exits_70_and_leaves_what_came_before(tmp_path):
    rows = 1e-60 * np.random.default_rng(0).standard_normal(400)
    rows[300] = 1e100
    np.save(tmp_path / "far.npy", rows)
    (tmp_path / "far.toml").write_text(f'[stream]\nfile = "far.npy"\n{SMALL}experts = false\n')
    done = neurolp_command("run", "far.toml", "-q", cwd=tmp_path)
    assert_one_line(
        done, 70, "in step 300; what happened before, and the brain before and after, are in far.h5"
    )
    with open_trajectory(tmp_path / "far.h5") as file:
        assert file.status == "diverged"
        assert len(file["surprise"]) == file.result["n_steps"] == 300
        figures(file)


# --- Ctrl-C and memory ----------------------------------------------------------------------------


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_a_run_that_can_be_read_and_continued(tmp_path, signum, code):
    (tmp_path / "long.toml").write_text(AR2.replace("600", "50_000_000"))
    command = (*INTERRUPTIBLE, "run", "long.toml", "--set", "record.every=1000")
    with start(*command, cwd=tmp_path) as process:
        assert progress_line(process).startswith("step ")
        process.send_signal(signum)
        process.send_signal(signum)  # people press it twice
        _, stderr = finished(process)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert "interrupted after" in stderr
    assert "`neurolp resume long.h5` continues" in stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.h5.run", "long.toml"]
    with open_trajectory(tmp_path / "long.h5") as file:
        assert file.status == "unfinished"
        n = file.result["n_steps"]
        assert len(file["surprise"]) == n >= file["window_steps"].values.sum()
        assert np.isfinite(file["surprise"].values).all()
        figures(file)
    info = neurolp_command("info", "long.h5", cwd=tmp_path)
    assert "(unfinished)" in info.stdout
    assert StreamBrain.load(tmp_path / "long.h5").n_steps_ == n


def test_memory_does_not_grow_with_the_stream(tmp_path):
    program = """
import resource, sys
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run
for n in (20_000, 20_000, 80_000):
    run(read_configuration("a.toml", [f"stream.n_steps={n}"]), "a.h5", overwrite=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    (tmp_path / "a.toml").write_text(
        f'[stream]\nsource = "causality"\nn_steps = 1\n{SMALL}[record]\nevery = 20\nactivity_every = 20\n'
    )
    done = python(program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, before, after = (int(line) / 1024 for line in done.stdout.split())
    assert after - before < 12  # MiB, of which HDF5's caches of chunks take most


# --- figures --------------------------------------------------------------------------------------

EVERYWHERE = {"surprise", "recurrent", "activity"}
CAUSALITY = f'seed = 0\n[stream]\nsource = "causality"\nn_steps = 6000\n{SMALL}max_order = 0\n'


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ('source = "markov3"\nn_steps = 400\n', {"predictions", "dream", "readout"}),
        ('source = "text"\nn_steps = 400\n', {"predictions", "dream", "readout"}),
        ('source = "lorenz"\nvector = true\nn_steps = 400\n', {"calibration", "predictions", "dream", "readout"}),
        ('source = "video"\nshape = [8, 9]\nn_steps = 250\n', {"calibration", "frames", "receptive_fields", "projective_fields"}),
        ('source = "ar2"\nn_steps = 30\n', {"calibration", "predictions", "dream", "readout"}),
    ],
)  # fmt: skip
def test_figures_are_drawn_without_warnings(tmp_path, text, more):
    with open_trajectory(ran(tmp_path, f"seed = 0\n[stream]\n{text}{SMALL}")) as file:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = figures(file)
            for name, figure in drawn.items():
                figure.savefig(tmp_path / f"{name}.png", dpi=50)
        assert set(drawn) == EVERYWHERE | more


def test_figures_of_little(tmp_path):
    text = f'[stream]\nsource = "ar2"\nn_steps = 600\n{SMALL}[record]\nlast = 0\ndream = 0\nper_step = false\n'
    with open_trajectory(ran(tmp_path, text, "brain.n_hidden=0", "brain.n_lags=0")) as file:
        assert set(figures(file)) == {"surprise", "calibration"}


def test_learned_weights_show_the_arrow_from_a_to_b_and_none_back(tmp_path):
    with open_trajectory(ran(tmp_path, CAUSALITY)) as file:
        strength = arrows(file)
        names = [str(name) for name in file["mean_surprise"].coords["sensor"].values]
        weights = input_weights(file)
        drawn = figures(file)
    assert names[:2] == ["A", "B"]
    assert weights.shape == (12, 4, 12)
    assert np.unravel_index(np.abs(strength).argmax(), strength.shape) == (0, 1, 2)
    assert strength[0, 1, 2] > 2
    others = np.abs(strength)
    others[0, 1, 2] = 0
    assert others.max() < 0.4 * strength[0, 1, 2]
    assert set(drawn) == EVERYWHERE | {"predictions", "dream", "readout", "arrows", "graph"}


def test_a_table_of_ones_own_with_symbols_and_gaps(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["place,kind,size"]
    for t in range(500):
        kind = "abc"[t % 3] if t % 7 else ""
        size = f"{rng.normal():.3f}" if t % 5 else ""
        lines.append(f"{np.sin(t / 5) + 0.1 * rng.normal():.3f},{kind},{size}")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    text = f'[stream]\nfile = "own.csv"\nsymbols = ["kind"]\n{SMALL}'
    with open_trajectory(ran(tmp_path, text)) as file:
        missing = np.isnan(file["surprise"].values)
        np.testing.assert_array_equal(missing[:, 1], np.arange(500) % 7 == 0)
        np.testing.assert_array_equal(missing[:, 2], np.arange(500) % 5 == 0)
        assert list(file["label"].values) == ["place", "a", "b", "c", "size"]
        loaded = StreamBrain.load(file.path)
        assert loaded.sensors[1].labels == ("a", "b", "c")
        assert set(loaded.predict_proba_one()["kind"]) == {"a", "b", "c"}
        assert file["mean_surprise"].values[-40:, 1].mean() < 0.3
        assert len(figures(file)) == 9
    # Only some steps and columns of it.
    with open_trajectory(
        ran(tmp_path, text, "stream.n_steps=300", 'stream.columns=["kind"]')
    ) as file:
        assert file["surprise"].shape == (300, 1)


@pytest.mark.parametrize("labels", ['["c", "b", "a"]', "[30, 10, 20]"])
def test_labels_can_be_declared_and_are_in_the_figures(labels, tmp_path):
    given = tomllib.loads(f"labels = {labels}")["labels"]
    cells = [str(given[t % 3]) for t in range(300)]
    (tmp_path / "own.csv").write_text("\n".join(["kind", *cells]) + "\n")
    text = f'[stream]\nfile = "own.csv"\nsymbols = {{ kind = {labels} }}\n{SMALL}'
    with open_trajectory(ran(tmp_path, text)) as file:
        assert list(file["label"].values) == [str(label) for label in given]
        (sensor,) = stored_sensors(file)
        np.testing.assert_array_equal(sensor.symbols(file["last_rows"].values)[-3:], [0, 1, 2])
        (axes,) = figures(file)["predictions"].figure.axes[:1]
        assert [t.get_text() for t in axes.get_yticklabels()] == [str(label) for label in given]
        (scatter,) = (c for c in axes.collections if c.get_label() == "observed")
        dots = scatter.get_offsets()  # what was observed, and when
        steps = file["predicted_step"].values[-len(dots) :]
        np.testing.assert_array_equal(dots[np.argsort(dots[:, 0])][:, 1], steps % 3)
        brain = StreamBrain.load(file.path)
    assert brain.predict_one()["kind"] == given[0]
    text = text.replace(labels, labels.replace("]", ', "d"]' if '"' in labels else ", 40]"))
    with open_trajectory(ran(tmp_path, text)) as file:
        assert file["n_symbols"].values[0] == 4
    (tmp_path / "own.csv").write_text("kind\n0\n")
    with pytest.raises(DataError, match="column 'kind', line 2: wanted one of the labels"):
        ran(tmp_path, text)


def test_every_kind_of_file_can_be_a_stream(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "a.txt").write_text("to be or not to be " * 20)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"], file["y"] = rng.random((250, 3)), [1]
    (tmp_path / "frames").mkdir()
    for k in range(220):
        frame = np.roll(np.eye(4, 5), k, axis=1) * 255
        Image.fromarray(frame.astype(np.uint8)).save(tmp_path / "frames" / f"{k}.png")
    for text, n_steps, shape in (
        ('file = "a.txt"\n', 380, (1,)),
        ('file = "b.h5"\ndataset = "x"\nvector = "place"\n', 250, (3,)),
        ('file = "frames"\n', 220, (20,)),
    ):
        with open_trajectory(ran(tmp_path, f"[stream]\n{text}{SMALL}")) as file:
            assert file["surprise"].shape == (n_steps, 1)
            assert file["last_rows"].shape[1:] == shape
            assert ("frames" in figures(file)) == (shape == (20,))
