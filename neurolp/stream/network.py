"""Parameters and state of the recurrent predictor, and how its first state is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
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
from neurolp.stream import contexts, experts
from neurolp.stream.grid_prediction import grid_of
from neurolp.stream.receptive_fields import ReceptiveFields
from neurolp.stream.sensors import Place, Sensor, places
from neurolp.stream.wiring import connections, inputs, spectral_radius

Rule = Literal["rls", "diagonal_rls", "nlms"]

NOT_PLAIN = ("sensors", "connectivity", "input_weights")

RULES: dict[str, int] = {"nlms": NLMS, "diagonal_rls": DIAGONAL_RLS, "rls": RLS}
LARGEST_STATE = 8e9  # bytes

OF_ROW = ("innovation", "unknown", "doubt")  # what the readout knows of the sensors of a row

_N_HIDDEN, _N_LAGS = 600, 20
_REGISTER = 8  # numbers in a vector register: rows of matrices begin at its multiples
# Prior variance of a readout weight, in units of the noise (values) or of a logit over the
# curvature of softmax (symbols).
_PRIOR_SYMBOLS, _PRIOR_VALUES = 0.015, 3.0
_CHAIN_SYMBOLS, _CHAIN_VALUES = 1.0, 30.0
# First mixture of the residuals, nearly normal: weight, mean, standard deviation each.
_SHAPE = np.array([[0.7, 0.0, 1.0], [0.14, -0.7, 0.8], [0.14, 0.7, 0.8], [0.02, 0.0, 2.5]])


@dataclass(frozen=True)
class StreamDesign:
    """Parameters of a recurrent predictor; see :class:`neurolp.StreamBrain`."""

    sensors: tuple[Sensor, ...]
    connectivity: Any
    input_weights: Any
    n_hidden: int
    n_lags: int
    fan_in: int
    receptive_fields: ReceptiveFields
    rule: Rule
    rate: float
    process_noise: float
    recurrent_rate: float
    train_connectivity: bool
    train_input_weights: bool
    homeostasis: float
    strength: float
    recurrent_strength: float
    spectral_radius: float | None
    time_constants: tuple[float, float]
    max_order: int
    n_contexts: int
    mixing_rate: float
    experts: bool
    warmup: int
    dtype: str

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters that are plain values."""
        return {k: v for k, v in vars(self).items() if k not in NOT_PLAIN}

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
            self.train_connectivity,
            self.train_input_weights,
            _PRIOR_SYMBOLS,
            _PRIOR_VALUES,
            _CHAIN_SYMBOLS,
            _CHAIN_VALUES,
        )


def network_size(
    n_hidden: int | None,
    n_lags: int | None,
    sensors: Sequence[Sensor],
    given: bool = False,
    n_given: int | None = None,
) -> tuple[int, int]:
    """Hidden nodes and lags, with the defaults of the sensors for None.

    A network is for values and for what sensors tell of each other: contexts predict symbols
    without one, and much faster. Where connectivity or input weights are ``given`` it has nodes:
    ``n_given`` if these say how many.
    """
    symbols = all(sensor.n_symbols for sensor in sensors)
    nodes = _N_HIDDEN if given or not symbols else 0
    nodes = nodes if n_given is None else n_given
    lags = 0 if symbols and len(sensors) == 1 and not given else _N_LAGS
    return nodes if n_hidden is None else n_hidden, lags if n_lags is None else n_lags


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
        return replace(
            self,
            memory=_with_own(self.memory, moving),
            readout=_with_own(self.readout, OF_ROW),
            contexts=_with_own(self.contexts, contexts.MOVING),
            experts=_with_own(self.experts, experts.MOVING),
        )

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
    connectivity, given = connections(design.connectivity, design.n_hidden, rng)
    _check_size(design, connectivity, n, n_features)
    return StreamState(
        senses,
        _memory(design, senses, n, n_features, connectivity, given, rng),
        _readout(design, senses, n_features),
        contexts.draw_contexts(where, design.max_order, design.n_contexts),
        experts.draw_experts(where, design.n_lags, design.experts),
    )


