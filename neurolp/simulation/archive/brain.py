"""Between a fitted brain and a trajectory file: what goes in, and how it comes back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays
from neurolp.brain.base_density import base_density
from neurolp.brain.heads.arrays import pack_density, unpack_heads, unpack_marginal_transform
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.marginal import MarginalTransform
from neurolp.brain.network import Network, distinct_slices
from neurolp.errors import FormatError
from neurolp.paper.bounded import BoundedForm
from neurolp.paper.linear import LinearForm
from neurolp.simulation.archive.network import pack_description, pack_parameters, unpack_network
from neurolp.simulation.recorder import Recorder
from neurolp.storage.provenance import provenance
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.writer import write_trajectory

Array = npt.NDArray[Any]
PaperForm = LinearForm | BoundedForm

_FORMS: dict[str, type[PaperForm]] = {"linear": LinearForm, "bounded": BoundedForm}


@dataclass(frozen=True)
class StoredBrain:
    """A fitted brain as a file knows it.

    ``network`` is what evolves: a network, or one of the paper's forms, whose time counts epochs;
    ``parameters`` are those of the estimator, without connectivity, as plain values;
    ``feature_names`` are None where it was fitted without; ``model`` names the estimator. The last
    ``n_hidden`` nodes are no columns of the data.
    """

    network: Network | PaperForm
    n_slices: int
    mean: Array
    scale: Array
    seed: int
    interrupted: bool
    recorder: Recorder
    parameters: dict[str, Any]
    feature_names: tuple[str, ...] | None
    model: str = "density"
    heads: tuple[WeightedHead, ...] | None = None
    marginal_transform: MarginalTransform | None = None
    n_hidden: int = 0


def save(
    brain: StoredBrain,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    title: str = "",
    columns: tuple[str, ...] | None = None,
    configuration: dict[str, Any] | None = None,
    digests: dict[str, str] | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Write a fitted brain, its record and its provenance to ``path``."""
    out = header(brain.seed, title, configuration or {"brain": brain.parameters}, digests)
    status = "interrupted" if brain.interrupted else "complete"
    out.attributes[""]["status"] = status
    if result:
        out.attributes["result"] = {k: v for k, v in result.items() if v is not None}
    pack_brain(out, brain, columns)
    write_trajectory(path, out, overwrite=overwrite)


def header(
    seed: int, title: str, configuration: dict[str, Any], digests: dict[str, str] | None = None
) -> NamedArrays:
    """What is known of a file before there is a brain."""
    out = NamedArrays()
    out.attributes[""] = {"title": title}
    out.attributes["configuration"] = {"json": json.dumps(configuration, default=_plain)}
    out.attributes["provenance"] = provenance(seed, digests)
    return out


def pack_brain(
    out: NamedArrays,
    brain: StoredBrain,
    columns: tuple[str, ...] | None = None,
    *,
    parameters: bool = False,
) -> None:
    """Add a brain and its record; ``parameters`` even where the recorder was asked for none."""
    network, recorder = brain.network, brain.recorder
    if isinstance(network, Network):
        about, unit, time_unit = pack_description(network), "slice", recorder.time_unit
    else:
        form = network.to_arrays()
        about, unit, time_unit = form.attributes.pop("brain"), "epoch", "epoch"
    out.attributes["brain"] = about | {
        "model": brain.model,
        "n_slices": brain.n_slices,
        "n_hidden": brain.n_hidden,
        "time_unit": time_unit,
        "named_columns": brain.feature_names is not None,
        "parameters": json.dumps(brain.parameters, default=_plain),
    }

    n, n_slices = network.n_nodes, len(recorder.local_loss)
    if isinstance(network, Network):
        n_slices = len(distinct_slices(network)[0])
    out.add_coordinate("slice", np.arange(1, n_slices + 1), unit, f"{unit}, counted from 1")
    out.add_coordinate("node", np.arange(n), "1", "node, in the order of the columns of the data")
    names = columns or brain.feature_names or tuple(f"x{j}" for j in range(n - brain.n_hidden))
    names = (*names, *(f"hidden {k}" for k in range(brain.n_hidden)))
    mean = np.append(brain.mean, np.zeros(brain.n_hidden))
    scale = np.append(brain.scale, np.ones(brain.n_hidden))
    out.add("node_name", ("node",), np.array(names, dtype=np.str_), "1", "column of the data")
    out.add("mean", ("node",), mean, "data", "training mean, subtracted from the data")
    out.add("scale", ("node",), scale, "data", "training standard deviation")
    what = "bound on the mean of -log p(x)" if brain.n_hidden else "mean of -log Phi(x)"
    _add_record(out, recorder, n, about["base"], unit, time_unit, what)
    if recorder.parameters or parameters:
        if isinstance(network, Network):
            pack_parameters(out, network)
            pack_density(out, brain.heads, brain.marginal_transform)
            _add_parameter_frames(out, recorder)
        else:
            out.update(form)


def load(path: str | os.PathLike[str]) -> StoredBrain:
    """Read the fitted brain in a trajectory file.

    Raises
    ------
    FormatError
        If the file cannot be read, or holds no brain.
    """
    with open_trajectory(path) as file:
        return unpack_brain(file)


