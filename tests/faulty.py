"""Runs whose operating system fails, in processes of their own: what tests and benchmarks share.

``python -m tests.faulty FOLDER FUNCTION N`` records a small run in FOLDER/a.h5 and lets the N-th
call of os.FUNCTION fail; it prints what it has committed.
"""

import errno
import os
import sys
from pathlib import Path

import numpy as np

from neurolp import NeurolpError
from neurolp.arrays import NamedArrays
from neurolp.storage.store import RunStore

FUNCTIONS = ("open", "write", "fsync", "replace", "close", "unlink", "ftruncate", "mkdir")
N_COMMITS = 4


def header():
    out = NamedArrays()
    out.attributes[""] = {"title": "small", "status": "complete"}
    out.attributes["experiment"] = {"name": "small"}
    out.add_coordinate("sensor", np.array(["a", "b"]), "1", "sensor")
    out.add("weight", ("sensor",), [1.0, 2.0], "1", "of each")
    return out


def declare(store):
    store.declare_dimension("step", "i8", "step", "rows")
    store.declare("surprise", ("step", "sensor"), (2,), "f4", "nat", "surprise")


def rows(k):
    """What is appended before commit k."""
    rng = np.random.default_rng(k)
    return np.arange(50 * k, 50 * k + 50), rng.random((50, 2)).astype("f4")


def state(k):
    out = NamedArrays()
    out.attributes["brain"] = {"commits": k}
    out.add_group("state", {"x": np.full(1000, k)}, "state")
    return out


def append(store, k):
    steps, surprise = rows(k)
    store.append("step", steps)
    store.append("surprise", surprise)


def begun(path, **settings):
    store = RunStore.claim(path, **settings)
    declare(store)
    store.begin(header())
    return store


def go_on(store, *, said=lambda k: None):
    """From the last checkpoint to the end."""
    with_state = store.checkpoint()
    first = 0
    if with_state is not None:
        with with_state:
            first = with_state.brain["commits"]
            assert (with_state.read("state/x") == first).all()
    for k in range(first, N_COMMITS):
        append(store, k)
        store.commit(state(k + 1))
        said(k + 1)
    append(store, N_COMMITS)
    out = NamedArrays(attributes={"result": {"commits": N_COMMITS}})
    noise = np.random.default_rng(0).random(2000)  # so that the file is larger than its parts
    out.add("noise", ("place",), noise, "1", "known in the end")
    store.finish(out)


def fail_at(function, n):
    """Let the n-th call of os.``function`` in this process fail as on a full disk."""
    real, calls = getattr(os, function), [0]

    def failing(*arguments, **named):
        calls[0] += 1
        if calls[0] == n:
            if function == "close":
                real(*arguments, **named)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **named)

    setattr(os, function, failing)
    return calls


def main(folder, function, n):
    path = Path(folder) / "a.h5"
    calls = fail_at(function, int(n))
    try:
        store = begun(path)
        try:
            go_on(store, said=lambda k: print("committed", k, flush=True))
        finally:
            store.close()
    except NeurolpError as error:
        print("error", type(error).__name__, error, flush=True)
    except OSError as error:
        print("raw", error, flush=True)
    print("calls", calls[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
