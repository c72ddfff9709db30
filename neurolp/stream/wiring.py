"""Connections of the hidden nodes of a stream: drawn, or given."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from neurolp.arrays import Array, not_finite
from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.errors import ConfigurationError
from neurolp.kernels.stream_state import VALUES, Senses
from neurolp.stream.receptive_fields import ReceptiveFields, draw_windows

DEFAULT_IN_DEGREE = 10
_DENSE = 1000  # nodes up to which all eigenvalues are computed


class Design(Protocol):
    """What is asked of :class:`neurolp.stream.network.StreamDesign`."""

    @property
    def n_hidden(self) -> int:
        """Number of hidden nodes."""

    @property
    def n_lags(self) -> int:
        """Steps for which the input stays in the memory."""

    @property
    def fan_in(self) -> int:
        """Largest number of lags that feed a node."""

    @property
    def strength(self) -> float:
        """Norm of the input weights of a node."""

    @property
    def input_weights(self) -> Any:
        """Given weights, or None."""

    @property
    def receptive_fields(self) -> ReceptiveFields:
        """What nodes hear whose weights are not given."""


def input_feature(lag: int, output: Any, n_outputs: int) -> Any:
    """Index of the feature, or features, of outputs ``lag`` steps ago (1 is the last step)."""
    return 1 + (lag - 1) * n_outputs + output


def n_nodes_of(connectivity: Any, input_weights: Any) -> int | None:
    """Hidden nodes for which weights or edges are given; None if these do not say it."""
    if isinstance(connectivity, Connectivity):
        return connectivity.n_nodes
    for name, given in (("connectivity", connectivity), ("input_weights", input_weights)):
        if given is not None and not isinstance(given, str):
            shape = _matrix(name, given).shape
            if len(shape) == 2:
                return int(shape[0])
    return None


def _matrix(name: str, given: Any) -> Any:
    """What is given as an argument, as an array, dense or sparse."""
    try:
        return given if sparse.issparse(given) else np.asarray(given)
    except ValueError as error:
        raise ConfigurationError(f"argument `{name}` must be a matrix: {error}") from error


def connections(
    given: Any, n: int, rng: np.random.Generator
) -> tuple[Connectivity | None, Array | None]:
    """Edges between n hidden nodes; and their weights, (n, n) or one for each edge, if given."""
    seed = int(rng.integers(2**62))
    if n == 0 or (isinstance(given, str) and given == "none"):
        return None, None
    if given is None:
        return wiring.random(n, in_degree=min(DEFAULT_IN_DEGREE, n - 1), seed=seed), None
    if isinstance(given, str):
        if given != "full":
            raise ConfigurationError(
                "argument `connectivity` must be None, 'none', 'full', edges or weights between "
                f"the hidden nodes, but is {given!r}"
            )
        return Connectivity.full(n), None
    if isinstance(given, Connectivity):
        return _with_weights(Connectivity.from_array(given, n))
    matrix = _matrix("connectivity", given)
    if matrix.dtype.kind in "iu":  # of hidden nodes these are weights, too
        matrix = matrix.astype(np.float64)
    return _with_weights(Connectivity.from_array(matrix, n))


def _with_weights(edges: Connectivity) -> tuple[Connectivity, Array | None]:
    """Edges and their own weights, if they have any; stored densely where no edge is absent."""
    n, weights = edges.n_nodes, edges.weights
    if weights is None:
        return edges, None
    if edges.n_edges == n * (n - 1):
        dense = weights.toarray() if sparse.issparse(weights) else weights
        return Connectivity.full(n), dense
    return edges, weights.data if sparse.issparse(weights) else weights[edges.matrix]


def spectral_radius(weights: Any) -> float:
    """Largest absolute eigenvalue of a matrix, dense or sparse; 0 of an empty one.

    Of large ones by the Arnoldi method (ARPACK), to its tolerance.
    """
    n = weights.shape[0]
    if n == 0:
        return 0.0
    if n > _DENSE:
        start = np.random.default_rng(0).standard_normal(n)
        values = linalg.eigs(weights.astype(np.float64), k=6, v0=start, return_eigenvectors=False)
    else:
        dense = weights.toarray() if sparse.issparse(weights) else np.asarray(weights)
        values = np.linalg.eigvals(dense.astype(np.float64))
    return float(np.abs(values).max())


def inputs(
    design: Design, senses: Senses, n: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Weights from features to n hidden nodes (CSR: first, source, weight), and thresholds (n,)."""
    windows = design.receptive_fields == "windows"
    if design.input_weights is None and windows:
        weights, thresholds = draw_windows(design, senses, rng)
        bias = np.zeros(n)
        bias[: design.n_hidden] = thresholds
        return _edges(weights.reshape(design.n_hidden, math.prod(weights.shape[1:])), bias)
    if design.input_weights is None:
        return _drawn_inputs(design, senses, n, rng)
    if windows:
        raise ConfigurationError(
            "argument `receptive_fields` is of input weights that are drawn, but argument "
            "`input_weights` gives them"
        )
    n_outputs = len(senses.location)
    n_past = design.n_lags * n_outputs
    if not n_past:
        raise ConfigurationError(
            "argument `input_weights` needs `n_lags` of at least 1, but it is 0"
        )
    given = _matrix("input_weights", design.input_weights)
    given = given.toarray() if sparse.issparse(given) else given
    widths = {n_outputs, n_past, n_past + 1} - {0}
    right = given.ndim == 2 and given.shape[0] == design.n_hidden and given.shape[1] in widths
    if not right or given.dtype.kind not in "fiub":
        wanted = " or ".join(f"({design.n_hidden}, {width})" for width in sorted(widths))
        raise ConfigurationError(
            f"argument `input_weights` must be numbers of shape {wanted} (of the last row, "
            f"of all lags, of the constant and all lags), but is {given.dtype} of shape "
            f"{given.shape}"
        )
    if fault := not_finite(given):
        raise ConfigurationError(
            f"argument `input_weights` must be finite, but contains {fault} (target, source)"
        )
    given = given.astype(np.float64)
    bias = np.zeros(n)
    if given.shape[1] == n_past + 1:
        bias[: design.n_hidden] = given[:, 0]
        given = given[:, 1:]
    return _edges(given, bias)


