"""Learning the readouts: mixture energies at a few times, averaged by what validation data say.

The search is economical. One mixture is fitted at each of a few times; from the time where it
describes the validation data best, the number of components and the strength of the prior are
walked uphill, and the best of both is tried at the next best times. For few nodes a Chow-Liu tree
is fitted too. Everything that was fitted on the way then votes: the weights of the average are the
maximum-likelihood ones on validation data (stacking; Smyth and Wolpert, Machine Learning 36, 1999).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from neurolp.brain.energy import MixtureEnergy, fit_mixture
from neurolp.brain.evolution import evolve
from neurolp.brain.network import Network
from neurolp.brain.parallel import single_threaded_blas
from neurolp.brain.readout import Readout
from neurolp.brain.tree_energy import TreeEnergy, fit_tree

Array = npt.NDArray[Any]

_TIMES = (0, 10, 20, 40, 80, 160, 320)
_COMPONENTS = (2, 4, 8, 12, 16, 24, 32, 48, 64)
_PRIOR_ROWS = (0.03, 0.1, 0.3, 1.0, 3.0)  # per node
_FIRST_COMPONENTS, _FIRST_COMPONENTS_FEW_NODES, _FEW_NODES = 8, 24, 3
_FIRST_PRIOR = 3
_MAX_ROWS = 10_000  # of training data seen by a mixture
_FURTHER_TIMES = 4
_MOST_NODES_OF_TREES = 8
_MIN_WEIGHT = 0.02
_STACKING_STEPS = 200


def learn_readouts(
    network: Network,
    best_time: int,
    train: Array,
    validation: Array,
    seed: int,
    n_threads: int | None = None,
    *,
    ordered: bool = False,
) -> tuple[Readout, ...]:
    """Learn readouts of a brain on potentials at time 0, (n_nodes, n_trajectories) each.

    With ``ordered`` parents come before their children in trees, as a triangular map needs it, and
    single Gaussians at time 0 take part.

    The product of the bases at ``best_time`` is one of the candidates: before the light ones are
    left out, the average is on validation data at least as good as without a learned energy.
    """
    rng = np.random.default_rng([seed, 1])
    if train.shape[1] > _MAX_ROWS:
        train = train[:, rng.choice(train.shape[1], _MAX_ROWS, replace=False)]
    search = _Search(network, train, validation, seed, n_threads)
    few = network.n_nodes <= _FEW_NODES
    first = _COMPONENTS.index(_FIRST_COMPONENTS_FEW_NODES if few else _FIRST_COMPONENTS)
    with single_threaded_blas():
        plain = Readout(best_time, 1.0)
        search.add(plain)
        times = [t for t in _TIMES if t < best_time] + [best_time]
        most = max(len([k for k in _COMPONENTS if k <= train.shape[1] / 3]) - 1, 0)
        if train.shape[1] < 3 * _COMPONENTS[0]:
            return (plain,)
        if ordered:
            for rows in _PRIOR_ROWS:
                search.add(Readout(0, 1.0, search.mixture(0, 1, rows)))
        start = (min(first, most), _FIRST_PRIOR)
        ranked = sorted(times, key=lambda t: -search.visit(t, *start))
        best = search.climb(ranked[0], *start, most)
        for time in ranked[1:_FURTHER_TIMES]:
            search.visit(time, *best)
        if 1 < network.n_nodes <= _MOST_NODES_OF_TREES:
            for time in sorted({0, ranked[0]}):
                search.add(Readout(time, 1.0, search.tree(time, ordered)))
        return search.stacked()


class _Search:
    """Candidates fitted so far, with their log-densities of the validation rows."""

    def __init__(
        self, network: Network, train: Array, validation: Array, seed: int, n_threads: int | None
    ) -> None:
        self.network, self.seed, self.n_threads = network, seed, n_threads
        self.state = (0, train, validation, np.zeros(validation.shape[1]))
        self.start = self.state
        self.readouts: list[Readout] = []
        self.log_prob: list[Array] = []
        self.score: dict[tuple[int, int, int], float] = {}

    def add(self, readout: Readout) -> float:
        """Take a candidate in; its mean log-density of the validation rows."""
        _, _, validation, log_det = self._at(readout.time)
        self.readouts.append(readout)
        self.log_prob.append(readout.log_prob(self.network, validation) + log_det)
        return float(self.log_prob[-1].mean())

    def visit(self, time: int, components: int, prior: int) -> float:
        """Score of one mixture, fitted when it is asked for the first time."""
        key = (time, components, prior)
        if key not in self.score:
            energy = self.mixture(time, _COMPONENTS[components], _PRIOR_ROWS[prior])
            self.score[key] = self.add(Readout(time, 1.0, energy))
        return self.score[key]

    def climb(self, time: int, components: int, prior: int, most: int) -> tuple[int, int]:
        """Walk uphill in the number of components and the strength of the prior."""
        here, score = (components, prior), self.visit(time, components, prior)
        while True:
            k, p = here
            near = [(k - 1, p), (k + 1, p), (k, p - 1), (k, p + 1)]
            near = [(k, p) for k, p in near if 0 <= k <= most and 0 <= p < len(_PRIOR_ROWS)]
            best = max(near, key=lambda kp: self.visit(time, *kp))
            if self.visit(time, *best) <= score:
                return here
            here, score = best, self.visit(time, *best)

    def mixture(self, time: int, n_components: int, prior_rows: float) -> MixtureEnergy:
        """A mixture fitted at ``time``; ``prior_rows`` per node."""
        return fit_mixture(
            self._at(time)[1],
            n_components,
            prior_rows * self.network.n_nodes,
            self.seed % 2**32,
            scale=self.network.base_density.std,
        )

    def tree(self, time: int, ordered: bool) -> TreeEnergy:
        """A Chow-Liu tree fitted at ``time``."""
        potential = self._at(time)[1].astype(np.float64)
        return fit_tree(self.network.base_density, potential, ordered=ordered)

    def stacked(self) -> tuple[Readout, ...]:
        """The candidates with their maximum-likelihood weights, light ones left out."""
        log_prob = np.array(self.log_prob)
        chosen = np.arange(len(log_prob))
        weights = _stacking_weights(log_prob)
        while weights.min() < _MIN_WEIGHT and len(chosen) > 1:
            keep = weights >= min(_MIN_WEIGHT, weights.max())
            chosen = chosen[keep]
            weights = _stacking_weights(log_prob[chosen])
        return tuple(
            Readout(self.readouts[i].time, float(w), self.readouts[i].energy)
            for i, w in zip(chosen, weights, strict=True)
        )

    def _at(self, time: int) -> tuple[int, Array, Array, Array]:
        """Both populations at ``time``; going back means starting again from time 0."""
        if time < self.state[0]:
            self.state = self.start
        now, train, validation, log_det = self.state
        if time > now:
            train, _ = evolve(
                self.network, train, first=now, n_slices=time, n_threads=self.n_threads
            )
            validation, change = evolve(
                self.network, validation, first=now, n_slices=time, n_threads=self.n_threads
            )
            self.state = (time, train, validation, log_det + change)
        return self.state


def _stacking_weights(log_prob: Array) -> Array:
    """argmax_w of mean_n log sum_r w_r exp(log_prob[r, n]), by expectation-maximisation.

    It starts at exp(-z), z how many standard errors a candidate stays behind the best: many steps
    would lead to the same maximum from anywhere, but along a nearly flat way.
    """
    behind = log_prob[np.argmax(log_prob.mean(axis=1))] - log_prob
    error = np.maximum(behind.std(axis=1) / np.sqrt(behind.shape[1]), np.finfo(np.float64).tiny)
    weights = np.exp(-np.minimum(behind.mean(axis=1) / error, 100.0))
    weights /= weights.sum()
    for _ in range(_STACKING_STEPS):
        joint = log_prob + np.log(np.maximum(weights, np.finfo(np.float64).tiny))[:, None]
        weights = np.exp(joint - logsumexp(joint, axis=0)).mean(axis=1)
    return np.asarray(weights / weights.sum())
