"""scikit-learn estimators of the paper's forms, with the density that the paper claims.

``neurolp.audit`` measures the claims; see ``docs/forms.md`` for what it finds.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
from pydantic import Field

from neurolp.arrays import Array
from neurolp.brain.base_density import base_density
from neurolp.brain.node_map import SplineGrid
from neurolp.estimators import ranges
from neurolp.estimators.base import EpochBrain
from neurolp.paper.bounded import BARRIER_MIN, BoundedForm
from neurolp.paper.learning import Adam, FormLearner, learn_bounded, learn_linear
from neurolp.paper.linear import LinearForm
from neurolp.paper.node_energy import NodeEnergies
from neurolp.simulation.batch import Batches
from neurolp.simulation.epochs import EpochProcess
from neurolp.simulation.monitors import FrameMonitor, Monitor


@dataclass(eq=False, repr=False, kw_only=True)
class TextbookBrain(EpochBrain):
    """One of the paper's forms, with parameters shared by all times; subclasses are final."""

    dtype = "float64"

    duration: ranges.Duration
    n_steps: ranges.Steps
    rate: ranges.Share
    max_epochs: ranges.Count
    patience: ranges.Positive = 10
    batch_size: ranges.Positive = 100
    validation_fraction: ranges.Share = 0.2
    random_state: Any = None
    verbose: ranges.Flag = False

    @abstractmethod
    def _start(self, n_nodes: int) -> Any:
        """The form before learning."""

    @abstractmethod
    def _step(self, form: Any, batch: Array, adam: Adam, pace: float) -> tuple[Any, Array]:
        """The form after a batch u(0), (n_nodes, m), and the mean local loss of every node."""

    def _learner(self, batches: Batches) -> FormLearner[Any]:
        return FormLearner(self._start(self.n_features_in_), self._step, batches["validation"])

    def _monitors(self, process: EpochProcess[Any]) -> list[Monitor]:
        recorder, base = self.recorder_, base_density(self.base)
        frame = FrameMonitor(recorder, base, "epoch", lambda p: p.learner.frame(p.time))
        return [frame] if recorder.frames else []

    def _keep(self, model: Any, best_epoch: int) -> None:
        self.form_, self.n_epochs_ = model, best_epoch


@final
@dataclass(eq=False, repr=False, kw_only=True)
class LinearBrain(TextbookBrain):
    """The linear form: du/dt = W u + b with w_ii = 0, and a Boltzmann distribution at the end.

    Phi(x) = prod_i exp(-E_i(u_i(T))) / Z_i times the change of units; the energies E_i are learned,
    their one-node integrals Z_i computed. The determinant is claimed to be 1, which is true for the
    exact flow and not for synchronous (Euler) steps: then Phi integrates to
    1 / det(I + dt W)^n_steps, and ``sample`` draws from Phi divided by that. Its columns are
    continuous; :class:`neurolp.DataWarning` says so where values have a mass.

    Parameters
    ----------
    stepping : {"exact", "synchronous"}
        The matrix exponential, or all nodes at once in ``n_steps`` steps.
    duration, n_steps : float, int
        Time T, and the number of steps of dt = T / n_steps.
    spline_range, spline_intervals : float, int
        Energies are splines on +- ``spline_range`` standard deviations with so many intervals,
        linear beyond.
    rate : float
        Step of a weight in one batch (Adam), at first; it falls to zero over all epochs.
    energy_rate, energy_ridge : float
        Fraction of a Newton step of the energies in one batch, at first, and its ridge.
    max_epochs, patience : int
        Stop after ``max_epochs`` passes through the training rows, or when ``patience`` of them
        brought no lower surprise on validation data.
    batch_size : int
        Rows presented between two changes of the parameters.
    validation_fraction, random_state, verbose
        As of ``BrainDensity``.

    Attributes
    ----------
    form_ : LinearForm
        The learned form.
    n_epochs_ : int
        The epoch of least validation surprise, at which the form was kept.
    mean_, scale_, record_, interrupted_, seed_, n_features_in_, feature_names_in_
        As of ``BrainDensity``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.laplace(size=(2000, 2)) @ [[1.0, -0.4], [0.6, 1.0]]
    >>> brain = LinearBrain(random_state=0).fit(X)
    >>> entropy = 2 * (1 + np.log(2)) + np.log(1.24)
    >>> bool(abs(-brain.score(X) - entropy) < 0.05)
    True
    """

    base = "normal"
    model = "linear"
    form = LinearForm

    stepping: Literal["exact", "synchronous"] = "exact"
    duration: ranges.Duration = 1.0
    n_steps: ranges.Steps = 10
    spline_range: ranges.SplineRange = 4.0
    spline_intervals: ranges.Intervals = 16
    rate: ranges.Share = 0.03
    energy_rate: ranges.Share = 0.1
    energy_ridge: ranges.Strength = 1e-3
    max_epochs: ranges.Count = 30

    def _start(self, n_nodes: int) -> LinearForm:
        grid = SplineGrid(-self.spline_range, self.spline_range, self.spline_intervals)
        return LinearForm(
            np.zeros((n_nodes, n_nodes)),
            np.zeros(n_nodes),
            NodeEnergies.standard(grid, n_nodes).slopes,
            grid,
            self.duration,
            self.n_steps,
            self.stepping,
        )

    def _step(self, form: LinearForm, batch: Array, adam: Adam, pace: float) -> Any:
        rates = self.rate * pace, self.energy_rate * pace
        return learn_linear(form, batch, adam, *rates, self.energy_ridge)


