"""The real command, as a process: results, exit codes, one line for a user's mistake, Ctrl-C."""

import os
import pty
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse

from neurolp import BrainDensity, open_trajectory
from neurolp.cli import exit_codes
from neurolp.data.tables import load_data
from tests.processes import (
    COMMAND,
    INTERRUPTIBLE,
    assert_one_line,
    finished,
    neurolp_command,
    progress_line,
    python,
    run,
    start,
)

SMALL = 'seed = 4\n[data]\nname = "wine"\ndequantise = true\n[brain]\nmax_slices = 8\n'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_run_info_and_plot(config, tmp_path):
    """In processes that import all by themselves; what the other tests start may be forks."""

    def command(*arguments):
        return run(*COMMAND, *arguments, cwd=tmp_path)

    done = command("run", config)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("slice 8/8: fitting what to compare with") for line in lines)
    assert "Gaussian mixture" in done.stdout
    assert "brain (8 slices)" in done.stdout
    assert lines[-1].endswith("results: small.h5")

    # The table tells the truth: the file's brain scores the same on the same test rows.
    data = load_data("wine")
    with open_trajectory(tmp_path / "small.h5") as trajectory:
        recorded = trajectory.result["test_log_prob"]
        assert list(trajectory["node_name"].values) == list(data.columns)
    brain = BrainDensity.load(tmp_path / "small.h5")
    assert brain.score(data.test) == pytest.approx(recorded, rel=1e-12)
    assert f"{recorded:.2f}" in done.stdout

    info = command("info", tmp_path / "small.h5")
    assert info.returncode == 0
    assert "seed: 4" in info.stdout
    assert "surprise (time: 9, split: 3) [nat]" in info.stdout

    plot = command("plot", "small.h5")
    assert plot.returncode == 0, plot.stderr
    drawn = {Path(line).stem for line in plot.stdout.split()}
    assert drawn == {"surprise", "potentials", "weights", "node_maps", "marginals"}
    for line in plot.stdout.split():
        assert (tmp_path / line).stat().st_size > 10_000


def test_runs_are_reproducible_and_old_results_are_kept(config, tmp_path):
    for _ in range(2):
        assert neurolp_command("run", config, "--quiet", cwd=tmp_path).returncode == 0
    first, second = (BrainDensity.load(tmp_path / name) for name in ("small.h5", "small-2.h5"))
    X = load_data("wine").test
    assert np.array_equal(first.score_samples(X), second.score_samples(X))

    refused = neurolp_command("run", config, "-o", "small.h5", cwd=tmp_path)
    assert refused.returncode == 73
    assert "exists already" in refused.stderr
    assert (
        neurolp_command("run", config, "-o", "small.h5", "--force", "-q", cwd=tmp_path).returncode
        == 0
    )


