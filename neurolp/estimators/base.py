"""What every brain estimator shares: rows in, densities out, files; scikit-learn's conventions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.form import form_of
from neurolp.brain.imputation import sample_missing
from neurolp.brain.network import Network, Synapse
from neurolp.brain.node_map import NodeMap, SplineGrid
from neurolp.errors import NeurolpError
from neurolp.estimators import ranges
from neurolp.estimators.brain_files import StoredBrain
from neurolp.estimators.discrete_values import warn_of_discrete_values
from neurolp.estimators.validation import (
    column_name,
    finite_rows,
    mean_and_scale,
    resolve_seed,
    validation_split,
)
from neurolp.estimators.weights import training_rows
from neurolp.simulation.batch import Batch, Batches, Progress
from neurolp.simulation.checkpoint import Checkpointing
from neurolp.simulation.epochs import BatchLearner, EpochProcess, TrainingConfig
from neurolp.simulation.loop import simulate
from neurolp.simulation.memory_store import MemoryStore, Store
from neurolp.simulation.monitors import Monitor, Recorder, ScoreMonitor
from neurolp.simulation.progress import verbose_fit
from neurolp.simulation.signals import Stop


class Brain(StoredBrain, ABC):
    """A brain with scikit-learn's face; subclasses are final and say how it learns.

    A subclass has a name for files, ``model``, and parameters or constants ``base`` and ``dtype``;
    one with a network has ``connectivity``, ``log_scale``, ``synapse_*``, ``spline_range`` and
    ``n_threads``.
    """

    base: str | BaseDensity
    dtype: str
    log_scale: bool
    synapse_thresholds: Sequence[float]
    synapse_slope: float
    spline_range: float
    n_threads: int | None = None
    validation_fraction: float
    random_state: Any
    verbose: bool

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_validation: Any = None,
        X_test: Any = None,
        sample_weight: Any = None,
        recorder: Recorder | None = None,
        monitors: Sequence[Monitor] = (),
        store: Store | None = None,
        checkpointer: Checkpointing | None = None,
        progress: Callable[[Progress], None] = lambda report: None,
        stop: Stop | None = None,
    ) -> Self:
        """Learn the density of the rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : ignored
            For scikit-learn's sake.
        X_validation : array-like, optional
            Rows that choose when to stop; split off ``X`` when not given.
        X_test : array-like, optional
            Rows whose surprise is recorded, and used for nothing.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts; two equal rows are one of weight 2. Fractions are rounded at
            random, up or down with the right mean.
        recorder : Recorder, optional
            What to record; surprise, local losses and a few frames by default.
        monitors : sequence of Monitor
            What to record besides; see ``neurolp.simulation.monitors``.
        store : Store, optional
            Where it is recorded; in memory by default. It becomes ``record_``.
        checkpointer : Checkpointing, optional
            Keeps what is needed to continue in another process, as ``neurolp run`` does.
        progress : callable, optional
            Called with a ``Progress`` after each slice or epoch, and when other work begins.
        stop : Stop, optional
            Asked whether to stop; by default only Ctrl-C stops. No signal handler is installed.

        Raises
        ------
        DataError
            If a value cannot be used: it names the column and the row.
        ValueError
            If a parameter or a shape is out of range.
        DivergedError
            If a number is no longer finite: time, node and variable are named.
        KeyboardInterrupt
            After Ctrl-C; what was learned until then is kept, and the brain can be used.
        """
        self._check_parameters()
        self.seed_ = resolve_seed(self.random_state)
        every = training_rows(self._read, X, sample_weight, self.seed_)
        train, validation = self._split(every, X_validation, self.validation_fraction)
        rows = {"train": train, "validation": validation}
        if X_test is not None:
            rows["test"] = self._read(X_test, "X_test")
        self.recorder_ = recorder or Recorder()
        self.record_ = MemoryStore() if store is None else store
        with verbose_fit(self) as show:

            def told(at: Progress) -> None:
                progress(at)
                show(at.shown(self.time_unit, getattr(self, f"max_{self.time_unit}s")))

            options = {"checkpointer": checkpointer, "progress": told, "stop": stop}
            self._learn(rows, monitors, store=self.record_, **options)
            self._judge(every)
        if self.interrupted_:
            raise KeyboardInterrupt("what was learned until then can be used")
        return self

    def _check_parameters(self) -> None:
        """Raise :class:`ConfigurationError` unless all parameters are in range."""
        ranges.check_parameters(type(self), vars(self))

    @abstractmethod
    def _learn(self, rows: dict[str, Array], monitors: Sequence[Monitor], **options: Any) -> None:
        """Learn from the rows by split, and say in ``interrupted_`` whether that was broken off.

        ``monitors`` come besides the brain's own; ``options`` are those of ``simulate``.
        """

    def _judge(self, rows: Array) -> None:
        """What the learned density says of all rows of ``fit``, where that is kept."""

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row in nats and the units of ``X``, shape (n_samples,)."""
        check_is_fitted(self)
        hint = "; sample_conditional fills in missing values"
        return self._log_prob(self._present(finite_rows(self, X, "X", hint=hint)))

    def evolve(self, X: Any) -> tuple[Array, Array]:
        """Run time forward: rows of ``X`` -> (u(T), log |det du(T)/dx|).

        Shapes (n_samples, n_features) and (n_samples,); the log-determinant, in nats, includes the
        standardisation and the marginal transform, if any.
        """
        check_is_fitted(self)
        start = self._present(finite_rows(self, X, "X"))
        potential, log_det = form_of(self).evolve(start.potential)
        return np.ascontiguousarray(potential.T), log_det + start.log_det

    def rewind(self, potential: Any) -> Array:
        """Run time backward: potentials u(T) of shape (n_samples, n_nodes) -> X."""
        check_is_fitted(self)
        u = np.asarray(potential)
        n_nodes = form_of(self).n_nodes
        if u.ndim != 2 or u.shape[1] != n_nodes:
            raise ValueError(
                f"argument `potential` must have shape (n_samples, {n_nodes}), "
                f"but has shape {u.shape}"
            )
        return self._express(form_of(self).rewind(u.T))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Dream: draw u(T) from its density and run time backward; (n_samples, n_features).

        Where an end state has no past, which happens to the bounded form alone, another is drawn.

        Raises
        ------
        NeurolpError
            If of a thousand end states for each sample too few have a past.
        """
        check_is_fitted(self)
        rng = np.random.default_rng(resolve_seed(random_state))
        rows = np.empty((0, self.n_features_in_))
        for _ in range(1000):
            dreams = self._express(form_of(self).dream(n_samples, rng))
            rows = np.vstack([rows, dreams[np.all(np.isfinite(dreams), axis=1)]])
            if len(rows) >= n_samples:
                return rows[:n_samples]
        raise NeurolpError("cannot dream: fewer than one end state in a thousand has a past")

    def sample_conditional(self, X: Any, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draws of the missing values (NaN) of each row from Phi(x_missing | x_observed).

        The shape is (n_samples, n_rows, n_features); no value is NaN. Observed values come back bit
        for bit, rows without NaN as they are, and rows wholly missing are dreams. Markov chains,
        one for each row and sample, need no more than log Phi: see ``neurolp.brain.imputation``,
        also for their length. The draws are exact in the limit of long chains.

        Parameters
        ----------
        X : (n_rows, n_features) array-like
            Rows, NaN where a value is missing.
        n_samples : int
            Independent draws for each row.
        random_state : None, int, RandomState or Generator
            Seed.

        Raises
        ------
        DataError
            If a value is infinite.
        ValueError
            If the number of columns is wrong, or ``n_samples`` is not an integer >= 1.
        """
        check_is_fitted(self)
        rows = finite_rows(self, X, "X", missing=True)
        rng = np.random.default_rng(resolve_seed(random_state))
        form = form_of(self)

        def dream(n: int) -> Array:
            if self.n_hidden:
                return form.dream(n, rng).T
            rows = self.sample(n, random_state=int(rng.integers(2**31)))
            return self._present(rows).potential.T.astype(np.float64)

        return self._fill(rows, n_samples, rng, form.log_prob, dream)

    # --- inside -----------------------------------------------------------------------------------

    def _log_prob(self, start: Batch) -> Array:
        """Log-density of rows at time 0, nats, (n,); -inf where it is below all numbers."""
        most = np.finfo(start.potential.dtype).max ** (1 / 3)
        near = np.all(np.abs(start.potential) < most, axis=0)
        out = np.full(len(near), -np.inf)
        if near.any():
            out[near] = form_of(self).log_prob(start.potential[:, near]) + start.log_det[near]
        return out

    def _fill(
        self,
        rows: Array,
        n_samples: int,
        rng: np.random.Generator,
        log_prob: Callable[[Array], Array],
        dream: Callable[[int], Array],
    ) -> Array:
        """Draws of the NaN of rows (n, n_columns), (n_samples, n, n_columns).

        ``log_prob`` is that of potentials at time 0, (n_nodes, n_trajectories), of which ``dream``
        draws so many, (n, n_nodes). In potentials each node is a function of its own column,
        smooth after the marginal transform.
        """
        missing = np.isnan(rows)

        def log_prob_of_rows(potential: Array) -> Array:
            return log_prob(np.ascontiguousarray(potential.T, dtype=self.dtype))

        def start(rows: Array) -> Array:
            return self._present(rows).potential.T.astype(np.float64)

        known = np.where(missing, np.nan, start(np.where(missing, self.mean_, rows)))
        # Hidden nodes are missing everywhere: drawn along, they are integrated out.
        known = np.hstack([known, np.full((len(known), self.n_hidden), np.nan)])
        filled = sample_missing(log_prob_of_rows, dream, known, n_samples, rng)
        filled = filled.reshape(-1, known.shape[1])
        return np.where(missing, self._express(filled.T).reshape(-1, *rows.shape), rows)

    def _read(self, X: Any, name: str, *, reset: bool = False) -> Array:
        """Rows of an argument of ``fit``, (n_samples, n_features)."""
        return finite_rows(self, X, name, reset=reset)

    def _standardise(self, train: Array) -> None:
        """Fix mean and scale of the nodes, from training rows."""
        self.mean_, self.scale_ = mean_and_scale(train, label=partial(column_name, self))

    def _split(self, X: Array, X_validation: Any, fraction: float) -> tuple[Array, Array]:
        """Training and validation rows; the latter are drawn from ``X`` where none are given."""
        train, validation = validation_split(len(X), fraction, self.seed_)
        if X_validation is not None:
            return X, self._read(X_validation, "X_validation")
        return X[train], X[validation]

    def _new_network(
        self, intervals: int, ridge: float = 8.0, node_map: NodeMap | None = None
    ) -> Network:
        """A brain without slices, its settings turned into units of potential."""
        std = base_density(self.base).std
        n_nodes = len(self.mean_) + self.n_hidden
        connectivity = (
            Connectivity.full(n_nodes)
            if self.connectivity is None
            else Connectivity.from_array(self.connectivity, n_nodes)
        )
        reach = self.spline_range * std
        return Network(
            connectivity,
            self.base,
            Synapse(
                tuple(float(t) * std for t in self.synapse_thresholds), self.synapse_slope / std
            ),
            self.log_scale,
            node_map or SplineGrid(-reach, reach, intervals, ridge),
            np.dtype(self.dtype),
            clamped=self._clamped_nodes(),
        )

    def _clamped_nodes(self) -> tuple[int, ...]:
        """Nodes that never move."""
        return ()

    def _present(self, rows: Array) -> Batch:
        """Write rows into potentials at time 0, and account for the change of units."""
        std = base_density(self.base).std
        with np.errstate(over="ignore"):  # infinite potentials are named where they are used
            potential = ((rows - self.mean_) * (std / self.scale_)).T
        log_det = np.full(len(rows), np.log(std / self.scale_).sum())
        if self.marginal_transform_ is not None:
            potential, change = self.marginal_transform_.forward(potential)
            log_det += change
        with np.errstate(over="ignore"):  # infinite potentials are named where they are used
            potential = np.ascontiguousarray(potential, dtype=np.dtype(self.dtype))
        return Batch(potential, log_det)

    def _express(self, potential: Array) -> Array:
        """The rows that :meth:`_present` writes as these potentials at time 0; hidden ones go."""
        potential = potential[: len(self.mean_)]
        if self.marginal_transform_ is not None:
            potential = self.marginal_transform_.inverse(potential)
        return np.asarray(potential.T * (self.scale_ / base_density(self.base).std) + self.mean_)


