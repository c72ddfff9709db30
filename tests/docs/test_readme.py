"""Blocks of README.md run as a reader would run them, from top to bottom, in one folder.

Its two commands that install are run by .ci/run, which takes the second from README.md.
"""

import re
import shutil

import numpy as np
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

from neurolp.sweep.collecting import collect
from tests.processes import ROOT, neurolp_command

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"falls\s+from (\S+) nats a step with (\d+) nodes to (\S+) with (\d+)\.")


def blocks(language):
    """The texts of the blocks of a language."""
    return [text for kind, text in BLOCK.findall(TEXT) if kind == language]


def figures_of(text, models):
    """Figures of the models in a table of scores, without the seconds in the last column."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    return [[float(x) for x in row[1:4]] for m in models for row in rows if row[:1] == [m]]


def test_no_block_is_of_a_kind_that_is_not_run():
    kinds = [kind for kind, _ in BLOCK.findall(TEXT)]
    # The commands that install, what the first of them prints, and what runs below.
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "sh": 2, "": 1, "text": 1, "toml": 2, "python": 6
    }  # fmt: skip
    assert "neurolp run simulations/digits.toml" in blocks("sh")[0]


def test_what_a_reader_runs(tmp_path, monkeypatch):
    """Commands and Python in one folder: digits.h5 of a command is read in Python."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "simulations", "simulations")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3))
    np.savetxt("measurements.csv", table, "%.3f", ",", header="mass,height,width", comments="")
    printed = {}
    for line in blocks("text")[0].splitlines():
        name, *command = line.split("#")[0].split()
        assert name == "neurolp"
        done = neurolp_command(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed[command[0], command[-1]] = done.stdout
    said = blocks("")[0]
    assert said.splitlines()[0] in " ".join(printed["run", "digits"].split())
    models = re.findall(r"^│ (\S.*?) +│", said, re.MULTILINE)
    found = figures_of(printed["run", "digits"], models)
    assert len(found) == len(models) == 3
    np.testing.assert_allclose(figures_of(said, models), found, rtol=0.01)

    document = Document.parse(str(README), PythonCodeBlockParser(), encoding="utf-8")
    for example in document.examples():
        example.evaluate()


def test_configurations_run_and_the_sweep_has_the_effect_that_is_claimed(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 3))
    path = tmp_path / "measurements.csv"
    np.savetxt(path, rows, "%.3f", ",", header="mass,height,width", comments="")
    for name, command, text in zip(
        ("mine", "nodes"), ("run", "sweep"), blocks("toml"), strict=True
    ):
        (tmp_path / f"{name}.toml").write_text(text)
        done = neurolp_command(command, f"{name}.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.h5").exists()
    assert "no effect" not in done.stdout
    found = collect(tmp_path / "nodes").groupby("brain.n_hidden")["surprise"].mean()
    few, n_few, many, n_many = map(float, CLAIM.search(TEXT).groups())
    np.testing.assert_allclose(found[[n_few, n_many]], [few, many], atol=0.01)
