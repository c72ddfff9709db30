"""One density of a table of any columns: an average of constructions, and what is asked of it.

    Phi(x) = sum_c w_c Phi_c(x),    sum_c w_c = 1,

with weights of greatest likelihood on validation rows; see :class:`TableModel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from neurolp.arrays import Array
from neurolp.brain.heads.head import stacking_weights
from neurolp.brain.imputation import N_DREAMS, sample_missing
from neurolp.brain.imputation import Proposal as GaussianMixture
from neurolp.data.columns import Columns
from neurolp.estimators.triangular_table import TriangularTable
from neurolp.mixed.average import CellAverage, CellScores, ExactCells
from neurolp.mixed.gaussian_proposal import GaussianProposal
from neurolp.mixed.holes import N_DRAWS, Proposal, draw_missing, log_marginal

_ROWS_AT_ONCE = 1 << 16
_FARTHEST = 1e100  # standard deviations; beyond them squares are soon no numbers
_PRIOR_ROWS = 0.5  # keeps weights from vanishing
_LEAST_WEIGHT = 0.02  # of a construction that is kept
_WEIGHING_ROWS, _WEIGHING_DRAWS = 1000, 16  # rows with holes that are weighed by, draws for each


class Construction(Protocol):
    """A normalised density of rows of codes (n, n_columns) without NaN."""

    def log_prob(self, codes: Array, cells: CellScores | None) -> Array:
        """Log Phi_c, nats, (n,); ``cells`` are the scores of the same rows."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Codes (n, n_columns) of draws; of constants they are 0."""
        ...


@dataclass(frozen=True)
class CellConstruction:
    """The average of the models of cells (``neurolp.mixed``)."""

    cells: CellAverage

    def log_prob(self, codes: Array, cells: CellScores | None) -> Array:
        """Log Phi of the law of all columns, nats, (n,)."""
        scores = CellScores(self.cells, codes) if cells is None else cells
        return scores.log_prob("all")

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draws, (n, n_columns)."""
        return self.cells.sample(n, rng)


@dataclass(frozen=True)
class TriangularConstruction:
    """P(nominal columns) of the cells, times a triangular map of the others given those."""

    table: TriangularTable
    cells: CellAverage | None
    n_threads: int | None = None

    def log_prob(self, codes: Array, cells: CellScores | None) -> Array:
        """Log Phi, nats, (n,); -inf where it is below all numbers."""
        valued = [axis is not None for axis in self.table.axes]
        with np.errstate(over="ignore"):
            distance = np.abs((codes - self.table.mean) / self.table.scale)[:, valued]
        near = np.all(distance < _FARTHEST, axis=1)
        out = np.full(len(codes), -np.inf)
        if near.any():
            out[near] = self.table.log_prob(codes[near], n_threads=self.n_threads)
        return out if cells is None else out + cells.log_prob("nominal")

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draws, (n, n_columns)."""
        codes = np.full((n, len(self.table.axes)), np.nan)
        if self.cells is not None:
            codes = self.cells.sample(n, rng, "nominal")
        drawn, _ = self.table.draw(codes, rng, n_threads=self.n_threads)
        return np.where(np.isnan(drawn), 0.0, drawn)  # constants


