"""One step of Adam on an array of parameters, in one pass over memory."""

from __future__ import annotations

from math import sqrt

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel


@kernel
def adam_step(
    gradient: Array,
    rate: float,
    forget: float,
    count: int,
    keep: float,
    limit: float,
    first: Array,
    second: Array,
    average: Array,
    parameter: Array,
) -> None:
    """Step number ``count`` = 1, 2, ... of flat arrays, in place.

    m <- 0.9 m + 0.1 g,  s <- 0.99 s + 0.01 g^2, both corrected for their start at zero;
    p <- (1 - forget) p - rate m / (sqrt(s) + 1e-8), kept within +- limit;
    average <- keep average + (1 - keep) p.
    Source: Kingma and Ba, arXiv:1412.6980; decay apart from the gradient as in arXiv:1711.05101.
    """
    start_first = 1.0 / (1.0 - 0.9**count)
    start_second = 1.0 / (1.0 - 0.99**count)
    for k in range(np.uint64(parameter.shape[0])):
        g = gradient[k]
        m = 0.9 * first[k] + 0.1 * g
        s = 0.99 * second[k] + 0.01 * g * g
        first[k] = m
        second[k] = s
        step = rate * m * start_first / (sqrt(s * start_second) + 1e-8)
        p = min(max((1.0 - forget) * parameter[k] - step, -limit), limit)
        parameter[k] = p
        average[k] = keep * average[k] + (1.0 - keep) * p
