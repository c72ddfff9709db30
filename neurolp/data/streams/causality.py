"""Generator of binary events, one of which causes another after a delay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import entr

from neurolp.data.streams.source import (
    CHUNK,
    Chunk,
    Count,
    Positive,
    Probability,
    Stream,
    from_the_start,
)
from neurolp.stream.sensors import CategoricalSensor


def causality(
    *,
    seed: int = 0,
    delay: Positive = 3,
    n_distractors: Count = 4,
    probability: Probability = 0.1,
    follows: Probability = 0.9,
    otherwise: Probability = 0.01,
) -> Stream:
    """A occurs with ``probability``; B with ``follows`` if A occurred ``delay`` steps ago.

    Else B occurs with probability ``otherwise``. The distractors occur with ``probability`` each.
    Every event is a sensor of its own (0: nothing, 1: it occurred); given the past all are
    independent, so the rate is H(p) (1 + n_distractors) + p H(follows) + (1 - p) H(otherwise).
    """
    p, after, else_ = probability, follows, otherwise
    names = ("A", "B", *(f"distractor {j + 1}" for j in range(n_distractors)))

    def make() -> Iterator[Chunk]:
        rng = np.random.default_rng(seed)
        past = rng.random(delay) < p  # A in the steps before the first
        while True:
            uniforms = rng.random((CHUNK, len(names)))
            chance = np.full(uniforms.shape, p)
            a = np.concatenate([past, uniforms[:, 0] < p])
            chance[:, 1] = np.where(a[:CHUNK], after, else_)
            past = a[CHUNK:]
            occurs = uniforms < chance
            truth = -np.log(np.where(occurs, chance, 1.0 - chance)).sum(axis=1)
            yield occurs.astype(np.float64), truth

    of_a = _entropy(p)
    of_b = p * _entropy(after) + (1.0 - p) * _entropy(else_)
    rates = (of_a, of_b, *(of_a for _ in range(n_distractors)))
    return Stream(
        name="causality",
        sensors=tuple(CategoricalSensor(2, name) for name in names),
        chunks=from_the_start(make),
        rate=sum(rates),
        rates=rates,
        has_truth=True,
        description=f"B follows A after {delay} steps with probability {after:g}, among "
        f"{n_distractors} distractors",
    )


def _entropy(p: float) -> float:
    """Entropy of an event of probability ``p``, nats."""
    return float(entr(p) + entr(1.0 - p))
