"""Sweeps that take no time, for the tests of this folder."""

import json

from neurolp.sweep.state import DONE, JobState, write_state

QUICK = {
    "stream": {"source": "ar2", "n_steps": 300},
    "brain": {"n_hidden": 2, "n_lags": 2},
    "record": {"last": 0, "dream": 0, "brain": False},
}
QUICK_TOML = """
title = "Quick"
[base.stream]
source = "ar2"
n_steps = 300
[base.brain]
n_hidden = 2
n_lags = 2
[base.record]
last = 0
dream = 0
brain = false
"""


def written(folder, text, name="s.toml"):
    path = folder / name
    path.write_text(text)
    return path


def fake_sweep(folder, grid, how, n_replicates, value):
    """A folder with the states of a sweep that was never run."""
    jobs = []
    for k, settings in enumerate(grid):
        for r in range(n_replicates):
            identity = f"{k:04d}{r:02d}"
            jobs.append({"identity": identity, "settings": settings, "replicate": r, "seed": r})
            (folder / "jobs" / identity).mkdir(parents=True)
            result = {"surprise": value(settings) + 0.1 * r, "rate": 0.5}
            write_state(folder / "jobs" / identity, JobState(DONE, 1, result=result))
    about = {"format": "neurolp-sweep", "version": 1, "title": "Made up", "how": how, "jobs": jobs}
    (folder / "sweep.json").write_text(json.dumps(about))
    return folder
