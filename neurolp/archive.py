"""Between a fitted brain and a trajectory file: what goes in, and how it comes back."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.brain.connectivity import Connectivity
from neurolp.brain.network import Network, Slice, Synapse
from neurolp.brain.node_map import SplineGrid
from neurolp.errors import FormatError
from neurolp.trajectory.format import Contents
from neurolp.trajectory.reader import Trajectory, open_trajectory
from neurolp.trajectory.recorder import Recorder
from neurolp.trajectory.writer import write_trajectory

if TYPE_CHECKING:
    from neurolp.estimators import BrainDensity

Array = npt.NDArray[Any]


def save(
    brain: BrainDensity,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    title: str = "",
    columns: Sequence[str] | None = None,
    configuration: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Write a fitted brain, its record and its provenance to ``path``."""
    file = contents(brain, title=title, columns=columns, configuration=configuration, result=result)
    write_trajectory(path, file, overwrite=overwrite)


def contents(
    brain: BrainDensity,
    *,
    title: str = "",
    columns: Sequence[str] | None = None,
    configuration: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
) -> Contents:
    """Everything a trajectory file says about a fitted brain."""
    network, recorder = brain.network_, brain.recorder_
    out = Contents()
    out.attributes[""] = {
        "title": title,
        "status": "interrupted" if brain.interrupted_ else "complete",
    }
    settings = {"brain": _plain_parameters(brain)} if configuration is None else configuration
    out.attributes["configuration"] = {"json": json.dumps(settings)}
    out.attributes["provenance"] = provenance(brain.seed_)
    out.attributes["brain"] = _brain_attributes(brain)
    if result:
        out.attributes["result"] = {k: v for k, v in result.items() if v is not None}

    n, n_slices = network.n_nodes, len(network.slices)
    out.add_coordinate("slice", np.arange(1, n_slices + 1), "slice", "slice, counted from 1")
    out.add_coordinate("node", np.arange(n), "1", "node, in the order of the columns of the data")
    if columns is None:
        columns = getattr(brain, "feature_names_in_", [f"x{j}" for j in range(n)])
    out.add("node_name", ("node",), np.array([str(s) for s in columns]), "1", "column of the data")
    out.add("mean", ("node",), brain.mean_, "data", "training mean, subtracted from the data")
    out.add("scale", ("node",), brain.scale_, "data", "training standard deviation")
    _add_record(out, recorder, network)
    if recorder.parameters:
        _add_parameters(out, network)
    return out


def load(cls: type[BrainDensity], path: str | os.PathLike[str]) -> Any:
    """Rebuild the brain in a trajectory file."""
    with open_trajectory(path) as file:
        if not file.brain or "node_map" not in file:
            raise FormatError(f"{path}: holds no brain; it was recorded with `parameters = false`")
        try:
            return _restore(cls, file)
        except (KeyError, OSError, ValueError) as error:
            raise FormatError(f"{path}: the brain in it cannot be read: {error}") from error


