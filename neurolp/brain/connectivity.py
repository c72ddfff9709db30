"""Permitted edges of a network, dense or sparse, without self-edges, and their given weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, not_finite
from neurolp.errors import NetworkError
from neurolp.kernels.graph import greedy_colours, sequential_levels

Kind = Literal["full", "dense", "sparse"]


@dataclass(frozen=True, repr=False)
class Connectivity:
    """Permitted edges of a network of ``n_nodes``; ``edge[i, j]`` is the edge from j to i.

    No node has an edge to itself (an autapse).

    ``full`` holds no matrix; ``dense`` keeps weights in dense matrices whose absent entries are
    exactly zero for ever; ``sparse`` keeps only the edges, so absent ones cost nothing.
    ``positions`` (n_nodes, dimensions) say where the nodes are, for networks laid out in space.
    ``weights``, where given, are those of the first slice of a :class:`neurolp.BrainDensity`, those
    from which a :class:`neurolp.OnlineBrain` begins to learn, and the recurrent weights of a
    :class:`neurolp.StreamBrain`. ``names`` of the nodes, where they have any, are used by the last.
    """

    n_nodes: int
    kind: Kind
    matrix: Any = None  # None (full), bool (n, n) ndarray (dense), bool CSR array (sparse)
    positions: Array | None = None
    weights: Any = None  # (n, n), dense or CSR: those that were given, if any
    names: tuple[str, ...] | None = None  # of the nodes

    @classmethod
    def full(cls, n_nodes: int) -> Connectivity:
        """Every node is connected to every other node."""
        return cls(n_nodes, "full")

    @classmethod
    def from_array(
        cls, edges: Any, n_nodes: int | None = None, positions: Array | None = None
    ) -> Connectivity:
        """Connectivity from an (n, n) array or SciPy sparse matrix (target, source).

        Booleans and integers say which edges there are. Floating-point numbers are weights, used
        as given (see ``weights``): of a dense matrix every one that is not zero is an edge, of a
        sparse one every one that is stored, so that an edge can begin with the weight 0. The
        diagonal must be zero. A ``Connectivity`` is returned as it is.

        Raises
        ------
        NetworkError
            If the matrix is not square, not (n_nodes, n_nodes), or has self-edges.
        """
        if isinstance(edges, Connectivity):
            if n_nodes is not None and edges.n_nodes != n_nodes:
                raise NetworkError(
                    f"argument `connectivity` must have {n_nodes} nodes, but has {edges.n_nodes}"
                )
            return edges
        is_sparse = sparse.issparse(edges)
        matrix: Any = edges if is_sparse else np.asarray(edges)
        wanted = "(n, n)" if n_nodes is None else f"({n_nodes}, {n_nodes})"
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
        if not square or n_nodes not in (None, matrix.shape[0]):
            raise NetworkError(
                f"argument `connectivity` must have shape {wanted}, but has shape {matrix.shape}"
            )
        if matrix.dtype.kind not in "biuf":
            raise NetworkError(
                f"argument `connectivity` must be boolean or numbers, but has dtype {matrix.dtype}"
            )
        if is_sparse:
            matrix = matrix.tocsr()
        weights = None
        if matrix.dtype.kind == "f":
            weights = matrix.astype(np.float64)
            if fault := not_finite(weights):
                raise NetworkError(
                    f"argument `connectivity` must have finite weights, but contains {fault}"
                )
        if matrix.diagonal().any():
            node = int(np.flatnonzero(matrix.diagonal())[0])
            raise NetworkError(
                f"argument `connectivity` must have no self-edges, but node {node} has one"
            )
        n = int(matrix.shape[0])
        if not is_sparse:
            return cls(n, "dense", matrix.astype(np.bool_), positions, weights)
        # A copy, since duplicates are summed in place; narrow, since edges may be very many.
        csr = sparse.csr_array(matrix if weights is None else weights, copy=weights is None)
        if csr.nnz <= np.iinfo(np.int32).max:
            csr.indices, csr.indptr = csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
        csr.sum_duplicates()
        if weights is None:
            csr.eliminate_zeros()
        csr.sort_indices()
        permitted = csr.astype(np.bool_, copy=False)
        if weights is not None:  # also those of weight 0
            permitted.data[:] = True
        return cls(n, "sparse", permitted, positions, None if weights is None else csr)

    @classmethod
    def from_edges(
        cls,
        target: Array,
        source: Array,
        n_nodes: int,
        weights: Array | None = None,
        names: tuple[str, ...] | None = None,
    ) -> Connectivity:
        """Sparse connectivity from the ends of edges, counted from 0, and their weights.

        An edge that occurs several times is one edge, whose weights add up; one of weight 0 is an
        edge.

        Raises
        ------
        NetworkError
            If an edge leads from a node to itself, or a weight is not finite.
        """
        loops = np.asarray(target) == np.asarray(source)
        if loops.any():
            node = int(np.asarray(target)[np.argmax(loops)])
            name = node if names is None else repr(names[node])
            raise NetworkError(f"edges must be no self-edges, but node {name} has one")
        values = np.ones(len(target)) if weights is None else np.asarray(weights, np.float64)
        if not np.all(np.isfinite(values)):
            raise NetworkError("edges must have finite weights, but have not")
        csr = sparse.csr_array(sparse.coo_array((values, (target, source)), (n_nodes, n_nodes)))
        csr.sort_indices()
        ones = np.ones(csr.nnz, np.bool_)
        matrix = sparse.csr_array((ones, csr.indices, csr.indptr), csr.shape)
        given = None if weights is None else csr
        return cls(n_nodes, "sparse", matrix, weights=given, names=names)

    def __repr__(self) -> str:
        """Numbers of nodes and edges, and what else is known."""
        named = f" ({self.names[0]!r} .. {self.names[-1]!r})" if self.names else ""
        known = "".join(
            f", {what}" for what in ("weights", "positions") if getattr(self, what) is not None
        )
        return f"<Connectivity: {self.n_nodes:,} nodes{named}, {self.n_edges:,} edges{known}>"

    @property
    def n_edges(self) -> int:
        """Number of permitted edges."""
        if self.kind == "full":
            return self.n_nodes * (self.n_nodes - 1)
        return int(self.matrix.sum() if self.kind == "dense" else self.matrix.nnz)

    def edges(self) -> tuple[Array, Array]:
        """Target and source of every edge, sorted by target and then by source."""
        if self.kind == "full":
            target, source = np.nonzero(~np.eye(self.n_nodes, dtype=np.bool_))
        else:
            target, source = self.matrix.nonzero()
        return target, source

    @cached_property
    def coloring(self) -> Array:
        """Colour of every node, 0, 1, ..; no edge, of either direction, is inside a colour.

        Greedy, nodes with the most conflicts first (Welsh and Powell, Comput. J. 10, 85).
        """
        if self.kind == "full":
            return np.arange(self.n_nodes)
        rows, columns = self._both_ways
        conflicts = np.diff(rows.indptr) + np.diff(columns.indptr)
        order = np.argsort(-conflicts, kind="stable")
        taken = np.full(int(conflicts.max()) + 2, -1)
        colour = np.full(self.n_nodes, -1)
        greedy_colours(
            rows.indptr, rows.indices, columns.indptr, columns.indices, order, taken, colour
        )
        return colour

    def levels(self, order: Array) -> Array:
        """Level of every node when they are updated one after another in ``order``.

        Nodes of one level have no edges between them; level after level is the same update.
        """
        level = np.full(self.n_nodes, -1)
        rows, columns = self._both_ways
        sequential_levels(rows.indptr, rows.indices, columns.indptr, columns.indices, order, level)
        return level

    @cached_property
    def _both_ways(self) -> tuple[Any, Any]:
        """The edges as CSR rows of presynaptic and of postsynaptic nodes."""
        rows = sparse.csr_array(self.matrix)
        return rows, sparse.csr_array(rows.T)

    def sources_of(self, targets: Array, *, sequential: bool = False) -> Array:
        """The nodes with an edge into any of ``targets``, outside these unless ``sequential``."""
        outside = np.ones(self.n_nodes, dtype=np.bool_)
        outside[targets] = sequential
        if self.kind == "dense":
            outside &= self.matrix[targets].any(axis=0)
        elif self.kind == "sparse":
            reached = np.zeros_like(outside)
            reached[self.matrix[targets].indices] = True
            outside &= reached
        return np.flatnonzero(outside)

    def between(self, targets: Array, sources: Array) -> Array:
        """Which source reaches which target, boolean (n_targets, n_sources), dense."""
        if self.kind == "full":
            return np.asarray(targets[:, None] != sources)
        part = self.matrix[targets][:, sources]
        return np.asarray(part.toarray() if self.kind == "sparse" else part)

    def presynaptic_rows(self, targets: Array, sources: Array) -> tuple[Array, Array]:
        """Positions in ``sources`` of those with an edge into each target, of sparse edges.

        Returns ``starts`` (n_targets + 1,) and the positions, target by target: those of target i,
        sorted, are from ``starts[i]`` to before ``starts[i + 1]``.
        """
        rows = self.matrix[targets]
        place = np.full(self.n_nodes, -1)
        place[sources] = np.arange(len(sources))
        position = place[rows.indices]
        found = np.append(0, np.cumsum(position >= 0))
        return found[rows.indptr], position[position >= 0]