class EpochBrain(Brain):
    """A brain whose parameters, shared by all times, learn from mini-batches epoch by epoch."""

    max_epochs: int
    patience: int
    batch_size: int | None

    @abstractmethod
    def _learner(self, batches: Batches) -> BatchLearner[Any]:
        """What learns, before the first step."""

    @abstractmethod
    def _monitors(self, process: EpochProcess[Any]) -> list[Monitor]:
        """Monitors besides that of the scores."""

    @abstractmethod
    def _keep(self, model: Any, best_epoch: int) -> None:
        """Keep the model of least validation surprise."""

    def _learn(self, rows: dict[str, Array], monitors: Sequence[Monitor], **options: Any) -> None:
        self._standardise(rows["train"])
        label = partial(column_name, self)
        warn_of_discrete_values(rows["train"], type(self).__name__, label=label, stacklevel=3)
        batches = {name: self._present(part) for name, part in rows.items()}
        batch_size = self.batch_size or min(max(len(rows["train"]) // 10, 1), 100)
        process = EpochProcess(
            self._learner(batches),
            TrainingConfig(self.max_epochs, self.patience, batch_size),
            batches,
            seed=self.seed_,
            n_threads=self.n_threads,
        )
        scores = ScoreMonitor("epoch", bound=bool(self.n_hidden))
        own = [scores, *self._monitors(process)]
        outcome = simulate(process, self.max_epochs, monitors=[*own, *monitors], **options)
        self._keep(process.model, process.stopping.best_time)
        self.interrupted_ = outcome.interrupted