def test_quiet_prints_nothing_and_a_generated_seed_is_kept(tmp_path, config):
    config.write_text(SMALL.replace("seed = 4\n", ""))
    done = neurolp_command("run", config, "-q", "--set", "compare=false", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with open_trajectory(tmp_path / "small.h5") as trajectory:
        seed = trajectory.provenance["seed"]
        assert trajectory.configuration["seed"] == seed
    again = neurolp_command(
        "run", config, "-q", "--set", f"seed={seed}", "-o", "b.h5", cwd=tmp_path
    )
    assert again.returncode == 0
    with open_trajectory(tmp_path / "small.h5") as a, open_trajectory(tmp_path / "b.h5") as b:
        assert np.array_equal(a["weights"].values, b["weights"].values)


def test_a_terminal_gets_a_progress_bar(config, tmp_path):
    leader, follower = pty.openpty()
    with start(
        *COMMAND,
        *("run", config, "--set", "compare=false"),
        cwd=tmp_path,
        environment={"TERM": "xterm"},
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:  # the other end closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.wait() == 0
    os.close(leader)
    assert b"/8" in shown
    assert b"slice 3/" not in shown
    assert b"brain (8 slices)" in shown


def test_validate(config, tmp_path):
    good = neurolp_command("validate", config, cwd=tmp_path)
    assert (good.returncode, good.stdout) == (0, f"{config}: valid\n")
    bad = neurolp_command("validate", config, "--set", "brain.log_scael=true", cwd=tmp_path)
    assert bad.returncode == 78
    assert "nearest valid key is 'brain.log_scale'" in bad.stderr


def bad_table(folder, name):
    """A user's file with one thing wrong."""
    table = np.random.default_rng(0).standard_normal((30, 2))
    text = ["a,b"] + [f"{x},{y}" for x, y in table]
    cells = {"nan": "nan", "infinite": "inf", "text": "red", "missing": ""}
    if name in cells:
        text[5] = f"1.0,{cells[name]}"
    elif name == "constant":
        text[1:] = [f"{x},3.5" for x, _ in table]
    elif name == "few":
        text = text[:6]
    elif name == "one row":
        text = text[:2]
    path = folder / "table.csv"
    if name != "absent":
        path.write_text("\n".join(text) + "\n")
    config = folder / "bad.toml"
    config.write_text('[data]\nfile = "table.csv"\ndequantise = true\n')
    return config


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "column 'b', row 4: value is NaN"),
        ("infinite", "column 'b', row 4: value is infinite"),
        ("text", "column 'b', line 6: wanted a number, but found 'red'"),
        ("missing", "column 'b', line 6: value is missing"),
        ("constant", "column 'b' is constant (3.5)"),
        ("few", "wanted at least 10 rows, but it has 5"),
        ("one row", "wanted at least 10 rows, but it has 1"),
        ("absent", "table.csv: no such file"),
    ],
)
def test_bad_data_exit_65_with_one_line(tmp_path, name, message):
    done = neurolp_command("run", bad_table(tmp_path, name), cwd=tmp_path)
    assert_one_line(done, 65, message)
    assert not list(tmp_path.glob("*.h5*"))


def test_a_dirty_table_from_the_command_to_the_figures(tmp_path):
    (tmp_path / "a.csv").write_text(
        "who,when,n,unit\n"
        + "".join(
            f"{'abc'[k % 3]},{'?' if k % 7 == 0 else f'2020-01-{1 + k % 28:02d}'},{k % 4},m\n"
            for k in range(80)
        )
    )
    (tmp_path / "a.toml").write_text('[data]\nfile = "a.csv"\n')
    done = neurolp_command("run", "a.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("nominal, 3 categories", "constant, always 'm'", "Chow-Liu tree", "nats: mass"):
        assert part in done.stdout
    info = neurolp_command("info", "a.h5", cwd=tmp_path)
    assert "mixture of products" in info.stdout
    plot = neurolp_command("plot", "a.h5", cwd=tmp_path)
    assert plot.returncode == 0, plot.stderr
    drawn = {Path(line).stem for line in plot.stdout.split()}
    assert drawn == {"columns", "dependence", "calibration"}
    done = neurolp_command("run", "a.toml", "--set", "data.kinds.who=ordinal", cwd=tmp_path)
    assert_one_line(done, 78, "strings cannot be ordinal")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[data]\nname = "wine"\ndequantise = true\ncolour = 1\n', "unknown key 'data.colour', the nearest valid key is 'data.columns'"),
        ('[data]\nname = "whine"\n', "key 'data.name'"),
        ('[data]\nname = "wine"\ndequantise = true\n[brain]\npatience = 0\n', "key 'brain.patience'"),
        ("[data\n", "not valid TOML"),
        ('[data]\nname = "wine"\ndequantise = true\n[record]\nnodes = [13]\n', "setting `nodes` must be below 13, but contains 13"),
        ('[data]\nname = "wine"\ndequantise = true\n[connectivity]\nkind = "file"\nfile = "none.npz"\n', "none.npz: no such file"),
        ('[data]\nname = "wine"\ndequantise = true\n[connectivity]\nkind = "file"\nfile = "small.npy"\n', "small.npy: there are 13 nodes, but the edges have 2"),
        ('[data]\nname = "wine"\ndequantise = true\n[connectivity]\nkind = "file"\nfile = "bad.npz"\n', "wanted an NPY matrix, a SciPy sparse NPZ matrix or a table of edges"),
        ('[data]\nname = "wine"\ndequantise = true\n[brain]\nrotation = true\n[connectivity]\nkind = "file"\nfile = "ring.npy"\n', "`rotation` needs full connectivity"),
        ('[data]\nname = "wine"\ndequantise = true\n[brain]\nupdate_order = [[0, 1], [2, 3]]\n', "every node once, but has node 4 0 times"),
        ('[data]\nname = "wine"\ndequantise = true\n[connectivity]\nkind = "random"\nin_degree = 13\nseed = 1\n', "`in_degree` must be an integer in [0, 12], but is 13"),
        ('[data]\nname = "wine"\ndequantise = true\n[brain]\nsynapse_thresholds = [99.0]\n', "synapse thresholds"),
    ],
)  # fmt: skip
def test_bad_configurations_exit_78_with_one_line(tmp_path, text, message):
    np.save(tmp_path / "small.npy", ~np.eye(2, dtype=bool))
    np.save(tmp_path / "ring.npy", np.roll(np.eye(13, dtype=bool), 1, axis=0))
    (tmp_path / "bad.npz").write_text("nonsense")
    config = tmp_path / "bad.toml"
    config.write_text(text)
    assert_one_line(neurolp_command("run", config, cwd=tmp_path), 78, message)


