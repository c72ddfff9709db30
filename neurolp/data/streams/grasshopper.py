"""Recordings of a grasshopper's auditory receptor, as they come in the package nitime."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from neurolp.arrays import Array
from neurolp.data.streams.source import Chunk, Stream, from_the_start
from neurolp.errors import ConfigurationError, DataError
from neurolp.stream.sensors import ContinuousSensor
from neurolp.stream.spike_sensor import SpikeSensor

SAMPLE = 0.05  # milliseconds between samples of the stimulus
_MOST_SAMPLES = 64  # in a bin: 3.2 ms, the shortest interval between two spikes
# About the mean and the standard deviation of both stimuli, which are inputs: the units of nodes.
_LOCATION, _SCALE = 0.16, 0.125

Recording = Annotated[int, Field(ge=1, le=2)]
Samples = Annotated[int, Field(ge=1, le=_MOST_SAMPLES)]


def grasshopper(*, seed: int = 0, recording: Recording = 1, samples: Samples = 10) -> Stream:
    """Sound at the ear of *Locusta migratoria*, and the spikes of an auditory receptor.

    A row is a bin of ``samples`` of 50 us (10 are 0.5 ms): mean amplitude of the sound in it, and
    whether there was a spike. ``recording`` 1 has noise up to 200 Hz as the envelope of the sound,
    2 up to 800 Hz; each lasts 10 s. The spikes follow the sound by 5 ms or more: the sound of the
    bins before is all that the prediction of a bin of 0.5 ms can use.

    Source: A. Rokem et al., "Spike-timing precision underlies the coding efficiency of auditory
    receptor neurons", J. Neurophysiology 95 (2006); the files of the package ``nitime``.

    Raises
    ------
    ConfigurationError
        If the package is not installed.
    """
    if seed != 0:
        raise ConfigurationError(
            "argument `seed` must be 0 for generator 'grasshopper', where nothing is drawn, "
            f"but is {seed}"
        )
    stimulus, times = _read(recording)
    n = len(stimulus) // samples
    sound = stimulus[: n * samples].reshape(n, samples).mean(axis=1)
    bins = np.floor(times / (1000 * SAMPLE * samples)).astype(np.intp)
    spikes = np.bincount(bins[bins < n], minlength=n)
    rows = np.stack([sound, spikes.astype(np.float64)], axis=1)

    def make() -> Iterator[Chunk]:
        yield rows.copy(), None

    return Stream(
        name="grasshopper",
        sensors=(ContinuousSensor(1, "stimulus", location=_LOCATION, scale=_SCALE), SpikeSensor()),
        chunks=from_the_start(make),
        n_steps=n,
        description=f"recording {recording} of a grasshopper's auditory receptor, bins of "
        f"{SAMPLE * samples:g} ms",
    )


def _read(recording: int) -> tuple[Array, Array]:
    """Stimulus, a number a sample; and times of the spikes, microseconds."""
    found = find_spec("nitime")
    if found is None or found.origin is None:
        raise ConfigurationError(
            "generator 'grasshopper' needs the recordings in the package nitime: "
            "pip install 'neurolp[spikes]'"
        )
    folder = Path(found.origin).parent / "data"
    out = []
    for what in ("stimulus", "spike_times"):
        path = folder / f"grasshopper_{what}{recording}.txt"
        try:
            out.append(np.loadtxt(path))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: wanted numbers, but {error}") from error
    return out[0][:, 1], out[1]
