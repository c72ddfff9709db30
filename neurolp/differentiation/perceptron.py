"""Perceptrons of one shape, evaluated and differentiated together.

    h_0 = x,    h_l = tanh(h_{l-1} W_l + b_l),    o = h_L W + x S + b

Every member has its own parameters; the products run over all members in one call. With the
linear connection S, a linear model is a special case, used as the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Perceptron:
    """The shape of a perceptron; parameters are rows (n_members, ``size``) of an array.

    ``hidden`` are the sizes of the hidden layers, none of which are needed.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_outputs: int

    @property
    def size(self) -> int:
        """Number of parameters of one member."""
        return sum(int(np.prod(shape)) for shape in self._shapes())

    def views(self, parameters: Array) -> list[Array]:
        """W_1, b_1, ..., W, b, S as views of ``parameters`` (n_members, size).

        Matrices (n_members, from, to), biases (n_members, 1, to).
        """
        out, start = [], 0
        for shape in self._shapes():
            stop = start + int(np.prod(shape))
            out.append(parameters[:, start:stop].reshape(len(parameters), *shape))
            start = stop
        return out

    def matrices(self, parameters: Array) -> list[Array]:
        """W_1, ..., W, S as views of ``parameters`` (n_members, size): without the biases."""
        return self.views(parameters)[::2]

    def start(self, n_members: int, rng: np.random.Generator) -> Array:
        """Parameters (n_members, size) with random hidden layers, and zeros to the outputs."""
        parameters = np.zeros((n_members, self.size))
        views = self.views(parameters)
        for k in range(len(self.hidden)):
            weights, bias = views[2 * k : 2 * k + 2]
            weights[:] = rng.standard_normal(weights.shape) / np.sqrt(max(weights.shape[1], 1))
            bias[:] = rng.uniform(-1.0, 1.0, bias.shape)
        return parameters

    def forward(self, parameters: Array, x: Array) -> tuple[Array, list[Array]]:
        """Outputs (n_members, n_rows, n_outputs), and the layers h_0 ... h_L for :meth:`backward`.

        ``x`` is (n_members, n_rows, n_inputs), or (1, n_rows, n_inputs) if common to all.
        """
        *hidden, weights, bias, linear = self.views(parameters)
        layers = [x]
        for k in range(0, len(hidden), 2):
            h = layers[-1] @ hidden[k]
            h += hidden[k + 1]
            layers.append(np.tanh(h, out=h))
        out = layers[-1] @ weights
        out += bias
        out += x @ linear
        return out, layers

    def backward(self, parameters: Array, layers: list[Array], change: Array, out: Array) -> None:
        """Write the gradient of a loss into ``out`` (n_members, size).

        ``change`` (n_members, n_rows, n_outputs) is the derivative by the outputs, ``layers`` what
        :meth:`forward` gave for x of (n_members, n_rows, n_inputs).
        """
        *hidden, weights, _, _ = self.views(parameters)
        *slopes, d_weights, d_bias, d_linear = self.views(out)
        np.matmul(layers[0].mT, change, out=d_linear)
        np.matmul(layers[-1].mT, change, out=d_weights)
        np.sum(change, axis=1, keepdims=True, out=d_bias)
        change = change @ weights.mT
        for k in reversed(range(len(self.hidden))):
            h = layers[k + 1]
            change *= 1.0 - h * h
            np.matmul(layers[k].mT, change, out=slopes[2 * k])
            np.sum(change, axis=1, keepdims=True, out=slopes[2 * k + 1])
            if k:
                change = change @ hidden[2 * k].mT

    def _shapes(self) -> list[tuple[int, int]]:
        """Shapes of W_1, b_1, ..., W, b, S."""
        sizes = (self.n_inputs, *self.hidden, self.n_outputs)
        out = [shape for a, b in pairwise(sizes) for shape in ((a, b), (1, b))]
        return [*out, (self.n_inputs, self.n_outputs)]
