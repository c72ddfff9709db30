"""The store of a run: files, readers beside a writer, second writers."""

import os
import subprocess

import h5py
import numpy as np
import pytest

from neurolp import FormatError, OutputError, open_trajectory
from neurolp.arrays import NamedArrays
from neurolp.storage.store import RunStore
from tests import faulty
from tests.faulty import append, begun, go_on, state
from tests.storage.small_run import assert_whole, child, looked, surprise

# --- files ----------------------------------------------------------------------------------------


def test_a_finished_run_is_one_file_like_any_other(tmp_path):
    path = tmp_path / "a.h5"
    go_on(begun(path))
    assert_whole(path)
    with h5py.File(path) as raw:  # which does not see the checksum behind
        assert raw["surprise"].fletcher32
        assert raw["surprise"].maxshape == (None, 2)
        assert raw["surprise"].dims[0]["step"].shape == (250,)
        assert list(raw["surprise"].dims[1]["sensor"]) == [b"a", b"b"]
        assert "overwrite" not in raw.attrs
        units = raw["surprise"].attrs["units"], raw["step"].attrs["long_name"]
        assert units == (b"nat", b"rows")
    with pytest.raises(FormatError, match="is finished, there is nothing to resume"):
        RunStore.reopen(path)


def test_rows_of_any_size_in_any_portions(tmp_path):
    rng = np.random.default_rng(0)
    small, huge = rng.random((20_000, 2)).astype("f4"), rng.random((3, 300_000))
    store = RunStore.claim(tmp_path / "a.h5")
    faulty.declare(store)
    store.declare_dimension("frame", "i8", "step", "rows")
    store.declare("huge", ("frame", "pixel"), (300_000,), "f8", "1", "rows larger than a chunk")
    header = faulty.header()
    header.add_coordinate("pixel", np.arange(300_000), "1", "pixel")
    store.begin(header)
    start = 0
    for n in [0, 1, 8191, 2, 8192, 20_000 - 16_386]:
        buffer = small[start : start + n].copy()
        store.append("surprise", buffer)
        buffer[:] = -1  # the caller may reuse it
        store.append("step", np.arange(start, start + n))
        start += n
        if n != 2:
            store.commit(state(0))
    store.append("frame", [0, 1])
    with pytest.raises(ValueError, match="rows along frame, but"):
        store.commit(None)
    store.append("huge", huge[:2])
    store.commit(None)
    with pytest.raises(ValueError, match=r"huge has rows of \(300000,\)"):
        store.append("huge", np.zeros((1, 4)))
    store.append("frame", [2])
    store.append("huge", huge[2:])
    with open_trajectory(tmp_path / "a.h5") as file:
        assert file["huge"].shape == (2, 300_000)
        for key in (slice(8190, 8196), slice(-3, None), slice(None, None, -777), 8192, -1, [3, 9]):
            np.testing.assert_array_equal(file["surprise"][key].values, small[key])
            np.testing.assert_array_equal(
                file["surprise"][key, 1].values, small[key][..., 1], err_msg=str(key)
            )
        part = file["surprise"][5:20_000:5000]
        np.testing.assert_array_equal(part.coords["step"].values, [5, 5005, 10_005, 15_005])
        assert file["surprise"].sel(step=9000).values[0] == small[9000, 0]
        with pytest.raises(IndexError):
            file["surprise"][20_000]
    store.finish(NamedArrays())
    with open_trajectory(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["surprise"].values, small)
        np.testing.assert_array_equal(file["huge"].values, huge)


