"""Hidden nodes by their numbers, by their names, or by a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse

from neurolp.arrays import Array, not_finite
from neurolp.errors import ConfigurationError, DataError


@dataclass(frozen=True)
class HiddenNodes:
    """``n`` hidden nodes, numbered from 0; ``names`` is None where they have none."""

    n: int
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, labels: Sequence[str] | Sequence[int]) -> Self:
        """The nodes with these labels: names, or the numbers from 0."""
        named = len(labels) > 0 and isinstance(labels[0], str)
        return cls(len(labels), tuple(map(str, labels)) if named else None)

    @property
    def wanted(self) -> str:
        """What calls a node, in words."""
        numbers = f"hidden nodes 0 .. {self.n - 1}"
        if not self.names:
            return numbers
        return f"{numbers} or names ({self.names[0]!r} .. {self.names[-1]!r})"

    @property
    def labels(self) -> tuple[str, ...] | tuple[int, ...]:
        """Names, or numbers where there are none."""
        return self.names or tuple(range(self.n))

    def numbers(self, nodes: Any, what: str = "argument `nodes`") -> Array:
        """The numbers (k,) of nodes that are called by number, by name or by a mask, sorted.

        Raises
        ------
        ConfigurationError
            If there are no such nodes; the message begins with ``what``.
        """
        given = np.atleast_1d(np.asarray(() if nodes is None else nodes))
        if given.dtype == np.bool_ and given.shape == (self.n,):
            return np.flatnonzero(given)
        if given.size == 0:
            return np.zeros(0, np.int64)
        found = self._found(given)
        if given.ndim != 1 or found is None:
            raise ConfigurationError(
                f"{what} must hold {self.wanted} or be a mask of them, "
                f"but is {nodes!r:.60}{self._unknown(given)}"
            )
        return np.unique(found)

    def pairs(self, edges: Any) -> Array:
        """Edges by pairs (target, source) or by a mask (n, n), as pairs of numbers (m, 2).

        Raises
        ------
        ConfigurationError
            If they are neither.
        """
        if edges is None:
            return np.zeros((0, 2), np.int64)
        given = edges.toarray() if sparse.issparse(edges) else np.asarray(edges)
        if given.dtype == np.bool_ and given.shape == (self.n, self.n):
            return np.argwhere(given)
        found = self._found(given)
        if given.ndim != 2 or given.shape[1] != 2 or found is None:
            raise ConfigurationError(
                f"argument `edges` must be pairs (target, source) of {self.wanted} "
                f"or a mask of shape {(self.n, self.n)}, but is {edges!r:.60}{self._unknown(given)}"
            )
        return found

    def injection(self, inject: Any, n_steps: int) -> tuple[Array, Array]:
        """Nodes (k,) and currents (n_steps, k) that are added to their potentials, step by step.

        Raises
        ------
        ConfigurationError
            If ``inject`` is no mapping of "nodes" and "current".
        DataError
            If the current has another shape, or is not finite.
        """
        if inject is None:
            return np.zeros(0, np.int64), np.zeros((0, 0))
        if not isinstance(inject, Mapping) or set(inject) != {"nodes", "current"}:
            raise ConfigurationError(
                'argument `inject` must be a mapping with "nodes" and "current", '
                f"but is {inject!r:.60}"
            )
        given = np.atleast_1d(np.asarray(inject["nodes"]))
        known = self.numbers(given, 'argument `inject["nodes"]`')
        nodes = known if given.dtype == np.bool_ else self._found(given)
        if nodes is None or len(known) != len(nodes) or not len(nodes):
            raise ConfigurationError(
                'argument `inject["nodes"]` must name nodes, each once, '
                f"but is {inject['nodes']!r:.60}"
            )
        what = 'argument `inject["current"]`'
        try:
            current = np.asarray(inject["current"], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{what} must be numbers: {error}") from error
        if fault := not_finite(current):
            raise DataError(f"{what} must be finite, but contains {fault}")
        if current.ndim == 1:
            current = np.repeat(current[:, None], len(nodes), axis=1)
        if current.shape != (n_steps, len(nodes)):
            raise DataError(
                f"{what} must have shape ({n_steps},) or ({n_steps}, {len(nodes)}) for "
                f"{n_steps} rows, but has shape {np.shape(inject['current'])}"
            )
        return nodes.astype(np.int64), np.ascontiguousarray(current)

    def _found(self, given: Array) -> Array | None:
        """Numbers of the nodes, in the shape of ``given``; None if one of them is none."""
        if given.dtype.kind in "iu":
            inside = np.all((given >= 0) & (given < self.n))
            return given.astype(np.int64) if inside else None
        if given.dtype.kind != "U" or not self.names:
            return np.zeros(given.shape, np.int64) if given.size == 0 else None
        place = {name: k for k, name in enumerate(self.names)}
        found = np.array([place.get(str(name), -1) for name in given.ravel()], np.int64)
        return found.reshape(given.shape) if (found >= 0).all() else None

    def _unknown(self, given: Array) -> str:
        """Which name is not known, in words, if one is not."""
        if given.dtype.kind != "U" or not self.names:
            return ""
        unknown = [str(name) for name in given.ravel() if str(name) not in self.names]
        return f", of which there is no {unknown[0]!r}" if unknown else ""
