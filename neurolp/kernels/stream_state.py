"""State of the recurrent predictor as named tuples of arrays, shared by its kernels.

S sensors have K outputs in all, one a symbol or value; D lags, n hidden nodes (padded to whole
vector registers with nodes that are nothing), M = 1 + D K + n features z = (1, input 1 step ago, ..
D steps ago, hidden activity).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurolp.arrays import Array

SYMBOLS, VALUES = 0, 1
NLMS, DIAGONAL_RLS, RLS = 0, 1, 2

_PAGE, _LARGE = 1 << 21, 1 << 18  # bytes


class Senses(NamedTuple):
    """Sensors: (S,) integers, and the units of outputs (K,)."""

    kind: Array  # 0 symbols, 1 values
    column: Array  # first code in a row
    output: Array  # first output
    size: Array  # number of outputs
    location: Array  # (K,) of values; 1 / n_symbols of symbols
    scale: Array  # (K,) of values; n_symbols ** -0.5 of symbols
    seen: Array  # (S,) number of learned observations
    ready: Array  # (S,) whether the units are known, so that the network takes it
    cell: Array  # (K,) distance of the values of a grid, 0 if they are on none
    least: Array  # (K,) least value of a grid


class Memory(NamedTuple):
    """Features and hidden nodes; recurrent weights are dense, or in CSR form, or absent."""

    features: Array  # (M,) z
    activity: Array  # (n,) h, in the type of the weights
    trace: Array  # (n,) filtered past activity: the pre-synaptic factor of learning
    squashed: Array  # (n,) tanh(u)
    leak: Array  # (n,)
    bias: Array  # (n,)
    post: Array  # (n,) the post-synaptic factor of learning
    afferent_first: Array  # (n + 1,) CSR: from features to hidden nodes
    afferent_source: Array
    afferent_weight: Array
    weights: Array  # (n, n)
    first: Array  # (n + 1,) CSR
    source: Array
    weight: Array
    n_lags: int


class Readout(NamedTuple):
    """From features to outputs; index 0 of two is for symbols, 1 for values."""

    weights: Array  # (K, M) A
    covariance_symbols: Array  # (M, M) P; (1, M) its diagonal; (0, 0) with the NLMS rule
    covariance_values: Array
    gain: Array  # (2, M) k of this step
    pending: Array  # (2, M) k of the last step, still to be taken from P
    left: Array  # (2, M) -k / (1 + q) of the last step
    factor: Array  # (K, K) Cholesky factors of the covariances of residuals, scaled units
    shape: Array  # (K, J, 3) weights, means, standard deviations of the residuals' mixture
    moments: Array  # (K, J, 3) their running moments
    chain: Array  # (K, F) B, from the F outputs before the last sensor; 0 unless of one before
    chain_covariance: Array  # (S, F, F) its P; (S, 1, F) the diagonal; (S, 0, 0) with NLMS
    innovation: Array  # (2, K) r of this step, for symbols and for values
    power: Array  # (K,) mean square of what values bring
    linear: Array  # (K, M) of indicators of symbols, by least squares; (0, M) if none needs them
    unknown: Array  # (S,) whether a sensor brings none in this step
    doubt: Array  # (S,) variance of the prediction, in units of the residuals', that the chain adds


class Contexts(NamedTuple):
    """What followed contexts, for V sensors of symbols; V is 0 without contexts.

    I contexts at each step, of K symbols at most; ``slots`` contexts in all, E entries of symbols.
    """

    number: Array  # (S,) which of the V a sensor is; -1 of values
    kind: Array  # (V, I) an order, or one of stream_words
    parent: Array  # (V, I) the next shorter context, -1 of the first
    classes: Array  # (V, K) of symbols
    characters: Array  # (V,) whether classes tell what a word is
    frequency: Array  # (V, K) how often a symbol was learned
    separator: Array  # (V,) the most frequent symbol
    now: Array  # (V,) symbol of this step, -1 if it is missing
    recent: Array  # (V, R) last symbols, latest first
    known: Array  # (V,) how many of them there are
    words: Array  # (V, N_WORDS)
    key: Array  # (V, slots) uint64, 0 for a free one
    total: Array  # (V, slots) counts
    distinct: Array  # (V, slots) different symbols
    latest: Array  # (V, slots) latest symbol
    run: Array  # (V, slots) how often in a row
    visits: Array  # (V, slots) steps in which the entries learned
    first: Array  # (V, slots) first entry + 1; 0 for none
    symbol: Array  # (V, E)
    counts: Array  # (V, E)
    weight: Array  # (V, E) in the sum
    following: Array  # (V, E) next entry + 1; 0 for none
    free: Array  # (V, 3)
    discount: Array  # (V, I, N_DISTINCT) logit
    prior: Array  # (V, I, N_DISTINCT) logarithm
    of_bucket: Array  # (V, I, N_BUCKETS, N_BUCKETS) weights in the sum, by magnitude of counts
    of_run: Array  # (V, I, N_RUNS)
    of_match: Array  # (V, N_LENGTHS)
    match: Array  # (V, N_MATCH)
    passed: Array  # (V, ring) symbols learned
    places: Array  # (V, places) where five symbols came last, + 1; 0 for nowhere
    first_weight: Array  # (V, I + 2) of inputs of neurons: contexts, sum, readout
    single: Array  # (V, N_SINGLE, chosen, I + 2) weights beyond these
    of_symbols: Array  # (V, N_OF_SYMBOLS, chosen, I + 2, K)
    second: Array  # (V, N_SECOND, chosen, N_FIRST)
    uses: Array  # (V, N_FIRST, chosen)
    average: Array  # (V, N_FIRST + 1) weights of the first layer's neurons, and of the mean g


class SymbolScratch(NamedTuple):
    """Work arrays of the contexts of a sensor of symbols."""

    code: Array  # (I,) uint64
    slots: Array  # (I,)
    present: Array  # (I + 2,) whether an input exists
    selected: Array  # (N_FIRST + N_SECOND,) which weights of a neuron are used
    q: Array  # (I, K)
    logs: Array  # (I + 2, K) of inputs
    sum: Array  # (K,)
    neuron: Array  # (N_FIRST, K)
    neuron_log: Array  # (N_FIRST, K)
    mixed: Array  # (N_SECOND + 1, K) the last is g
    mixed_log: Array  # (K,)


class Experts(NamedTuple):
    """Predictors of each of V values by itself; V is 0 without experts.

    M means, V2 variances of each, E densities in all, F features of a regression, O others of them.
    """

    value: Array  # (S,) first value of a sensor; -1 of symbols
    seen: Array  # (V,) observations learned; below FIRST_VALUES the experts do not predict
    stored: Array  # (V,) values in the past
    end: Array  # (V,) where the past ends
    past: Array  # (V, 2 PAST) values; the expected ones where they are missing
    unit: Array  # (V, 2) location and scale of features, from the first values
    level: Array  # (V, 1 + levels) running mean, filtered levels
    other: Array  # (V, O) other values that are features, -1 for none
    same_step: Array  # (V, O) 0 its last value; of the same step, 1 in its sensor, 2 in one before
    size: Array  # (N,) numbers of features of the ladder
    factor: Array  # (V, REGRESSIONS, F, F) R
    target: Array  # (V, REGRESSIONS, F) t
    prior: Array  # (V, 2, F) prior precision, of values and of changes
    period: Array  # (V, 2) 0 while there is none
    compared: Array  # (V,) values that were compared with their past
    due: Array  # (V,) of them, when the period is sought again
    differences: Array  # (V, 2, LONGEST + 1)
    season_factor: Array  # (V, 2, FEATURES, FEATURES)
    season_target: Array  # (V, 2, FEATURES)
    season_prior: Array  # (V, FEATURES)
    scale: Array  # (V, SCALES, M) variances of residuals
    average: Array  # (V, node rates, M) what the volatility node mixes
    blend: Array  # (V, node rates, M) with these weights
    ladder: Array  # (V, rungs, P) weights; a pair of P = SCALES M is number k M + m
    moments: Array  # (V, 3, N_FREE, P) of the free mixture
    weight: Array  # (V, SHAPES P + 1) of all densities
    awake: Array  # (V, M) 1 if a mean is predicted, else 0
    share: Array  # (V, SHAPES P + 1) in the prediction of this step; 0 of those that sleep
    bounds: Array  # (V, 2) least and greatest value so far
    mean: Array  # (V, M) predicted in this step, where other values of the step are as expected
    doubt: Array  # (V, M) variance of the mean in units of the noise
    slope: Array  # (V, REGRESSIONS, O) of the mean in other values of the same step
    expected: Array  # (V,) mean of all experts
    now: Array  # (V,) the value of this step; the expected one until it is observed
    known: Array  # (V,) whether it was observed in this step
    spread: Array  # (V,) standard deviation of all experts, were their laws normal


class ExpertScratch(NamedTuple):
    """Work arrays of the experts of a value."""

    features: Array  # (2, F) of values and of changes
    season: Array  # (FEATURES,)
    u: Array  # (max(F, FEATURES),)
    nested: Array  # (2, max(F, FEATURES)) means and doubts
    coefficients: Array  # (F,)
    residual: Array  # (M,)
    z: Array  # (P,) residuals in units of their scale
    inverse: Array  # (P,) 1 / scale
    awake: Array  # (P,)
    components: Array  # (3, N_FREE, P)
    ladder_part: Array  # (rungs, P)
    free_part: Array  # (N_FREE, P)
    density: Array  # (SHAPES, P)
    cdf: Array  # (SHAPES, P)
    product: Array  # (3, SHAPES P + 1) to be summed
    covariance: Array  # (D, D) of the values of the largest sensor
    slope: Array  # (D,)
    shared: Array  # (D,)


class Rates(NamedTuple):
    """Learning rates and prior variances."""

    rule: int  # 0 NLMS, 1 diagonal RLS, 2 RLS
    readout: float
    process_noise: float
    recurrent: float
    homeostasis: float
    mixing: float
    connectivity: bool  # whether recurrent weights learn
    inputs: bool  # whether input weights and thresholds learn
    prior_symbols: float
    prior_values: float
    chain_symbols: float  # prior variances of the chain
    chain_values: float


class Injection(NamedTuple):
    """Currents that are added to the potentials of hidden nodes."""

    nodes: Array  # (I,)
    current: Array  # (T, I)


class Outcome(NamedTuple):
    """Results of a block of T steps; the last two may be empty."""

    surprise: Array  # (T, S)
    pit: Array  # (T, K)
    prediction: Array  # (T, K) probabilities, means
    spread: Array  # (T, K) standard deviations


class Scratch(NamedTuple):
    """Work arrays of a step."""

    output: Array  # (K,)
    error: Array
    received: Array
    pit: Array
    mean: Array
    log_density: Array
    potential: Array  # (n,)
    power: Array  # (n,)
    pairs: Array  # (2 n,)
    uncertainty: Array  # (2,)
    used: Array  # (2,) whether there are sensors of a kind
    observed: Array  # (2,) whether any of them was observed in this step
    shift: Array  # (K,) of outputs by the sensors before
    target: Array  # (K,) what they have to explain
    expected: Array  # (K,) indicators of symbols, by least squares
    gain: Array  # (F,)


def scratch_for(memory: Memory, readout: Readout) -> Scratch:
    """Work arrays for a given state."""
    k, n = len(readout.weights), len(memory.activity)
    dtype = memory.activity.dtype
    return Scratch(
        output=np.zeros(k),
        error=np.zeros(k),
        received=np.zeros(k),
        pit=np.zeros(k),
        mean=np.zeros(k),
        log_density=np.zeros(k),
        potential=empty(n, dtype=dtype),
        power=empty(n),
        pairs=empty(2 * n, dtype=dtype),
        uncertainty=np.zeros(2),
        used=np.zeros(2, np.bool_),
        observed=np.zeros(2, np.bool_),
        shift=np.zeros(k),
        target=np.zeros(k),
        expected=np.zeros(k),
        gain=np.zeros(readout.chain.shape[1]),
    )


def empty(*shape: int, dtype: Any = np.float64) -> Array:
    """Zeros that begin at a multiple of 64 bytes, as vector registers like it.

    Arrays as large as a cache begin with a large page of memory, which NumPy asks the system for
    from 4 MiB on. In small pages they would be strewn, and by chance compete for the same places
    of the cache: a brain of 256 nodes then took half as long again, in one process of three.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    large = n_bytes >= _LARGE
    align = _PAGE if large else 64
    raw: Array = np.zeros(max(n_bytes + align, 2 * _PAGE if large else 0), np.uint8)
    start = -raw.ctypes.data % align
    return np.asarray(raw[start : start + n_bytes].view(dtype).reshape(shape))
