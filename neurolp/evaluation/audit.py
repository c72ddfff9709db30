"""Audit of a brain: its log-determinant, normalisation and inverse, compared with references.

    log-determinant   compared with the sum of log |det| of dense Jacobians, one a time step
    integral of Phi   should be 1; by quadrature for one and two nodes, importance sampling beyond
    round trip        |rewind(evolve(x)) - x|, in units of potential

The textbook forms of the paper do not pass, for two reasons that :func:`textbook_defects` shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from rich.table import Table

from neurolp.arrays import Array
from neurolp.brain.form import Form, form_of
from neurolp.brain.workers import single_threaded_blas
from neurolp.evaluation.metrics import total_probability

LOG_DET_TOLERANCE, INTEGRAL_TOLERANCE, ROUND_TRIP_TOLERANCE = 1e-10, 1e-9, 1e-8

_BUDGET = 3e11  # multiplications of the importance sample: about a minute on one core
_MAX_JACOBIANS = 4_000


class Report(ABC):
    """Findings in rows of three columns, as text and as a table."""

    headings: ClassVar[tuple[str, str, str]]

    @property
    @abstractmethod
    def title(self) -> str:
        """What is reported on."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str, str]]:
        """The findings, as ``headings`` say."""

    def __str__(self) -> str:
        return "\n".join([self.title, *("  " + ": ".join(row) for row in self.rows())])

    def __rich__(self) -> Table:
        table = Table(*self.headings, title=self.title)
        for row in self.rows():
            table.add_row(*row)
        return table


@dataclass(frozen=True)
class AuditReport(Report):
    """Results of an audit.

    ``claimed`` and ``true`` are log-determinants in nats at the audited points, and
    ``log_det_error`` is the largest |claimed - true| / max(1, |true|). ``integral`` of Phi comes
    with ``integral_error``: the change when the grid was refined (quadrature), or the standard
    error (importance sampling). ``round_trip`` is the largest |rewind(evolve(x)) - x| in units of
    potential; ``reached`` the share of end states that some input leads to, and ``dream_trip`` the
    largest |evolve(rewind(u)) - u| of those.
    """

    headings = ("claim", "measured", "verdict")

    form: str
    n_nodes: int
    n_times: int
    claimed: Array
    true: Array
    log_det_error: float
    integral: float
    integral_error: float
    integral_method: str
    round_trip: float
    dream_trip: float
    reached: float

    @property
    def log_det_holds(self) -> bool:
        """Whether the log-determinant is correct within ``LOG_DET_TOLERANCE``."""
        return self.log_det_error <= LOG_DET_TOLERANCE

    @property
    def integral_holds(self) -> bool:
        """Whether the integral is 1 within four errors and ``INTEGRAL_TOLERANCE``."""
        return abs(self.integral - 1) <= 4 * self.integral_error + INTEGRAL_TOLERANCE

    @property
    def round_trip_holds(self) -> bool:
        """Whether the inverse is exact within ``ROUND_TRIP_TOLERANCE``, from every end state."""
        return max(self.round_trip, self.dream_trip) <= ROUND_TRIP_TOLERANCE and self.reached == 1

    @property
    def holds(self) -> bool:
        """Whether all three hold."""
        return self.log_det_holds and self.integral_holds and self.round_trip_holds

    def rows(self) -> list[tuple[str, str, str]]:
        """The report as (what, measured, verdict)."""
        worst = int(np.argmax(np.abs(self.claimed - self.true)))
        verdict = {True: "holds", False: "does not hold"}
        trip = f"{self.round_trip:.1e}, from the end {self.dream_trip:.1e}"
        return [
            (
                f"log-determinant ({len(self.true)} points)",
                f"claimed {self.claimed[worst]:.9g}, true {self.true[worst]:.9g} nats "
                f"at worst; error {self.log_det_error:.1e}",
                verdict[self.log_det_holds],
            ),
            (
                f"integral of Phi ({self.integral_method})",
                f"{self.integral:.10g} +- {self.integral_error:.1e}",
                verdict[self.integral_holds],
            ),
            (
                "round trip",
                f"{trip}; {self.reached:.1%} of the end states have a past",
                verdict[self.round_trip_holds],
            ),
        ]

    @property
    def title(self) -> str:
        """Description of the audited brain."""
        return f"{self.form}: {self.n_nodes} nodes, {self.n_times} time steps"