def test_wrong_use_exits_2(tmp_path, config):
    assert_one_line(
        neurolp_command("run", "absent.toml", cwd=tmp_path), 2, "no such configuration file"
    )
    assert neurolp_command("fly", cwd=tmp_path).returncode == 2
    assert neurolp_command("run", cwd=tmp_path).returncode == 2
    assert neurolp_command("run", config, "--speed", cwd=tmp_path).returncode == 2
    (tmp_path / "sweep.toml").write_text('base = "small.toml"\n[sweep]\nreplicates = 2\n')
    for arguments, message in (
        (("run", config, "-o", "small.toml", "--force"), "is the configuration itself"),
        (("plot", config, "--result", "surprise"), "--result is for the folder of a sweep"),
        (("validate", "sweep.toml", "--set", "seed=1"), "has no meaning for a sweep"),
    ):
        assert_one_line(neurolp_command(*arguments, cwd=tmp_path), 2, message)
    assert config.read_text() == SMALL
    assert "DIR/table.csv" in neurolp_command("collect", "--help", cwd=tmp_path).stdout


def test_the_result_never_replaces_the_data(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((50, 2)))
    before = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "c.toml").write_text('[data]\nfile = "x.npy"\n')
    done = neurolp_command("run", "c.toml", "-o", "x.npy", "--force", cwd=tmp_path)
    assert_one_line(done, 73, "it is the data ('data.file')")
    assert (tmp_path / "x.npy").read_bytes() == before


def test_unreadable_files_exit_65_and_unwritable_places_73(tmp_path, config):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    for verb in ("info", "plot"):
        assert_one_line(neurolp_command(verb, "absent.h5", cwd=tmp_path), 65, "no such file")
        assert_one_line(
            neurolp_command(verb, "foreign.h5", cwd=tmp_path), 65, "not a neurolp-trajectory"
        )
        assert_one_line(neurolp_command(verb, config, cwd=tmp_path), 65, "not a readable HDF5 file")
    for verb in ("verify", "reproduce"):
        assert_one_line(neurolp_command(verb, ".", cwd=tmp_path), 65, "is a folder")
    done = neurolp_command("run", config, "-o", "no/such/folder/x.h5", cwd=tmp_path)
    assert_one_line(done, 73, "its folder does not exist")