@final
@dataclass(eq=False, repr=False, kw_only=True)
class BoundedBrain(TextbookBrain):
    """The bounded form: da_i/dt = sum_j w_ij a_j + b_i(a_i) in (0, 1), uniform at the end.

    Phi is the product of the nodes' own derivatives: the shape of the drifts b_i, which diverge at
    the edges, and the weights are learned. Phi is *not* normalised: the image of the cube is only a
    part of it, and the product is not the determinant (``neurolp.audit`` measures both).
    ``sample`` draws from Phi divided by its integral: end states with no past are drawn again.
    Its columns are continuous; :class:`neurolp.DataWarning` says so where values have a mass.

    Parameters
    ----------
    duration, n_steps : float, int
        Time T, and the number of synchronous steps of dt = T / n_steps.
    shape_intervals : int
        b_i' has so many B-splines on (0, 1), besides the barrier.
    barrier : float
        alpha of the term alpha log((1 - a) / a) before learning.
    rate : float
        Step of a parameter in one batch (Adam), at first; it falls to zero over all epochs.
    max_epochs, patience, batch_size, validation_fraction, random_state, verbose
        As of ``LinearBrain``.

    Attributes
    ----------
    form_ : BoundedForm
        The learned form.
    n_epochs_, mean_, scale_, record_, interrupted_, seed_, n_features_in_, feature_names_in_
        As of ``LinearBrain``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.where(rng.random(2000) < 0.5, 1, -1)[:, None] + rng.normal(0, 0.3, (2000, 1))
    >>> brain = BoundedBrain(random_state=0).fit(X)
    >>> bool(brain.score(X) > -1.1)  # a Gaussian of the same variance: -1.46
    True
    """

    base = "logistic"
    model = "bounded"
    form = BoundedForm

    duration: ranges.Duration = 0.5
    n_steps: ranges.Steps = 5
    shape_intervals: ranges.Intervals = 10
    barrier: Annotated[float, Field(ge=BARRIER_MIN, le=1e3, strict=True)] = 0.05
    rate: ranges.Share = 0.05
    max_epochs: ranges.Count = 60

    def _start(self, n_nodes: int) -> BoundedForm:
        return BoundedForm(
            np.zeros((n_nodes, n_nodes)),
            np.full(n_nodes, float(self.barrier)),
            np.zeros((n_nodes, 1 + self.shape_intervals)),
            self.duration,
            self.n_steps,
        )

    def _step(self, form: BoundedForm, batch: Array, adam: Adam, pace: float) -> Any:
        return learn_bounded(form, batch, adam, self.rate * pace)
