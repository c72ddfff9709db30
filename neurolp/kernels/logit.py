"""Logistic regression with a quadratic penalty, by Newton's method."""

from __future__ import annotations

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel
from neurolp.kernels.logistic import derivatives, log_loss

_MOST_STEPS, _HALVINGS, _TOLERANCE = 15, 8, 1e-4  # nats of all rows together


@kernel
def add_products(inputs: Array, rows: Array, weights: Array, score: Array) -> None:
    """Add ``inputs[rows] @ weights`` to ``score`` (n,); the inputs are as many first ones."""
    for i in range(rows.shape[0]):
        total = 0.0
        for f in range(weights.shape[0]):
            total += inputs[rows[i], f] * weights[f]
        score[i] += total


@kernel
def _slopes(
    inputs: Array, rows: Array, gradient: Array, hessian: Array, slope: Array, curvature: Array
) -> None:
    """First and second derivatives of the loss by the weights; the lower half of the latter."""
    n_inputs = slope.shape[0]
    slope[:] = 0.0
    curvature[:] = 0.0
    for i in range(rows.shape[0]):
        z = inputs[rows[i]]
        for f in range(n_inputs):
            if z[f] == 0.0:
                continue
            slope[f] += gradient[i] * z[f]
            scaled = hessian[i] * z[f]
            for g in range(f + 1):
                curvature[f, g] += scaled * z[g]


@kernel
def fit_logit(
    inputs: Array, rows: Array, answer: Array, start: float, ridge: float, weights: Array
) -> None:
    """Minimise sum_i log(1 + exp(-s_i F_i)) + ridge / 2 |w|^2 over ``weights`` w, from those given.

    F = start + inputs[rows] @ w; s_i is 1 where ``answer`` (n,) is 1, and else -1. The inputs are
    the first ones, as many as weights.
    """
    n, n_inputs = rows.shape[0], weights.shape[0]
    score, trial, once = np.full(n, start), np.empty(n), np.ones(n)
    add_products(inputs, rows, weights, score)
    gradient, hessian = np.empty(n), np.empty(n)
    slope, curvature = np.empty(n_inputs), np.empty((n_inputs, n_inputs))
    loss = log_loss(score, answer, once) + 0.5 * ridge * np.sum(weights * weights)
    for _ in range(_MOST_STEPS):
        derivatives(score, answer, gradient, hessian)
        _slopes(inputs, rows, gradient, hessian, slope, curvature)
        for f in range(n_inputs):
            slope[f] += ridge * weights[f]
            curvature[f, f] += ridge
            for g in range(f):
                curvature[g, f] = curvature[f, g]
        step = np.linalg.solve(curvature, slope)
        scale, before = 1.0, loss
        for _ in range(_HALVINGS):
            moved = weights - scale * step
            trial[:] = start
            add_products(inputs, rows, moved, trial)
            new = log_loss(trial, answer, once) + 0.5 * ridge * np.sum(moved * moved)
            if new < loss:
                loss = new
                weights[:] = moved
                score[:] = trial
                break
            scale *= 0.5
        if before - loss < _TOLERANCE:
            break


@kernel
def choose_logit(
    inputs: Array,
    rows: Array,
    validation: Array,
    answer: Array,
    start: float,
    ridges: Array,
    least_gain: float,
    weights: Array,
) -> float:
    """Set ``weights`` to those of :func:`fit_logit` with the ridge of least validation loss.

    ``answer`` is that of all rows of ``inputs``. ``ridges`` fall; the search ends where the loss on
    the rows ``validation`` rises. Returns that ridge; 0, and zero weights, where the loss is not
    ``least_gain`` nats less than without inputs.
    """
    mine, truth = answer[rows], answer[validation]
    held_out, once = np.full(validation.shape[0], start), np.ones(validation.shape[0])
    first = log_loss(held_out, truth, once)
    best, chosen = first, 0.0
    current = np.zeros(weights.shape[0])
    weights[:] = 0.0
    for ridge in ridges:
        fit_logit(inputs, rows, mine, start, ridge, current)
        held_out[:] = start
        add_products(inputs, validation, current, held_out)
        loss = log_loss(held_out, truth, once)
        if loss >= best:
            break
        best, chosen = loss, ridge
        weights[:] = current
    if first - best < least_gain:
        weights[:] = 0.0
        return 0.0
    return chosen