def unpack_brain(file: Trajectory) -> StoredBrain:
    """The fitted brain in an open file; errors as of :func:`load`."""
    path = file.path
    if file.experiment:
        raise FormatError(f"{path}: holds no brain, but the experiment {file.experiment['name']!r}")
    if not file.brain or ("node_map" not in file and "coupling" not in file):
        raise FormatError(f"{path}: holds no brain; it was recorded with `parameters = false`")
    try:
        named = file.brain["named_columns"]
        network = (
            _FORMS[file.brain["form"]].from_arrays(file)
            if "form" in file.brain
            else unpack_network(file)
        )
        n_hidden = int(file.brain.get("n_hidden", 0))  # not in files of 0.1
        n_columns = network.n_nodes - n_hidden
        return StoredBrain(
            network=network,
            n_slices=int(file.brain["n_slices"]),
            mean=file.read("mean")[:n_columns],
            scale=file.read("scale")[:n_columns],
            seed=int(file.provenance["seed"]),
            interrupted=file.status in ("interrupted", "unfinished", "running"),
            recorder=_restore_recorder(file),
            parameters=json.loads(file.brain["parameters"]),
            feature_names=(tuple(map(str, file.read("node_name")[:n_columns])) if named else None),
            model=str(file.brain.get("model", "density")),  # not in files of 0.1
            heads=unpack_heads(file),
            marginal_transform=unpack_marginal_transform(file),
            n_hidden=n_hidden,
        )
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: the brain in it cannot be read: {error}") from error


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays for JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"cannot store a parameter of type {type(value).__name__}")


def _add_record(
    out: NamedArrays,
    recorder: Recorder,
    n_nodes: int,
    base: str,
    unit: str,
    time_unit: str,
    surprise_is: str,
) -> None:
    populations = list(recorder.surprise)
    surprise = np.array([recorder.surprise[p] for p in populations])
    out.add_coordinate("population", np.array(populations), "1", "which part of the data")
    out.add_coordinate(
        "time",
        np.arange(surprise.shape[1]),
        time_unit,
        f"{time_unit}s completed; 0 is before learning",
    )
    out.add(
        "surprise",
        ("population", "time"),
        surprise,
        "nat",
        f"{surprise_is} in the units of the data",
    )
    if recorder.local_loss or time_unit == "slice":
        losses = np.array(recorder.local_loss).reshape(-1, n_nodes)
        out.add(
            "local_loss",
            ("slice", "node"),
            losses,
            "nat",
            "mean local loss of a node in a slice, training data; sums to the change of surprise",
        )
    if not (recorder.potential or recorder.activity):
        return
    out.add_coordinate("frame", np.array(recorder.frame_times), unit, "time of the frame")
    out.add_coordinate("recorded_node", recorder.chosen_nodes, "1", "node")
    out.add_coordinate(
        "trajectory", recorder.chosen_trajectories, "1", "row of the validation data"
    )
    frames = np.array(recorder.frames)
    dims = ("frame", "recorded_node", "trajectory")
    if recorder.potential:
        out.add("potential", dims, frames, "1", "potential u of a node")
    if recorder.activity:
        activity = base_density(base).activity(frames)
        out.add("activity", dims, activity, "1", "activity a = F(u) of a node")


def _add_parameter_frames(out: NamedArrays, recorder: Recorder) -> None:
    """Weights as they changed: every parameter once more, with a first dimension of time."""
    if not recorder.parameter_frames:
        return
    times = np.array(recorder.parameter_times)
    out.add_coordinate("parameter_frame", times, recorder.time_unit, "time of the copy")
    for name in recorder.parameter_frames[0]:
        last = out.variables[name]
        values = np.array([frame[name] for frame in recorder.parameter_frames])
        dims = ("parameter_frame", *last.dims)
        out.add(f"{name}_history", dims, values, last.units, f"{last.long_name}, while learning")


def _restore_recorder(file: Trajectory) -> Recorder:
    """The record in the file, which goes along when a loaded brain is saved again."""
    recorder = Recorder(potential="potential" in file, activity="activity" in file)
    recorder.surprise = {
        str(p): list(row)
        for p, row in zip(file.read("population"), file.read("surprise"), strict=True)
    }
    recorder.time_unit = file.brain.get("time_unit", "slice")
    if "local_loss" in file:
        recorder.local_loss = list(file.read("local_loss"))
    for name in (name for name in file if name.endswith("_history")):
        recorder.parameter_times = [int(t) for t in file.read("parameter_frame")]
        if not recorder.parameter_frames:
            recorder.parameter_frames = [{} for _ in recorder.parameter_times]
        for frame, values in zip(recorder.parameter_frames, file.read(name), strict=True):
            frame[name.removesuffix("_history")] = values
    for name in ("potential", "activity"):
        if name in file:
            recorder.frame_times = [int(t) for t in file.read("frame")]
            recorder.chosen_nodes = file.read("recorded_node")
            recorder.chosen_trajectories = file.read("trajectory")
            values = file.read(name)
            if name == "activity":
                values = base_density(file.brain["base"]).potential(values)
            recorder.frames = list(values)
            break
    return recorder
