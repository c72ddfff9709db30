"""The store of a run survives kills, failing disks and damaged files."""

import os
import signal
import sys
import time

import numpy as np
import pytest

from neurolp import FormatError, RecordingError, open_trajectory
from neurolp.storage.reader import Trajectory, verify
from neurolp.storage.store import RunStore
from tests.faulty import append, begun, go_on, state
from tests.processes import ROOT, run
from tests.storage.small_run import assert_committed, assert_whole, child, finish

# --- kills ----------------------------------------------------------------------------------------

SLOW = """
import sys, time
from tests import faulty
faulty.go_on(faulty.begun(sys.argv[1]), said=lambda k: print(k, flush=True))
"""


@pytest.mark.parametrize("k", range(6))
def test_kill_9_loses_nothing_before_the_last_commit(tmp_path, k):
    path = tmp_path / "a.h5"
    with child(SLOW, path) as process:
        if k % 2:
            process.stdout.readline()
        else:
            while not (tmp_path / "a.h5.run").exists() and process.poll() is None:
                time.sleep(0.001)
        time.sleep(0.007 * k)
        process.kill()
        said = [int(line) for line in process.communicate()[0].split()]
    committed = max(said, default=0)
    assert_committed(path, committed)
    finish(path)
    assert_whole(path)


@pytest.mark.parametrize("moment", ["before the file has its name", "before the folder goes"])
def test_kill_9_at_the_end(tmp_path, moment):
    name = "replace" if "name" in moment else "unlink"
    program = f"""
import os, sys
from tests import faulty
store = faulty.begun(sys.argv[1])
def kill(path, *rest):
    if "finished" in str(path) or "segment-000000" in str(path):
        os.kill(os.getpid(), 9)
    return real(path, *rest)
finish = store.finish
def deadly(contents):
    global real
    real = os.{name}
    os.{name} = kill
    finish(contents)
store.finish = deadly
faulty.go_on(store)
"""
    path = tmp_path / "a.h5"
    with child(program, path) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "a.h5.run").exists()
    if name == "unlink":
        with open_trajectory(path) as file:
            assert file.status == "complete"
        with pytest.raises(FormatError, match="is finished"):
            RunStore.reopen(path)
    else:
        go_on(RunStore.reopen(path))
    assert_whole(path)


# --- failing disks --------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("n", [2, 5, 9])
def test_calls_that_fail_leave_the_old_or_the_new_state(tmp_path, function, n):
    check_failure(tmp_path, function, n)


def check_failure(folder, function, n):
    """One call fails; what was committed is read, and the run can be continued. Whether it failed."""
    done = run(sys.executable, "-m", "tests.faulty", folder, function, n, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    lines = done.stdout.splitlines()
    committed = sum(line.startswith("committed") for line in lines)
    failed = [line for line in lines if line.startswith(("error", "raw"))]
    path = folder / "a.h5"
    if failed:
        assert failed[0].startswith(("error OutputError", "error RecordingError")), failed
        assert f"{path}: " in failed[0]
        assert "No space left on device" in failed[0]
        assert "RecordingError" in failed[0] or not committed
    assert_committed(path, committed)
    finish(path)
    assert_whole(path)
    return bool(failed)


@pytest.mark.parametrize("room", [0, 2000, 6000, 20_000])
def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path, room):
    program = f"""
import resource, sys
from neurolp import NeurolpError
from tests import faulty
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
store = None
try:
    store = faulty.begun(sys.argv[1])
    faulty.go_on(store)
except NeurolpError as error:
    print(type(error).__name__, error)
"""
    path = tmp_path / "a.h5"
    with child(program, path) as process:
        stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    kind = "OutputError" if room < 4_000 else "RecordingError"
    assert stdout.startswith(f"{kind} {path}: ")
    assert "File too large" in stdout
    finish(path)
    assert_whole(path)


def test_after_a_failure_nothing_more_is_recorded(tmp_path, monkeypatch):
    store = begun(tmp_path / "a.h5")
    append(store, 0)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(RecordingError, match="cannot record the run, broken; `neurolp resume"):
        store.commit(state(1))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="is not open for recording"):
        store.commit(state(1))
    store.close()


# --- damage ---------------------------------------------------------------------------------------


def everything(path, whole=False):
    with Trajectory(path, whole=whole) as file:
        values = {name: file.read(name).tobytes() for name in file.all_names()}
        return values, file.status, file.title, file.result, file.experiment


def everything_or_why(path, whole=False):
    try:
        return everything(path, whole), ""
    except FormatError as error:
        return None, str(error)


@pytest.mark.parametrize("finished", [True, False])
def test_damage_is_noticed_wherever_it_is(tmp_path, finished):
    path = tmp_path / "a.h5"
    store = begun(path)
    if finished:
        go_on(store)
        targets = [path]
    else:
        append(store, 0)
        store.commit(state(1))
        store.close()
        targets = sorted((tmp_path / "a.h5.run").glob("*.h5"))
        assert len(targets) == 3
    good, rng = everything(path), np.random.default_rng(0)
    noticed = 0
    for _ in range(60):
        target = targets[rng.integers(len(targets))]
        image = target.read_bytes()
        damaged = bytearray(image)
        at = int(rng.integers(len(image)))
        if rng.random() < 0.3:
            damaged = damaged[:at]
        else:
            damaged[at] ^= 1 << int(rng.integers(8))
        assert verify(path) == len(targets)
        target.write_bytes(damaged)
        for whole in (False, True):  # as it is opened, and as it is verified
            found, why = everything_or_why(path, whole)
            assert (found == good and not whole) or str(target) in why
            assert "\n" not in why
            noticed += found is None
        target.write_bytes(image)
    assert noticed > 90


def test_damaged_attributes_of_a_checkpoint_are_named_by_its_file(tmp_path):
    path, store = tmp_path / "a.h5", begun(tmp_path / "a.h5")
    append(store, 0)
    contents = state(1)
    contents.attributes["brain"] = {"parameters": "find me"}
    store.commit(contents)
    store.close()
    (part,) = (tmp_path / "a.h5.run").glob("state-*.h5")
    image = part.read_bytes()
    assert image.count(b"find me") == 1
    part.write_bytes(image.replace(b"find me", b"lost me"))
    with pytest.raises(FormatError, match=f"{part}: damaged"):
        open_trajectory(path)


def test_a_lost_segment_is_named(tmp_path):
    store = begun(tmp_path / "a.h5")
    for k in range(3):
        append(store, k)
        store.commit(state(k + 1))
    store.close()
    (tmp_path / "a.h5.run" / "segment-000002.h5").unlink()
    for attempt in (RunStore.reopen, open_trajectory):
        with pytest.raises(FormatError, match=r"segment-000002\.h5: no such file"):
            attempt(tmp_path / "a.h5")
