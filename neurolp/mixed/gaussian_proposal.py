"""A Gaussian mixture as a proposal for what is missing in tables of continuous columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.imputation import Conditional, Proposal

_ELEMENTS = 1 << 22  # of precisions at once


class GaussianProposal:
    """The mixture ``q`` as a density of rows of codes (n, n_columns).

    It is a density of the columns ``moving``; the others are constants of the code 0.
    """

    def __init__(self, q: Proposal, moving: Array) -> None:
        self._q, self._moving = q, moving

    def log_prob(self, values: Array) -> Array:
        """Log q of what is known in each row, nats, (n,)."""
        out = np.empty(len(values))
        log_scale = np.log(self._q.scale)
        for rows, missing, conditional in self._conditionals(values):
            count = missing.sum(axis=1)
            # What is missing has had its factor 1 / sqrt(2 pi) in the joint density.
            known = logsumexp(conditional.log_weights, axis=0) + 0.5 * count * np.log(2 * np.pi)
            out[rows] = known - np.where(missing, 0.0, log_scale).sum(axis=1)
        return out

    def log_conditional(self, rows: Array, missing: Array) -> Array:
        """Log q(x_m | x_o) of rows without NaN, nats, (n,)."""
        return self.log_prob(rows) - self.log_prob(np.where(missing, np.nan, rows))

    def draw(self, values: Array, rng: np.random.Generator) -> Array:
        """The rows with their NaN drawn given all others; constants are 0."""
        out = np.where(np.isnan(values), 0.0, values)
        for rows, missing, conditional in self._conditionals(values):
            shift, noise = conditional.draw(rng)
            filled = np.where(missing, self._q.mean, values[rows][:, self._moving])
            inside = np.take_along_axis(filled, self._block(missing), axis=1)
            np.put_along_axis(filled, self._block(missing), inside + shift + noise, axis=1)
            part = out[rows]
            part[:, self._moving] = filled
            out[rows] = part
        return out

    def _conditionals(self, values: Array) -> Iterator[tuple[slice, Array, Conditional]]:
        """Rows, what is missing in them (n, n_moving), and the mixtures of that given the rest."""
        most = int(np.isnan(values[:, self._moving]).sum(axis=1).max(initial=0))
        each = self._q.mixture.n_components * (max(most, 1) ** 2 + len(self._moving))
        step = max(_ELEMENTS // each, 1)
        for start in range(0, len(values), step):
            rows = slice(start, start + step)
            part = values[rows][:, self._moving]
            missing = np.isnan(part)
            block = self._block(missing)
            valid = np.arange(block.shape[1]) < missing.sum(axis=1)[:, None]
            filled = np.where(missing, self._q.mean, part)
            yield rows, missing, self._q.conditional(filled, block, valid)

    @staticmethod
    def _block(missing: Array) -> Array:
        """Positions of what is missing first, as many as the row with most has, at least one."""
        width = max(int(missing.sum(axis=1).max(initial=0)), 1)
        return np.argsort(~missing, axis=1, kind="stable")[:, :width]
