"""Parameters and state of the recurrent predictor, and how its first state is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.brain import wiring
from neurolp.brain.connectivity import Connectivity
from neurolp.errors import ConfigurationError
from neurolp.kernels.stream_state import (
    DIAGONAL_RLS,
    NLMS,
    RLS,
    SYMBOLS,
    VALUES,
    Contexts,
    Experts,
    Memory,
    Rates,
    Readout,
    Senses,
    empty,
)
from neurolp.kernels.stream_symbols import MIXING_BUCKETS, SLOTS_TRIED
from neurolp.stream.experts import MOVING, draw_experts
from neurolp.stream.sensors import Place, Sensor, places

Rule = Literal["rls", "diagonal_rls", "nlms"]

RULES: dict[str, int] = {"nlms": NLMS, "diagonal_rls": DIAGONAL_RLS, "rls": RLS}
DEFAULT_IN_DEGREE = 10
LARGEST_STATE = 8e9  # bytes

_REGISTER = 8  # numbers in a vector register: rows of matrices begin at its multiples
# Prior variance of a readout weight, in units of the noise (values) or of a logit over the
# curvature of softmax (symbols).
_PRIOR_SYMBOLS, _PRIOR_VALUES = 0.015, 3.0
# First mixture of the residuals, nearly normal: weight, mean, standard deviation each.
_SHAPE = np.array([[0.7, 0.0, 1.0], [0.14, -0.7, 0.8], [0.14, 0.7, 0.8], [0.02, 0.0, 2.5]])
_MIXING = 0.3  # first weight of each order of contexts, and of the readout


@dataclass(frozen=True)
class StreamDesign:
    """Parameters of a recurrent predictor; see :class:`neurolp.StreamBrain`."""

    sensors: tuple[Sensor, ...]
    connectivity: Any
    n_hidden: int
    n_lags: int
    fan_in: int
    rule: Rule
    rate: float
    process_noise: float
    recurrent_rate: float
    homeostasis: float
    strength: float
    recurrent_strength: float
    time_constants: tuple[float, float]
    max_order: int
    n_contexts: int
    mixing_rate: float
    experts: bool
    warmup: int
    dtype: str

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters that are plain values: all but sensors and connectivity."""
        return {k: v for k, v in vars(self).items() if k not in ("sensors", "connectivity")}

    @property
    def rates(self) -> Rates:
        """Learning rates, as the kernels take them."""
        return Rates(
            RULES[self.rule],
            float(self.rate),
            float(self.process_noise),
            float(self.recurrent_rate),
            float(self.homeostasis),
            float(self.mixing_rate),
            _PRIOR_SYMBOLS,
            _PRIOR_VALUES,
        )


_PARTS: dict[str, Any] = {
    "senses": Senses,
    "memory": Memory,
    "readout": Readout,
    "contexts": Contexts,
    "experts": Experts,
}


@dataclass(frozen=True)
class StreamState:
    """State of a recurrent predictor: all arrays that change."""

    senses: Senses
    memory: Memory
    readout: Readout
    contexts: Contexts
    experts: Experts

    def to_arrays(self) -> dict[str, Array]:
        """All arrays, by the names of their part and their own, e.g. ``"memory_activity"``."""
        return {
            f"{part}_{name}": values
            for part in _PARTS
            for name, values in getattr(self, part)._asdict().items()
            if isinstance(values, np.ndarray)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], n_lags: int) -> StreamState:
        """The state in copies of these arrays, which begin at multiples of a vector register."""
        parts = {}
        for part, kind in _PARTS.items():
            names = [name for name in kind._fields if name != "n_lags"]
            values = {name: _aligned(arrays[f"{part}_{name}"]) for name in names}
            parts[part] = kind(**values, **({"n_lags": n_lags} if kind is Memory else {}))
        return cls(**parts)

    def with_own_memory(self) -> StreamState:
        """The same state, with copies of the arrays that change where nothing is learned."""
        moving = ("features", "activity", "trace", "squashed", "post")
        memory = self.memory._replace(
            **{name: getattr(self.memory, name).copy() for name in moving}
        )
        history, known = self.contexts.history.copy(), self.contexts.known.copy()
        contexts = self.contexts._replace(history=history, known=known)
        experts = self.experts._replace(
            **{name: getattr(self.experts, name).copy() for name in MOVING}
        )
        return replace(self, memory=memory, contexts=contexts, experts=experts)

    def copy(self) -> StreamState:
        """The same state in arrays of its own."""
        return self.from_arrays(self.to_arrays(), self.memory.n_lags)


