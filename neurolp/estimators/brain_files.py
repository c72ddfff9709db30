"""What a fitted brain consists of, how it is written to a trajectory file, and read again."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array, NamedArrays, Variable
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
from neurolp.brain.parts import PARTS
from neurolp.errors import FormatError
from neurolp.estimators.validation import Density
from neurolp.simulation.memory_store import MemoryStore, Store, is_recorded
from neurolp.simulation.monitors import Recorder
from neurolp.storage.provenance import provenance
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.writer import write_trajectory


def header(
    seed: int, title: str, configuration: dict[str, Any], digests: dict[str, str] | None = None
) -> NamedArrays:
    """What is known of a file before there is a brain."""
    out = NamedArrays()
    out.attributes[""] = {"title": title}
    out.attributes["configuration"] = {"json": json.dumps(configuration, default=_plain)}
    out.attributes["provenance"] = provenance(seed, digests)
    return out


class StoredBrain(Density):
    """What a fitted brain consists of.

    Either a network, used up to slice ``n_slices_``, or one of the paper's forms, learned for
    ``n_epochs_``. The last ``n_hidden`` nodes are no columns of the data.
    """

    model: ClassVar[str]  # name in files
    form: ClassVar[type[LearnedForm] | None] = None  # of what evolves; None is a network
    time_unit: ClassVar[str] = "epoch"  # what is counted while it learns
    connectivity: Any
    n_hidden: int = 0
    network_: Network
    n_slices_: int
    form_: LearnedForm
    n_epochs_: int
    heads_: tuple[WeightedHead, ...] | None = None
    marginal_transform_: MarginalTransform | None = None
    mean_: Array
    scale_: Array
    seed_: int
    interrupted_: bool
    recorder_: Recorder
    record_: Store

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted brain to a trajectory file (HDF5); see :meth:`load`.

        Raises
        ------
        OutputError
            If the file exists and ``overwrite`` is false, or cannot be written.
        """
        check_is_fitted(self)
        out = header(self.seed_, "", {"brain": self._described_parameters()})
        out.attributes[""]["status"] = "interrupted" if self.interrupted_ else "complete"
        out.update(self.to_arrays(parameters=self.recorder_.parameters))
        write_trajectory(path, out, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the fitted brain in a file written by :meth:`save` or by ``neurolp run``.

        Raises
        ------
        FormatError
            If the file holds no brain that this release can read.
        """
        with open_trajectory(path) as file:
            if file.experiment:
                name = file.experiment["name"]
                raise FormatError(f"{path}: holds no brain, but the experiment {name!r}")
            if not file.brain or ("node_map" not in file and "coupling" not in file):
                raise FormatError(
                    f"{path}: holds no brain; it was recorded with `parameters = false`"
                )
            if (found := file.brain["model"]) != cls.model:
                raise FormatError(f"{path}: holds a {found!r} brain, wanted {cls.model!r}")
            try:
                return cls._from_file(file)
            except (KeyError, OSError, TypeError, ValueError) as error:
                raise FormatError(f"{path}: the brain in it cannot be read: {error}") from error

    def to_arrays(
        self,
        columns: tuple[str, ...] | None = None,
        *,
        parameters: bool = True,
        learned: tuple[Network | LearnedForm, int] | None = None,
    ) -> NamedArrays:
        """The brain as arrays, with its record if that is in memory.

        ``columns`` are names of the data's columns, by default those of ``fit``. Without
        ``parameters`` it cannot be read again. While it learns, ``learned`` is what evolves and for
        how many slices or epochs.
        """
        if learned is None:
            is_form = hasattr(self, "form_")
            learned = (self.form_, self.n_epochs_) if is_form else (self.network_, self.n_slices_)
        network, time = learned
        if isinstance(network, Network):
            form, about = NamedArrays(), description_of(network)
        else:
            form = network.to_arrays()
            about = form.attributes.pop("brain")
        names = getattr(self, "feature_names_in_", None)
        out, n, n_hidden = NamedArrays(), network.n_nodes, self.n_hidden
        out.attributes["brain"] = about | {
            "model": self.model,
            "n_slices": time,
            "n_hidden": n_hidden,
            "time_unit": self.time_unit,
            "named_columns": names is not None,
            "parameters": json.dumps(self._described_parameters(), default=_plain),
        }
        if columns is None:
            columns = tuple(f"x{j}" for j in range(n - n_hidden)) if names is None else names
        labels = np.array([*columns, *(f"hidden {k}" for k in range(n_hidden))], dtype=np.str_)
        mean = np.append(self.mean_, np.zeros(n_hidden))
        scale = np.append(self.scale_, np.ones(n_hidden))
        out.add_coordinate(
            "node", np.arange(n), "1", "node, in the order of the columns of the data"
        )
        out.add("node_name", ("node",), labels, "1", "column of the data")
        out.add("mean", ("node",), mean, "data", "training mean, subtracted from the data")
        out.add("scale", ("node",), scale, "data", "training standard deviation")
        if parameters and isinstance(network, Network):
            count = np.arange(1, len(distinct_slices(network)[0]) + 1)
            out.add_coordinate("slice", count, "slice", "slice, counted from 1")
            parameters_to_arrays(out, network)
            heads_to_arrays(out, self.heads_, self.marginal_transform_)
        elif parameters:
            out.update(form)
        if isinstance(self.record_, MemoryStore):
            self.record_.to_arrays(out)
        return out

    def _described_parameters(self) -> dict[str, Any]:
        """Parameters for a file; connectivity is among the arrays."""
        parameters: dict[str, Any] = self.get_params() | {"random_state": self.seed_}
        parameters.pop("connectivity", None)
        for name in PARTS.keys() & parameters.keys():
            parameters[name] = PARTS[name].describe(parameters[name])
        return parameters

    @classmethod
    def _from_file(cls, file: Trajectory) -> Self:
        parameters = json.loads(file.brain["parameters"])
        restored = {n: p.restore(parameters[n]) for n, p in PARTS.items() if n in parameters}
        brain, time = cls(**parameters | restored), int(file.brain["n_slices"])
        if cls.form is None:
            brain.network_, brain.n_slices_ = network_from_arrays(file), time
            edges = brain.network_.connectivity
            brain.connectivity = None if edges.kind == "full" else edges
            brain.heads_ = heads_from_arrays(file)
            brain.marginal_transform_ = marginal_transform_from_arrays(file)
        else:
            brain.form_, brain.n_epochs_ = cls.form.from_arrays(file), time
        n = len(file.read("mean")) - int(file.brain["n_hidden"])
        brain.n_features_in_ = n
        brain.mean_, brain.scale_ = file.read("mean")[:n], file.read("scale")[:n]
        if file.brain["named_columns"]:
            brain.feature_names_in_ = np.array(
                [*map(str, file.read("node_name")[:n])], dtype=object
            )
        brain.seed_ = int(file.provenance["seed"])
        brain.interrupted_ = file.status in ("interrupted", "unfinished", "running")
        brain.recorder_, brain.record_ = Recorder(), _record_of(file)
        return brain


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
