"""Small runs to report on, and a real browser to look at their reports with."""

import contextlib
import shutil

import pytest

import neurolp

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DENSITY = {
    "title": "Rings & <others>",
    "seed": 2,
    "data": {"name": "two_moons"},
    "brain": {"max_slices": 6},
}
STREAM = {
    "title": "An oscillator",
    "seed": 3,
    "stream": {"source": "ar2", "n_steps": 600},
    "brain": {"n_hidden": 3, "n_lags": 2},
    "record": {"last": 60, "dream": 40},
}


def ran(folder, configuration, name="run.h5", **settings):
    path = folder / name
    neurolp.run(configuration, path, **settings).close()
    return path


@contextlib.contextmanager
def browser():
    """A headless Chromium; the test is skipped where none is installed."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed, none of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without the sandbox, which the superuser of a container cannot have.
        yield playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


class EnoughError(Exception):
    """Raised to break a run off."""


def broken_off(folder, configuration, at):
    """The path of a run that was given up at time ``at``, as if killed."""

    def observe(progress):
        if progress.time >= at:
            raise EnoughError

    path = folder / "cut.h5"
    with pytest.raises(EnoughError):
        neurolp.run(configuration, path, observe=observe)
    return path
