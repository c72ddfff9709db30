"""Blocks of README.md run as a reader would run them, from top to bottom, in one folder.

Its two commands that install are run by .ci/run, which takes the second from README.md.
"""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

from neurolp.sweep.collecting import collect
from tests.processes import ROOT, neurolp_command

README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    """The texts of the blocks, by their language."""
    found = {}
    for language, text in BLOCK.findall(README.read_text(encoding="utf-8")):
        found.setdefault(language, []).append(text)
    return found


@pytest.fixture(scope="module")
def reader(tmp_path_factory, blocks):
    """The folder of a reader who has done what README says, and what the commands printed."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "simulations", folder / "simulations")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3))
    lines = ["mass,height,width", *(",".join(f"{x:.3f}" for x in row) for row in table)]
    (folder / "measurements.csv").write_text("\n".join(lines))
    printed = {}
    for line in "".join(blocks["text"]).splitlines():
        command = line.split("#")[0].split()
        assert command.pop(0) == "neurolp"
        printed[" ".join(command)] = neurolp_command(*command, cwd=folder)
    return SimpleNamespace(folder=folder, printed=printed)


def test_no_block_is_of_a_kind_that_is_not_run(blocks):
    assert {kind: len(texts) for kind, texts in blocks.items() if kind != "python"} == {
        "sh": 2,  # see above
        "": 1,  # what the first one prints
        "text": 1,
        "toml": 2,
    }
    assert "neurolp run simulations/digits.toml" in blocks["sh"][0]


def test_commands_succeed(reader):
    failed = {line: done.stderr for line, done in reader.printed.items() if done.returncode}
    assert failed == {}
    assert {"measurements.toml", "measurements.h5", "digits.h5"} <= {
        path.name for path in reader.folder.iterdir()
    }


def test_the_table_of_the_first_command_is_what_it_prints(reader, blocks):
    """Names and order of models and columns, and figures to 1 %, without seconds."""
    said, printed = blocks[""][0], reader.printed["run digits"].stdout
    rows = [
        [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "  " in line]
        for text in (said, printed[printed.index(said.splitlines()[0]) :])
    ]
    assert [row[0] for row in rows[0]] == [row[0] for row in rows[1][: len(rows[0])]]
    for one, other in zip(rows[0][2:], rows[1][2:], strict=False):
        np.testing.assert_allclose(
            [float(x) for x in one[1:4]], [float(x) for x in other[1:4]], rtol=0.01
        )


def test_the_configuration_runs(reader, blocks):
    (reader.folder / "mine.toml").write_text(blocks["toml"][0])
    done = neurolp_command("run", "mine.toml", cwd=reader.folder)
    assert done.returncode == 0, done.stderr
    assert (reader.folder / "mine.h5").exists()


def test_the_sweep_has_the_effect_that_is_claimed(reader, blocks):
    (reader.folder / "nodes.toml").write_text(blocks["toml"][1])
    done = neurolp_command("sweep", "nodes.toml", cwd=reader.folder)
    assert done.returncode == 0, done.stderr
    assert "no effect" not in done.stdout
    found = collect(reader.folder / "nodes").groupby("brain.n_hidden")["surprise"].mean()
    claimed = re.search(
        r"falls\s+from (\S+) nats a step with (\d+) nodes to (\S+) with (\d+)", README.read_text()
    )
    few, n_few, many, n_many = map(float, claimed.groups())
    np.testing.assert_allclose(found[[n_few, n_many]], [few, many], atol=0.01)


def test_python_runs(reader, monkeypatch):
    monkeypatch.chdir(reader.folder)
    document = Document.parse(str(README), PythonCodeBlockParser(), encoding="utf-8")
    examples = list(document.examples())
    assert len(examples) == len(re.findall(r"^```python$", README.read_text(), re.MULTILINE)) > 5
    for example in examples:
        example.evaluate()