def test_what_is_there_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        begun(path)
    store = begun(path, overwrite=True)
    store.commit(state(0))
    assert path.read_bytes() == b"precious"
    store.close()
    go_on(RunStore.reopen(path))  # which remembers that it may
    assert_whole(path)
    path.unlink()
    # One that appeared meanwhile is precious too.
    store = begun(path)
    append(store, 0)
    store.commit(state(1))
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        store.finish(NamedArrays())
    store.close()
    assert path.read_bytes() == b"precious"
    path.unlink()
    with open_trajectory(path) as file:
        assert len(file["surprise"]) == 50
    # An unfinished run is precious.
    with pytest.raises(OutputError, match=r"unfinished run of it, which `neurolp resume .*a\.h5`"):
        begun(path)
    store = RunStore.claim(path, overwrite=True)
    store.close()  # before it began: the old one stays
    assert len(open_trajectory(path)["surprise"]) == 50
    go_on(begun(path, overwrite=True))
    assert_whole(path)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "b.h5.run").write_text("in the way")
    for path, message in (
        (tmp_path / "no" / "a.h5", "its folder does not exist"),
        (tmp_path / "folder.h5", "it is a folder"),
        (tmp_path / "file" / "a.h5", "folder does not exist|Not a directory"),
        (tmp_path / "b.h5", "File exists"),
        (tmp_path / ("a" * 253), "name too long"),
    ):
        with pytest.raises(OutputError, match=message):
            begun(path)
    assert sorted(os.listdir(tmp_path)) == ["b.h5.run", "file", "folder.h5"]
    store = RunStore.claim(tmp_path / "a.h5")
    store.close()
    assert not (tmp_path / "a.h5.run").exists()


# --- readers --------------------------------------------------------------------------------------


def test_a_run_is_read_up_to_its_last_commit(tmp_path):
    path = tmp_path / "a.h5"
    store = begun(path)
    with open_trajectory(path) as file:
        assert (file.status, file.title) == ("running", "small")
        assert file["surprise"].shape == (0, 2)
        assert len(file["surprise"].coords["step"].values) == 0
    append(store, 0)
    store.commit(state(1), {"result": {"n_steps": 50}})
    append(store, 1)
    with open_trajectory(path) as file:
        np.testing.assert_array_equal(file["surprise"].values, surprise(1))
        assert file.result == {"n_steps": 50}
        assert file.brain == {"commits": 1}
        assert (file.read("state/x") == 1).all()
        store.commit(None, {"result": {"n_steps": 100}})
        assert (file.read("state/x") == 1).all()
        np.testing.assert_array_equal(file["surprise"].values, surprise(1))
    store.close()
    for name in (path, tmp_path / "a.h5.run"):
        with open_trajectory(name) as file:
            assert file.status == "unfinished"
            assert file.result == {"n_steps": 100}
            np.testing.assert_array_equal(file["surprise"].values, surprise(2))
            assert sorted(file) == ["surprise", "weight"]
    store = RunStore.reopen(path)  # goes back to its last checkpoint
    with open_trajectory(path) as file:
        assert len(file["surprise"]) == 50
    go_on(store)
    assert_whole(path)


def test_a_reader_beside_a_writer_sees_whole_rows_and_then_the_file(tmp_path):
    program = """
import sys, time
from tests import faulty
faulty.N_COMMITS = 60
print("ready", flush=True)
faulty.go_on(faulty.begun(sys.argv[1]))
"""
    path, lengths = tmp_path / "a.h5", []
    with child(program, path) as process:
        process.stdout.readline()
        while process.poll() is None:
            values, why = looked(path)
            if values is None:
                assert "no such file" in why or "open it anew" in why, why
                continue
            n = len(values)
            lengths.append(n)
            assert n % 50 == 0
            np.testing.assert_array_equal(values, surprise(n // 50))
        assert process.returncode == 0, process.stderr.read()
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 1  # how many depends on the machine


# --- a second writer ------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "a.h5"
    program = """
import sys
from tests import faulty
store = faulty.begun(sys.argv[1])
faulty.append(store, 0)
store.commit(faulty.state(1))
print("committed", flush=True)
sys.stdin.read()
"""
    with child(program, path, stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        before = {p.name: p.read_bytes() for p in (tmp_path / "a.h5.run").iterdir()}
        for attempt in (
            lambda: begun(path),
            lambda: begun(path, overwrite=True),
            lambda: RunStore.reopen(path),
        ):
            with pytest.raises(OutputError, match=f"is being written by process {process.pid} on"):
                attempt()
        assert before == {p.name: p.read_bytes() for p in (tmp_path / "a.h5.run").iterdir()}
        process.kill()
        process.communicate()
    go_on(RunStore.reopen(path))  # what the dead held is taken over
    assert_whole(path)
