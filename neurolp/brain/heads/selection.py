"""Learning density heads: mixtures at a few times, averaged with weights from validation data.

The search is economical. At each of a few times one mixture is fitted with a round prior and one
with that of the pooled covariance; from the time and prior where it describes the validation data
best, it walks uphill in the number of components and in the strength of the prior, and the best of
both is tried at the next best times. For few nodes a Chow-Liu tree is fitted too. What one step of
the search fits, it fits on threads. Everything that was fitted on the way then votes: the weights
of the average are the maximum-likelihood ones on validation data (stacking; Smyth and Wolpert,
Machine Learning 36, 1999).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.evolution import evolve
from neurolp.brain.heads.head import DensityHead, LearnedHead, WeightedHead, stacking_weights
from neurolp.brain.heads.mixture import fit_mixture
from neurolp.brain.heads.tree import fit_tree
from neurolp.brain.network import Network
from neurolp.brain.seeds import generator
from neurolp.brain.workers import Workers

State = tuple[Array, Array, Array]  # train, validation and its log-determinant
_Place = tuple[int, bool, int, int]  # time, pooled prior, components, strength of the prior
Fit = Callable[[Array], DensityHead | None]  # of a head to potentials

_TIMES = (0, 10, 20, 40, 80, 160, 320)
_COMPONENTS = (2, 4, 8, 12, 16, 24, 32, 48, 64)
_PRIOR_ROWS = (0.03, 0.1, 0.3, 1.0, 3.0)  # per node
_FIRST_COMPONENTS, _FIRST_COMPONENTS_FEW_NODES, _FEW_NODES = 8, 24, 3
_FIRST_PRIOR = 3
_ROWS_PER_NODE = 2  # of fewer the pooled covariance is singular, or nearly
_MAX_ROWS = 10_000  # of training and validation
_FURTHER_TIMES = 4
_MOST_NODES_OF_TREES = 8
_MIN_WEIGHT = 0.02
# Nats per validation row and slice. Ten columns of 80,000 rows: reading at 160 instead of 400
# slices loses .001 nats of test rows and is 2.4 times as fast, at 80 it would lose .009.
_LEAST_GAIN = 2e-5
_FURTHEST = 1e100  # nats that a candidate is taken to be behind at most
_STACKING_STEPS = 200


def learn_heads(
    network: Network,
    best_time: int,
    train: Array,
    validation: Array,
    seed: int,
    n_threads: int | None = None,
    *,
    ordered: bool = False,
    head: LearnedHead | None = None,
) -> tuple[WeightedHead, ...]:
    """Learn heads of a brain on potentials at time 0, (n_nodes, n_trajectories) each.

    They are densities of the moving nodes alone; those that are clamped have none.

    With ``ordered`` parents come before their children in trees, as a triangular map needs it, and
    single Gaussians at time 0 take part.

    A user's ``head`` is fitted at every time instead.

    The product of the bases at ``best_time`` is one of the candidates: before the light ones are
    left out, the average is on validation data at least as good as without a learned energy.
    """
    rng = generator(seed, "density heads")
    train, validation = (_at_most(_MAX_ROWS, rows, rng) for rows in (train, validation))
    plain = WeightedHead(best_time, 1.0)
    if train.shape[1] < 3 * _COMPONENTS[0]:
        return (plain,)
    times = [t for t in _TIMES if t < best_time] + [best_time]
    most = len([k for k in _COMPONENTS if k <= train.shape[1] / 3]) - 1
    n_moving = len(network.moving)
    few = n_moving <= _FEW_NODES
    first = _COMPONENTS.index(_FIRST_COMPONENTS_FEW_NODES if few else _FIRST_COMPONENTS)
    start = (min(first, most), _FIRST_PRIOR)
    priors = (False, True) if 1 < n_moving < train.shape[1] / _ROWS_PER_NODE else (False,)
    states = _states(network, train, validation, times, n_threads)
    with Workers(n_threads) as workers:
        search = _Search(network, states, seed, workers)
        search.add([(best_time, lambda potential: None)])
        if head is not None:
            draws = zip(times, rng.spawn(len(times)), strict=True)
            search.add([(t, partial(_fitted, head, rng=draw)) for t, draw in draws])
            return search.stacked()
        if ordered:
            search.add([(0, search.mixture(1, rows)) for rows in _PRIOR_ROWS])
        places = [(t, pooled) for pooled in priors for t in times]
        score = search.visit([(*place, *start) for place in places])
        ranked = [places[i] for i in np.argsort(-score, kind="stable")]
        best = search.climb(ranked[0], *start, most)
        search.visit([(*place, *best) for place in ranked[1:_FURTHER_TIMES]])
        if 1 < n_moving <= _MOST_NODES_OF_TREES:
            search.add([(t, search.tree(ordered)) for t in sorted({0, ranked[0][0]})])
        return search.stacked()


class _Search:
    """Candidates fitted so far, with their log-densities of the validation rows."""

    def __init__(
        self, network: Network, states: dict[int, State], seed: int, workers: Workers
    ) -> None:
        self.network, self.states, self.seed, self.workers = network, states, seed, workers
        self.heads: list[WeightedHead] = []
        self.log_prob: list[Array] = []
        self.score: dict[_Place, float] = {}

    def add(self, candidates: Sequence[tuple[int, Fit]]) -> list[float]:
        """Fit candidates, each at its time; their mean log-densities of the validation rows."""

        def fitted(candidate: tuple[int, Fit]) -> tuple[WeightedHead, Array]:
            time, fit = candidate
            train, validation, log_det = self.states[time]
            weighted = WeightedHead(time, 1.0, fit(self.network.moving_rows(train)))
            return weighted, weighted.log_prob(self.network, validation) + log_det

        new = self.workers.map(fitted, candidates)
        self.heads += [weighted for weighted, _ in new]
        self.log_prob += [log_prob for _, log_prob in new]
        return [float(log_prob.mean()) for _, log_prob in new]

    def visit(self, places: Sequence[_Place]) -> Array:
        """Scores of mixtures, fitted when first asked for."""
        new = [place for place in places if place not in self.score]
        fits = [
            (t, self.mixture(_COMPONENTS[k], _PRIOR_ROWS[p], pooled=pooled))
            for t, pooled, k, p in new
        ]
        self.score.update(zip(new, self.add(fits), strict=True))
        return np.array([self.score[place] for place in places])

    def climb(
        self, at: tuple[int, bool], components: int, prior: int, most: int
    ) -> tuple[int, int]:
        """Walk uphill in the number of components and, where that ends, in the prior's strength."""
        here = (components, prior)
        while True:
            k, p = here
            for both in ([(k - 1, p), (k + 1, p)], [(k, p - 1), (k, p + 1)]):
                near = [(k, p) for k, p in both if 0 <= k <= most and 0 <= p < len(_PRIOR_ROWS)]
                score = self.visit([(*at, *place) for place in (here, *near)])
                if score.argmax() > 0:
                    here = near[score.argmax() - 1]
                    break
            else:
                return here

    def mixture(self, n_components: int, prior_rows: float, *, pooled: bool = False) -> Fit:
        """How to fit a mixture; ``prior_rows`` per node."""
        return lambda potential: fit_mixture(
            potential,
            n_components,
            prior_rows * len(self.network.moving),
            self.seed % 2**32,
            scale=self.network.base_density.std,
            pooled=pooled,
        )

    def tree(self, ordered: bool) -> Fit:
        """How to fit a Chow-Liu tree."""
        base = self.network.base_density
        return lambda potential: fit_tree(base, potential.astype(np.float64), ordered=ordered)

    def stacked(self) -> tuple[WeightedHead, ...]:
        """The candidates with their maximum-likelihood weights, light ones left out.

        So are those of the latest time, as long as they gain less than ``_LEAST_GAIN`` for every
        slice that nothing else needs: what a density costs is all slices up to the last time.
        """
        log_prob = np.array(self.log_prob)
        time = np.array([weighted.time for weighted in self.heads])
        chosen, weights, score = _without_light(log_prob, np.arange(len(log_prob)))
        while (time < time[chosen].max()).any():
            earlier = np.flatnonzero(time < time[chosen].max())
            fewer, new_weights, new_score = _without_light(log_prob, earlier)
            n_slices = time[chosen].max() - time[fewer].max()
            if score - new_score >= _LEAST_GAIN * n_slices:
                break
            chosen, weights = fewer, new_weights
        return tuple(
            WeightedHead(self.heads[i].time, float(w), self.heads[i].head)
            for i, w in zip(chosen, weights, strict=True)
        )


