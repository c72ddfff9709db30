"""Peers of the benchmark of tables: independent marginals and Chow-Liu trees of mixed rows."""

from typing import Any

import numpy as np
from scipy.special import log_ndtr, logsumexp
from table_peers import Part, Parts, Products, finite_mean, fit_products

from neurolp.data.columns import Columns

Array = np.ndarray[Any, Any]


class Marginal:
    """Density of one column of numbers: normals on a scale, and frequencies of values on a grid.

    On a grid the mass of a value is (1 - blend) its frequency + blend that of the normals. All is
    chosen on validation.
    """

    def __init__(self, x: Array, valid: Array, part: Part, seed: int) -> None:
        known, held_out = (v[~np.isnan(v)][:, None] for v in (x, valid))
        one = [Part(0, 0, part.step, part.origin)]
        best: tuple[float, Any] = (-np.inf, None)
        for powers in (False, True):
            highest, waiting = -np.inf, 0
            for n_classes in (1, 2, 4, 8, 16, 32):
                model = fit_products(known, held_out, one, n_classes, powers, seed)
                score = float(model.log_prob(held_out).mean())
                if score > best[0]:
                    best = (score, model)
                waiting = 0 if score > highest + 1e-3 else waiting + 1
                highest = max(score, highest)
                if waiting == 2:
                    break
        self.normals: Products = best[1]
        self.values, counts = np.unique(known, return_counts=True)
        self.frequency, self.blend = counts / counts.sum(), 1.0
        if part.step:
            smooth = np.exp(self.normals.log_prob(held_out))
            empirical = self._frequency(held_out[:, 0])
            blends = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
            scores = [np.log((1 - b) * empirical + b * smooth).mean() for b in blends]
            self.blend = blends[int(np.argmax(scores))]

    def _frequency(self, x: Array) -> Array:
        place = np.minimum(np.searchsorted(self.values, x), len(self.values) - 1)
        return np.where(self.values[place] == x, self.frequency[place], 0.0)

    def log_prob(self, x: Array) -> Array:
        """Log p of numbers (n,), none missing."""
        smooth = self.normals.log_prob(x[:, None])
        if self.blend == 1:
            return smooth
        return np.log((1 - self.blend) * self._frequency(x) + self.blend * np.exp(smooth))

    def below(self, edges: Array) -> Array:
        """P(x <= edge), edges between the values of a grid."""
        scale = self.normals.scales[0]
        z = scale.to_line(edges)[:, None] - self.normals.mean[0]
        log_below = log_ndtr(z / np.sqrt(self.normals.variance[0])) + self.normals.log_weight
        normal = np.exp(logsumexp(log_below, axis=1))
        up_to = np.append(0.0, np.cumsum(self.frequency))
        counted = up_to[np.searchsorted(self.values, edges, side="right")]
        return (1 - self.blend) * counted + self.blend * normal


class Marginals:
    """Independent columns."""

    setting = ""

    def __init__(self, columns: Columns, train: Array, valid: Array, seed: int) -> None:
        self.parts = Parts(columns, train, 12)
        x, _ = self.parts.split(train)
        held_out, _ = self.parts.split(valid)
        self.log_theta: dict[int, Array] = {}
        self.marginal: dict[int, Marginal] = {}
        for p, part in enumerate(self.parts.parts):
            known = x[~np.isnan(x[:, p]), p]
            if part.n_symbols:
                counts = np.bincount(known.astype(np.int64), minlength=part.n_symbols) + 0.5
                self.log_theta[p] = np.log(counts / counts.sum())
            else:
                self.marginal[p] = Marginal(x[:, p], held_out[:, p], part, seed)

    def score(self, codes: Array) -> Array:
        """Log p of rows, nats."""
        x, out = self.parts.split(codes)
        for p, part in enumerate(self.parts.parts):
            known = np.flatnonzero(~np.isnan(x[:, p]))
            v = x[known, p]
            if part.n_symbols:
                out[known] += self.log_theta[p][v.astype(np.int64)]
            else:
                out[known] += self.marginal[p].log_prob(v)
        return out