def _edges(weights: Array, bias: Array) -> tuple[Array, Array, Array, Array]:
    """CSR of dense ``weights`` from the past, of which those that are 0 are no edges."""
    padded = np.zeros((len(bias), 1 + weights.shape[1]))
    padded[: len(weights), 1:] = weights
    edges = sparse.csr_array(padded)
    return edges.indptr.astype(np.uint32), edges.indices.astype(np.uint32), edges.data, bias


def _drawn_inputs(
    design: Design, senses: Senses, n: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Draw the weights from features to hidden nodes (CSR), and the thresholds.

    Each node gets one sensor at a few lags within a span; spans are log-uniform, so that short
    memories are as common as long ones. Of values it gets 1 to ``fan_in`` lags, one value each; of
    symbols ``fan_in`` lags (if the span has them), all symbols with a weight each.
    """
    n_outputs = len(senses.location)
    first, source, weight, bias = np.zeros(n + 1, np.uint32), [], [], np.zeros(n)
    for i in range(design.n_hidden if design.n_lags else 0):
        s = int(rng.integers(len(senses.kind)))
        span = int(np.ceil(design.n_lags ** rng.uniform()))
        span = min(max(span, 2), design.n_lags)
        n_inputs = min(design.fan_in, span)
        if senses.kind[s] == VALUES:
            n_inputs = min(int(rng.integers(1, design.fan_in + 1)), span)
        outputs = senses.output[s] + np.arange(senses.size[s])
        lags = 1 + rng.choice(span, n_inputs, replace=False)
        if senses.kind[s] == VALUES:
            of_each = [rng.choice(outputs, 1) for _ in lags]
        else:
            of_each = [outputs] * n_inputs
        here = [input_feature(k, o, n_outputs) for k, o in zip(lags, of_each, strict=True)]
        source.append(np.concatenate(here))
        strength = rng.standard_normal(len(source[-1]))
        weight.append(design.strength * strength / np.linalg.norm(strength))
        bias[i] = design.strength * rng.uniform(-1, 1)
        first[i + 1] = len(source[-1])
    joined = np.concatenate([np.zeros(0, np.uint32), *source]).astype(np.uint32)
    return (
        np.cumsum(first).astype(np.uint32), joined, np.concatenate([np.zeros(0), *weight]), bias
    )  # fmt: skip
