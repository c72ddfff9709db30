"""Training of many perceptrons at once: Adam on small batches, decay, early stopping of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurolp.differentiation.perceptron import Perceptron
from neurolp.kernels.adam import adam_step

Array = npt.NDArray[Any]
# Outputs (..., n_outputs) and targets (...) -> losses (...) in nats, derivatives by the outputs.
Loss = Callable[[Array, Array], tuple[Array, Array]]

_LIMIT = 1e6  # of a parameter
_BLOCK_ROWS = 2048  # bounds memory
# Members stop within a few tens of passes, so a pass should not have too few steps. None of this is
# critical. Held-out log-likelihood (training and validation rows of split 0 in three folds; fresh
# draws of bimodal), in nats beside these batches, with standard errors: twice as many rows -0.006
# +- 0.002 on digits, +0.003 +- 0.001 on bimodal; 8 or 32 instead of the least, within 0.002 on
# diabetes, breast_cancer and wine (errors 0.001 to 0.004); 8 on bimodal -0.007 +- 0.002.
_STEPS, _SMALLEST_BATCH, _LARGEST_BATCH = 20, 16, 128


@dataclass(frozen=True)
class TrainingConfig:
    """How the members are trained.

    ``rate`` is Adam's step of a weight; ``batch_size`` 0 stands for a size that suits the table. A
    member stops after ``max_epochs``, or after ``patience`` epochs without a lower validation loss.
    Validated and kept is the running mean of the parameters, which keeps the share ``average`` of
    itself in one step.
    """

    rate: float = 3e-3
    batch_size: int = 0
    max_epochs: int = 500
    patience: int = 20
    average: float = 0.98


@dataclass(frozen=True)
class Members:
    """Parameters (n_members, size) of least validation loss, that loss, and its epoch.

    Epoch 0 is the start: no member ends with a higher validation loss than it had there.
    """

    parameters: Array
    losses: Array
    epochs: Array


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
) -> Members:
    """Lower every member's mean loss on its own training rows, from ``start`` (n_members, size).

    Member r minimises

        sum_{i in train_r} loss_i + decay_r / 2 |W - W_start|^2,

    where W are the weights without the biases: a normal prior around the start, of a variance that
    does not depend on the number of rows. While training, its inputs get fresh normal noise of
    standard deviation ``noise`` (n_members,), which makes the outputs smooth (C. M. Bishop,
    "Training with noise is equivalent to Tikhonov regularization", Neural Computation 7, 1995).

    ``inputs`` (n, n_inputs), ``target`` (n,); ``train``, ``validation`` row numbers of each member;
    ``decay`` (n_members,). The work is done in the precision of ``start``.
    """
    inputs = np.ascontiguousarray(inputs, dtype=start.dtype)
    if target.dtype.kind == "f":
        target = target.astype(start.dtype)
    n_train = min(len(rows) for rows in train)
    batch = training.batch_size or min(max(n_train // _STEPS, _SMALLEST_BATCH), _LARGEST_BATCH)
    batch = min(batch, n_train)
    n_batches = n_train // batch
    pull = _pull(network, decay / n_train, start.dtype)
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
                min(training.average, count / (count + 1.0)),
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
        if not going.any():
            break
        if not going.all():
            active = active[going]
            now, average, first, second = (v[going] for v in (now, average, first, second))
            gradient = np.empty_like(now)
    return Members(best.astype(np.float64), losses, epochs)


def _pull(network: Perceptron, strength: Array, dtype: np.dtype[Any]) -> Array:
    """Second derivative of the penalty by every parameter, (n_members, size): none for biases."""
    out = np.zeros((len(strength), network.size), dtype=dtype)
    for view in network.matrices(out):
        view[:] = strength[:, None, None]
    return out


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