def provenance(seed: int) -> dict[str, Any]:
    """Software versions, platform, time and command: what a result needs to be believed."""
    packages = ("neurolp", "numpy", "scipy", "numba", "h5py", "scikit-learn")
    versions = {f"version_{name}": _version(name) for name in packages}
    return {
        "seed": seed,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 0,
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        **versions,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


# --- parts of a file ------------------------------------------------------------------------------


def _plain_parameters(brain: BrainDensity) -> dict[str, Any]:
    plain = {
        name: list(value) if isinstance(value, (tuple, np.ndarray)) else value
        for name, value in brain.get_params().items()
        if name != "connectivity"
    }
    matrix = None if brain.connectivity is None else "in this file"
    return plain | {"connectivity": matrix, "random_state": brain.seed_}


def _brain_attributes(brain: BrainDensity) -> dict[str, Any]:
    network = brain.network_
    return {
        "n_slices": brain.n_slices_,
        "base": network.base,
        "gain": network.gain,
        "dtype": str(np.dtype(network.dtype)),
        "connectivity": network.connectivity.kind,
        "synapse_thresholds": np.array(network.synapse.thresholds),
        "synapse_slope": network.synapse.slope,
        "spline_low": network.grid.low,
        "spline_high": network.grid.high,
        "spline_intervals": network.grid.n_intervals,
        "named_columns": hasattr(brain, "feature_names_in_"),
        "parameters": json.dumps(_plain_parameters(brain)),
    }


def _add_record(out: Contents, recorder: Recorder, network: Network) -> None:
    populations = list(recorder.surprise)
    surprise = np.array([recorder.surprise[p] for p in populations])
    out.add_coordinate("population", np.array(populations), "1", "which part of the data")
    out.add_coordinate(
        "time", np.arange(surprise.shape[1]), "slice", "slices completed; 0 is before learning"
    )
    out.add(
        "surprise",
        ("population", "time"),
        surprise,
        "nat",
        "mean of -log Phi(x) in the units of the data",
    )
    losses = np.array(recorder.local_loss).reshape(-1, network.n_nodes)
    out.add(
        "local_loss",
        ("slice", "node"),
        losses,
        "nat",
        "mean local loss of a node in a slice, training data; sums to the change of surprise",
    )
    if not (recorder.potential or recorder.activity):
        return
    out.add_coordinate("frame", np.array(recorder.frame_times), "slice", "time of the frame")
    out.add_coordinate("recorded_node", recorder.chosen_nodes, "1", "node")
    out.add_coordinate(
        "trajectory", recorder.chosen_trajectories, "1", "row of the validation data"
    )
    frames = np.array(recorder.frames)
    dims = ("frame", "recorded_node", "trajectory")
    if recorder.potential:
        out.add("potential", dims, frames, "1", "potential u of a node")
    if recorder.activity:
        activity = network.base_density.activity(frames)
        out.add("activity", dims, activity, "1", "activity a = F(u) of a node")


def _add_parameters(out: Contents, network: Network) -> None:
    n, m, n_slices = network.n_nodes, network.synapse.n_transfer, len(network.slices)
    group, bias = np.zeros((n_slices, n), dtype=np.int32), np.zeros((n_slices, n), network.dtype)
    gain_bias = np.zeros_like(bias)
    node_map = np.zeros((n_slices, n, network.grid.n_coefficients), network.dtype)
    for t, slice_ in enumerate(network.slices):
        for g, update in enumerate(slice_):
            group[t, update.targets] = g
            bias[t, update.targets] = update.bias
            node_map[t, update.targets] = update.node_map
            if network.gain:
                gain_bias[t, update.targets] = update.gain_bias
    out.add_coordinate(
        "transfer", np.arange(m), "1", "transfer function of an edge: 0 identity, m tanh_m"
    )
    out.add_coordinate("bounded_transfer", np.arange(1, m), "1", "transfer function, tanh only")
    out.add_coordinate(
        "coefficient",
        np.arange(network.grid.n_coefficients),
        "1",
        "coefficient of a node map: 0 offset, k slope of B-spline k",
    )
    out.add("group", ("slice", "node"), group, "1", "position of a node's group in the slice")
    out.add("bias", ("slice", "node"), bias, "1/slice", "constant input c_i")
    out.add(
        "node_map",
        ("slice", "node", "coefficient"),
        node_map,
        "1",
        "offset and positive slope coefficients of the monotone node map",
    )
    dims: tuple[str, ...] = ("target", "source")
    if network.connectivity.kind == "sparse":
        edges = network.connectivity.matrix.tocoo()
        out.add_coordinate("edge", np.arange(edges.nnz), "1", "edge, sorted by target and source")
        out.add("edge_target", ("edge",), edges.row.astype(np.int64), "1", "node the edge enters")
        out.add("edge_source", ("edge",), edges.col.astype(np.int64), "1", "node the edge leaves")
        dims = ("edge",)
    else:
        out.add_coordinate("target", np.arange(n), "1", "node an edge enters")
        out.add_coordinate("source", np.arange(n), "1", "node an edge leaves")
        if network.connectivity.kind == "dense":
            out.add("edges", dims, network.connectivity.matrix, "1", "permitted edges")
    out.add(
        "weights",
        ("slice", "transfer", *dims),
        _all_weights(network, m, "weights"),
        "1/slice",
        "w of every edge and transfer function; 0 inside a group",
    )
    if network.gain:
        out.add("gain_bias", ("slice", "node"), gain_bias, "1/slice", "constant log-gain")
        out.add(
            "gain_weights",
            ("slice", "bounded_transfer", *dims),
            _all_weights(network, m - 1, "gain_weights"),
            "1/slice",
            "gain modulation gamma of every edge and bounded transfer function",
        )


def _all_weights(network: Network, n_transfer: int, name: str) -> Array:
    """Weights of all slices: (slice, transfer, target, source), or (slice, transfer, edge)."""
    n, n_slices = network.n_nodes, len(network.slices)
    shape: tuple[int, ...] = (n_slices, n_transfer, n, n)
    is_sparse = network.connectivity.kind == "sparse"
    if is_sparse:
        shape = (n_slices, n_transfer, network.connectivity.n_edges)
        keys = _edge_keys(network)
    out = np.zeros(shape, network.dtype)
    for t, slice_ in enumerate(network.slices):
        for update in slice_:
            s = len(update.sources)
            weights = getattr(update, name)
            if is_sparse:
                coo = weights.tocoo()
                key = update.targets[coo.row] * n + update.sources[coo.col % s]
                out[t, coo.col // s, np.searchsorted(keys, key)] = coo.data
            else:
                for k in range(n_transfer):
                    block = weights[:, k * s : (k + 1) * s]
                    out[t, k][np.ix_(update.targets, update.sources)] = block
    return out


def _edge_keys(network: Network) -> Array:
    edges = network.connectivity.matrix.tocoo()
    return np.asarray(edges.row.astype(np.int64) * network.n_nodes + edges.col)


# --- back -----------------------------------------------------------------------------------------


def _restore(cls: type[BrainDensity], file: Trajectory) -> Any:
    about = file.brain
    connectivity = _restore_connectivity(file)
    network = Network(
        connectivity,
        about["base"],
        Synapse(tuple(float(t) for t in about["synapse_thresholds"]), about["synapse_slope"]),
        bool(about["gain"]),
        SplineGrid(about["spline_low"], about["spline_high"], int(about["spline_intervals"])),
        np.dtype(about["dtype"]),
    )
    names = ["group", "bias", "node_map", "weights"]
    names += ["gain_bias", "gain_weights"] if network.gain else []
    arrays = {name: file[name].values for name in names}
    network.slices = [
        _restore_slice(network, {name: array[t] for name, array in arrays.items()})
        for t in range(len(arrays["bias"]))
    ]
    parameters = json.loads(about["parameters"])
    if parameters["connectivity"] is not None:
        parameters["connectivity"] = connectivity.matrix
    brain = cls(**parameters)
    brain.network_ = network
    brain.n_slices_ = int(about["n_slices"])
    brain.mean_, brain.scale_ = file["mean"].values, file["scale"].values
    brain.n_features_in_ = network.n_nodes
    if about["named_columns"]:
        brain.feature_names_in_ = file["node_name"].values.astype(object)
    brain.seed_ = int(file.provenance["seed"])
    brain.interrupted_ = file.status == "interrupted"
    brain.recorder_ = _restore_recorder(file)
    return brain


def _restore_connectivity(file: Trajectory) -> Connectivity:
    kind, n = file.brain["connectivity"], len(file["mean"])
    if kind == "full":
        return Connectivity.full(n)
    if kind == "dense":
        return Connectivity.from_array(file["edges"].values.astype(np.bool_), n)
    row, column = file["edge_target"].values, file["edge_source"].values
    ones = np.ones(len(row), dtype=np.bool_)
    return Connectivity.from_array(sparse.csr_array((ones, (row, column)), (n, n)), n)


def _restore_slice(network: Network, at: dict[str, Array]) -> Slice:
    updates = []
    n = network.n_nodes
    for g in range(int(at["group"].max()) + 1):
        targets = np.flatnonzero(at["group"] == g)
        sources = network.connectivity.sources_of(targets, at["group"] != g)

        def chosen(name: str, targets: Array = targets, sources: Array = sources) -> Any:
            if network.connectivity.kind != "sparse":
                blocks = at[name][:, targets[:, None], sources]
                return blocks.transpose(1, 0, 2).reshape(len(targets), -1)
            near = [network.connectivity.presynaptic(int(i), sources) for i in targets]
            row = np.repeat(np.arange(len(targets)), [len(k) for k in near])
            position = np.concatenate(near) if near else np.empty(0, np.intp)
            edge = np.searchsorted(_edge_keys(network), targets[row] * n + sources[position])
            k, s = len(at[name]), len(sources)
            columns = (np.arange(k)[:, None] * s + position).ravel()
            return sparse.csr_array(
                (at[name][:, edge].ravel(), (np.tile(row, k), columns)), (len(targets), k * s)
            )

        updates.append(
            network.update(
                targets,
                sources,
                chosen("weights"),
                at["bias"][targets],
                chosen("gain_weights") if network.gain else None,
                at["gain_bias"][targets] if network.gain else np.empty(0),
                at["node_map"][targets],
            )
        )
    return tuple(updates)


def _restore_recorder(file: Trajectory) -> Recorder:
    """The record in the file, so that a loaded brain can be saved again without loss."""
    recorder = Recorder(potential="potential" in file, activity="activity" in file)
    surprise = file["surprise"]
    recorder.surprise = {
        str(p): list(row)
        for p, row in zip(surprise.coords["population"], surprise.values, strict=True)
    }
    recorder.local_loss = list(file["local_loss"].values)
    for name in ("potential", "activity"):
        if name in file:
            frames = file[name]
            recorder.frame_times = [int(t) for t in frames.coords["frame"]]
            recorder.chosen_nodes = frames.coords["recorded_node"]
            recorder.chosen_trajectories = frames.coords["trajectory"]
            values = frames.values
            if name == "activity":
                from neurolp.brain.base_density import base_density

                values = base_density(file.brain["base"]).potential(values)
            recorder.frames = list(values)
            break
    return recorder
