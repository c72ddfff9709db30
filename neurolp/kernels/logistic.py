"""The loss of yes/no answers with given log-odds, and its derivatives."""

from __future__ import annotations

from math import log

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel
from neurolp.kernels.exponential import exponential

_LARGEST_EXPONENT = 60.0  # eleven factors stay below the largest number


@kernel
def log_loss(score: Array, answer: Array, times: Array) -> float:
    """Sum of -times log p(answer), nats, for p(1) = 1 / (1 + exp(-score)); all (n,)."""
    n, total = score.shape[0], 0.0
    factor = np.empty(n)
    for r in range(n):
        z = -score[r] if answer[r] else score[r]
        factor[r] = 1.0 + exponential(min(max(z, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))
    for first in range(0, n, 8):
        product, last = 1.0, min(first + 8, n)
        for r in range(first, last):
            if times[r] != 1.0:
                total += times[r] * log(factor[r])
            else:
                product *= factor[r]
        total += log(product)
    return total


@kernel
def derivatives(score: Array, answer: Array, gradient: Array, hessian: Array) -> None:
    """First and second derivatives of ``log_loss``, sigma(F) - y and sigma(F) (1 - sigma(F))."""
    for r in range(score.shape[0]):
        z = min(max(-score[r], -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
        p = 1.0 / (1.0 + exponential(z))
        gradient[r] = p - answer[r]
        hessian[r] = p * (1.0 - p)