@dataclass(frozen=True)
class TableModel:
    """The average of ``constructions``, with ``weights`` (n_constructions,) of sum 1.

    ``columns`` say which values have a probability at all. ``cells`` are None where all columns
    but constants are continuous, without atoms or holes.
    """

    columns: Columns
    constructions: tuple[Construction, ...]
    weights: Array
    cells: CellAverage | None

    def joint(self, codes: Array) -> Array:
        """Log Phi_c of codes without NaN, nats, (n_constructions, n)."""
        out = np.empty((len(self.constructions), len(codes)))
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            cells = None if self.cells is None else CellScores(self.cells, codes[rows])
            for c, construction in enumerate(self.constructions):
                out[c, rows] = construction.log_prob(codes[rows], cells)
        return out

    def log_prob(self, codes: Array) -> Array:
        """Log Phi of codes without NaN, nats, (n,); -inf for what a column cannot have."""
        out = np.full(len(codes), -np.inf)
        possible = self.columns.supported(codes).all(axis=1)
        if possible.any():
            joint = self.joint(codes[possible])
            out[possible] = logsumexp(joint + np.log(self.weights)[:, None], axis=0)
        return out

    def log_marginal(
        self, codes: Array, rng: np.random.Generator, n_draws: int = N_DRAWS
    ) -> tuple[Array, Array]:
        """Log Phi of what is known in each row, and its standard error, nats, (n,) each."""
        if not np.isnan(codes).any():
            return self.log_prob(codes), np.zeros(len(codes))
        out, error = np.full(len(codes), -np.inf), np.zeros(len(codes))
        rows = np.flatnonzero(self.columns.supported(codes).all(axis=1))
        known = self._constants_known(codes[rows])
        out[rows], error[rows] = log_marginal(self.log_prob, self.proposal, known, rng, n_draws)
        return out, error

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Codes (n, n_columns) of draws."""
        chosen = rng.choice(len(self.weights), n, p=self.weights)
        out = np.empty((n, len(self.columns)))
        for c, construction in enumerate(self.constructions):
            mine = np.flatnonzero(chosen == c)
            if len(mine):
                out[mine] = construction.sample(len(mine), rng)
        return out

    def draw_missing(self, codes: Array, n_samples: int, rng: np.random.Generator) -> Array:
        """Draws of what is missing given what is known, (n_samples, n, n_columns)."""
        codes = self._constants_known(codes)
        if self.cells is not None:
            every = np.tile(codes, (n_samples, 1))
            whole = np.isnan(every).all(axis=1)
            every[whole] = self.sample(int(whole.sum()), rng)
            return draw_missing(self.log_prob, self.proposal, every, rng).reshape(
                n_samples, *codes.shape
            )
        moving = self._moving

        def log_prob(rows: Array) -> Array:
            return self.log_prob(self._with_constants(rows))

        def dream(n: int) -> Array:
            return self.sample(n, rng)[:, moving]

        out = np.zeros((n_samples, *codes.shape))
        out[:, :, moving] = sample_missing(log_prob, dream, codes[:, moving], n_samples, rng)
        return out

    @cached_property
    def proposal(self) -> Proposal:
        """What draws missing values for marginals: its own marginals are exact."""
        if self.cells is not None:
            return ExactCells(self.cells)
        dreams = self.sample(N_DREAMS, np.random.default_rng(0))[:, self._moving]
        return GaussianProposal(GaussianMixture.fit(dreams, 0), self._moving)

    @property
    def _moving(self) -> Array:
        """Positions of all columns but constants."""
        return np.flatnonzero([kind != "constant" for kind in self.columns.kinds])

    def _with_constants(self, rows: Array) -> Array:
        out = np.zeros((len(rows), len(self.columns)))
        out[:, self._moving] = rows
        return out

    def _constants_known(self, codes: Array) -> Array:
        """Codes with the constants that are missing; but rows wholly missing stay so."""
        constant = np.array([kind == "constant" for kind in self.columns.kinds])
        missing = np.isnan(codes)
        whole = missing[:, ~constant].all(axis=1, keepdims=True)
        return np.where(whole, np.nan, np.where(missing & constant, 0.0, codes))


def weighed(
    columns: Columns,
    constructions: Mapping[str, Construction],
    cells: CellAverage | None,
    validation: Array,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Weights by name of greatest likelihood of validation codes; without the useless.

    Rows with holes count by their marginals, of which each construction has its own.
    """
    if len(constructions) == 1:
        return dict.fromkeys(constructions, 1.0)
    equal = np.full(len(constructions), 1.0 / len(constructions))
    model = TableModel(columns, tuple(constructions.values()), equal, cells)
    rows = validation[columns.supported(validation).all(axis=1)]
    if not len(rows):  # none of them says anything
        return {name: 1.0 / len(constructions) for name in constructions}
    holes = np.isnan(rows).any(axis=1)
    parts = [model.joint(rows[~holes])] if not holes.all() else []
    if holes.any():
        some = rows[holes][:_WEIGHING_ROWS]
        every = np.repeat(some, _WEIGHING_DRAWS, axis=0)
        drawn = model.proposal.draw(every, rng)
        ratio = model.joint(drawn) - model.proposal.log_conditional(drawn, np.isnan(every))
        shape = (len(constructions), len(some), _WEIGHING_DRAWS)
        parts.append(logsumexp(ratio.reshape(shape), axis=2))
    weights = stacking_weights(np.hstack(parts), prior=_PRIOR_ROWS, n_steps=1000)
    kept = weights >= _LEAST_WEIGHT
    weights = np.where(kept, weights, 0.0) / weights[kept].sum()
    return {name: float(w) for name, w in zip(constructions, weights, strict=True) if w > 0}


def stacking_gain(one: Array, other: Array) -> float:
    """Nats per row that the best average of two log-densities (n,) gains over the first."""
    both = np.stack([one, other])
    weights = stacking_weights(both, prior=_PRIOR_ROWS, n_steps=1000)
    with np.errstate(divide="ignore"):
        joint = logsumexp(both + np.log(weights)[:, None], axis=0)
    return float(np.mean(joint - one))
