"""Generators of dynamical systems with noise: an oscillator and two chaotic ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from neurolp.arrays import Array
from neurolp.data.streams.source import CHUNK, Chunk, Noise, Positive, Stream, from_the_start
from neurolp.errors import ConfigurationError
from neurolp.kernels import sources
from neurolp.stream.sensors import ContinuousSensor

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_AR2_BURN_IN = 500
_MACKEY_GLASS_BURN_IN = 1000
_LORENZ_BURN_IN = 200


def normal_entropy(sd: float) -> float:
    """Differential entropy of N(0, sd^2) in nats, log(sd sqrt(2 pi e))."""
    return float(np.log(sd) + _HALF_LOG_2PI + 0.5)


def ar2(
    *, seed: int = 0, coefficients: tuple[float, float] = (1.5, -0.75), noise: Noise = 1.0
) -> Stream:
    """x_t = a x_{t-1} + b x_{t-2} + noise N(0, 1), run in from 0 for 500 steps."""
    a, b = coefficients
    if not -1 < b < 1 - abs(a):
        raise ConfigurationError(
            "argument `coefficients` must be two numbers a, b of a stationary process "
            f"(-1 < b < 1 - |a|), but is {coefficients!r}"
        )

    def start() -> Callable[[Array, Array], None]:
        past = np.zeros(2)
        return lambda z, rows: sources.autoregression(noise * z, a, b, past, rows)

    return _driven_by_noise(
        "ar2",
        start,
        seed,
        noise,
        _AR2_BURN_IN,
        f"oscillator x_t = {a:g} x_(t-1) + {b:g} x_(t-2) + N(0, {noise:g}^2)",
    )


def mackey_glass(*, seed: int = 0, delay: Positive = 18, noise: Noise = 0.02) -> Stream:
    """x_t = x_{t-1} + .2 x_{t-d} / (1 + x_{t-d}^10) - .1 x_{t-1} + noise N(0, 1).

    Before step 0 all is 1.2; the first 1000 steps are dropped.
    """

    def start() -> Callable[[Array, Array], None]:
        past = np.full(delay, 1.2)
        return lambda z, rows: sources.mackey_glass_map(noise * z, past, rows)

    return _driven_by_noise(
        "mackey_glass",
        start,
        seed,
        noise,
        _MACKEY_GLASS_BURN_IN,
        f"Mackey-Glass map of delay {delay} with dynamical noise {noise:g}",
    )


def _driven_by_noise(
    name: str,
    start: Callable[[], Callable[[Array, Array], None]],
    seed: int,
    noise: float,
    burn_in: int,
    description: str,
) -> Stream:
    """A stream x_t = f(past) + noise z_t: its surprise is that of z_t, whatever f is."""

    def make() -> Iterator[Chunk]:
        rng = np.random.default_rng(seed)
        advance = start()
        advance(rng.standard_normal(burn_in), np.empty((burn_in, 1)))
        while True:
            z, rows = rng.standard_normal(CHUNK), np.empty((CHUNK, 1))
            advance(z, rows)
            yield rows, np.log(noise) + _HALF_LOG_2PI + 0.5 * z * z

    rate = normal_entropy(noise)
    return Stream(
        name=name,
        sensors=(ContinuousSensor(1, "value"),),
        chunks=from_the_start(make),
        rate=rate,
        rates=(rate,),
        has_truth=True,
        description=description,
    )


def lorenz(*, seed: int = 0, noise: Noise = 0.3, vector: bool = False) -> Stream:
    """The Lorenz system (10, 28, 8/3) seen every .05 (five Runge-Kutta steps), plus noise N(0, 1).

    x only, or with ``vector`` (x, y, z) as one sensor. The system starts at (1, 1, 1), for a
    ``seed`` other than 0 a normal step away from it; the first 200 observations are dropped. Its
    entropy rate is not known; that of the noise bounds it from below.
    """
    n = 3 if vector else 1

    def make() -> Iterator[Chunk]:
        rng = np.random.default_rng(seed)
        state = np.ones(3) + (rng.standard_normal(3) if seed != 0 else 0.0)
        sources.lorenz_path(state, 0.01, 5, np.empty((_LORENZ_BURN_IN, 3)))
        while True:
            path = np.empty((CHUNK, 3))
            sources.lorenz_path(state, 0.01, 5, path)
            yield path[:, :n] + noise * rng.standard_normal((CHUNK, n)), None

    return Stream(
        name="lorenz",
        sensors=(ContinuousSensor(n, "xyz" if vector else "x"),),
        chunks=from_the_start(make),
        bound=n * normal_entropy(noise),
        description=f"Lorenz system, {'x, y, z' if vector else 'x'} every 0.05, with noise "
        f"{noise:g}",
    )
