"""The online brain: all slices learn together while the input is presented, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self, final

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import Array
from neurolp.brain.form import form_of
from neurolp.brain.hidden import log_bound, seed_hidden
from neurolp.brain.network import Network
from neurolp.brain.network_arrays import learned_parameters
from neurolp.brain.rules.local import Learner, OnlineRule, identity_slices
from neurolp.brain.seeds import generator
from neurolp.brain.update_order import ordered_partition
from neurolp.brain.workers import Workers
from neurolp.errors import ConfigurationError
from neurolp.estimators import ranges
from neurolp.estimators.base import EpochBrain
from neurolp.estimators.discrete_values import warn_of_discrete_values
from neurolp.estimators.validation import column_name, finite_rows, mean_and_scale, resolve_seed
from neurolp.simulation.batch import Batches
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.memory_store import MemoryStore
from neurolp.simulation.monitors import Monitor, ParameterMonitor, Recorder
from neurolp.simulation.online import EvolutionMonitor, NetworkLearner, mean_surprise

# Seeds of the hidden nodes for each row, where a bound is reported.
_N_SEEDS = 100


@final
@dataclass(eq=False, repr=False, kw_only=True)
class OnlineBrain(EpochBrain):
    """A brain of fixed length that learns online, by default from local signals alone.

    Its columns are continuous; :class:`neurolp.DataWarning` says so where values have a mass.

    Time runs for ``n_slices`` slices whose parameters repeat after ``period``: 1 is one autonomous
    brain, ``n_slices`` a set of parameters for each slice. Every presentation of a few rows, or of
    one, changes the parameters. :meth:`fit` presents the rows again and again and stops early on
    validation data; :meth:`partial_fit` presents them once.

    Parameters
    ----------
    signal : {"final", "local", "replay"}
        The learning signal of the nodes: from the base density at the end of time, in the last
        period ("final", local); from the base density in every slice ("local"); the exact or
        truncated gradient, through the inverted dynamics ("replay"). See
        ``neurolp.brain.rules.local``.
    horizon : None or int
        Length of a replay in slices; None is all of them.
    n_slices, period : int
        Slices of time, and how many of them have parameters of their own.
    n_hidden : int
        Nodes beyond the columns of the data, the last ones; ``connectivity`` includes them. They
        are seeded anew at each presentation from the base density. The density of a row is then an
        integral over the seeds: :meth:`bound_samples` bounds it from below, :meth:`score_samples`
        refuses, and every surprise that is recorded is a bound, with one seed a row.
    base, update_order, connectivity, log_scale, synapse_thresholds, synapse_slope, spline_range,
    spline_intervals
        As for :class:`neurolp.BrainDensity`. The groups are drawn once for each slice of a period.
    rate, node_rate : float
        Step of Adam for the weights of shift and log-scale, and for biases and node maps.
    decay : float
        Fraction of the parameters forgotten at a step.
    average : float
        Fraction of the running mean of the parameters kept at a step. That mean is the brain in
        use; 0 is the brain as it learns.
        These four are meant for presentations of 100 rows or more; one of r rows counts
        sqrt(r / 100) as much, so the defaults serve mini-batches and single rows alike.
    batch_size : None or int
        Rows presented together; None is a tenth of the rows, at most 100.
    max_epochs, patience : int
        ``fit`` presents all rows at most ``max_epochs`` times, and stops after ``patience`` epochs
        without a lower surprise on validation data. Its rates fall to zero over ``max_epochs``.
    validation_fraction : float
        Share of the rows that ``fit`` sets aside for validation when it is given none.
    dtype, random_state, n_threads, verbose
        As for :class:`neurolp.BrainDensity`.

    Attributes
    ----------
    network_ : Network
        The brain in use.
    best_epoch_ : int
        Epoch of least validation surprise, after :meth:`fit`.
    record_ : MemoryStore
        Surprise of every epoch (``fit``); surprise of every presentation before it was learned
        from, as split "stream" (``partial_fit``).
    n_slices_, mean_, scale_, interrupted_, seed_, n_features_in_, feature_names_in_
        As for :class:`neurolp.BrainDensity`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
    >>> brain = OnlineBrain(random_state=0).partial_fit(X[:100])
    >>> before = brain.score(X)
    >>> for row in X[100:]:
    ...     brain = brain.partial_fit(row[None])
    >>> bool(brain.score(X) > before)
    True
    """

    model = "online"

    signal: Literal["final", "local", "replay"] = "final"
    horizon: ranges.Positive | None = None
    n_slices: ranges.Positive = 12
    period: ranges.Positive = 4
    n_hidden: ranges.Count = 0
    base: ranges.Base = "normal"
    update_order: ranges.UpdateOrder = "random_halves"
    connectivity: Any = None
    log_scale: ranges.Flag = True
    synapse_thresholds: Sequence[ranges.Number] = (0.0,)
    synapse_slope: ranges.PositiveNumber = 2.0
    spline_range: ranges.SplineRange = 3.5
    spline_intervals: ranges.Intervals = 14
    rate: ranges.Share = 0.002
    node_rate: ranges.Share = 0.02
    decay: ranges.Share = 0.02
    average: ranges.Share = 0.99
    batch_size: ranges.Positive | None = None
    max_epochs: ranges.Count = 60
    patience: ranges.Positive = 10
    validation_fraction: ranges.Share = 0.2
    dtype: ranges.Precision = "float64"
    random_state: Any = None
    n_threads: ranges.Positive | None = None
    verbose: ranges.Flag = False

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the rows of ``X``, presented together, once; a single row will do.

        The first call, unless the brain was fitted or loaded, fixes mean and scale for good, so it
        needs at least two rows that differ in every column.

        Raises
        ------
        DataError, ValueError
            As :meth:`fit`.
        """
        first = not hasattr(self, "network_")
        X = finite_rows(self, X, "X", reset=first)
        if first:
            self._check_parameters()
            self.seed_ = resolve_seed(self.random_state)
            self._split(X, X, 0.0)  # at least two rows
            label = partial(column_name, self)
            self.mean_, self.scale_ = mean_and_scale(X, label=label)
            warn_of_discrete_values(X, type(self).__name__, label=label, stacklevel=2)
            self.learner_ = self._new_learner()
            self.n_slices_, self.interrupted_ = self.n_slices, False
            self.recorder_, self.record_ = Recorder(), MemoryStore()
        elif not hasattr(self, "learner_"):
            self.learner_ = Learner(self.network_, self._rule())
        self.learner_.rule = self._rule()
        self.network_ = self.learner_.averaged
        batch = self._present(X)
        n_threads = 1 if len(X) == 1 else self.n_threads
        self._record_presentation(mean_surprise(self.network_, batch, n_threads))
        rng = generator(self.seed_, "presentation", self.learner_.n_steps)
        with Workers(n_threads) as workers:
            self.learner_.step(seed_hidden(self.network_, batch.potential, rng), workers)
        return self

    def to_tree(self) -> dict[str, Any]:
        """As of all estimators; without a learner that has learned nothing since ``fit``."""
        tree = super().to_tree()
        if "learner_" in tree and not self.learner_.n_steps:
            del tree["learner_"]
        return tree

    def bound_samples(self, X: Any, n_seeds: int = _N_SEEDS, random_state: Any = None) -> Array:
        """Lower bound on the log-density of each row in nats, shape (n_samples,).

        log (1/K) sum_k Phi(x, h_k) / r(h_k) with K = ``n_seeds`` seeds h_k of the hidden nodes: not
        above log p(x) on average over the seeds, rising with K, and log p(x) in the end. Without
        hidden nodes it is :meth:`score_samples`. By default the seeds are those of ``seed_``.

        Raises
        ------
        ConfigurationError
            If ``n_seeds`` is not an integer >= 1.
        """
        check_is_fitted(self)
        ranges.check_value("n_seeds", n_seeds, ranges.Positive)
        start = self._present(finite_rows(self, X, "X"))
        rng = self._seeding(random_state)
        threads = self.n_threads
        bound = log_bound(self.network_, start.potential, int(n_seeds), rng, n_threads=threads)
        return np.asarray(bound + start.log_det)

    def score_samples(self, X: Any) -> Array:
        """Log-density of each row in nats and the units of ``X``, shape (n_samples,).

        Raises
        ------
        ConfigurationError
            If there are hidden nodes: see :meth:`bound_samples`.
        """
        if self.n_hidden:
            raise ConfigurationError(
                f"score_samples: with n_hidden = {self.n_hidden} the log-density has no closed "
                f"form; bound_samples gives a lower bound"
            )
        return super().score_samples(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows in nats; with hidden nodes, of ``bound_samples(X)``."""
        return float(np.mean(self.bound_samples(X)))

    def evolve(self, X: Any) -> tuple[Array, Array]:
        """Run time forward: rows of ``X`` -> (u(T), log |det du(T)/d(x, h)|).

        Shapes (n_samples, n_features + n_hidden) and (n_samples,). Hidden nodes start from the
        seeds of ``seed_``; the log-determinant, in nats, includes the standardisation.
        """
        check_is_fitted(self)
        start = self._present(finite_rows(self, X, "X"))
        seeded = seed_hidden(self.network_, start.potential, self._seeding(None))
        potential, log_det = form_of(self).evolve(seeded)
        return np.ascontiguousarray(potential.T), log_det + start.log_det

    # --- inside -----------------------------------------------------------------------------------

    def _learner(self, batches: Batches) -> NetworkLearner:
        learner = self._new_learner()
        return NetworkLearner(learner, batches["validation"], self.seed_, self.n_threads)

    def _keep(self, model: Network, best_epoch: int) -> None:
        self.network_, self.learner_ = model, Learner(model, self._rule())
        self.best_epoch_, self.n_slices_ = best_epoch, self.n_slices

    def _monitors(self, process: EpochProcess[Network]) -> list[Monitor]:
        recorder, base = self.recorder_, process.model.base_density
        monitors: list[Monitor] = []
        if recorder.frames:
            monitors.append(EvolutionMonitor(recorder, base, "slice", lambda p: p.learner.recorded))
        if recorder.parameters_every is not None:
            monitors.append(
                ParameterMonitor(
                    recorder.parameters_every,
                    "epoch",
                    lambda p: learned_parameters(p.learner.averaged),
                )
            )
        return monitors

    def _record_presentation(self, surprise: float) -> None:
        """Append the surprise of a presentation to the record of ``partial_fit``."""
        if not isinstance(self.record_, MemoryStore) or self.record_.splits != ["stream"]:
            self.record_ = store = MemoryStore()
            unit = "presentation"
            store.declare_dimension("time", "i8", unit, "presentations completed")
            store.declare_coordinate("split", ["stream"], "1", "which part of the data")
            what = "mean of -log Phi(x), before it was learned from, in the units of the data"
            store.declare("surprise", ("time", "split"), (1,), "f8", "nat", what)
        self.record_.append("time", [self.record_.n_rows("time")])
        self.record_.append("surprise", [[surprise]])

    def _seeding(self, random_state: Any) -> np.random.Generator:
        """Where seeds of hidden nodes come from, other than those of learning."""
        seed = self.seed_ if random_state is None else resolve_seed(random_state)
        return generator(seed, "hidden nodes")

    def _rule(self) -> OnlineRule:
        return OnlineRule(
            self.signal, self.horizon, self.rate, self.node_rate, self.decay, self.average
        )

    def _new_learner(self) -> Learner:
        network = self._new_network(self.spline_intervals)
        rng = generator(self.seed_, "groups")
        partitions = [
            ordered_partition(self.update_order, network.connectivity, rng, network.clamped)
            for _ in range(min(self.period, self.n_slices))
        ]
        network.slices = identity_slices(network, partitions, self.n_slices)
        return Learner(network, self._rule())
