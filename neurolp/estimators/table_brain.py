"""What a brain is in a table: which columns move, what is clamped, and what else is averaged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.form import form_of
from neurolp.brain.heads.head import WeightedHead, dream
from neurolp.brain.seeds import generator
from neurolp.errors import ConfigurationError
from neurolp.estimators.base import Brain
from neurolp.estimators.clamped_inputs import ClampedInputs
from neurolp.estimators.potentials import Potentials
from neurolp.estimators.table_cells import (
    MANY_ROWS,
    cells_are_needed,
    filled,
    fit_cells,
    moving_columns,
)
from neurolp.estimators.table_model import (
    CellConstruction,
    Construction,
    TableModel,
    TriangularConstruction,
    stacking_gain,
    weighed,
)
from neurolp.estimators.triangular_table import TriangularTable
from neurolp.estimators.validation import check_finite, mean_and_scale, resolve_seed
from neurolp.mixed.average import CellAverage, CellScores
from neurolp.simulation.batch import Batch
from neurolp.simulation.memory_store import MemoryStore
from neurolp.simulation.monitors import Monitor, Recorder
from neurolp.simulation.signals import Stop

_MOST_TRIANGULAR_COLUMNS = 256
_REHEARSAL_SLICES = 60
_REHEARSAL_ROWS = {"train": 2500, "validation": 1000}
_LEAST_GAIN = 0.01  # nats per validation row, for which a construction is learned from many rows
NAMES = ("brain", "triangular", "cells")


class TableBrain(Potentials, Brain):
    """A brain whose nodes are continuous columns, and read clamped nodes for all others.

    Phi_brain(x) = P(clamped columns) Phi(moving columns | clamped columns)
    """

    in_variables: ClassVar[frozenset[str]] = Brain.in_variables - {"feature_names_in_"}
    constructions: Any
    moving_: Array
    inputs_: ClampedInputs | None = None
    cells_: CellAverage | None = None
    triangular_: TriangularTable | None = None
    construction_weights_: dict[str, float] | None = None
    left_out_: tuple[str, ...] = ()
    _holds_out: bool  # while it learns, as the next one
    _final_cells: CellAverage

    def evolve(self, X: Any) -> tuple[Array, Array]:
        """Run time forward: rows of ``X`` -> (u(T), log |det du(T)/dx|).

        Shapes (n_samples, n_features) and (n_samples,); the log-determinant, in nats, includes the
        standardisation and the marginal transform, if any.

        Raises
        ------
        ConfigurationError
            If not all columns are continuous, without atoms or holes.
        """
        codes = self._codes(X)
        self._check_all_move("evolve")
        check_finite(codes, "X", self._label)
        start = self._present(codes)
        potential, log_det = form_of(self).evolve(start.potential)
        return np.ascontiguousarray(potential.T), log_det + start.log_det

    def rewind(self, potential: Any) -> Any:
        """Run time backward: potentials u(T) of shape (n_samples, n_features) -> X.

        Raises
        ------
        ConfigurationError
            If not all columns are continuous, without atoms or holes.
        """
        self._check_all_move("rewind")
        return self.columns_.decode(super().rewind(potential))

    # --- inside -----------------------------------------------------------------------------------

    def _to_potentials(self, X: Any) -> Array:
        codes = self._codes(X)
        self._check_all_move("transform")
        whole = ~np.isnan(codes).any(axis=1)
        out = np.full(codes.shape, np.nan)
        if whole.any():
            out[whole] = form_of(self).evolve(self._present(codes[whole]).potential)[0].T
        return out

    def _from_potentials(self, potential: Array) -> Array:
        self._check_all_move("inverse_transform")
        return super().rewind(potential)

    def _wanted(self) -> tuple[str, ...]:
        """Names of the constructions that are to be learned."""
        wanted = self.constructions
        if isinstance(wanted, str) and wanted == "auto":
            return ("brain",) if self._has_own_parts() else NAMES
        return tuple(dict.fromkeys(wanted))

    @abstractmethod
    def _has_own_parts(self) -> bool:
        """Whether a part of the brain is a user's own: then the brain is alone by default."""

    def _split(self, X: Array, X_validation: Any, fraction: float) -> tuple[Array, Array]:
        self._holds_out = X_validation is None
        return super()._split(X, X_validation, fraction)

    def _begin(self, rows: dict[str, Array], tell: Callable[[str], None]) -> dict[str, Array]:
        """Learn the cells, where columns need them; rows whose holes are filled by draws of it."""
        columns, held_out = self.columns_, bool(self.__dict__.pop("_holds_out"))
        moving = moving_columns(columns, rows["train"])
        self.moving_ = moving if "brain" in self._wanted() else np.empty(0, dtype=np.intp)
        self.inputs_ = self.cells_ = self.triangular_ = self.construction_weights_ = None
        self.left_out_ = ()
        if cells_are_needed(columns, rows) or self._asks_for_cells():
            tell("learning the cells of all columns")
            fitted = fit_cells(
                columns, rows, self.seed_, moving=self.moving_, held_out=held_out,
                n_threads=self.n_threads,
            )  # fmt: skip
            self.cells_, self._final_cells = fitted.chosen, fitted.final
        whole = filled(columns, self.cells_, rows, self.seed_)
        possible = [j for j, c in enumerate(columns) if c.kind != "constant"]
        clamped = np.setdiff1d(possible, self.moving_)
        if len(self.moving_) and len(clamped):
            self.inputs_ = ClampedInputs.of(columns, clamped, whole["train"])
        self._standardise(whole["train"])
        return whole

    def _rehearses(self, rows: Mapping[str, Array]) -> bool:
        """Whether there are so many rows that it pays to ask first which constructions do."""
        auto = isinstance(self.constructions, str) and not self._has_own_parts()
        return auto and self.cells_ is not None and len(rows["train"]) > MANY_ROWS

    def _useless(self, filled: Mapping[str, Array], stop: Stop | None) -> tuple[str, ...]:
        """Constructions that gain nothing beside the cells when learned in few slices, few rows.

        ``filled`` are codes by split without NaN.
        """
        rng = generator(self.seed_, "rehearsal")
        some = {
            name: codes[rng.permutation(len(codes))[: _REHEARSAL_ROWS[name]]]
            for name, codes in filled.items()
            if name in _REHEARSAL_ROWS
        }
        trial = copy(self)
        trial.max_slices = min(self.max_slices, _REHEARSAL_SLICES)
        trial.recorder_ = Recorder(trajectories=0)
        if len(trial.moving_):
            nodes = {name: trial._node_rows(codes) for name, codes in some.items()}
            trial._learn_brain(nodes, (), store=MemoryStore(), progress=lambda _: None, stop=stop)
        if not trial.interrupted_:
            trial._learn_others(some, stop, lambda _: None)
        self.interrupted_ = trial.interrupted_
        found = trial._constructions()
        columns, validation = self.columns_, some["validation"]
        possible = validation[columns.supported(validation).all(axis=1)]
        equal = np.full(len(found), 1.0 / len(found))
        joint = TableModel(columns, tuple(found.values()), equal, self.cells_).joint(possible)
        by_name = dict(zip(found, joint, strict=True))
        cells = by_name.pop("cells")
        names = {"triangular", *(("brain",) if len(self.moving_) else ())}
        if not len(possible):
            return ()
        useful = {n for n, lp in by_name.items() if stacking_gain(cells, lp) >= _LEAST_GAIN}
        return tuple(sorted(names - useful))

    def _leave_out(self, useless: tuple[str, ...], train: Array) -> None:
        """Do without the constructions; without a brain no column moves."""
        self.left_out_ = useless
        if "brain" in useless:
            self.moving_, self.inputs_ = np.empty(0, dtype=np.intp), None
            self._standardise(train)

    @abstractmethod
    def _learn_brain(
        self, rows: dict[str, Array], monitors: Sequence[Monitor], **options: Any
    ) -> None:
        """Learn the network from rows of nodes, (n, n_nodes) each; ``options`` of ``simulate``."""

    def _asks_for_cells(self) -> bool:
        return not isinstance(self.constructions, str) and "cells" in self.constructions

    def _standardise(self, train: Array) -> None:
        """Mean and scale of the nodes; those of clamped nodes are 0 and 1."""
        moving = train[:, self.moving_]
        self.mean_, self.scale_ = np.empty(0), np.empty(0)
        if len(self.moving_):
            self.mean_, self.scale_ = mean_and_scale(
                moving, label=lambda j: self._label(int(self.moving_[j]))
            )
        if self.inputs_ is not None:
            n, std = self.inputs_.n_nodes, base_density(self.base).std
            self.mean_ = np.append(self.mean_, np.zeros(n))
            self.scale_ = np.append(self.scale_, np.full(n, std))

    def _clamped_nodes(self) -> tuple[int, ...]:
        return tuple(range(len(self.moving_), len(self.mean_)))

    def _node_rows(self, codes: Array) -> Array:
        """What the nodes are given of codes without NaN, (n, n_nodes): moving, then clamped."""
        if self.inputs_ is None:
            return codes[:, self.moving_]
        return np.hstack([codes[:, self.moving_], self.inputs_.potentials(codes)])

    def _learn_others(
        self, filled: dict[str, Array], stop: Stop | None, tell: Callable[[str], None]
    ) -> None:
        """Learn the triangular map, where one is wanted and some column has an axis."""
        kinds = self.columns_.kinds
        if "triangular" not in self._wanted() or not {"continuous", "ordinal"} & {*kinds}:
            return
        if self.constructions == "auto" and len(kinds) > _MOST_TRIANGULAR_COLUMNS:
            return
        tell("learning the triangular map")
        try:
            self.triangular_ = TriangularTable.fit(
                filled["train"], filled["validation"], self.columns_,
                max_layers=self.max_slices, patience=self.patience, seed=self.seed_,
                n_threads=self.n_threads, stop=stop,
            )  # fmt: skip
        except KeyboardInterrupt:
            self.interrupted_ = True

    def _weigh(self, validation: Array, tell: Callable[[str], None]) -> None:
        """Weights of the constructions there are, on validation codes, which may have NaN."""
        found = self._constructions()
        if len(found) > 1 and not self.interrupted_:
            tell("weighing the constructions")
            rng = generator(self.seed_, "weights of constructions")
            weights = weighed(self.columns_, found, self.cells_, validation, rng)
        else:
            weights = {next(iter(found)): 1.0}
        self.construction_weights_ = weights
        if self.cells_ is not None:
            self.cells_ = self.__dict__.pop("_final_cells")
        if "triangular" not in weights:
            self.triangular_ = None

    def _constructions(self) -> dict[str, Construction]:
        """What has been learned, by name."""
        out: dict[str, Construction] = {}
        if len(self.moving_):
            out["brain"] = BrainConstruction(self)
        if self.triangular_ is not None:
            out["triangular"] = TriangularConstruction(
                self.triangular_, self.cells_, self.n_threads
            )
        if self.cells_ is not None and ("cells" in self._wanted() or not out):
            out["cells"] = CellConstruction(self.cells_)
        return out

    def _table_model(self) -> TableModel:
        found = self._constructions()
        weights = self.construction_weights_ or {next(iter(found)): 1.0}
        return TableModel(
            self.columns_,
            tuple(found[name] for name in weights),
            np.array([*weights.values()]),
            self.cells_,
        )

    def _draw_missing(self, codes: Array, n_samples: int, random_state: Any) -> Array:
        if not self._all_move:
            return super()._draw_missing(codes, n_samples, random_state)
        rng = np.random.default_rng(resolve_seed(random_state))
        model = self._table_model()

        def log_prob(potential: Array) -> Array:
            rows = self._express(potential)
            return model.log_prob(self._with_constants(rows)) - self._present(rows).log_det

        def start(n: int) -> Array:
            rows = model.sample(n, rng)[:, self.moving_]
            return self._present(rows).potential.T.astype(np.float64)

        if len(self._table_model().constructions) == 1:
            log_prob = form_of(self).log_prob
        filled = self._fill(codes[:, self.moving_], n_samples, rng, log_prob, start)
        return self._with_constants(filled)

    @property
    def _all_move(self) -> bool:
        """Whether all columns but constants are nodes that move."""
        return bool(len(self.moving_)) and self.inputs_ is None and self.cells_ is None

    def _check_all_move(self, what: str) -> None:
        if not (len(self.moving_) == self.n_features_in_ and self.inputs_ is None):
            j = int(np.setdiff1d(np.arange(self.n_features_in_), self.moving_)[0])
            raise ConfigurationError(
                f"{what} needs a table whose columns are all continuous, without atoms or missing "
                f"values, but column {self._label(j)} is {self.columns_.kinds[j]}"
            )

    def _with_constants(self, rows: Array) -> Array:
        """Codes (.., n_columns) of rows of moving columns."""
        out = np.zeros((*rows.shape[:-1], len(self.columns_)))
        out[..., self.moving_] = rows
        return out

    def _node_names(self, columns: tuple[str, ...] | None) -> list[str]:
        names = [self.columns_.names[j] if columns is None else columns[j] for j in self.moving_]
        return names + ([] if self.inputs_ is None else self.inputs_.names(self.columns_))


@dataclass(frozen=True)
class BrainConstruction:
    """P(clamped columns) of the cells, times the density of the moving nodes given those."""

    brain: TableBrain

    def log_prob(self, codes: Array, cells: CellScores | None) -> Array:
        """Log Phi, nats, (n,)."""
        out = self.brain._log_prob(self.start(codes))
        return out if cells is None else out + cells.log_prob("clamped")

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draws, (n, n_columns)."""
        brain = self.brain
        codes = np.zeros((n, len(brain.columns_)))
        if brain.cells_ is not None:
            codes = np.nan_to_num(brain.cells_.sample(n, rng, "clamped"), nan=0.0)
        clamped = None if brain.inputs_ is None else brain.inputs_.potentials(codes).T
        heads = brain.heads_ or (WeightedHead(brain.n_slices_, 1.0),)
        potential = dream(brain.network_, heads, n, rng, brain.n_threads, clamped=clamped)
        codes[:, brain.moving_] = brain._express(potential)[:, : len(brain.moving_)]
        return codes

    def start(self, codes: Array) -> Batch:
        """Potentials at time 0."""
        return self.brain._present(self.brain._node_rows(codes))
