"""Conditional densities of density heads, node after node: p(u) = prod_i p(u_i | u_1 .. u_i-1).

Their CDFs are the last layer of a triangular map, the Knothe-Rosenblatt map y_i = F_i(u_i | u_<i).
All have closed forms (Rosenblatt, Ann. Math. Statist. 23, 1952):

* a product of bases: F_i = F;
* a mixture of Gaussians: F_i = sum_k gate_k normal((u_i - m_ki) / s_ki), a unit whose gates are the
  softmax of quadratic functions of the earlier nodes and whose means are linear in them. With
  Sigma_k = L_k L_k' and z_k = L_k^-1 (u - mu_k): (u_i - m_ki) / s_ki = z_ki,
  gate_k ~ pi_k prod_j<i normal'(z_kj) / L_kjj;
* a tree whose parents come before their children: F_i is the marginal map of the parent's bin.
"""

from __future__ import annotations

from typing import Protocol, cast, final

import numpy as np
from scipy.special import log_ndtr, logsumexp

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity
from neurolp.brain.heads.head import DensityHead
from neurolp.brain.heads.mixture import MixtureHead
from neurolp.brain.heads.tree import TreeHead

Unit = tuple[Array, Array, Array]

_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


class Conditionals(Protocol):
    """Conditional densities of one density head for n rows, node after node."""

    def evaluate(self, u: Array, rows: Array) -> Unit:
        """Log p, log F and log(1 - F) of the next node at ``u`` (m,), (m,) each, in nats.

        ``rows`` (m,) are the numbers of the rows.
        """

    def advance(self, u: Array) -> None:
        """Condition on the potentials ``u`` (n,) of the next node, and move on by one node."""


def conditionals(base: BaseDensity, head: DensityHead | None, n_rows: int) -> Conditionals:
    """Conditional densities of ``head`` (None: the product of the bases) for ``n_rows`` rows."""
    if head is None:
        return _Product(base)
    if isinstance(head, MixtureHead):
        return _Mixture(head, n_rows)
    return _Tree(cast(TreeHead, head), n_rows)


@final
class _Product:
    def __init__(self, base: BaseDensity) -> None:
        self.base = base

    def evaluate(self, u: Array, rows: Array) -> Unit:
        return -self.base.energy(u), self.base.log_activity(u), self.base.log_activity(-u)

    def advance(self, u: Array) -> None:
        pass


@final
class _Mixture:
    def __init__(self, head: MixtureHead, n_rows: int) -> None:
        self.head, self.node = head, 0
        k, d = head.means.shape
        self.z = np.empty((k, d, n_rows))
        self.log_gate = np.repeat(np.log(head.weights)[:, None], n_rows, axis=1)
        self._prepare()

    def evaluate(self, u: Array, rows: Array) -> Unit:
        scale = self.scale[:, None]
        z = (u - self.mean[:, rows]) / scale
        log_gate = self.log_gate[:, rows]
        return (
            logsumexp(log_gate - 0.5 * z * z - np.log(scale), axis=0) - _HALF_LOG_2PI,
            logsumexp(log_gate + log_ndtr(z), axis=0),
            logsumexp(log_gate + log_ndtr(-z), axis=0),
        )

    def advance(self, u: Array) -> None:
        z = (u - self.mean) / self.scale[:, None]
        self.z[:, self.node] = z
        self.log_gate -= 0.5 * z * z + np.log(self.scale)[:, None]
        self.log_gate -= logsumexp(self.log_gate, axis=0)
        self.node += 1
        if self.node < self.z.shape[1]:
            self._prepare()

    def _prepare(self) -> None:
        """Means (K, n) and standard deviations (K,) of the next node."""
        i, factors = self.node, self.head.factors
        known = np.einsum("kj,kjn->kn", factors[:, i, :i], self.z[:, :i])
        self.mean, self.scale = self.head.means[:, i, None] + known, factors[:, i, i]


@final
class _Tree:
    def __init__(self, head: TreeHead, n_rows: int) -> None:
        self.nodes, self.node = {gated.node: gated for gated in head.nodes}, 0
        self.known = np.empty((len(self.nodes), n_rows))
        self._prepare()

    def evaluate(self, u: Array, rows: Array) -> Unit:
        gated, bins = self.nodes[self.node], self.bins[rows]
        response, log_slope = np.empty(len(u)), np.empty(len(u))
        for k in np.unique(bins):
            mine = bins == k
            response[mine], log_slope[mine] = gated.maps[k].forward(u[mine])
        base = gated.maps[0].base
        log_pdf = log_slope - base.energy(response)
        return log_pdf, base.log_activity(response), base.log_activity(-response)

    def advance(self, u: Array) -> None:
        self.known[self.node] = u
        self.node += 1
        if self.node < len(self.nodes):
            self._prepare()

    def _prepare(self) -> None:
        self.bins = self.nodes[self.node].bins(self.known)
