"""How much memory a point will need at most, roughly, from its configuration alone.

Bytes, for N nodes, R rows, S slices, M transfer functions:

    a process         500 MB: the interpreter, libraries and compiled kernels
    data              R N, in 8 copies (as read, dequantised, standardised, three potentials ..)
    a slice           2 (M + 1) N^2 for shift and gain, and what the node maps have
    learning a slice  (M N)^2 for the normal equations, 2^19 features in a block
    frames            two for every recorded slice
    a stream          the state (neurolp.StreamBrain), twice: it is packed at the end

A bound, checked against what runs were seen to take; not a prediction.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from neurolp.config.experiment_sections import PrincipleConfiguration
from neurolp.config.load import AnyConfiguration
from neurolp.config.sections import Configuration, DensitySection, FullSection, OnlineSection
from neurolp.config.stream_sections import (
    FileStreamSection,
    NoConnectivitySection,
    StreamConfiguration,
)
from neurolp.data.streams import generator, open_stream
from neurolp.data.tables import load_data
from neurolp.errors import NeurolpError
from neurolp.stream.sensors import places

Shape = tuple[int, int]

_PROCESS = 500e6
_EXPERIMENT = 700e6  # those that read small tables: several models at a time
_COPIES = 8
_SPLINES = 2 + 30  # parameters of a node map


class Estimator:
    """Estimates for the points of one sweep, which mostly look at the same data."""

    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def __call__(self, configuration: AnyConfiguration) -> float:
        """Bytes that a run may need; that of a process where nothing is known of the data."""
        try:
            if isinstance(configuration, Configuration):
                return _PROCESS + self._brain(configuration)
            if isinstance(configuration, StreamConfiguration):
                return _PROCESS + self._stream(configuration)
        except NeurolpError:  # the point itself will say what is wrong with its data
            return _PROCESS
        if isinstance(configuration, PrincipleConfiguration):
            n = len(configuration.probabilities) * configuration.n_runs * configuration.n_steps
            return _PROCESS + 8 * 8.0 * n
        return _PROCESS + _EXPERIMENT

    def _brain(self, configuration: Configuration) -> float:
        rows, n = self._table(configuration)
        brain = configuration.brain
        data = 8.0 * _COPIES * rows * n
        if isinstance(brain, DensitySection | OnlineSection):
            m = 1 + len(brain.synapse_thresholds)
            density = isinstance(brain, DensitySection)
            slices = brain.max_slices if isinstance(brain, DensitySection) else brain.n_slices
            per_slice = 8.0 * (2 * (m + 1) * n * n + (_SPLINES + 4) * n)
            learning = 8.0 * ((m * n) ** 2 if density else rows * n * slices) + 8 * 2**20
            frames = self._frames(configuration, rows, n, slices)
            return data + 2 * slices * per_slice + learning + frames
        return data + 8.0 * 20 * n * n + self._frames(configuration, rows, n, brain.max_time)

    def _frames(self, configuration: Configuration, rows: int, n: int, slices: int) -> float:
        record = configuration.record
        followed = record.trajectories
        n_rows = min(followed if isinstance(followed, int) else len(followed), rows)
        n_nodes = n if record.nodes is None else len(record.nodes)
        return 2 * 2 * 8.0 * n_rows * n_nodes * (slices / record.every + 2)

    def _table(self, configuration: Configuration) -> Shape:
        settings = configuration.data.model_dump()
        key = json.dumps(configuration.data.model_dump(mode="json", exclude={"split_seed"}))
        if key not in self._shapes:
            data = load_data(**settings)
            rows = len(data.train) + len(data.validation) + len(data.test)
            self._shapes[key] = (rows, len(data.columns))
        shape: Shape = self._shapes[key]
        return shape

    def _stream(self, configuration: StreamConfiguration) -> float:
        n_outputs, n_symbols, n_categorical = self._sensors(configuration)
        brain = configuration.brain
        full = isinstance(configuration.connectivity, FullSection)
        edges = brain.n_hidden * (brain.n_hidden if full else 100)
        if isinstance(configuration.connectivity, NoConnectivitySection):
            edges = 0
        features = 1 + brain.n_lags * n_outputs + brain.n_hidden + 16
        size = 8.0 * n_outputs * features + 8.0 * n_outputs**2 + 20.0 * edges
        size += 16.0 * features**2 if brain.rule == "rls" else 0
        size += 8.0 * n_categorical * (brain.max_order + 1) * brain.n_contexts * (n_symbols + 3)
        record = configuration.record
        rows = (record.dream + record.last + 3 * 4096) * (2 * n_outputs + brain.n_hidden)
        return 2 * size + 8.0 * rows + 50e6

    def _sensors(self, configuration: StreamConfiguration) -> tuple[int, int, int]:
        """Outputs of all sensors, symbols of the largest, sensors with symbols."""
        section = configuration.stream
        key = json.dumps(section.model_dump(mode="json", exclude={"seed", "n_steps"}))
        if key not in self._shapes:
            settings = section.model_dump(exclude={"source", "file", "n_steps"}, exclude_none=True)
            if isinstance(section, FileStreamSection):
                stream = open_stream(section.file, **settings)
            else:
                stream = generator(section.source, section.n_steps, **settings)
            symbols = np.array([s.n_symbols for s in stream.sensors])
            outputs = places(stream.sensors)[-1].outputs.stop
            self._shapes[key] = (outputs, int(symbols.max()), int((symbols > 0).sum()))
        known: tuple[int, int, int] = self._shapes[key]
        return known


def said(size: float) -> str:
    """Bytes for people: 1.5 GB."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"