def test_ctrl_c_stops_between_blocks_and_leaves_what_can_be_read_and_resumed(tmp_path):
    table = np.random.default_rng(0).standard_normal((60_000, 24))
    np.save(tmp_path / "big.npy", table)
    config = tmp_path / "big.toml"
    config.write_text('seed = 0\n[data]\nfile = "big.npy"\n[brain]\npatience = 400\n')
    with start(*INTERRUPTIBLE, "run", config, cwd=tmp_path) as process:
        assert progress_line(process).startswith("slice 1/")
        process.send_signal(signal.SIGINT)
        _, stderr = finished(process)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted after" in stderr
    assert not (tmp_path / "big.h5").exists()
    with open_trajectory(tmp_path / "big.h5") as trajectory:
        assert trajectory.status == "unfinished"
        n_slices = len(trajectory["weights"])
        assert trajectory["surprise"].shape == (n_slices + 1, 3)
    brain = BrainDensity.load(tmp_path / "big.h5")
    assert np.isfinite(brain.score(table[:100]))


def test_a_sparse_network_from_a_configuration(tmp_path):
    edges = np.eye(13, k=1, dtype=bool) | np.eye(13, k=-1, dtype=bool)
    sparse.save_npz(tmp_path / "chain.npz", sparse.csr_array(edges))
    config = tmp_path / "chain.toml"
    config.write_text(SMALL + '[connectivity]\nkind = "file"\nfile = "chain.npz"\n')
    assert neurolp_command("run", config, "-q", cwd=tmp_path).returncode == 0
    with open_trajectory(tmp_path / "chain.h5") as trajectory:
        assert trajectory["weights"].dims == ("slice", "edge", "transfer")
        assert len(trajectory["edge_target"]) == 24
    plot = neurolp_command("plot", "chain.h5", cwd=tmp_path)
    assert plot.returncode == 0, plot.stderr
    assert (tmp_path / "chain-figures" / "connectivity.png").stat().st_size > 10_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_a_command_has_begun_is_one_line_too(number, code, tmp_path):
    program = f"""
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
from neurolp.cli import app as cli
cli.app = lambda: os.kill(os.getpid(), {int(number)}) or signal.pause()
cli.main()
"""
    done = python(program)
    assert (done.returncode, done.stderr) == (code, "neurolp: interrupted\n")


def test_verify_finds_a_flipped_bit_wherever_it_is(tmp_path):
    X = np.random.default_rng(0).standard_normal((50, 2))
    BrainDensity(max_slices=1, random_state=0).fit(X).save(tmp_path / "a.h5")
    done = neurolp_command("verify", "a.h5", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.h5: undamaged\n", "")
    image = bytearray((tmp_path / "a.h5").read_bytes())
    heap = image.index(b"GCOL")  # which HDF5 does not check, and this reader does not read
    image[heap + 40] ^= 1
    (tmp_path / "a.h5").write_bytes(image)
    open_trajectory(tmp_path / "a.h5").close()
    assert_one_line(neurolp_command("verify", "a.h5", "-q", cwd=tmp_path), 65, "a.h5: damaged")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["title"] = "another"
    done = neurolp_command("verify", "a.h5", cwd=tmp_path)
    assert_one_line(done, 65, "a.h5: has no checksum; another program changed or cut it")
    done = neurolp_command("verify", "absent.h5", cwd=tmp_path)
    assert_one_line(done, 65, "absent.h5: no such file")


@pytest.mark.parametrize(
    ("given", "code"), [((), 130), ((signal.SIGTERM,), 143), (("what was learned",), 130)]
)
def test_an_interruption_has_an_exit_code_whatever_it_says(given, code):
    # Estimators say what can be used after Ctrl-C, an experiment passes that on.
    assert exit_codes.code_of(KeyboardInterrupt(*given)) == code
