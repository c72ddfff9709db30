"""``neurolp export``: files, exit codes, one line for each mistake."""

import pytest

from tests.exchange.small_runs import ran
from tests.processes import assert_one_line, neurolp_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    ran(folder)
    return folder


def test_export_writes_both_formats(folder):
    done = neurolp_command("export", "a.h5", "--to", "nwb", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "a.nwb\n"), done.stderr
    done = neurolp_command("export", "a.h5", "--to", "sonata", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "a-sonata\n"), done.stderr
    assert {path.name for path in (folder / "a-sonata").iterdir()} == {
        "nodes.h5", "edges.h5", "node_types.csv", "edge_types.csv", "circuit_config.json"
    }  # fmt: skip
    for to, output in (("nwb", "b.nwb"), ("sonata", "b")):
        arguments = "export", "a.h5", "--to", to, "-o", output
        assert neurolp_command(*arguments, cwd=folder).returncode == 0
        again = neurolp_command(*arguments, cwd=folder)
        assert_one_line(again, 73, "exists already; --force")
        assert neurolp_command(*arguments, "--force", cwd=folder).returncode == 0
    slow = neurolp_command(
        "export", "a.h5", "--to", "nwb", "-o", "c.nwb", "--step-seconds", "0.5", cwd=folder
    )
    assert slow.returncode == 0
    assert (folder / "c.nwb").read_bytes() != (folder / "a.nwb").read_bytes()


@pytest.mark.parametrize("to", ["nwb", "sonata"])
def test_mistakes_get_one_line(folder, to):
    (folder / "bad.h5").write_text("bad")
    for arguments, code, message in (
        (("none.h5", "--to", to), 65, "no such file"),
        (("bad.h5", "--to", to), 65, "not a readable HDF5 file"),
        (("a.h5", "--to", to, "-o", "none/x.nwb"), 73, "its folder does not exist"),
    ):
        assert_one_line(neurolp_command("export", *arguments, cwd=folder), code, message)


def test_wrong_usage(folder):
    done = neurolp_command("export", "a.h5", "--to", "csv", cwd=folder)
    assert done.returncode == 2
    assert "nwb" in done.stderr
    done = neurolp_command("export", "a.h5", "--to", "sonata", "--step-seconds", "1", cwd=folder)
    assert_one_line(done, 2, "--step-seconds is for nwb")
    done = neurolp_command("export", "a.h5", "--to", "nwb", "--step-seconds", "-1", cwd=folder)
    assert_one_line(done, 78, "must be a positive number")
