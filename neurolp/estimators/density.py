"""The density estimator: a brain whose slices are learned greedily, one after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np

from neurolp.arrays import Array
from neurolp.brain.heads.head import HEADS
from neurolp.brain.heads.selection import learn_heads
from neurolp.brain.marginal import MarginalMap, MarginalTransform, learn_marginal_transform
from neurolp.brain.network import DEFAULT_THRESHOLDS
from neurolp.brain.parts import NODE_MAPS, RULES
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.brain.rules.local import Learner, OnlineRule
from neurolp.brain.rules.rule import LearningRule
from neurolp.errors import ConfigurationError
from neurolp.estimators import ranges
from neurolp.estimators.table_brain import TableBrain
from neurolp.simulation.batch import Batch, Progress
from neurolp.simulation.epochs import EpochProcess, TrainingConfig
from neurolp.simulation.greedy import GreedyConfig, GreedyProcess
from neurolp.simulation.loop import simulate
from neurolp.simulation.monitors import FrameMonitor, Monitor, ScoreMonitor
from neurolp.simulation.online import NetworkLearner
from neurolp.simulation.signals import Stop

# Measured on validation data, in nats per row: in two dimensions, where the axes show little,
# rotating gains 0.07 to 0.48, finer node maps a further 0.11 to 0.31 (10,000 rows); tables of ten
# columns and more lose 0.2 (wine) to 28 (digits) by rotating.
_FEW_NODES = 3
_MANY_ROWS = 5000
_MOST_NODES = 256  # a covariance of more has too many parameters

# Larger steps undo what shrinkage and early stopping have won (measured: 1e-4 gains nothing on
# digits and breast_cancer, 1e-5 gains 0.2 nats on the validation data of each).
_TUNING_RATE = 1e-5
_TUNING_EPOCHS, _TUNING_PATIENCE = 20, 3


@final
@dataclass(eq=False, repr=False, kw_only=True)
class BrainDensity(TableBrain):
    """The probability of the rows of any table, by a brain that learns every slice locally.

    Continuous columns are the nodes of the brain. The row x is standardised, written into their
    potentials at time 0 and moved through slices of time. The density is read at a few times t_r,
    each with its energy E_r,

        Phi(x) = sum_r w_r exp(-E_r(u(t_r))) |det du(t_r)/dx|,    sum_r w_r = 1,

    exactly normalised for any parameters. Each slice is learned greedily by local rules (see
    ``neurolp.brain.rules.greedy``); number of slices, energies and weights are chosen on validation
    data. All other columns (discrete ones, those with atoms) are clamped nodes, which the
    others read, and have a probability of their own: P(clamped) Phi(moving | clamped).

    The brain is averaged with two other constructions, weighted on validation data: a triangular
    map (:class:`neurolp.TriangularDensity`), and models of all columns cut into cells (chains of
    boosted questions, latent classes and a Chow-Liu tree: ``neurolp.mixed``). The average is
    exactly normalised over the product measure: a density in the units of continuous columns, a
    mass for all other values.

    Source: T. Katayose, arXiv:2311.13341 (2023).

    Parameters
    ----------
    rule : "greedy" or LearningRule
        How each group of a slice learns its affine step; see :class:`neurolp.LearningRule`.
    node_map : "spline" or NodeMap
        The monotone maps of the nodes; see :class:`neurolp.NodeMap`.
    base : {"normal", "logistic"} or BaseDensity
        Density rho of a potential at the end of time; see :class:`neurolp.BaseDensity`.
    update_order : {"random_halves", "sequential", "coloring"} or list of lists of nodes
        Which nodes of a slice are updated together: two random halves, each node in turn, nodes
        without an edge between them, or groups of your own in their order.
    connectivity : None, Connectivity, (n, n) array or SciPy sparse matrix
        Permitted edges (target, source), or with floating-point numbers weights, which are those of
        the first slice; None is fully connected. No node has an edge to itself: the diagonal is
        zero. See ``neurolp.brain.wiring``.
    log_scale : bool
        Whether presynaptic nodes also scale a node, by exp(G) with a learned log-scale G.
    marginal_transform : bool
        Whether columns whose density has steps or spikes, as validation data tell, are equalised
        before time begins (see ``neurolp.brain.marginal``).
    head : {"auto", "mixture", "base"} or LearnedHead
        What reads the density from the potentials: an average of Gaussian mixtures at a few times
        (see ``neurolp.brain.heads.selection``), or the base density at the end. "auto" is
        "mixture" for full connectivity and up to 256 features.
    rotation : "auto" or bool
        Whether every slice begins with a random rotation, which needs full connectivity. "auto" is
        True for two and three features.
    synapse_thresholds, synapse_slope : sequence of float, float
        Transfer functions of an edge, besides the identity: tanh(slope (u - threshold)), in
        standard deviations of the base.
    spline_range, spline_intervals : float, int or None
        Node maps are splines on +- ``spline_range`` standard deviations with so many intervals;
        None is 14, and 28 from 5,000 training rows on.
    max_slices, patience : int
        Stop after ``max_slices`` slices, or when ``patience`` slices brought no lower surprise on
        validation data.
    shift_rate, node_rate : float
        Fraction of a Newton step taken by the affine shift (and log-scale) and by the node maps.
    shift_ridge, node_ridge : float
        Ridge of both, in units of (parameters of a node) / (training rows).
    fine_tune : None, int or "all"
        After the greedy fit, tune all slices in use together by gradients that run time backwards
        over so many slices; what is better on validation data, the brain before or after, is kept.
        The record is that of the greedy fit.
    constructions : "auto" or sequence of {"brain", "triangular", "cells"}
        What is averaged. "auto" is all that apply, and the brain alone where a part of it
        (``rule``, ``node_map``, ``base``, ``head``, ``connectivity``) is not the default. With
        cells and more than 5,000 training rows, those are left out that, learned from 2,500 rows,
        add less than 0.01 nats to a validation row.
    kinds : mapping, optional
        Kinds of some columns, by name or position: "continuous", "ordinal" or "nominal"; the others
        are inferred, see :class:`neurolp.Columns`.
    contamination : float
        Share of the training rows below the threshold ``offset_`` of :meth:`predict`.
    validation_fraction : float
        Share of the rows that ``fit`` sets aside for validation when it is given none. Up to 5,000
        training rows the chains of the cells are learned from them too, after all choices.
    dtype : {"float64", "float32"}
        Precision of the potentials and parameters; log-densities are always float64.
    random_state : None, int, RandomState or Generator
        Seed of the groups and the validation split; the one used is kept in ``seed_``.
    n_threads : None or int
        Threads to use, all available by default. Results do not depend on it.
    verbose : bool
        Whether ``fit`` shows its progress, as ``neurolp run`` does: a bar on a terminal, elsewhere
        a line every few seconds.

    Attributes
    ----------
    columns_ : Columns
        Names, kinds and values of the columns.
    construction_weights_ : dict of str to float
        Weights of the constructions in use.
    left_out_ : tuple of str
        Constructions that a rehearsal found useless.
    moving_ : array of int
        Positions of the columns that are moving nodes.
    inputs_ : ClampedInputs or None
        The clamped nodes of the other columns.
    cells_ : CellAverage or None
        The models of cells; None where all columns are continuous, without atoms or holes.
    triangular_ : TriangularTable or None
        The triangular map.
    offset_ : float
        Log-probability below which a row is an outlier, nats.
    network_ : Network
        All learned slices; not there where no column moves.
    n_slices_ : int
        Slices in use: the time of least validation surprise.
    heads_ : tuple of WeightedHead or None
        When and with which energy the density is read, and the weights of the average; None is
        the base density at the end of ``n_slices_``.
    marginal_transform_ : MarginalTransform or None
        What happens to columns before time begins.
    mean_, scale_ : arrays of shape (n_nodes,)
        Standardisation of the nodes, from the training rows; clamped nodes have none.
    record_ : MemoryStore
        Mapping of what was recorded: ``record_["surprise"]`` (time, split), ``"local_loss"``, ...;
        ``record_.surprise["test"]`` is the surprise of one split of the data after every slice.
    interrupted_ : bool
        Whether Ctrl-C ended the fit early; the slices completed until then are in use.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data + np.random.default_rng(0).uniform(-0.05, 0.05, (150, 4))
    >>> brain = BrainDensity(random_state=0).fit(X)
    >>> from sklearn.mixture import GaussianMixture
    >>> bool(brain.score(X) > GaussianMixture(1).fit(X).score(X))
    True
    >>> potential, log_det = brain.evolve(X)
    >>> bool(np.allclose(brain.rewind(potential), X, atol=1e-9))
    True

    A table of counts and labels has probabilities:

    >>> import pandas as pd
    >>> animals = ["cat", "hen", "dog", "eel"]
    >>> frame = pd.DataFrame({"legs": [4, 2, 4, 0] * 10, "animal": animals * 10})
    >>> table = BrainDensity(random_state=0).fit(frame)
    >>> table.columns_.kinds
    ('ordinal', 'nominal')
    >>> table.predict_proba(pd.DataFrame({"legs": [2]}), "animal").round(1).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """

    model = "density"
    time_unit = "slice"

    rule: ranges.Rule = "greedy"
    node_map: ranges.Map = "spline"
    base: ranges.Base = "normal"
    update_order: ranges.UpdateOrder = "random_halves"
    connectivity: Any = None
    log_scale: ranges.Flag = True
    marginal_transform: ranges.Flag = True
    head: ranges.Head = "auto"
    rotation: ranges.Flag | Literal["auto"] = "auto"
    synapse_thresholds: Sequence[ranges.Number] = DEFAULT_THRESHOLDS
    synapse_slope: ranges.PositiveNumber = 2.0
    spline_range: ranges.SplineRange = 3.5
    spline_intervals: ranges.Intervals | None = None
    max_slices: ranges.Count = 400
    patience: ranges.Positive = 25
    shift_rate: ranges.Share = 0.03
    node_rate: ranges.Share = 0.5
    shift_ridge: ranges.NonNegative = 20.0
    node_ridge: ranges.NonNegative = 8.0
    fine_tune: ranges.Positive | Literal["all"] | None = None
    constructions: ranges.Constructions = "auto"
    kinds: ranges.Kinds = None
    contamination: ranges.Contamination = 0.1
    validation_fraction: ranges.Share = 0.2
    dtype: ranges.Precision = "float64"
    random_state: Any = None
    n_threads: ranges.Positive | None = None
    verbose: ranges.Flag = False

    # --- inside -----------------------------------------------------------------------------------

    def _learns_heads(self) -> bool:
        if isinstance(self.head, str) and self.head == "auto":
            full = self.connectivity is None
            return full and len(self.moving_) <= _MOST_NODES
        return not isinstance(self.head, str) or self.head != "base"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.fine_tune is not None and self.node_map != "spline":
            raise ConfigurationError("argument `fine_tune` needs the node map 'spline'")
        if self.rotation and self.rotation != "auto" and self.connectivity is not None:
            raise ConfigurationError(
                "argument `rotation` needs full connectivity, but edges are given"
            )

    def _has_own_parts(self) -> bool:
        parts = (self.rule, self.node_map, self.base, self.head)
        usual = ("greedy", "spline", "normal", "auto")
        own = any(not isinstance(p, str) or p != u for p, u in zip(parts, usual, strict=True))
        return own or self.connectivity is not None

    def _learn(self, rows: dict[str, Array], monitors: Sequence[Monitor], **options: Any) -> None:
        self.heads_ = self.marginal_transform_ = None
        if hasattr(self, "network_"):  # of an earlier fit
            del self.network_
        self.n_slices_, self.interrupted_ = 0, False

        began = time.monotonic()

        def tell(stage: str) -> None:
            elapsed = time.monotonic() - began
            options["progress"](Progress(self.n_slices_, {}, self.n_slices_, elapsed, stage))

        filled = self._begin(rows, tell)
        if self._rehearses(filled):
            tell("rehearsing the constructions")
            self._leave_out(self._useless(filled, options["stop"]), filled["train"])
        if len(self.moving_):
            nodes = {name: self._node_rows(codes) for name, codes in filled.items()}
            self._learn_brain(nodes, monitors, **options)
        if not self.interrupted_ and "triangular" not in self.left_out_:
            self._learn_others(filled, options["stop"], tell)
        self._weigh(rows["validation"], tell)

    def _learn_brain(
        self, rows: dict[str, Array], monitors: Sequence[Monitor], **options: Any
    ) -> None:
        """Learn the network and its heads from rows of nodes, (n, n_nodes) each."""
        n_rows, n_moving = len(rows["train"]), len(self.moving_)
        intervals = self.spline_intervals or (14 if n_rows < _MANY_ROWS else 28)
        node_map = None if self.node_map == "spline" else NODE_MAPS.resolve(self.node_map)
        network = self._new_network(intervals, self.node_ridge, node_map)
        rule: LearningRule = GreedyRule(self.shift_rate, self.node_rate, self.shift_ridge)
        if self.rule != "greedy":
            rule = RULES.resolve(self.rule)
        if self.marginal_transform:
            start = {name: self._present(rows[name]).potential for name in ("train", "validation")}
            train, validation = (start[name][:n_moving] for name in ("train", "validation"))
            transform = learn_marginal_transform(
                network.base_density, train, validation, self.n_threads
            )
            if transform is not None:
                identity = MarginalMap(network.base_density, np.empty(0), np.ones(1))
                nodes = transform.nodes + (identity,) * (network.n_nodes - n_moving)
                self.marginal_transform_ = MarginalTransform(nodes)
        rotation = self.rotation
        if rotation == "auto":
            rotation = self.connectivity is None and 1 < n_moving <= _FEW_NODES
        process = GreedyProcess(
            network,
            rule,
            GreedyConfig(self.patience, self.update_order, bool(rotation)),
            {name: self._present(part) for name, part in rows.items()},
            seed=self.seed_,
            n_threads=self.n_threads,
        )
        own: list[Monitor] = [ScoreMonitor("slice")]
        if self.recorder_.frames:
            own.append(
                FrameMonitor(
                    self.recorder_,
                    network.base_density,
                    self.time_unit,
                    lambda p: p.batches["validation"].potential,
                )
            )
        outcome = simulate(process, self.max_slices, monitors=[*own, *monitors], **options)
        self.network_ = replace(network, slices=list(network.slices))
        self.n_slices_ = process.stopping.best_time
        self.interrupted_ = outcome.interrupted

        def begin(stage: str) -> dict[str, Batch]:
            options["progress"](replace(process.report(outcome.elapsed), stage=stage))
            return {name: self._present(rows[name]) for name in ("train", "validation")}

        if self.fine_tune is not None and self.n_slices_ > 0 and not self.interrupted_:
            self._tune(begin("tuning all slices together"), options["stop"])
        if self._learns_heads() and not self.interrupted_:
            self._learn_heads(begin("learning the heads"))

    def _learn_heads(self, batches: dict[str, Batch]) -> None:
        """Learn heads; without them, which Ctrl-C may bring about, the end of time is read."""
        try:
            self.heads_ = learn_heads(
                self.network_,
                self.n_slices_,
                batches["train"].potential,
                batches["validation"].potential,
                self.seed_,
                self.n_threads,
                head=None if self.head in ("auto", "mixture") else HEADS.resolve(self.head),
            )
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise

    def _tune(self, batches: dict[str, Batch], stop: Stop | None) -> None:
        """Improve the slices in use by replay; later slices stay as they were."""
        slices = self.network_.slices
        in_use = replace(self.network_, slices=slices[: self.n_slices_])
        horizon = None if self.fine_tune == "all" else int(self.fine_tune or 1)
        rule = OnlineRule(
            "replay", horizon, _TUNING_RATE, 10 * _TUNING_RATE, decay=0.0, average=0.9
        )
        learner = Learner(in_use, rule)
        n_rows = batches["train"].potential.shape[1]
        process = EpochProcess(
            NetworkLearner(learner, batches["validation"], self.seed_, self.n_threads),
            TrainingConfig(_TUNING_EPOCHS, _TUNING_PATIENCE, min(max(n_rows // 10, 1), 100)),
            batches,
            seed=self.seed_,
            n_threads=self.n_threads,
            stream="tuning",
        )
        self.interrupted_ = simulate(process, _TUNING_EPOCHS, stop=stop).interrupted
        self.network_.slices = process.model.slices + slices[self.n_slices_ :]
