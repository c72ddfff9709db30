"""Parameters of a network: group updates, slices, and their validation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain.base_density import BaseDensity, base_density
from neurolp.brain.connectivity import Connectivity
from neurolp.brain.node_map import NodeMap, SplineGrid
from neurolp.errors import NetworkError, NonFiniteError
from neurolp.kernels.affine import csr_product

# Transfer functions of a default synapse, in standard deviations of the base density.
DEFAULT_THRESHOLDS = (-1.5, -0.75, 0.0, 0.75, 1.5)


@dataclass(frozen=True)
class Synapse:
    """Transfer functions of an edge: phi_0(u) = u, phi_m(u) = tanh(slope (u - theta_m)).

    The shift of a node uses all of them, its log-scale only the bounded ones (m >= 1).
    """

    thresholds: tuple[float, ...]
    slope: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope > 0):
            raise NetworkError(f"synapse slope must be positive and finite, but is {self.slope}")
        if not np.all(np.isfinite(self.thresholds)) or any(
            abs(self.slope * theta) > 20 for theta in self.thresholds
        ):
            raise NetworkError(
                f"synapse thresholds must satisfy |slope * threshold| <= 20, but are "
                f"{self.thresholds} with slope {self.slope}"
            )

    @property
    def n_transfer(self) -> int:
        """Number M of transfer functions of an edge."""
        return 1 + len(self.thresholds)


@dataclass(eq=False)
class GroupUpdate:
    """One group's step: read ``sources``, move ``targets``. Online learning changes it in place.

    With f the features of the sources, row m * n_sources + j holding phi_m(u_source_j):

        v_i = exp(G_i) u_i + I_i,   I = weights f + bias,
        u_i' = g_i(v_i),            G = log_scale_weights f_bounded + log_scale_bias,
        log_det += sum_i G_i + log g_i'(v_i).

    One slice is the unit of time, so a weight is per slice. ``weights`` (targets, M * sources)
    and ``log_scale_weights`` (targets, (M - 1) * sources) are both dense or both CSR;
    ``log_scale_weights`` is None and ``log_scale_bias`` has length 0 without a log-scale.

    Sources and targets are disjoint unless the group is ``sequential``: then the targets move one
    after another in their order, each reading the newest potentials of all others, and targets may
    be sources too; the weights of a node on itself are zero. It is the same map as that of
    :meth:`one_by_one`, for the price of a few matrix products.
    """

    targets: Array
    sources: Array
    weights: Any
    bias: Array
    log_scale_weights: Any
    log_scale_bias: Array
    node_map: Array
    grid: NodeMap = field(repr=False)
    sequential: bool = False
    revision: int = field(default=0, repr=False)

    @cached_property
    def own(self) -> Array:
        """Position of every target among the sources, -1 where it is not one of them."""
        place = np.minimum(np.searchsorted(self.sources, self.targets), len(self.sources) - 1)
        if not len(self.sources):
            return np.full(len(self.targets), -1)
        return np.where(self.sources[place] == self.targets, place, -1)

    def one_by_one(self) -> tuple[GroupUpdate, ...]:
        """The same map as groups of one node each, whose sources lie outside them."""
        if not self.sequential:
            return (self,)
        out, s = [], len(self.sources)
        scaled = self.log_scale_weights
        for i in range(len(self.targets)):
            one, others = slice(i, i + 1), np.flatnonzero(np.arange(s) != self.own[i])
            columns = (np.arange(self.n_features // max(s, 1))[:, None] * s + others).ravel()
            bounded = columns[len(others) :] - s
            single = replace(
                self,
                targets=self.targets[one],
                sources=self.sources[others],
                weights=np.ascontiguousarray(self.weights[one, columns]),
                bias=self.bias[one],
                log_scale_weights=None if scaled is None else scaled[one, bounded].copy(),
                log_scale_bias=self.log_scale_bias[one],
                node_map=self.node_map[one],
                sequential=False,
            )
            out.append(single)
        return tuple(out)

    def affine(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """Shift, bias, log-scale and log-scale bias of the targets, as the kernels take them.

        ``features`` (n_features, width) are those of the sources; without a log-scale the last two
        are of length 0.
        """
        shift = product(self.weights, features)
        log_scale = np.empty((0, 0), dtype=shift.dtype)
        if self.log_scale_weights is not None:
            log_scale = product(self.log_scale_weights, features[len(self.sources) :])
        return shift, self.bias, log_scale, self.log_scale_bias

    @cached_property
    def table(self) -> Array:
        """Cubic pieces of the node maps, in the precision of the biases."""
        return cast(SplineGrid, self.grid).table(self.node_map).astype(self.bias.dtype)

    def changed(self) -> None:
        """Forget what was computed from the numbers of this group, after a change in place."""
        self.__dict__.pop("table", None)
        self.revision += 1

    @property
    def n_features(self) -> int:
        """Rows of the feature matrix, M * n_sources."""
        return int(self.weights.shape[1])


@dataclass(frozen=True)
class Slice:
    """One slice of time: an optional rotation of all potentials, then the groups in their order.

    ``rotation`` is an orthogonal matrix Q with determinant 1, (n_nodes, n_nodes): u becomes Q u,
    the flow of an antisymmetric linear drift, which leaves the log-determinant alone. It shows the
    nodes directions that are not visible along the axes. It leaves clamped nodes as they are.
    """

    groups: tuple[GroupUpdate, ...]
    rotation: Array | None = None


@dataclass
class Network:
    """A brain: n nodes, their connectivity, and one set of parameters per slice of time.

    ``clamped`` nodes never move: other nodes read them in every update, and their potentials stay
    as given. What the network claims is the density of the moving nodes given those,

        Phi(u_moving(0) | u_clamped) = exp(-E(u_moving(T))) |det du_moving(T)/du_moving(0)|,

    and the determinant of the whole map, whose clamped part is the identity, is just that one.

    Raises
    ------
    NetworkError
        If ``clamped`` has a node that is not there, or one twice, or leaves none that moves.
    """

    connectivity: Connectivity
    base: str | BaseDensity
    synapse: Synapse
    log_scale: bool
    grid: NodeMap
    dtype: npt.DTypeLike = np.float64
    slices: list[Slice] = field(default_factory=list)
    clamped: tuple[int, ...] = ()
    # What ``brain.fused`` keeps here: slices, their groups' revisions, and both as it takes them.
    fused: tuple[Any, Any, Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        clamped = set(self.clamped)
        if self.clamped and (
            len(clamped) < len(self.clamped) or not clamped < set(range(self.n_nodes))
        ):
            raise NetworkError(
                f"argument `clamped` must have some of the nodes 0 .. {self.n_nodes - 1}, each "
                f"once, and not all of them, but is {self.clamped}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or pickled: all but what can be computed from it."""
        return vars(self) | {"fused": None}

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.connectivity.n_nodes

    @cached_property
    def moving(self) -> Array:
        """Numbers of the nodes that move, ascending: all but the clamped ones."""
        return np.setdiff1d(np.arange(self.n_nodes), np.array(self.clamped, dtype=np.intp))

    def moving_rows(self, potential: Array) -> Array:
        """Rows of the moving nodes; ``potential`` (n_nodes, n) itself where no node is clamped."""
        return potential[self.moving] if self.clamped else potential

    @cached_property
    def base_density(self) -> BaseDensity:
        """The density of a potential at the end of time."""
        return base_density(self.base)

    def update(
        self,
        targets: Array,
        sources: Array,
        weights: Any,
        bias: Array,
        log_scale_weights: Any,
        log_scale_bias: Array,
        node_map: Array,
        *,
        sequential: bool = False,
    ) -> GroupUpdate:
        """Build one validated group update in the network's precision.

        Raises
        ------
        NetworkError
            If a node is not there, targets and sources overlap (in a sequential group: a weight
            sits on a self-edge), a weight sits on an absent edge, a target is clamped, a shape is
            wrong, or a node map is not provably monotone.
        """
        t, s, m = len(targets), len(sources), self.synapse.n_transfer
        nodes = np.concatenate([targets, sources])
        if np.any((nodes < 0) | (nodes >= self.n_nodes)):
            raise NetworkError(f"the nodes of a group must be in 0 .. {self.n_nodes - 1}")
        if not sequential and np.intersect1d(targets, sources).size:
            raise NetworkError("the sources of a group must lie outside it, but some are targets")
        if self.clamped and np.isin(targets, self.clamped).any():
            node = targets[np.isin(targets, self.clamped)][0]
            raise NetworkError(f"a clamped node never moves, but node {node} is a target")
        learned = {
            "weights": (weights, (t, m * s)),
            "bias": (bias, (t,)),
            "node map": (node_map, (t, self.grid.n_coefficients)),
        }
        if self.log_scale:
            learned["log-scale weights"] = (log_scale_weights, (t, (m - 1) * s))
            learned["log-scale bias"] = (log_scale_bias, (t,))
        for name, (values, shape) in learned.items():
            if values.shape != shape:
                raise NetworkError(
                    f"the {name} of a group must have shape {shape}, but has shape {values.shape}"
                )
            # Learning has diverged where the first NaN or infinity is.
            if not np.all(np.isfinite(values.data if sparse.issparse(values) else values)):
                dense = values.toarray() if sparse.issparse(values) else values
                at = np.argwhere(~np.isfinite(dense))[0]
                raise NonFiniteError(f"node {targets[at[0]]}, {name}: {dense[tuple(at)]}")
            if "weights" in name:
                self._check_edges(targets, sources, values, sequential)
        self.grid.check(node_map)
        return GroupUpdate(
            targets=np.ascontiguousarray(targets, dtype=np.intp),
            sources=np.ascontiguousarray(sources, dtype=np.intp),
            weights=self._cast(weights),
            bias=self._cast(bias),
            log_scale_weights=self._cast(log_scale_weights) if self.log_scale else None,
            log_scale_bias=self._cast(log_scale_bias if self.log_scale else np.empty(0)),
            node_map=self._cast(node_map),
            grid=self.grid,
            sequential=sequential,
        )

    def to_tree(self) -> dict[str, Any]:
        """The arguments that make an equal network, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """The network of these arguments, whose groups are validated as by :meth:`update`."""
        network = cls(**tree)
        for slice_ in distinct_slices(network)[0]:
            for g in slice_.groups:
                network.update(
                    g.targets, g.sources, g.weights, g.bias, g.log_scale_weights,
                    g.log_scale_bias, g.node_map, sequential=g.sequential,
                )  # fmt: skip
        return network

    def _cast(self, array: Any) -> Any:
        if sparse.issparse(array):
            return sparse.csr_array(array, dtype=self.dtype)
        return np.ascontiguousarray(array, dtype=self.dtype)

    def _check_edges(self, targets: Array, sources: Array, weights: Any, sequential: bool) -> None:
        kind = self.connectivity.kind
        if not weights.shape[1] or (kind == "full" and not sequential):
            return
        if sparse.issparse(weights) != (kind == "sparse"):
            raise NetworkError("weights must be sparse exactly when the connectivity is sparse")
        if sequential and kind == "sparse":
            raise NetworkError("a sequential group must have dense weights, but they are sparse")
        if sequential:
            row, own = np.nonzero(targets[:, None] == sources)
            if np.any(weights.reshape(len(targets), -1, len(sources))[row, :, own]):
                raise NetworkError("weights must be zero on self-edges, but some are not")
        if kind == "full":
            return
        row, column = weights.nonzero()
        target, source = targets[row], sources[column % len(sources)]
        if len(row) and not np.all(self.connectivity.matrix[target, source]):
            raise NetworkError("weights must be zero on absent edges, but some are not")


def product(weights: Any, features: Array) -> Array:
    """``weights @ features`` for dense or CSR weights."""
    if not sparse.issparse(weights):
        return np.asarray(weights @ features)
    out = np.empty((weights.shape[0], features.shape[1]), dtype=features.dtype)
    csr_product(weights.indptr, weights.indices, weights.data, features, out)
    return out


def distinct_slices(network: Network) -> tuple[list[Slice], list[int]]:
    """The slices without repetitions, and for each slice of time which of them it is.

    An autonomous brain repeats one slice; then there is one, and all times say 0. Slices are told
    apart by identity, not by value.
    """
    place: dict[int, int] = {}
    slices: list[Slice] = []
    for slice_ in network.slices:
        if id(slice_) not in place:
            place[id(slice_)] = len(slices)
            slices.append(slice_)
    return slices, [place[id(slice_)] for slice_ in network.slices]
