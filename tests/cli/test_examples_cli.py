"""Commands with examples by name, the version, help and shell completion."""

import importlib.metadata

import numpy as np
import pytest

from neurolp.cli.app import COMMANDS
from neurolp.config.examples import examples, examples_root, find_example
from tests.processes import COMMAND, assert_one_line, neurolp_command, run

FAST = ("--set", "brain.max_slices=2", "--set", "compare=false")


def test_the_list_has_every_example(tmp_path):
    done = neurolp_command("examples", cwd=tmp_path, COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    for example in examples().values():
        (line,) = [line for line in done.stdout.splitlines() if line.split()[:1] == [example.name]]
        assert example.title in line
        assert example.extra in line
    assert "[EXTRA]" in done.stdout


def test_an_example_is_copied_and_what_to_do_next_is_said(tmp_path):
    done = neurolp_command("examples", "mixed", "-o", "there", cwd=tmp_path)
    expected = "there/mixed.toml\nthere/penguins.csv\nneurolp run there/mixed.toml\n"
    assert (done.returncode, done.stdout) == (0, expected)
    done = neurolp_command("examples", "mixed", "-o", "there", cwd=tmp_path)
    assert_one_line(done, 73, "mixed.toml: exists already; --force replaces it")
    done = neurolp_command("examples", "mixed", "-o", "there", "--force", cwd=tmp_path)
    assert done.returncode == 0
    done = neurolp_command("examples", "spikes.ipynb", cwd=tmp_path)
    assert "needs: pip install 'neurolp[spikes]'\njupyter lab spikes.ipynb\n" in done.stdout
    for wrong, message in (
        (("digitz",), "no such example; the nearest is 'digits'"),
        (("--force",), "--force needs the NAME of an example"),
        (("-o", "x"), "-o needs the NAME of an example"),
    ):
        assert_one_line(neurolp_command("examples", *wrong, cwd=tmp_path), 2, message)


def test_run_and_validate_find_examples_and_files_by_name(tmp_path):
    done = neurolp_command("run", "two_moons", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = find_example("two_moons").path
    said = f"two_moons: no such file; taking the example of that name, {path}"
    assert done.stdout.splitlines()[0] == said
    assert (tmp_path / "two_moons.h5").exists()
    # A file of one's own comes first, with or without its suffix.
    (tmp_path / "two_moons.toml").write_text('[data]\nname = "wine"\ndequantise = true\n')
    done = neurolp_command("run", "two_moons", *FAST, "-o", "own.h5", cwd=tmp_path)
    assert done.stdout.splitlines()[0] == "two_moons: no such file; taking that, two_moons.toml"
    done = neurolp_command("run", "digits", *FAST, "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = neurolp_command("validate", "digits", cwd=tmp_path)
    assert done.stdout == f"{find_example('digits').path}: valid\n"


def test_names_that_are_none_are_refused_with_what_is_near(tmp_path):
    for arguments, message in (
        (
            ("run", "digit"),
            "no such configuration file or example; the nearest example is 'digits'",
        ),
        (("run", "digits.toml"), "digits.toml: no such configuration file"),
        (("run", "recurrence"), "no such file; the example is for `neurolp sweep recurrence`"),
        (("sweep", "digits"), "no such file; the example is for `neurolp run digits`"),
        (("sweep", "recurence"), "the nearest example is 'sweeps/recurrence'"),
    ):
        assert_one_line(neurolp_command(*arguments, cwd=tmp_path), 2, message)
    done = neurolp_command("sweep", "recurrence", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "taking the example of that name" in done.stdout
    assert "54 jobs" in done.stdout


def test_validate_reads_the_data(tmp_path):
    def said(text, code, message):
        (tmp_path / "c.toml").write_text(text)
        assert_one_line(neurolp_command("validate", "c.toml", cwd=tmp_path), code, message)

    said('[data]\nfile = "none.csv"\n', 65, "none.csv: no such file")
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{k},{k * k % 7}.5\n" for k in range(30)))
    said('[data]\nfile = "x.csv"\ncolumns = ["a", "c"]\n', 65, "no column 'c' among a, b")
    said('[data]\nfile = "x.csv"\nkinds = {c = "nominal"}\n', 78, "unknown column 'c'")
    said('[stream]\nfile = "x.csv"\nsymbols = ["c"]\n', 65, "'c'")
    said('[stream]\nfile = "x.csv"\n[record]\nactivity_nodes = [5000]\n', 78, "5000")
    said('experiment = "supervised"\n[table]\nfile = "x.csv"\ntarget = "c"\n', 65, "'c'")
    said('experiment = "general_purpose"\nfiles = ["x.csv", "y.csv"]\n', 65, "y.csv: no such file")
    edges = (
        '[data]\nfile = "x.csv"\ndequantise = true\n[connectivity]\nkind = "file"\nfile = "e.npz"\n'
    )
    said(edges, 78, "e.npz: no such file")
    (tmp_path / "s.toml").write_text(
        '[base.data]\nfile = "x.csv"\n[sweep.grid]\n"data.columns" = [["a"], ["c"]]\n'
    )
    done = neurolp_command("validate", "s.toml", cwd=tmp_path)
    assert_one_line(done, 65, "no column 'c' among a, b")
    np.save(tmp_path / "ok.npy", np.random.default_rng(0).standard_normal((40, 2)))
    (tmp_path / "c.toml").write_text('[data]\nfile = "ok.npy"\n')
    done = neurolp_command("validate", "c.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "c.toml: valid\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "c.toml",
        "ok.npy",
        "s.toml",
        "x.csv",
    ]


def test_version_and_help_everywhere(tmp_path):
    done = run(*COMMAND, "--version", cwd=tmp_path)
    version = importlib.metadata.version("neurolp")
    assert (done.returncode, done.stdout) == (0, f"neurolp {version}\n")
    for command in ((), *((function.__name__,) for function in COMMANDS)):
        short, long = (neurolp_command(*command, flag, cwd=tmp_path) for flag in ("-h", "--help"))
        assert (short.returncode, short.stdout) == (0, long.stdout)
        assert "Usage:" in short.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(shell, tmp_path):
    shown = run(
        *COMMAND,
        "--show-completion",
        shell,
        cwd=tmp_path,
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert shown.returncode == 0, shown.stderr
    assert "COMPLETE" in shown.stdout


def test_keys_prints_the_page_about_keys_or_the_parts_about_a_word(tmp_path):
    docs = examples_root() / "docs"
    pages = [(docs / f"{name}.md").read_text() for name in ("configuration", "sweeps")]
    done = neurolp_command("keys", cwd=tmp_path)
    assert done.returncode == 0
    for page in pages:
        assert {*page.split("<!--")[0].splitlines()} <= {*done.stdout.splitlines()}
    assert "<!--" not in done.stdout, "what is not for readers is not printed"
    done = neurolp_command("keys", "n_draws", cwd=tmp_path)
    assert done.stdout.startswith("# Sweeps: a configuration with many settings\n\n## What is")
    done = neurolp_command("keys", "n_lags", cwd=tmp_path)
    assert done.stdout.startswith("# Streams\n\n## `[brain]`: parameters of `neurolp.StreamBrain`")
    done = neurolp_command("keys", "Univariate", cwd=tmp_path)
    assert done.stdout.startswith('# Experiments\n\n## `experiment = "univariate"`')
    assert done.stdout.count("## ") == 1
    assert_one_line(neurolp_command("keys", "zebra", cwd=tmp_path), 2, "zebra: no part of")