class ChowLiu:
    """A tree over bins, one node a column; inside a bin numbers follow their marginal."""

    def __init__(self, marginals: Marginals, train: Array, n_bins: int) -> None:
        self.marginals = marginals
        self.edges: dict[int, Array] = {}
        self.log_bin: dict[int, Array] = {}
        parts = marginals.parts
        x, _ = parts.split(train)
        self.nodes: list[list[int]] = [[p for p, part in enumerate(parts.parts) if part.column == j]
                                       for j in range(len(parts.columns))]  # fmt: skip
        self.nodes = [node for node in self.nodes if node]
        for p, part in enumerate(parts.parts):
            if part.n_symbols:
                continue
            known = np.sort(x[~np.isnan(x[:, p]), p])
            edges = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins, method="lower"))
            edges = edges[edges < known[-1]] if len(known) else edges
            edges = edges + part.step / 2 if part.step else edges
            up_to = np.concatenate([[0.0], marginals.marginal[p].below(edges), [1.0]])
            self.edges[p] = edges
            self.log_bin[p] = np.log(np.maximum(np.diff(up_to), 1e-300))
        cells = self.cells(x)[0]
        self.sizes = [self._size(node) for node in self.nodes]
        each = zip(cells.T, self.sizes, strict=True)
        self.counts = [np.bincount(c[c >= 0], minlength=size) for c, size in each]
        self._span(cells)

    def _size(self, node: list[int]) -> int:
        symbols = sum(self.marginals.parts.parts[p].n_symbols for p in node)
        bins = sum(len(self.edges[p]) + 1 for p in node if p in self.edges)
        return symbols + bins - (len(node) > 1)

    def cells(self, x: Array) -> tuple[Array, Array]:
        """Bins (n, n_nodes), -1 where missing, and log p of the numbers in their bins (n,)."""
        cells, inside = np.full((len(x), len(self.nodes)), -1), np.zeros(len(x))
        for k, node in enumerate(self.nodes):
            first = 0
            for p in node:
                known = np.flatnonzero(~np.isnan(x[:, p]))
                v = x[known, p]
                if p not in self.edges:
                    cells[known, k] = v.astype(np.int64)
                    first = self.marginals.parts.parts[p].n_symbols - 1
                    continue
                place = np.searchsorted(self.edges[p], v, side="left")
                cells[known, k] = first + place
                inside[known] += self.marginals.marginal[p].log_prob(v) - self.log_bin[p][place]
        return cells, inside

    def _span(self, cells: Array) -> None:
        """Parents of the spanning tree of largest mutual information."""
        n = len(self.nodes)
        hot = [np.eye(k + 1)[c][:, :k] for c, k in zip(cells.T, self.sizes, strict=True)]
        information = np.full((n, n), -np.inf)
        self.joint: dict[tuple[int, int], Array] = {}
        for i in range(n):
            for j in range(i):
                counts = hot[i].T @ hot[j]
                self.joint[i, j], self.joint[j, i] = counts, counts.T
                p = (counts + 0.5 / counts.size) / (counts.sum() + 0.5)
                mutual = np.sum(p * np.log(p / p.sum(1, keepdims=True) / p.sum(0)))
                information[i, j] = information[j, i] = mutual
        self.order, self.parent = [0], {0: -1}
        while len(self.order) < n:
            left = [k for k in range(n) if k not in self.parent]
            block = information[np.ix_(self.order, left)]
            a, b = np.unravel_index(int(np.argmax(block)), block.shape)
            self.parent[left[b]] = self.order[a]
            self.order.append(left[b])

    def smooth(self, prior: float) -> "ChowLiu":
        """Log P(c_j | c_parent), each row with ``prior`` rows of the marginal."""
        self.prior = prior
        self.log_table = {}
        for k in self.order:
            marginal = (self.counts[k] + 0.5) / (self.counts[k] + 0.5).sum()
            p = self.parent[k]
            counts = (self.joint[p, k] if p >= 0 else self.counts[k][None]) + prior * marginal
            self.log_table[k] = np.log(counts / counts.sum(axis=1, keepdims=True))
        return self

    @property
    def setting(self) -> str:
        """Bins of the largest node, and prior rows."""
        return f"{max(self.sizes)} bins, prior {self.prior:g}"

    def score(self, codes: Array) -> Array:
        """Log p of rows, nats; missing cells are summed over by messages to the root."""
        x, out = self.marginals.parts.split(codes)
        cells, inside = self.cells(x)
        message = [np.zeros((len(x), k)) for k in self.sizes]
        for k in reversed(self.order):
            up = message[k]
            known = np.flatnonzero(cells[:, k] >= 0)
            only = np.full((len(known), self.sizes[k]), -np.inf)
            only[np.arange(len(known)), cells[known, k]] = up[known, cells[known, k]]
            up[known] = only
            top = up.max(axis=1, keepdims=True)
            sent = top + np.log(np.maximum(np.exp(up - top) @ np.exp(self.log_table[k]).T, 1e-300))
            if self.parent[k] < 0:
                out = out + sent[:, 0]
            else:
                message[self.parent[k]] += sent
        return out + inside


def fit_tree(marginals: Marginals, train: Array, valid: Array) -> ChowLiu:
    """Numbers of bins and prior rows by validation."""
    tried = []
    for n_bins in (4, 8, 16, 32, 64):
        tree = ChowLiu(marginals, train, n_bins)
        for prior in (0.5, 2.0, 8.0, 32.0):
            tried.append((finite_mean(tree.smooth(prior).score(valid)), n_bins, prior))
    _, n_bins, prior = max(tried)
    return ChowLiu(marginals, train, n_bins).smooth(prior)
