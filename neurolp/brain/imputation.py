"""Missing values: draws from Phi(x_missing | x_observed) by Markov chains that need only log Phi.

Phi(x_m | x_o) is proportional to Phi(x_m, x_o): no gradient, no normalisation and no form of the
brain is needed. A Gaussian mixture q, fitted to dreams, proposes; Phi accepts. Both moves change a
random block B of the missing coordinates and leave Phi(x_B | x_-B) invariant (detailed balance):

* jump:  x_B' ~ q(x_B | x_-B), accepted with min(1, [Phi(x') / q(x')] / [Phi(x) / q(x)]), for
  q(x_B | x_-B) = q(x) / q(x_-B) and x_-B stays. Crosses from mode to mode.
* walk:  x_B' = x_B + s L_k z with z standard normal, component k ~ q(k | x_-B) and L_k L_k' its
  conditional covariance, accepted with min(1, Phi(x') / Phi(x)); k and s do not depend on x_B, so
  that the proposal is symmetric. Goes where q has no mass.

Chains start by importance resampling of draws from q(x_m | x_o) with the weights Phi / q.

Sources: Hastings, Biometrika 57, 1970; Rubin, Bayesian Statistics 3, 1988 (resampling); Tierney,
Annals of Statistics 22, 1994 (mixtures of kernels, independence chains).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.heads.mixture import MixtureHead, fit_mixture
from neurolp.brain.workers import single_threaded_blas

N_DREAMS = 4000
_HELD_OUT = 1000
_MAX_COMPONENTS = 32
_ITERATIONS = 30  # of expectation-maximisation; the proposal need not be the best
_PRIOR_ROWS = 10.0  # keeps a component of few dreams from collapsing
_CANDIDATES = 64  # for each chain's first state
_LARGEST_BLOCK = 32
_PRECISION_ELEMENTS, _MOST_CHAINS = 1 << 22, 4096  # at once: bounds memory
# Size of a walk, times sqrt(block): 2.4 is best for a Gaussian of many dimensions (Roberts,
# Gelman and Gilks, Annals of Applied Probability 7, 1997).
_SMALLEST_WALK, _LARGEST_WALK = 0.2, 4.0
# Measured on 200 dreams of digits, half of their values masked and drawn anew (an average of
# mixtures, 64 columns): after 100 moves they are 2.4 nats more surprising than before, after 530
# no longer, within the standard error of 0.5 nats.
_STEPS, _STEPS_PER_MISSING = 200, 10


def n_steps(n_missing: int) -> int:
    """Number of moves of a chain over ``n_missing`` coordinates."""
    return _STEPS + _STEPS_PER_MISSING * n_missing


@dataclass(frozen=True)
class Proposal:
    """The mixture q in standardised units, z = (x - mean) / scale, and its precisions P_k."""

    mixture: MixtureHead
    precisions: Array
    mean: Array
    scale: Array

    @classmethod
    def fit(cls, dreams: Array, seed: int) -> Proposal:
        """Fit q to dreams (n, n_features); the number of components is chosen on held-out ones."""
        mean, scale = np.median(dreams, axis=0), dreams.std(axis=0)
        potential = ((dreams - mean) / scale).T
        train, held_out = potential[:, _HELD_OUT:], potential[:, :_HELD_OUT]
        best = fit_mixture(train, 1, _PRIOR_ROWS, seed, max_iterations=_ITERATIONS)
        score, k = float(best.log_prob(held_out).mean()), 2
        while k <= _MAX_COMPONENTS:
            mixture = fit_mixture(train, k, _PRIOR_ROWS, seed, max_iterations=_ITERATIONS)
            new = float(mixture.log_prob(held_out).mean())
            if new <= score:
                break
            best, score, k = mixture, new, 2 * k
        return cls(best, np.linalg.inv(best.factors @ best.factors.mT), mean, scale)

    def log_prob(self, x: Array) -> Array:
        """Log q(x) of rows (n, n_features), up to a constant, shape (n,)."""
        joint = self.mixture.joint_log_prob((x - self.mean) / self.scale)
        return np.asarray(logsumexp(joint, axis=1))

    def conditional(self, x: Array, block: Array, valid: Array) -> Conditional:
        """The mixture q(x_B | x_-B) of each row of x (n, n_features).

        ``block`` (n, b) holds the coordinates B, padded where ``valid`` is false. With the
        precision P of a component and h = P (z - mu), z_B given z_-B has the precision A = P_BB and
        the mean z_B - A^-1 h_B.
        """
        z = (x - self.mean) / self.scale
        h = (z[None] - self.mixture.means[:, None]) @ self.precisions
        h = np.take_along_axis(h, block[None], axis=2) * valid
        a = self.precisions[:, block[:, :, None], block[:, None, :]]
        a = a * (valid[:, :, None] & valid[:, None, :])
        i = np.arange(block.shape[1])
        a[:, :, i, i] += ~valid
        factors = np.linalg.cholesky(a)
        y = np.linalg.solve(factors, h[..., None])[..., 0]
        # log q(k, z_-B) = log q(k, z) - log q(z_B | k, z_-B), up to a constant.
        log_det = np.log(factors[:, :, i, i]).sum(axis=2)
        log_weights = self.mixture.joint_log_prob(z).T - log_det + 0.5 * (y * y).sum(axis=2)
        return Conditional(log_weights, y, factors, np.where(valid, self.scale[block], 0.0))


@dataclass(frozen=True)
class Conditional:
    """The mixtures q(x_B | x_-B) of n rows: components k ~ exp(log_weights), unnormalised, (K, n).

    Each is N(z_B - L^-T y, (L L^T)^-1), with L in ``factors`` (K, n, b, b) and y in ``centres``
    (K, n, b); ``scale`` (n, b) turns z into x and is 0 where the block is padded.
    """

    log_weights: Array
    centres: Array
    factors: Array
    scale: Array

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw a component, and noise of its covariance: (mean - x_B, noise), each (n, b)."""
        k = np.argmax(self.log_weights + rng.gumbel(size=self.log_weights.shape), axis=0)
        rows = np.arange(len(k))
        noise = rng.standard_normal(self.scale.shape)
        both = np.stack([-self.centres[k, rows], noise], axis=2)
        both = np.linalg.solve(self.factors[k, rows].mT, both) * self.scale[..., None]
        return both[..., 0], both[..., 1]


