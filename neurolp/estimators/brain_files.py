"""Between a fitted brain and a trajectory file: what goes in, and how it comes back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.arrays import NamedArrays, Variable
from neurolp.brain.form import LearnedForm
from neurolp.brain.heads.arrays import (
    heads_from_arrays,
    heads_to_arrays,
    marginal_transform_from_arrays,
)
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.marginal import MarginalTransform
from neurolp.brain.network import Network, distinct_slices
from neurolp.brain.network_arrays import description_of, network_from_arrays, parameters_to_arrays
from neurolp.errors import FormatError
from neurolp.simulation.memory_store import MemoryStore, is_recorded
from neurolp.storage.provenance import provenance
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.writer import write_trajectory

Array = npt.NDArray[Any]

# Of brains whose time is not counted in slices: what is counted while they learn.
_TIME_UNITS = {"online": "epoch"}


@dataclass(frozen=True)
class StoredBrain:
    """A fitted brain as a file knows it.

    ``network`` is what evolves: a network, or one of the paper's forms, whose time counts epochs;
    ``parameters`` are those of the estimator, without connectivity, as plain values;
    ``feature_names`` are None where it was fitted without; ``model`` names the estimator. The last
    ``n_hidden`` nodes are no columns of the data.
    """

    network: Network | LearnedForm
    n_slices: int
    mean: Array
    scale: Array
    seed: int
    interrupted: bool
    record: MemoryStore | None
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
    parameters: bool = True,
    digests: dict[str, str] | None = None,
    result: dict[str, Any] | None = None,
) -> None:
    """Write a fitted brain, its record and its provenance to ``path``.

    Without ``parameters`` the file holds the record only, and no brain.
    """
    out = header(brain.seed, title, configuration or {"brain": brain.parameters}, digests)
    status = "interrupted" if brain.interrupted else "complete"
    out.attributes[""]["status"] = status
    if result:
        out.attributes["result"] = {k: v for k, v in result.items() if v is not None}
    brain_to_arrays(out, brain, columns, parameters=parameters)
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


def brain_to_arrays(
    out: NamedArrays,
    brain: StoredBrain,
    columns: tuple[str, ...] | None = None,
    *,
    parameters: bool = True,
) -> None:
    """Add a brain, with or without its ``parameters``, and its record, if it has one in memory."""
    network = brain.network
    if isinstance(network, Network):
        about, time_unit = description_of(network), _TIME_UNITS.get(brain.model, "slice")
    else:
        form = network.to_arrays()
        about, time_unit = form.attributes.pop("brain"), "epoch"
    out.attributes["brain"] = about | {
        "model": brain.model,
        "n_slices": brain.n_slices,
        "n_hidden": brain.n_hidden,
        "time_unit": time_unit,
        "named_columns": brain.feature_names is not None,
        "parameters": json.dumps(brain.parameters, default=_plain),
    }

    n = network.n_nodes
    out.add_coordinate("node", np.arange(n), "1", "node, in the order of the columns of the data")
    names = columns or brain.feature_names or tuple(f"x{j}" for j in range(n - brain.n_hidden))
    names = (*names, *(f"hidden {k}" for k in range(brain.n_hidden)))
    mean = np.append(brain.mean, np.zeros(brain.n_hidden))
    scale = np.append(brain.scale, np.ones(brain.n_hidden))
    out.add("node_name", ("node",), np.array(names, dtype=np.str_), "1", "column of the data")
    out.add("mean", ("node",), mean, "data", "training mean, subtracted from the data")
    out.add("scale", ("node",), scale, "data", "training standard deviation")
    if parameters and isinstance(network, Network):
        n_slices = len(distinct_slices(network)[0])
        out.add_coordinate("slice", np.arange(1, n_slices + 1), "slice", "slice, counted from 1")
        parameters_to_arrays(out, network)
        heads_to_arrays(out, brain.heads, brain.marginal_transform)
    elif parameters:
        out.update(form)
    if brain.record is not None:
        brain.record.to_arrays(out)


def load(
    path: str | os.PathLike[str], model: str, form: type[LearnedForm] | None = None
) -> StoredBrain:
    """The fitted brain of a ``model`` in a trajectory file; ``form`` is what evolves in it.

    Raises
    ------
    FormatError
        If the file cannot be read, or holds no brain or that of another model.
    """
    with open_trajectory(path) as file:
        return _unpack_brain(file, model, form)


def _unpack_brain(file: Trajectory, model: str, form: type[LearnedForm] | None) -> StoredBrain:
    path = file.path
    if file.experiment:
        raise FormatError(f"{path}: holds no brain, but the experiment {file.experiment['name']!r}")
    if not file.brain or ("node_map" not in file and "coupling" not in file):
        raise FormatError(f"{path}: holds no brain; it was recorded with `parameters = false`")
    if (found := str(file.brain.get("model", "density"))) != model:  # not in files of 0.1
        raise FormatError(f"{path}: holds a {found!r} brain, wanted {model!r}")
    try:
        named = file.brain["named_columns"]
        network = network_from_arrays(file) if form is None else form.from_arrays(file)
        n_hidden = int(file.brain.get("n_hidden", 0))  # not in files of 0.1
        n_columns = network.n_nodes - n_hidden
        return StoredBrain(
            network=network,
            n_slices=int(file.brain["n_slices"]),
            mean=file.read("mean")[:n_columns],
            scale=file.read("scale")[:n_columns],
            seed=int(file.provenance["seed"]),
            interrupted=file.status in ("interrupted", "unfinished", "running"),
            record=_record_of(file),
            parameters=json.loads(file.brain["parameters"]),
            feature_names=(tuple(map(str, file.read("node_name")[:n_columns])) if named else None),
            model=model,
            heads=heads_from_arrays(file),
            marginal_transform=marginal_transform_from_arrays(file),
            n_hidden=n_hidden,
        )
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: the brain in it cannot be read: {error}") from error


def _record_of(file: Trajectory) -> MemoryStore:
    """The record in the file, which goes along when a loaded brain is saved again."""
    found = {name: file.stored(name) for name in file if is_recorded(file.stored(name).dims)}
    dims = {dim for v in found.values() for dim in v.dims} & set(file.all_names())
    found |= {dim: file.stored(dim) for dim in dims}
    return MemoryStore.from_arrays(
        {k: Variable(v.dims, file.read(k), v.units, v.long_name) for k, v in found.items()}
    )


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays for JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"cannot store a parameter of type {type(value).__name__}")