def audit(
    model: Any,
    potential: Array | None = None,
    *,
    n_points: int = 3,
    n_dreams: int | None = None,
    seed: int = 0,
) -> AuditReport:
    """Compare log-determinant, normalisation and inverse of a brain with references.

    Parameters
    ----------
    model : Form, Network or fitted estimator
        The brain. An estimator is audited in its potentials; standardisation
        and marginal transform are left out.
    potential : array of shape (n_nodes, n_points), optional
        States u(0) at which determinant and round trip are measured; by default ``n_points`` from
        the standard normal density, every third one ten times as wide.
    n_points : int
        Number of default points.
    n_dreams : int, optional
        Sample size of the importance sampling; 4 to 2,000 by default, for about a minute.
    seed : int
        Seed of the points and dreams.

    Notes
    -----
    The brute-force determinant takes n_points * n_times dense Jacobians: 20 ms each for 500 nodes
    in two groups, so three points of 400 slices take half a minute.

    The importance sample are dreams: u ~ exp(-E), x = rewind(u). Their density is computed with the
    brute-force determinant, q(x) = exp(-E(u)) |det J(x)|, independently of the tested one, so that

        integral of Phi = E_q[Phi / q] = E_u[ 1{u has a preimage} exp(claimed - true) ].

    It needs evolve(rewind(u)) = u, which is measured as ``dream_trip``. It tests determinants;
    the normalisation of the energies is tested for one and two nodes only.

    Raises
    ------
    TypeError
        If ``model`` is none of these.
    ValueError
        If ``potential`` has the wrong shape.
    """
    form = form_of(model)
    rng = np.random.default_rng(seed)
    if potential is None:
        widths = np.where(np.arange(n_points) % 3 == 2, 10.0, 1.0)
        potential = widths * rng.standard_normal((form.n_nodes, n_points))
    with single_threaded_blas():
        end, claimed = form.evolve(potential)
        true = brute_force_log_det(form, potential)
        integral, error, method = (
            _quadrature(form, rng) if form.n_nodes <= 2 else _importance(form, rng, n_dreams)
        )
        back = form.rewind(end)
        dreamed = form.draw(200, rng)
        past = form.rewind(dreamed)
        has_past = np.all(np.isfinite(past), axis=0)
        again, _ = form.evolve(past[:, has_past])
        dream_trip = np.abs(again - dreamed[:, has_past]).max(initial=0.0)
    return AuditReport(
        form=form.name,
        n_nodes=form.n_nodes,
        n_times=form.n_times,
        claimed=claimed,
        true=true,
        log_det_error=float(np.max(np.abs(claimed - true) / np.maximum(1.0, np.abs(true)))),
        integral=integral,
        integral_error=error,
        integral_method=method,
        round_trip=float(np.abs(back - potential).max()),
        dream_trip=float(dream_trip),
        reached=float(np.mean(has_past)),
    )


def brute_force_log_det(form: Form, potential: Array) -> Array:
    """Sum of log |det| of the dense Jacobian of every time step, by LU, shape (n_points,)."""
    return np.array(
        [
            sum(
                float(np.linalg.slogdet(j)[1])
                for j in form.step_jacobians(np.array(potential[:, [c]], order="C"))
            )
            for c in range(potential.shape[1])
        ]
    )


def _quadrature(form: Form, rng: np.random.Generator) -> tuple[float, float, str]:
    """Integral over all potentials; the mass is located by dreams.

    Two nodes: trapezoid rule in t for u = centre + width sinh(t), on a grid and on every other
    point; heavy tails are integrated to ten times the farthest dream.
    """
    dreams = form.dream(4000, rng)
    dreams = dreams[:, np.all(np.isfinite(dreams), axis=0)]
    if form.n_nodes == 1:
        where = np.quantile(dreams, np.linspace(0, 1, 21))
        total = total_probability(lambda u: form.log_prob(u[None]), points=where)
        return total.value, total.error, "quadrature"
    centre = np.median(dreams, axis=1)
    low, high = np.quantile(dreams, [0.25, 0.75], axis=1)
    width = np.maximum(high - low, 1e-3)
    reach = 10 * np.abs(dreams - centre[:, None]).max(axis=1)
    n = 701
    axes, weights = [], []
    for i in range(2):
        t = np.linspace(-1, 1, n) * np.arcsinh(reach[i] / width[i])
        axes.append(centre[i] + width[i] * np.sinh(t))
        weights.append(width[i] * np.cosh(t) * (t[1] - t[0]))
    values = np.empty((n, n))
    for k in range(n):  # a row at a time bounds memory
        line = np.vstack([np.full(n, axes[0][k]), axes[1]])
        values[k] = np.exp(form.log_prob(line)) * weights[0][k] * weights[1]
    fine, coarse = values.sum(), 4 * values[::2, ::2].sum()
    return float(fine), float(abs(fine - coarse)), "quadrature"


def _importance(
    form: Form, rng: np.random.Generator, n_dreams: int | None
) -> tuple[float, float, str]:
    n, times = form.n_nodes, max(form.n_times, 1)
    if n_dreams is None:
        n_dreams = int(np.clip(min(_BUDGET / (4 * n**3 * times), _MAX_JACOBIANS / times), 4, 2000))
    past = form.rewind(form.draw(n_dreams, rng))
    has_past = np.all(np.isfinite(past), axis=0)
    ratio = np.zeros(n_dreams)
    past = np.ascontiguousarray(past[:, has_past])
    ratio[has_past] = np.exp(form.evolve(past)[1] - brute_force_log_det(form, past))
    error = float(ratio.std(ddof=1) / np.sqrt(n_dreams))
    return float(ratio.mean()), error, f"importance sampling, {n_dreams} dreams"