def _with_own(part: Any, names: Sequence[str]) -> Any:
    """A part of the state with copies of some of its arrays."""
    return part._replace(**{name: getattr(part, name).copy() for name in names})


def _aligned(values: Array) -> Array:
    out = empty(*values.shape, dtype=values.dtype)
    out[...] = values
    return out


def _padded(n: int) -> int:
    return -(-n // _REGISTER) * _REGISTER


def _senses(where: Sequence[Place]) -> Senses:
    location, scale, grid = [], [], []
    for p in where:
        grid += [grid_of(p.sensor) or (0.0, -np.inf)] * p.n_outputs
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
        cell=np.array([cell for cell, _ in grid]),
        least=np.array([least for _, least in grid]),
    )


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
    first, source, weight, bias = inputs(design, senses, n, rng)
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
    if design.spectral_radius is not None:
        present = sparse.csr_array((values, columns, rows), shape=(n, n)) if len(rows) else weights
        radius = spectral_radius(present)
        if radius == 0.0:
            raise ConfigurationError(
                "argument `spectral_radius` scales recurrent weights, but there are none, or none "
                "in a circle, so that their spectral radius is 0"
            )
        scale = design.spectral_radius / radius
        weights *= dtype.type(scale)
        values = values * scale
    nodes = [empty(n, dtype=dtype) for _ in range(6)]
    nodes[3][:], nodes[4][:] = leak, bias
    activity, trace, squashed, leak_, bias_, post = nodes
    return Memory(
        features, activity, trace, squashed, leak_, bias_, post, first, source, weight,
        weights, rows, columns, values.astype(dtype), design.n_lags,
    )  # fmt: skip


def _readout(design: StreamDesign, senses: Senses, n_features: int) -> Readout:
    kinds = {s.n_symbols > 0 for s in design.sensors}
    n_outputs, n_sensors, n_earlier = len(senses.location), len(senses.kind), senses.output[-1]
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
        chain=np.zeros((n_outputs, n_earlier)),
        chain_covariance=_chain_covariance(design.rule, senses, n_earlier),
        innovation=np.zeros((2, n_outputs)),
        power=np.ones(n_outputs),
        linear=empty(n_outputs if _values_after_symbols(senses) else 0, n_features),
        unknown=np.ones(n_sensors, np.bool_),
        doubt=np.zeros(n_sensors),
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


def _values_after_symbols(senses: Senses) -> bool:
    last = np.flatnonzero(senses.kind == VALUES).max(initial=0)
    return SYMBOLS in senses.kind[:last]


def _chain_covariance(rule: Rule, senses: Senses, n_earlier: int) -> Array:
    prior = np.where(senses.kind == SYMBOLS, _CHAIN_SYMBOLS, _CHAIN_VALUES)[:, None, None]
    if rule == "rls":
        return np.asarray(prior * np.eye(n_earlier))
    return np.broadcast_to(prior, (len(prior), int(rule == "diagonal_rls"), n_earlier)).copy()


def _check_size(
    design: StreamDesign, connectivity: Connectivity | None, n: int, n_features: int
) -> None:
    """Raise an error before anything is allocated if the state would be too large."""
    full = connectivity is not None and connectivity.kind == "full"
    last = places(design.sensors)[-1].outputs
    n_outputs = last.stop
    size = 16 * n_outputs * n_features + 8 * n_outputs**2
    size += n * n * np.dtype(design.dtype).itemsize if full else 0
    if design.rule == "rls":
        size += 16 * n_features**2 + 8 * len(design.sensors) * last.start**2
    sizes = [s.n_symbols for s in design.sensors if s.n_symbols]
    size += contexts.n_bytes(sizes, design.max_order, design.n_contexts)
    if size > LARGEST_STATE:
        raise ConfigurationError(
            f"arguments `n_hidden`, `n_lags` and `n_contexts` need {size / 1e9:.0f} GB with rule "
            f"{design.rule!r}, more than {LARGEST_STATE / 1e9:.0f}: try rule 'nlms' or fewer"
        )