def draw(design: StreamDesign, rng: np.random.Generator) -> StreamState:
    """State before the first step, drawn."""
    where = places(design.sensors)
    senses = _senses(where)
    n_outputs = len(senses.location)
    n = _padded(design.n_hidden)
    n_features = _padded(1 + design.n_lags * n_outputs) + n
    connectivity, given = _connectivity(design, rng)
    _check_size(design, connectivity, n, n_features)
    return StreamState(
        senses,
        _memory(design, senses, n, n_features, connectivity, given, rng),
        _readout(design, n_outputs, n_features),
        _contexts(design),
        draw_experts(where, design.n_lags, design.experts),
    )


def input_feature(lag: int, output: Any, n_outputs: int) -> Any:
    """Index of the feature, or features, of outputs ``lag`` steps ago (1 is the last step)."""
    return 1 + (lag - 1) * n_outputs + output


def _aligned(values: Array) -> Array:
    out = empty(*values.shape, dtype=values.dtype)
    out[...] = values
    return out


def _padded(n: int) -> int:
    return -(-n // _REGISTER) * _REGISTER


def _senses(where: Sequence[Place]) -> Senses:
    location, scale = [], []
    for p in where:
        k = p.sensor.n_symbols
        units = (1 / k, k**-0.5) if p.symbols else p.sensor.units or (0.0, 1.0)
        location.append(np.broadcast_to(units[0], p.n_outputs))
        scale.append(np.broadcast_to(units[1], p.n_outputs))
    return Senses(
        kind=np.array([SYMBOLS if p.symbols else VALUES for p in where]),
        column=np.array([p.codes.start for p in where]),
        output=np.array([p.outputs.start for p in where]),
        size=np.array([p.n_outputs for p in where]),
        location=np.concatenate(location).astype(np.float64),
        scale=np.concatenate(scale).astype(np.float64),
        seen=np.zeros(len(where), np.int64),
        ready=np.array([int(p.symbols or p.sensor.units is not None) for p in where]),
    )


def _connectivity(
    design: StreamDesign, rng: np.random.Generator
) -> tuple[Connectivity | None, Array | None]:
    """Edges between hidden nodes; and their weights, (n, n) or one for each edge, if given."""
    given, n = design.connectivity, design.n_hidden
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
        return Connectivity.from_array(given, n), None
    matrix: Any = sparse.csr_array(given) if sparse.issparse(given) else np.asarray(given)
    if matrix.dtype == np.bool_:
        return Connectivity.from_array(matrix, n), None
    weights = matrix.astype(np.float64)
    if not sparse.issparse(weights):
        Connectivity.from_array(weights != 0, n)  # checks shape and diagonal
        edges, values = Connectivity.full(n), weights
    else:
        weights.sum_duplicates()
        pattern = np.ones(weights.nnz, np.bool_), weights.indices, weights.indptr
        edges = Connectivity.from_array(sparse.csr_array(pattern, weights.shape), n)
        values = weights.data
    if not np.isfinite(values).all():
        raise ConfigurationError(
            "argument `connectivity` must hold finite weights, but contains NaN or infinity"
        )
    return edges, values


def _memory(
    design: StreamDesign,
    senses: Senses,
    n: int,
    n_features: int,
    connectivity: Connectivity | None,
    given: Array | None,
    rng: np.random.Generator,
) -> Memory:
    dtype = np.dtype(design.dtype)
    features = empty(n_features)
    features[0] = 1.0
    first, source, weight, bias = _afferents(design, senses, n, rng)
    shortest, longest = np.log(design.time_constants)
    leak = np.zeros(n)
    leak[: design.n_hidden] = np.exp(-rng.uniform(shortest, longest, design.n_hidden))
    weights, rows = empty(0, 0, dtype=dtype), np.zeros(0, np.uint32)
    columns, values = np.zeros(0, np.uint32), np.zeros(0, dtype)
    if connectivity is not None and connectivity.kind == "full":
        weights = empty(n, n, dtype=dtype)
        if given is None:
            for i in range(design.n_hidden):  # row by row: no second matrix
                weights[i, : design.n_hidden] = rng.standard_normal(design.n_hidden)
            weights *= design.recurrent_strength / np.sqrt(design.n_hidden)
            np.fill_diagonal(weights, 0.0)
        else:
            weights[: design.n_hidden, : design.n_hidden] = given
    elif connectivity is not None:
        edges = sparse.csr_array(connectivity.matrix)
        degree = np.diff(edges.indptr)
        rows = np.concatenate([edges.indptr, np.full(n - design.n_hidden, edges.indptr[-1])])
        rows, columns = rows.astype(np.uint32), edges.indices.astype(np.uint32)
        size = design.recurrent_strength / np.sqrt(np.maximum(degree, 1))
        if given is None:
            values = rng.standard_normal(len(columns)) * np.repeat(size, degree)
        else:
            values = given
    nodes = [empty(n, dtype=dtype) for _ in range(6)]
    nodes[3][:], nodes[4][:] = leak, bias
    activity, trace, squashed, leak_, bias_, post = nodes
    return Memory(
        features, activity, trace, squashed, leak_, bias_, post, first, source, weight,
        weights, rows, columns, values.astype(dtype), design.n_lags,
    )  # fmt: skip


def _afferents(
    design: StreamDesign, senses: Senses, n: int, rng: np.random.Generator
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


def _readout(design: StreamDesign, n_outputs: int, n_features: int) -> Readout:
    kinds = {s.n_symbols > 0 for s in design.sensors}
    shape = np.broadcast_to(_SHAPE, (n_outputs, *_SHAPE.shape)).copy()
    w, m, s = shape[..., 0], shape[..., 1], shape[..., 2]
    return Readout(
        weights=empty(n_outputs, n_features),
        covariance_symbols=_covariance(design.rule, n_features if True in kinds else 0, True),
        covariance_values=_covariance(design.rule, n_features if False in kinds else 0, False),
        gain=empty(2, n_features),
        pending=empty(2, n_features),
        left=empty(2, n_features),
        factor=np.eye(n_outputs),
        shape=shape,
        moments=np.stack([w, w * m, w * (m * m + s * s)], axis=-1),
    )


def _covariance(rule: Rule, n_features: int, symbols: bool) -> Array:
    prior = _PRIOR_SYMBOLS if symbols else _PRIOR_VALUES
    if rule == "nlms" or n_features == 0:
        return empty(0, 0)
    out = empty(n_features if rule == "rls" else 1, n_features)
    if rule == "rls":
        np.fill_diagonal(out, prior)
    else:
        out[:] = prior
    return out


def _contexts(design: StreamDesign) -> Contexts:
    symbols = [s.n_symbols for s in design.sensors if s.n_symbols]
    n, orders = len(design.sensors), design.max_order
    if not symbols or design.n_contexts == 0:
        return Contexts(
            np.zeros((n, 0, 0), np.uint64),
            np.zeros((n, 0, 0, 0)),
            np.zeros((n, 0), np.int64),
            np.zeros(n, np.int64),
            np.zeros((n, 0, 0)),
            np.zeros((n, 0, 0)),
        )
    slots = SLOTS_TRIED * -(-design.n_contexts // SLOTS_TRIED)
    mixing = np.zeros((n, orders + 2, MIXING_BUCKETS))
    mixing[:, : orders + 1, 2:] = _MIXING  # buckets of contexts seen at least twice
    mixing[:, 0] = mixing[:, orders + 1, 0] = _MIXING
    return Contexts(
        key=np.zeros((n, orders, slots), np.uint64),
        counts=np.zeros((n, orders + 1, slots, max(symbols) + 1)),
        history=np.zeros((n, orders), np.int64),
        known=np.zeros(n, np.int64),
        mixing=mixing,
        slopes=np.ones_like(mixing),
    )


def _check_size(
    design: StreamDesign, connectivity: Connectivity | None, n: int, n_features: int
) -> None:
    """Raise an error before anything is allocated if the state would be too large."""
    full = connectivity is not None and connectivity.kind == "full"
    n_outputs = places(design.sensors)[-1].outputs.stop
    size = 8 * n_outputs * n_features + 8 * n_outputs**2
    size += n * n * np.dtype(design.dtype).itemsize if full else 0
    size += 16 * n_features**2 if design.rule == "rls" else 0
    symbols = [s.n_symbols + 3 for s in design.sensors if s.n_symbols]
    size += 8 * len(symbols) * (design.max_order + 1) * design.n_contexts * max(symbols, default=0)
    if size > LARGEST_STATE:
        raise ConfigurationError(
            f"arguments `n_hidden`, `n_lags` and `n_contexts` need {size / 1e9:.0f} GB with rule "
            f"{design.rule!r}, more than {LARGEST_STATE / 1e9:.0f}: try rule 'nlms' or fewer"
        )
