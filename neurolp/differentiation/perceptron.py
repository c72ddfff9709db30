"""Perceptrons of one shape: evaluated, differentiated and trained together.

    h_0 = x,    h_l = tanh(h_{l-1} W_l + b_l),    o = h_L W + x S + b

Every member has its own parameters; the products run over all members in one call. With the
linear connection S, a linear model is a special case, used as the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels.adam import adam_step
from neurolp.progress import report

# Outputs (..., n_outputs) and targets (...) -> losses (...) in nats, derivatives by the outputs.
Loss = Callable[[Array, Array], tuple[Array, Array]]

_LIMIT = 1e6  # of a parameter
_AVERAGE = 0.98  # share of itself that the running mean keeps in one step
_BLOCK_ROWS = 2048  # bounds memory
# Members stop within a few tens of passes, so a pass should not have too few steps. None of this is
# critical. Held-out log-likelihood (training and validation rows of split 0 in three folds; fresh
# draws of bimodal), in nats beside these batches, with standard errors: twice as many rows -0.006
# +- 0.002 on digits, +0.003 +- 0.001 on bimodal; 8 or 32 instead of the least, within 0.002 on
# diabetes, breast_cancer and wine (errors 0.001 to 0.004); 8 on bimodal -0.007 +- 0.002.
_STEPS, _SMALLEST_BATCH, _LARGEST_BATCH = 20, 16, 128


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
        return sum(prod(shape) for shape in self._shapes())

    def views(self, parameters: Array) -> list[Array]:
        """W_1, b_1, ..., W, b, S as views of ``parameters`` (n_members, size).

        Matrices (n_members, from, to), biases (n_members, 1, to).
        """
        out, start = [], 0
        for shape in self._shapes():
            stop = start + prod(shape)
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


@dataclass(frozen=True)
class TrainingConfig:
    """How the members are trained.

    ``rate`` is Adam's step of a weight; ``batch_size`` None stands for a size that suits the table.
    A member stops after ``max_epochs``, or after ``patience`` epochs without a lower validation
    loss.
    """

    rate: float = 3e-3
    batch_size: int | None = None
    max_epochs: int = 500
    patience: int = 20


def fit_members(
    network: Perceptron,
    start: Array,
    decay: Array,
    noise: Array,
    loss: Loss,
    inputs: Array,
    target: Array,
    train: Sequence[Array],
    validation: Sequence[Array],
    training: TrainingConfig,
    rng: np.random.Generator,
    groups: Array | None = None,
    give_up: float = np.inf,
) -> tuple[Array, Array]:
    """Parameters (n_members, size) of least validation loss, and that loss (n_members,).

    Every member lowers the mean loss on its own training rows from ``start`` (n_members, size), and
    keeps the running mean of its parameters that validates best, or the start.

    Member r minimises

        sum_{i in train_r} loss_i + decay_r / 2 |W - W_start|^2,

    where W are the weights without the biases: a normal prior around the start, of a variance that
    does not depend on the number of rows. While training, its inputs get fresh normal noise of
    standard deviation ``noise`` (n_members,), which makes the outputs smooth (C. M. Bishop,
    "Training with noise is equivalent to Tikhonov regularization", Neural Computation 7, 1995).

    ``inputs`` (n, n_inputs), ``target`` (n,); ``train``, ``validation`` row numbers of each member;
    ``decay`` (n_members,). The work is done in the precision of ``start``. With ``groups``
    (n_members,), numbers 0, 1, ..., a group stops whose mean loss is more than ``give_up`` nats
    above the least of all, once ``patience`` epochs have passed.
    """
    inputs = np.ascontiguousarray(inputs, dtype=start.dtype)
    if target.dtype.kind == "f":
        target = target.astype(start.dtype)
    n_train = min(len(rows) for rows in train)
    batch = training.batch_size or min(max(n_train // _STEPS, _SMALLEST_BATCH), _LARGEST_BATCH)
    batch = min(batch, n_train)
    n_batches = n_train // batch
    pull = np.zeros_like(start)  # the second derivative of the penalty: none for biases
    for view in network.matrices(pull):
        view[:] = (decay / n_train)[:, None, None]
    best, epochs = start.copy(), np.zeros(len(start), dtype=np.int64)
    losses = _losses(network, start, loss, inputs, target, validation)
    noise, noisy = noise.astype(start.dtype)[:, None, None], bool(np.any(noise > 0))
    active = np.arange(len(start))
    now, average = start.copy(), start.copy()
    first, second, gradient = np.zeros_like(now), np.zeros_like(now), np.empty_like(now)
    count = 0
    for epoch in range(1, training.max_epochs + 1):
        orders = np.stack([rng.permutation(train[int(r)])[: n_batches * batch] for r in active])
        for rows in np.split(orders, n_batches, axis=1):
            x = inputs[rows]
            if noisy:
                x += noise[active] * rng.standard_normal(x.shape, dtype=start.dtype)
            outputs, layers = network.forward(now, x)
            change = loss(outputs, target[rows])[1]
            change /= batch
            network.backward(now, layers, change, gradient)
            gradient += pull[active] * (now - start[active])
            count += 1
            adam_step(
                gradient.reshape(-1),
                training.rate,
                0.0,
                count,
                min(_AVERAGE, count / (count + 1.0)),
                _LIMIT,
                first.reshape(-1),
                second.reshape(-1),
                average.reshape(-1),
                now.reshape(-1),
            )
        new = _losses(network, average, loss, inputs, target, [validation[int(r)] for r in active])
        better = new < losses[active]
        found = active[better]
        best[found], losses[found], epochs[found] = average[better], new[better], epoch
        going = epoch - epochs[active] < training.patience
        message = f"mean held-out loss {losses.mean():.4f} nats, {going.sum()} members"
        report(message, epoch, training.max_epochs, "epoch")
        if groups is not None and epoch >= training.patience:
            mean = np.bincount(groups, losses) / np.bincount(groups)
            going &= (mean <= mean.min() + give_up)[groups[active]]
        if not going.any():
            break
        if not going.all():
            active = active[going]
            now, average, first, second = (v[going] for v in (now, average, first, second))
            gradient = np.empty_like(now)
    return best.astype(np.float64), losses


def _losses(
    network: Perceptron,
    parameters: Array,
    loss: Loss,
    inputs: Array,
    target: Array,
    validation: Sequence[Array],
) -> Array:
    """Mean loss of every member on its validation rows, (n_members,)."""
    out = np.zeros(len(validation))
    for r, rows in enumerate(validation):
        for k in range(0, len(rows), _BLOCK_ROWS):
            block = rows[None, k : k + _BLOCK_ROWS]
            outputs, _ = network.forward(parameters[r : r + 1], inputs[block])
            out[r] += loss(outputs, target[block])[0].sum(dtype=np.float64)
        out[r] /= len(rows)
    return out
