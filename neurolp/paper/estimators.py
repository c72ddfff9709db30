"""scikit-learn estimators of the paper's forms, with the density that the paper claims.

``neurolp.audit`` measures the claims; see ``docs/forms.md`` for what it finds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from neurolp.brain.base_density import base_density
from neurolp.brain.node_map import SplineGrid
from neurolp.estimators.base import Brain
from neurolp.estimators.parameters import Parameters, check_parameters
from neurolp.paper.bounded import BoundedForm
from neurolp.paper.form_learner import FormLearner
from neurolp.paper.learning import Adam, learn_bounded, learn_linear
from neurolp.paper.linear import LinearForm
from neurolp.paper.node_energy import NodeEnergies
from neurolp.paper.parameters import BoundedParameters, LinearParameters
from neurolp.simulation.batch import Progress
from neurolp.simulation.epochs import EpochProcess, TrainingConfig
from neurolp.simulation.loop import Outcome, Process
from neurolp.simulation.monitors import FrameMonitor, Monitor, ScoreMonitor
from neurolp.simulation.signals import Stop

Array = npt.NDArray[Any]
Step = Callable[[Any, Array, float], tuple[Any, Array]]


class TextbookBrain(Brain):
    """One of the paper's forms, with parameters shared by all times; subclasses are final."""

    dtype = "float64"
    declared: type[Parameters]
    max_epochs: int
    patience: int
    batch_size: int
    validation_fraction: float
    random_state: Any

    @abstractmethod
    def _start(self, n_nodes: int) -> tuple[Any, Step, Adam]:
        """Return the form before learning, how it learns from a batch, and what that keeps."""

    def _check_parameters(self) -> None:
        check_parameters(self.declared, self.get_params())

    def _learn(
        self,
        rows: dict[str, Array],
        run: Callable[[Process, float, Sequence[Monitor]], Outcome],
        progress: Callable[[Progress], None],
        stop: Stop | None,
    ) -> None:
        batches = {name: self._present(part) for name, part in rows.items()}
        start = self._start(rows["train"].shape[1])
        process = EpochProcess(
            FormLearner(*start, batches["validation"]),
            TrainingConfig(self.max_epochs, self.patience, self.batch_size),
            batches,
            seed=self.seed_,
        )
        monitors: list[Monitor] = [ScoreMonitor("epoch")]
        if self.recorder_.frames:
            monitors.append(
                FrameMonitor(
                    self.recorder_,
                    base_density(self.base),
                    "epoch",
                    lambda p: p.learner.frame(p.time),
                )
            )
        outcome = run(process, self.max_epochs, monitors)
        self.form_ = process.model
        self.n_epochs_, self.interrupted_ = process.stopping.best_time, outcome.interrupted
        if outcome.interrupted:
            raise KeyboardInterrupt(
                f"the brain learned for {self.n_epochs_} epochs and can be used"
            )


@final
class LinearBrain(TextbookBrain):
    """The linear form: du/dt = W u + b with w_ii = 0, and a Boltzmann distribution at the end.

    Phi(x) = prod_i exp(-E_i(u_i(T))) / Z_i times the change of units; the energies E_i are learned,
    their one-node integrals Z_i computed. The determinant is claimed to be 1, which is true for the
    exact flow and not for synchronous (Euler) steps: then Phi integrates to
    1 / det(I + dt W)^n_steps, and ``sample`` draws from Phi divided by that.

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
    validation_fraction, random_state
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
    declared = LinearParameters

    def __init__(
        self,
        *,
        stepping: str = "exact",
        duration: float = 1.0,
        n_steps: int = 10,
        spline_range: float = 4.0,
        spline_intervals: int = 16,
        rate: float = 0.03,
        energy_rate: float = 0.1,
        energy_ridge: float = 1e-3,
        max_epochs: int = 30,
        patience: int = 10,
        batch_size: int = 100,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.stepping = stepping
        self.duration = duration
        self.n_steps = n_steps
        self.spline_range = spline_range
        self.spline_intervals = spline_intervals
        self.rate = rate
        self.energy_rate = energy_rate
        self.energy_ridge = energy_ridge
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _start(self, n_nodes: int) -> tuple[LinearForm, Step, Adam]:
        grid = SplineGrid(-self.spline_range, self.spline_range, self.spline_intervals)
        form = LinearForm(
            np.zeros((n_nodes, n_nodes)),
            np.zeros(n_nodes),
            NodeEnergies.standard(grid, n_nodes),
            self.duration,
            self.n_steps,
            self.stepping,
        )
        adam = Adam()

        def step(form: LinearForm, batch: Array, share: float) -> tuple[LinearForm, Array]:
            rates = self.rate * share, self.energy_rate * share
            return learn_linear(form, batch, adam, *rates, self.energy_ridge)

        return form, step, adam


@final
class BoundedBrain(TextbookBrain):
    """The bounded form: da_i/dt = sum_j w_ij a_j + b_i(a_i) in (0, 1), uniform at the end.

    Phi is the product of the nodes' own derivatives: the shape of the drifts b_i, which diverge at
    the edges, and the weights are learned. Phi is *not* normalised: the image of the cube is only a
    part of it, and the product is not the determinant (``neurolp.audit`` measures both).
    ``sample`` draws from Phi divided by its integral: end states with no past are drawn again.

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
    max_epochs, patience, batch_size, validation_fraction, random_state
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
    declared = BoundedParameters

    def __init__(
        self,
        *,
        duration: float = 0.5,
        n_steps: int = 5,
        shape_intervals: int = 10,
        barrier: float = 0.05,
        rate: float = 0.05,
        max_epochs: int = 60,
        patience: int = 10,
        batch_size: int = 100,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.duration = duration
        self.n_steps = n_steps
        self.shape_intervals = shape_intervals
        self.barrier = barrier
        self.rate = rate
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _start(self, n_nodes: int) -> tuple[BoundedForm, Step, Adam]:
        form = BoundedForm(
            np.zeros((n_nodes, n_nodes)),
            np.full(n_nodes, float(self.barrier)),
            np.zeros((n_nodes, 1 + self.shape_intervals)),
            self.duration,
            self.n_steps,
        )
        adam = Adam()

        def step(form: BoundedForm, batch: Array, share: float) -> tuple[BoundedForm, Array]:
            return learn_bounded(form, batch, adam, self.rate * share)

        return form, step, adam
