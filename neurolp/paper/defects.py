"""The two defects of the textbook forms, on examples small enough to check by hand.

1. A drift that diverges at the edges has an *entrance boundary*: in finite time the flow maps the
   cube into a strict part of itself, and Phi integrates to the volume of that part, not to 1.
2. With *synchronous* steps the product of the nodes' own derivatives is not the determinant: the
   error is of order dt per unit of time. Updating the nodes one after another has no error at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import integrate, optimize
from scipy.special import expit

from neurolp.evaluation.audit import Report

DURATIONS = (0.05, 0.2, 1.0)

# Five nodes, plain numbers: W (target, source), inputs c, features tanh(v - threshold) with
# non-negative weights theta, and where the trajectory starts.
_WEIGHTS = np.array(
    [
        [0.0, 0.5, -0.3, 0.2, -0.4],
        [0.4, 0.0, 0.6, -0.2, 0.1],
        [-0.5, 0.3, 0.0, 0.4, 0.2],
        [0.1, -0.6, 0.5, 0.0, 0.3],
        [-0.2, 0.3, -0.4, 0.6, 0.0],
    ]
)
_BIAS = np.array([0.1, -0.2, 0.0, 0.2, -0.1])
_THRESHOLDS = np.array([-1.0, 0.0, 1.0])
_THETA = np.array(
    [[0.1, 0.2, 0.1], [0.2, 0.1, 0.1], [0.1, 0.1, 0.2], [0.0, 0.3, 0.1], [0.1, 0.2, 0.0]]
)
_START = np.array([0.5, -1.0, 0.3, 1.2, -0.7])
FIVE_NODE_TIME, FIVE_NODE_STEPS = 2.8, (7, 14, 28, 56, 112)


@dataclass(frozen=True)
class Stepping:
    """Five nodes over 2.8 units of time: log-determinants in nats, by the size of the step.

    ``claimed`` and ``true`` belong to synchronous stepping; ``sequential`` and
    ``sequential_true`` are the claim and the brute-force determinant when the nodes take turns.
    """

    dt: float
    n_steps: int
    claimed: float
    true: float
    sequential: float
    sequential_true: float


@dataclass(frozen=True)
class TextbookDefects(Report):
    """Integral of Phi of one bounded node by duration, and the five nodes by time step."""

    headings = ("example", "textbook form", "exact form")
    title = "Two defects"

    integrals: dict[float, float]
    stepping: tuple[Stepping, ...]

    def rows(self) -> list[tuple[str, str, str]]:
        """The findings as (example, textbook form, exact form)."""
        out = [
            (f"integral of Phi, one node, b = log((1-a)/a), T = {t:g}", f"{v:.5g}", "1")
            for t, v in self.integrals.items()
        ]
        for s in self.stepping:
            out.append(
                (
                    f"log-determinant, five nodes, {s.n_steps} steps of dt = {s.dt:g}",
                    f"claimed {s.claimed:.5f}, true {s.true:.5f}, "
                    f"error / dt {(s.claimed - s.true) / s.dt:.3f}",
                    f"claimed {s.sequential:.15g}, true {s.sequential_true:.15g}",
                )
            )
        return out


def textbook_defects() -> TextbookDefects:
    """Measure both defects of the textbook forms, and the exact form beside them.

    Source: theory of the bounded and linear forms in T. Katayose, arXiv:2311.13341 (2023); the
    defects are our findings.

    >>> defects = textbook_defects()
    >>> [round(v, 6) for v in defects.integrals.values()]
    [0.731821, 0.373122, 0.014854]
    """
    stepping = []
    for n_steps in FIVE_NODE_STEPS:
        dt = FIVE_NODE_TIME / n_steps
        synchronous, sequential = (_five_nodes(dt, n_steps, at_once) for at_once in (True, False))
        stepping.append(Stepping(dt, n_steps, *synchronous, *sequential))
    return TextbookDefects({t: image_volume(t) for t in DURATIONS}, tuple(stepping))


def image_volume(duration: float) -> float:
    """Volume of the image of (0, 1) under da/dt = log((1 - a) / a) after time T.

    With u = log(a / (1 - a)) the drift is -u and da = a (1 - a) du, so a trajectory that enters
    at the edge reaches u after

        T = integral from |u| to infinity of a (1 - a) / u du,    a = 1 / (1 + exp(-u)),

    and the image, 2 a(|u|) - 1 = tanh(|u| / 2) by symmetry, is what Phi integrates to.
    """

    def time_to(u: float) -> float:
        value, _ = integrate.quad(
            lambda s: expit(s) * expit(-s) / s, u, 60.0, epsabs=1e-15, epsrel=1e-13, limit=200
        )
        return float(value) - duration

    return float(np.tanh(0.5 * optimize.brentq(time_to, 1e-9, 50.0, xtol=1e-15, rtol=1e-14)))


def _five_nodes(dt: float, n_steps: int, at_once: bool) -> tuple[float, float]:
    """Return the log of the nodes' own derivatives, and the log-determinant by dual numbers.

    v_i = u_i + dt (c_i + sum_j w_ij tanh u_j) and u_i' = v_i + dt sum_k theta_ik phi_k(v_i), for
    all nodes at once or one after another. The dual part of every potential is its gradient
    by the five potentials at the start of the step.
    """
    u, claimed, true = _START.copy(), 0.0, 0.0
    for _ in range(n_steps):
        dual = np.eye(5)
        read, read_dual = (u.copy(), dual.copy()) if at_once else (u, dual)
        for i in range(5):
            activity = np.tanh(read)
            v = u[i] + dt * (_BIAS[i] + _WEIGHTS[i] @ activity)
            v_dual = dual[i] + dt * (_WEIGHTS[i] * (1 - activity**2)) @ read_dual
            phi = np.tanh(v - _THRESHOLDS)
            slope = 1 + dt * _THETA[i] @ (1 - phi**2)
            u[i], dual[i] = v + dt * _THETA[i] @ phi, slope * v_dual
            claimed += float(np.log(slope))
        true += float(np.linalg.slogdet(dual)[1])
    return claimed, true
