"""What both forms of the paper share: checks, what is learned, the arrays that a file holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from neurolp.arrays import Array, NamedArrays
from neurolp.brain.form import LearnedForm
from neurolp.errors import NetworkError


class TextbookForm(LearnedForm):
    """A form whose parameters are the fields ``learned``, the ``weights`` among them."""

    base: ClassVar[str]
    learned: ClassVar[tuple[str, ...]]

    def _check_evolution(self) -> None:
        """Raise :class:`NetworkError` unless weights and times describe an evolution."""
        weights = self.weights
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise NetworkError(
                f"argument `weights` must have shape (n, n), but has shape {weights.shape}"
            )
        for node in np.flatnonzero(np.diagonal(weights)):
            raise NetworkError(
                f"argument `weights` must be zero on the diagonal, but node {node} has a self-edge"
            )
        if not np.all(np.isfinite(weights)):
            raise NetworkError("argument `weights` must be finite, but is not")
        if not (self.duration > 0 and np.isfinite(self.duration)):
            raise NetworkError(f"argument `duration` must be positive, but is {self.duration}")
        if self.n_steps < 1:
            raise NetworkError(f"argument `n_steps` must be >= 1, but is {self.n_steps}")

    def parameters(self) -> dict[str, Array]:
        """What is learned, by name; the first dimension counts nodes."""
        return {name: getattr(self, name) for name in self.learned}

    def with_parameters(self, arrays: dict[str, Array]) -> Self:
        """The same form with what :meth:`parameters` gave of another one."""
        return replace(self, **{name: arrays[name] for name in self.learned})  # type: ignore[type-var]  # a dataclass

    def _weight_arrays(self, **about: Any) -> NamedArrays:
        """The weights (target, source), and the attributes of group ``brain``."""
        out, nodes = NamedArrays(), np.arange(len(self.weights))
        times = {"duration": self.duration, "n_steps": self.n_steps}
        out.attributes["brain"] = {"base": self.base} | times | about
        out.add_coordinate("node", nodes, "1", "node, in the order of the columns of the data")
        out.add_coordinate("target", nodes, "1", "node an edge enters")
        out.add_coordinate("source", nodes, "1", "node an edge leaves")
        what = "w of every edge, at all times"
        out.add("coupling", ("target", "source"), self.weights, "1/time", what)
        return out
