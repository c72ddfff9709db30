"""What must be true of the small run of tests.faulty, however it ends."""

import os
import sys

import numpy as np

from neurolp import FormatError, open_trajectory
from neurolp.storage.store import RunStore
from tests.faulty import N_COMMITS, begun, go_on, rows
from tests.processes import start


def child(program, *arguments, **settings):
    return start(sys.executable, "-c", program, *arguments, **settings)


def surprise(n):
    return np.concatenate([rows(k)[1] for k in range(n)]) if n else np.empty((0, 2), "f4")


def looked(path):
    """The rows of a run or file, or in one line why there are none."""
    try:
        with open_trajectory(path) as file:
            return file["surprise"].values, ""
    except FormatError as error:
        return None, str(error)


def assert_committed(path, committed):
    """All that was committed can be read, and nothing else but whole commits."""
    read, why = looked(path)
    if read is None:
        assert "no such file" in why
        assert not committed
    else:
        assert len(read) >= 50 * committed
        np.testing.assert_array_equal(read, surprise(len(read) // 50))


def assert_whole(path):
    with open_trajectory(path) as file:
        assert file.status == "complete"
        assert file.result["commits"] == N_COMMITS
        np.testing.assert_array_equal(file["surprise"].values, surprise(N_COMMITS + 1))
        np.testing.assert_array_equal(
            file["surprise"].coords["step"].values, np.arange(50 * (N_COMMITS + 1))
        )
        np.testing.assert_array_equal(file["weight"].values, [1, 2])
    assert os.listdir(path.parent) == [path.name]


def finish(path):
    """Whatever is there, go on with it to the end."""
    try:
        store = RunStore.reopen(path)
    except FormatError as error:
        if "is finished" in str(error):
            return
        store = begun(path)
    go_on(store)
