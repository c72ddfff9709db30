"""Neurodata Without Borders: the record of a stream as an NWB file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError, OutputError
from neurolp.storage.atomic import check_writable, discard, publish
from neurolp.storage.disk import write_hdf5
from neurolp.storage.reader import Trajectory, open_trajectory

MODULE = "misc"  # of what is derived: one of the names that NWB recommends
STEP_SECONDS = 0.001  # of a step, where nothing says how long it is

# Variables that become a TimeSeries: their dimension in time, and the table of their columns.
_OBSERVED = {"observed": ("predicted_step", "columns")}
_DERIVED = {
    "surprise": ("step", "sensors"),
    "true_surprise": ("step", None),
    "mean_surprise": ("window", "sensors"),
    "mean_true_surprise": ("window", None),
    "input_mean": ("window", "outputs"),
    "input_variance": ("window", "outputs"),
    "predicted": ("predicted_step", "outputs"),
    "predicted_std": ("predicted_step", "values"),
    "predicted_quantile": ("predicted_step", "values"),
    "activity": ("activity_time", "hidden"),
}
# Tables of names: the coordinate, and what its members are.
_TABLES = {
    "sensors": ("sensor", "sensors of the brain"),
    "columns": ("column", "columns of the rows of the stream"),
    "values": ("value", "columns of sensors of values"),
    "outputs": ("output", "outputs of the readout: symbols and values"),
    "features": ("feature", "features of the memory: constant, lagged input, hidden nodes"),
    "hidden": ("hidden", "hidden nodes"),
    "activity_nodes": ("activity_node", "hidden nodes whose activity is recorded"),
}
# Weights: tables of the targets and of the sources.
_WEIGHTS = {
    "readout": ("outputs", "features"),
    "recurrent": ("hidden", "hidden"),
    "afferent": ("hidden", "features"),
    "chain": ("outputs", "outputs"),
}


def to_nwb(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    step_seconds: float = STEP_SECONDS,
    overwrite: bool = False,
) -> Path:
    """Write the record of a run with ``[stream]`` as an NWB file; its path.

    ``acquisition`` has the rows that were recorded, ``processing["misc"]`` surprise, predictions
    and activity as TimeSeries, a table of the names of each of their columns, and for weights a
    table with a row for each edge; ``units`` the spikes of spike sensors, where rows were recorded.
    Row t of the stream is at t steps. Long records are written in
    pieces, not read as a whole.

    Parameters
    ----------
    source : path
        File of a run; it may go on.
    path : path
        NWB file (HDF5).
    step_seconds : float
        Duration of a step, seconds. NWB has no other unit of time, and streams count steps.
    overwrite : bool
        Whether the file may be replaced.

    Raises
    ------
    ConfigurationError
        If pynwb is not installed, or ``step_seconds`` is no positive number.
    DataError
        If the file is not of a stream.
    OutputError
        If the file exists, its name does not end in .nwb, or it cannot be written.
    """
    positive = isinstance(step_seconds, int | float) and 0 < step_seconds < np.inf
    if not positive or isinstance(step_seconds, bool):
        raise ConfigurationError(
            f"argument `step_seconds` must be a positive number, but is {step_seconds!r}"
        )
    try:
        from pynwb import NWBHDF5IO
    except ImportError as error:
        raise ConfigurationError(
            "NWB files need pynwb, which is not installed: pip install 'neurolp[nwb]'"
        ) from error
    target = check_writable(path, overwrite=overwrite)
    if target.suffix != ".nwb":
        raise OutputError(f"{target}: the name of an NWB file must end in .nwb")
    with open_trajectory(source) as file:
        if file.experiment.get("name") != "stream":
            raise DataError(
                f"{file.path}: holds no record of a stream, as `neurolp run` with [stream] writes; "
                "the network of a saved brain can become SONATA"
            )
        content = _content(file, float(step_seconds))
        temporary = target.with_name(f".neurolp-{os.getpid()}.partial")

        def fill(out: Any, check: Callable[[], None]) -> None:
            with NWBHDF5IO(file=out, mode="w") as io:
                io.write(content)

        try:
            write_hdf5(temporary, fill, checksum=False)
            publish(temporary, target)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{target}: cannot write the result, {reason}") from error
        finally:
            discard(temporary)
    return target


def _content(file: Trajectory, step_seconds: float) -> Any:
    """The NWB file in memory, but for the data, which are read when it is written."""
    from neurolp.exchange.nwb_units import units

    out = _session(file, step_seconds)
    module = out.create_processing_module(
        MODULE, "what a brain (neurolp.StreamBrain) predicted, and how it learned"
    )
    for name, (coordinate, what) in _TABLES.items():
        if coordinate in file and len(file.read(coordinate)):
            labels = [str(label) for label in file.read(coordinate)]
            module.add(_table(name, what, labels))
    for name, (dim, columns) in (_OBSERVED | _DERIVED).items():
        if name in file and file.stored(name).shape[0]:
            series = _series(file, name, dim, columns, step_seconds)
            (out.add_acquisition if name in _OBSERVED else module.add)(series)
    for table in _weights(file, step_seconds):
        module.add(table)
    out.units = units(file, step_seconds)
    return out


def _session(file: Trajectory, step_seconds: float) -> Any:
    """The NWB file with what is known of the run."""
    from pynwb import NWBFile

    about = file.provenance
    versions = [
        [name.removeprefix("version_"), str(version)]
        for name, version in about.items()
        if name.startswith("version_")
    ]
    run = str(file.attributes("")["run_id"])
    steps = file.result.get("n_steps", 0)
    return NWBFile(
        session_description=(
            f"Simulation: {file.title}. A brain for streams predicted {steps} steps of the stream "
            f"'{file.result.get('stream', '')}' and learned from them; the run is {file.status}. "
            f"A step is taken to last {step_seconds:g} s."
        ),
        identifier=run,
        session_id=run,
        session_start_time=datetime.fromisoformat(about["created"]),
        experiment_description="No animal: all data are computed. Surprise is -log p in nats.",
        keywords=["simulation", "recurrent network", "prediction", "local learning"],
        was_generated_by=versions,
        data_collection=f"{about['command']}; seed {about['seed']}; {about['platform']}",
        notes=json.dumps({"configuration": file.configuration, "provenance": about}, default=str),
    )


def _table(name: str, what: str, labels: list[str]) -> Any:
    from pynwb.core import DynamicTable, VectorData

    label = VectorData(name="label", description="its name", data=labels)
    return DynamicTable(name=name, description=what, columns=[label])


def _series(file: Trajectory, name: str, dim: str, columns: str | None, step_seconds: float) -> Any:
    from pynwb import TimeSeries

    from neurolp.exchange.nwb_rows import stored_rows

    stored = file.stored(name)
    described = f"{stored.long_name}; (time{''.join(f', {d}' for d in stored.dims[1:])})"
    if "activity_node" in stored.dims:
        columns = "activity_nodes"
    if columns is not None:
        described += f", as in the table '{columns}'"
    if name == "predicted_quantile":
        described += f"; probabilities {', '.join(f'{p:g}' for p in file.read('probability'))}"
    unit = {"1": "n.a.", "data": "of the input", "data^2": "of the input, squared"}
    return TimeSeries(
        name=name,
        description=described,
        data=stored_rows(stored),
        unit=unit.get(stored.units, stored.units),
        **_times(file.stored(dim)[()], step_seconds),
    )


def _times(steps: Array, step_seconds: float) -> dict[str, Any]:
    """When samples were: a rate if they are regular, else the time of each."""
    between = np.diff(steps)
    if len(between) and between[0] > 0 and np.all(between == between[0]):
        rate = 1.0 / (float(between[0]) * step_seconds)
        return {"starting_time": float(steps[0]) * step_seconds, "rate": rate}
    return {"timestamps": steps * step_seconds}


def _weights(file: Trajectory, step_seconds: float) -> Iterator[Any]:
    """Tables with a row for each edge, and its weight at each recorded time."""
    from pynwb.core import DynamicTable, VectorData

    from neurolp.exchange.nwb_rows import edge_rows

    for name, (targets, sources) in _WEIGHTS.items():
        if name not in file or not file.stored(name).shape[0]:
            continue
        steps = file.read(file.stored(name).dims[0])
        times = ", ".join(f"{t * step_seconds:g}" for t in steps)
        rows = edge_rows(file, name)
        columns = [
            VectorData(
                name="target", description=f"row of the table '{targets}'", data=rows.target
            ),
            VectorData(
                name="source", description=f"row of the table '{sources}'", data=rows.source
            ),
            VectorData(
                name="weight", description=f"weight at the times {times} s", data=rows.weight
            ),
        ]
        yield DynamicTable(
            name=f"{name}_weights",
            description=file.stored(name).long_name,
            columns=columns,
            id=rows.number,
        )