def _fitted(head: LearnedHead, potential: Array, rng: np.random.Generator) -> DensityHead:
    return head.fit(potential.astype(np.float64), rng)


def _at_most(n: int, potential: Array, rng: np.random.Generator) -> Array:
    """``n`` of the trajectories at random, or all where there are no more."""
    if potential.shape[1] <= n:
        return potential
    return potential[:, rng.choice(potential.shape[1], n, replace=False)]


def _states(
    network: Network, train: Array, validation: Array, times: list[int], n_threads: int | None
) -> dict[int, State]:
    """Training and validation rows, and the log-determinant of the latter, at some times."""
    states, now, log_det = {}, 0, np.zeros(validation.shape[1])
    for time in times:
        on = partial(evolve, network, first=now, n_slices=time - now, n_threads=n_threads)
        train, _ = on(train)
        validation, change = on(validation)
        now, log_det = time, log_det + change
        states[now] = (train, validation, log_det)
    return states


def _without_light(log_prob: Array, chosen: Array) -> tuple[Array, Array, float]:
    """Those of the ``chosen`` whose weight counts, their weights, mean log of their average."""
    weights = _weights(log_prob[chosen])
    while weights.min() < _MIN_WEIGHT and len(chosen) > 1:
        chosen = chosen[weights >= min(_MIN_WEIGHT, weights.max())]
        weights = _weights(log_prob[chosen])
    joint = np.log(weights)[:, None] + log_prob[chosen]
    return chosen, weights, float(logsumexp(joint, axis=0).mean())


def _weights(log_prob: Array) -> Array:
    """Stacking weights that start at exp(-z), z standard errors behind the best candidate.

    Many steps would lead to the same maximum from anywhere, but along a nearly flat way.
    """
    with np.errstate(invalid="ignore"):  # rows that are impossible for all say nothing
        behind = log_prob[np.argmax(log_prob.mean(axis=1))] - log_prob
    behind = np.nan_to_num(behind, nan=0.0, posinf=_FURTHEST, neginf=-_FURTHEST)
    behind = np.clip(behind, -_FURTHEST, _FURTHEST)
    error = np.maximum(behind.std(axis=1) / np.sqrt(behind.shape[1]), np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):  # a single row has no error
        start = np.exp(-np.minimum(behind.mean(axis=1) / error, 100.0))
    return stacking_weights(log_prob, start=start, n_steps=_STACKING_STEPS)
