"""The protocol of learning rules: what a rule sees of a group of nodes, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity
from neurolp.brain.evolution import write_features
from neurolp.brain.network import Network, Synapse, product
from neurolp.brain.workers import Block, Workers, column_blocks
from neurolp.errors import NetworkError


@dataclass(frozen=True)
class LocalStep:
    """The affine step of a group, v_i = exp(G_i) u_i + I_i, as a rule chose it.

    With f the features of the sources: I = ``weights`` f + ``bias``, and G = ``log_scale_weights``
    f_bounded + ``log_scale_bias``, f_bounded the features after the first ``n_sources``. Shapes
    (n_targets, n_features), (n_targets,), (n_targets, n_features - n_sources), (n_targets,);
    weights on absent edges are zero. Without the last two, G = 0.
    """

    weights: Any
    bias: Array
    log_scale_weights: Any = None
    log_scale_bias: Array | None = None


class LearningRule(Protocol):
    """How a group of nodes learns its affine step from a :class:`neurolp.LocalView`.

    The engine applies the step, computes its determinant, and lets the node maps learn by a share
    ``node_rate`` of their own step. So a rule can be useless, but never makes the density inexact.
    """

    @property
    def node_rate(self) -> float:
        """Share of their step that the node maps take, in [0, 1]."""
        ...

    def learn(self, view: LocalView, rng: np.random.Generator) -> LocalStep:
        """The step of one group of one slice; ``rng`` depends on the seed and the slice alone."""
        ...


@dataclass(frozen=True)
class LocalView:
    """What the nodes of one group see while they learn: themselves, their sources, nothing else.

    The local loss of target i, to be made small by the step, is the mean over the rows of

        l_i = E(v_i) - E(u_i) - G_i,    nats.

    Parameters are the engine's; a rule uses the properties and methods.
    """

    _network: Network
    targets: Array
    sources: Array
    _potential: Array
    _workers: Workers

    @property
    def base(self) -> BaseDensity:
        """The base density, with energy E, its derivatives psi and curvature."""
        return self._network.base_density

    @property
    def transfer(self) -> Synapse:
        """Transfer functions of the edges: phi_0 is the identity, the others are bounded."""
        return self._network.synapse

    @property
    def log_scale(self) -> bool:
        """Whether log-scales are wanted."""
        return self._network.log_scale

    @property
    def n_rows(self) -> int:
        """Number of training rows."""
        return int(self._potential.shape[1])

    @property
    def n_features(self) -> int:
        """M * n_sources: M transfer functions of every source."""
        return self.transfer.n_transfer * len(self.sources)

    @property
    def edges(self) -> Array:
        """Which source reaches which target, boolean (n_targets, n_sources); never itself."""
        return self._network.connectivity.between(self.targets, self.sources)

    @property
    def given_weights(self) -> Array | None:
        """Weights of the connectivity on those edges, (n_targets, n_sources); None: none given."""
        weights = self._network.connectivity.weights
        if weights is None:
            return None
        part = weights[self.targets][:, self.sources]
        return np.asarray(part.toarray() if sparse.issparse(part) else part)

    @property
    def potential(self) -> Array:
        """Potentials u of the targets, (n_targets, n_rows); a copy."""
        return np.asarray(self._potential[self.targets])

    def features(self) -> Array:
        """Features f, (n_features, n_rows): row m * n_sources + j is phi_m(u_source_j)."""
        return self._features((0, self.n_rows))[:-1]

    def sum(self, function: Callable[[Array, Array], tuple[Array, ...]]) -> tuple[Array, ...]:
        """Sums over all rows, computed block by block on threads; memory stays bounded.

        ``function(f, u)`` returns arrays for the features f of a block, (n_features + 1, width)
        with a last row of ones, and the potentials u of the targets, (n_targets, width).
        """

        def of_block(block: Block) -> tuple[Array, ...]:
            u = self._potential[self.targets, block[0] : sum(block)]
            return function(self._features(block), u)

        parts = self._workers.map(of_block, self.blocks)
        return tuple(np.asarray(sum(arrays)) for arrays in zip(*parts, strict=True))

    def local_loss(self, step: LocalStep) -> Array:
        """Mean local loss of every target for a step, nats, (n_targets,)."""
        s = len(self.sources)

        def of_block(f: Array, u: Array) -> tuple[Array, ...]:
            shift = product(step.weights, f[:-1]) + np.asarray(step.bias)[:, None]
            log_scale = np.zeros_like(shift)
            if step.log_scale_weights is not None and step.log_scale_bias is not None:
                log_scale = product(step.log_scale_weights, f[s:-1])
                log_scale = log_scale + np.asarray(step.log_scale_bias)[:, None]
            moved = np.exp(log_scale) * u + shift
            loss = self.base.energy(moved) - self.base.energy(u) - log_scale
            return (loss.sum(axis=1, dtype=np.float64),)

        return self.sum(of_block)[0] / self.n_rows

    @cached_property
    def blocks(self) -> list[Block]:
        """Blocks of rows that :meth:`sum` works on."""
        return column_blocks(self.n_rows, self.n_features + len(self.targets))

    def _features(self, block: Block) -> Array:
        f = np.empty((self.n_features + 1, block[1]), dtype=self._potential.dtype)
        write_features(self._network, self.sources, self._potential, block, f)
        f[-1] = 1.0
        return f


def arrays_of(
    network: Network, step: LocalStep, shape: tuple[int, int], *, rounded: bool = True
) -> tuple[Any, Array, Any, Array]:
    """Weights and biases of a step as ``Network.update`` takes them; ``shape`` of the weights.

    Weights are ``rounded`` to single precision, far below their statistical error: files hold them
    in half the bytes, and exactly.

    Raises
    ------
    NetworkError
        If a rule returned something else than a step.
    """
    if not isinstance(step, LocalStep):
        raise NetworkError(
            f"a learning rule must return a neurolp.LocalStep, but returned {type(step).__name__}"
        )
    t, k = shape[0], shape[1] // network.synapse.n_transfer * (network.synapse.n_transfer - 1)
    scale, scale_bias = step.log_scale_weights, step.log_scale_bias
    weights: list[Any] = [step.weights, np.zeros((t, k)) if scale is None else scale]
    if network.connectivity.kind == "sparse":
        weights = [w if sparse.issparse(w) else sparse.csr_array(w) for w in weights]
    bias = np.zeros(t) if scale_bias is None else np.asarray(scale_bias)
    if rounded:
        weights = [w.astype(np.float32).astype(w.dtype) for w in weights]
    return weights[0], np.asarray(step.bias), weights[1], bias


@dataclass(frozen=True)
class GivenWeights:
    """A rule that learns nothing: the shift has the weights that the connectivity was given."""

    node_rate: float = 0.0

    def learn(self, view: LocalView, rng: np.random.Generator) -> LocalStep:
        """The given weights on phi_0(u) = u, no bias and no scale."""
        given = view.given_weights
        weights = np.zeros((len(view.targets), view.n_features))
        if given is not None:
            weights[:, : len(view.sources)] = given
        return LocalStep(weights, np.zeros(len(view.targets)))
