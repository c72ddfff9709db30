"""What every brain estimator shares: rows in, densities out, files; scikit-learn's conventions."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.form import LearnedForm, form_of
from neurolp.brain.heads.head import WeightedHead
from neurolp.brain.imputation import sample_missing
from neurolp.brain.marginal import MarginalTransform
from neurolp.brain.network import Network, Synapse
from neurolp.brain.node_map import NodeMap, SplineGrid
from neurolp.brain.parts import PARTS
from neurolp.errors import NeurolpError
from neurolp.estimators import brain_files
from neurolp.estimators.validation import (
    KnownAttributes,
    finite_rows,
    mean_and_scale,
    resolve_seed,
    validation_split,
)
from neurolp.simulation.batch import Batch, Progress
from neurolp.simulation.checkpoint import Checkpointing
from neurolp.simulation.loop import Outcome, Process, simulate
from neurolp.simulation.memory_store import MemoryStore, Store
from neurolp.simulation.monitors import Monitor, Recorder
from neurolp.simulation.signals import Stop

Array = npt.NDArray[Any]


class Brain(KnownAttributes, DensityMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is untyped
    """A brain with scikit-learn's face; subclasses are final and say how it learns.

    A subclass has a name for files, ``model``, and parameters or constants ``base`` and ``dtype``.
    Its ``fit`` sets ``mean_``, ``scale_``, ``seed_``, ``record_`` and ``interrupted_``, and what
    evolves: ``form_`` and ``n_epochs_``, or ``network_`` and ``n_slices_``. In the second case it
    has the parameters ``connectivity``, ``log_scale``, ``synapse_*``, ``spline_range`` and
    ``n_threads``.
    """

    model: str = "density"
    form: ClassVar[type[LearnedForm] | None] = None  # of what evolves; None is a network
    base: str | BaseDensity
    dtype: str
    connectivity: Any
    log_scale: bool
    synapse_thresholds: Sequence[float]
    synapse_slope: float
    spline_range: float
    n_threads: int | None
    n_hidden: int = 0
    network_: Network
    n_slices_: int
    form_: LearnedForm
    n_epochs_: int
    mean_: Array
    scale_: Array
    seed_: int
    recorder_: Recorder
    record_: Store
    validation_fraction: float
    random_state: Any
    interrupted_: bool
    heads_: tuple[WeightedHead, ...] | None = None
    marginal_transform_: MarginalTransform | None = None

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_validation: Any = None,
        X_test: Any = None,
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
            If the data have NaN or infinite values, or a column that is constant.
        ValueError
            If a parameter or a shape is out of range.
        DivergedError
            If a number is no longer finite: time, node and variable are named.
        KeyboardInterrupt
            After Ctrl-C; what was learned until then is kept, and the brain can be used.
        """
        X = finite_rows(self, X, "X", reset=True)
        self._check_parameters()
        self.seed_ = resolve_seed(self.random_state)
        train, validation = self._split(X, X_validation, self.validation_fraction)
        rows = {"train": train, "validation": validation}
        if X_test is not None:
            rows["test"] = finite_rows(self, X_test, "X_test")
        self.mean_, self.scale_ = mean_and_scale(self, train)
        self.recorder_ = recorder or Recorder()
        self.record_ = MemoryStore() if store is None else store

        def run(process: Process, until: float, own: Sequence[Monitor]) -> Outcome:
            return simulate(
                process,
                until,
                monitors=(*own, *monitors),
                store=self.record_,
                checkpointer=checkpointer,
                progress=progress,
                stop=stop,
            )

        self._learn(rows, run, progress, stop)
        return self

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise :class:`ConfigurationError` unless all parameters are in range."""

    @abstractmethod
    def _learn(
        self,
        rows: dict[str, Array],
        run: Callable[[Process, float, Sequence[Monitor]], Outcome],
        progress: Callable[[Progress], None],
        stop: Stop | None,
    ) -> None:
        """Learn from the rows by split; ``run`` simulates a process until a time.

        ``stop`` is for further simulations, ``progress`` is told of other work.
        """

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row in nats and the units of ``X``, shape (n_samples,)."""
        check_is_fitted(self)
        hint = "; sample_conditional fills in missing values"
        start = self._present(finite_rows(self, X, "X", hint=hint))
        return np.asarray(form_of(self).log_prob(start.potential) + start.log_det)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows of ``X`` in nats."""
        return float(np.mean(self.score_samples(X)))

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
        missing = np.isnan(rows)
        rng = np.random.default_rng(resolve_seed(random_state))
        form = form_of(self)

        # In potentials at time 0: each is a function of its own column, smooth after the transform.
        def log_prob(potential: Array) -> Array:
            return form.log_prob(np.ascontiguousarray(potential.T, dtype=self.dtype))

        def start(rows: Array) -> Array:
            return self._present(rows).potential.T.astype(np.float64)

        def dream(n: int) -> Array:
            if self.n_hidden:
                return form.dream(n, rng).T
            return start(self.sample(n, random_state=int(rng.integers(2**31))))

        known = np.where(missing, np.nan, start(np.where(missing, self.mean_, rows)))
        # Hidden nodes are missing everywhere: drawn along, they are integrated out.
        known = np.hstack([known, np.full((len(known), self.n_hidden), np.nan)])
        filled = sample_missing(log_prob, dream, known, n_samples, rng)
        filled = filled.reshape(-1, known.shape[1])
        return np.where(missing, self._express(filled.T).reshape(-1, *rows.shape), rows)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted brain to a trajectory file (HDF5); see :meth:`load`.

        Raises
        ------
        OutputError
            If the file exists and ``overwrite`` is false, or cannot be written.
        """
        parameters = self.recorder_.parameters
        brain_files.save(self.stored(), path, overwrite=overwrite, parameters=parameters)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the fitted brain in a file written by :meth:`save` or by ``neurolp run``.

        Raises
        ------
        FormatError
            If the file holds no brain that this release can read.
        """
        stored = brain_files.load(path, cls.model, cls.form)
        restored = {
            name: part.restore(stored.parameters[name])
            for name, part in PARTS.items()
            if name in stored.parameters
        }
        brain = cls(**stored.parameters | restored)
        if isinstance(stored.network, Network):
            edges = stored.network.connectivity
            brain.connectivity = None if edges.kind == "full" else edges
            brain.network_, brain.n_slices_ = stored.network, stored.n_slices
            brain.heads_, brain.marginal_transform_ = stored.heads, stored.marginal_transform
        else:
            brain.form_, brain.n_epochs_ = stored.network, stored.n_slices
        brain.mean_, brain.scale_ = stored.mean, stored.scale
        brain.seed_, brain.interrupted_ = stored.seed, stored.interrupted
        brain.recorder_, brain.record_ = Recorder(), stored.record or MemoryStore()
        brain.n_features_in_ = len(stored.mean)
        if stored.feature_names is not None:
            brain.feature_names_in_ = np.array(stored.feature_names, dtype=object)
        return brain

    def stored(self) -> brain_files.StoredBrain:
        """The fitted brain as plain data, which is what goes to a file."""
        check_is_fitted(self)
        if hasattr(self, "form_"):
            return self.stored_as(self.form_, self.n_epochs_, interrupted=self.interrupted_)
        return self.stored_as(self.network_, self.n_slices_, interrupted=self.interrupted_)

    def stored_as(
        self, network: Network | LearnedForm, n_slices: int, *, interrupted: bool
    ) -> brain_files.StoredBrain:
        """The same of a brain that learns, with what evolves as it is now."""
        parameters = self.get_params() | {"random_state": self.seed_}
        parameters.pop("connectivity", None)
        described = {n: p.describe(parameters[n]) for n, p in PARTS.items() if n in parameters}
        names = getattr(self, "feature_names_in_", None)
        return brain_files.StoredBrain(
            network=network,
            n_slices=n_slices,
            mean=self.mean_,
            scale=self.scale_,
            seed=self.seed_,
            interrupted=interrupted,
            record=self.record_ if isinstance(self.record_, MemoryStore) else None,
            parameters=parameters | described,
            feature_names=None if names is None else tuple(map(str, names)),
            model=self.model,
            n_hidden=self.n_hidden,
            heads=self.heads_,
            marginal_transform=self.marginal_transform_,
        )

    # --- inside -----------------------------------------------------------------------------------

    def _split(self, X: Array, X_validation: Any, fraction: float) -> tuple[Array, Array]:
        """Training and validation rows; the latter are drawn from ``X`` where none are given."""
        train, validation = validation_split(len(X), fraction, self.seed_)
        if X_validation is not None:
            return X, finite_rows(self, X_validation, "X_validation")
        return X[train], X[validation]

    def _new_network(
        self, intervals: int, ridge: float = 8.0, node_map: NodeMap | None = None
    ) -> Network:
        """A brain without slices, its settings turned into units of potential."""
        std = base_density(self.base).std
        n_nodes = self.n_features_in_ + self.n_hidden
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
        )

    def _present(self, rows: Array) -> Batch:
        """Write rows into potentials at time 0, and account for the change of units."""
        std = base_density(self.base).std
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
        potential = potential[: self.n_features_in_]
        if self.marginal_transform_ is not None:
            potential = self.marginal_transform_.inverse(potential)
        return np.asarray(potential.T * (self.scale_ / base_density(self.base).std) + self.mean_)