def sample_missing(
    log_prob: Callable[[Array], Array],
    dream: Callable[[int], Array],
    rows: Array,
    n_samples: int,
    rng: np.random.Generator,
) -> Array:
    """Fill in the NaN of ``rows`` (n, n_features), ``n_samples`` times: (n_samples, n, n_features).

    ``log_prob`` gives log Phi of rows in batch and ``dream`` so many draws from Phi. One chain for
    each row and sample, so that the samples of a row are independent; its last state is the draw.

    Raises
    ------
    ValueError
        If ``n_samples`` is not an integer >= 1.
    """
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
        raise ValueError(f"argument `n_samples` must be an integer >= 1, but is {n_samples!r}")
    out = np.repeat(rows[None], n_samples, axis=0)
    missing = np.isnan(rows)
    whole = missing.all(axis=1)
    partly = np.flatnonzero(missing.any(axis=1) & ~whole)
    if whole.any():
        out[:, whole] = dream(n_samples * int(whole.sum())).reshape(n_samples, -1, rows.shape[1])
    if len(partly):
        # One BLAS thread: the sums, and so the draws, must not depend on how many there are.
        with single_threaded_blas():
            proposal = Proposal.fit(dream(N_DREAMS), int(rng.integers(2**31)))
            chains = out[:, partly].reshape(-1, rows.shape[1])
            # Chains with as many missing entries go together: they take as many steps.
            count = np.isnan(chains).sum(axis=1)
            order = np.argsort(count, kind="stable")
            each = proposal.mixture.n_components * int(count.max()) ** 2
            width = min(max(_PRECISION_ELEMENTS // each, 1), _MOST_CHAINS)
            for start in range(0, len(order), width):
                mine = order[start : start + width]
                chains[mine] = _run(log_prob, proposal, chains[mine], rng)
        out[:, partly] = chains.reshape(n_samples, len(partly), -1)
    return out


def _run(
    log_prob: Callable[[Array], Array], proposal: Proposal, chains: Array, rng: np.random.Generator
) -> Array:
    """Run every chain (n, n_features), NaN where missing, to its end."""
    missing = np.isnan(chains)
    count = missing.sum(axis=1)
    x = _start(log_prob, proposal, chains, missing, rng)
    log_phi, log_q = log_prob(x), proposal.log_prob(x)
    most = int(count.max())
    for step in range(n_steps(most)):
        b = _block_size(min(most, _LARGEST_BLOCK), rng)
        keys = np.where(missing, rng.random(missing.shape), 2.0)
        block = np.argsort(keys, axis=1)[:, :b]
        valid = np.arange(b) < count[:, None]
        shift, noise = proposal.conditional(x, block, valid).draw(rng)
        walk = step % 2 == 1
        sizes = _SMALLEST_WALK * (_LARGEST_WALK / _SMALLEST_WALK) ** rng.random((len(x), 1))
        move = sizes / np.sqrt(b) * noise if walk else shift + noise
        new = _moved(x, block, valid, move)
        new_phi, new_q = log_prob(new), proposal.log_prob(new)
        with np.errstate(invalid="ignore"):  # inf - inf: a comparison with NaN rejects
            ratio = new_phi - log_phi - (0.0 if walk else new_q - log_q)
        accepted = np.log(rng.random(len(x))) < ratio
        x[accepted] = new[accepted]
        log_phi[accepted], log_q[accepted] = new_phi[accepted], new_q[accepted]
    return x


def _block_size(largest: int, rng: np.random.Generator) -> int:
    """Sizes from 1 to ``largest``, evenly on a logarithmic scale."""
    return min(int(np.exp(rng.uniform(0.0, np.log(largest + 1)))), largest)


def _moved(x: Array, block: Array, valid: Array, move: Array) -> Array:
    """A copy of x with ``move`` added to the valid coordinates of each row's block."""
    new = x.copy()
    inside = np.take_along_axis(x, block, axis=1)
    np.put_along_axis(new, block, np.where(valid, inside + move, inside), axis=1)
    return new


def _start(
    log_prob: Callable[[Array], Array],
    proposal: Proposal,
    chains: Array,
    missing: Array,
    rng: np.random.Generator,
) -> Array:
    """First states: one of some draws from q(x_m | x_o), chosen with probability ~ Phi / q."""
    x = np.where(missing, proposal.mean, chains)
    count = missing.sum(axis=1)
    width = int(count.max())
    block = np.argsort(~missing, axis=1, kind="stable")[:, :width]  # all that is missing
    valid = np.arange(width) < count[:, None]
    out, best = x.copy(), np.full(len(x), -np.inf)
    conditional = proposal.conditional(x, block, valid)
    for _ in range(_CANDIDATES):
        shift, noise = conditional.draw(rng)
        new = _moved(x, block, valid, shift + noise)
        key = log_prob(new) - proposal.log_prob(new) + rng.gumbel(size=len(x))
        better = key > best
        out[better], best[better] = new[better], key[better]
    return out
