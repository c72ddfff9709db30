"""Passes over weights and nodes: learning and reading in one, at the speed of memory."""

from __future__ import annotations

from math import exp

import numpy as np

from neurolp.arrays import Array
from neurolp.kernels._jit import kernel, ordered_kernel, vector_kernel

_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
_SHIFT = 6755399441055744.0


@vector_kernel
def fused_pass(
    weights: Array, post: Array, trace: Array, activity: Array, out: Array, turn: bool
) -> None:
    """W <- W + post trace', and out = W h, four rows together.

    Sides are multiples of four. Four rows share what is read of trace and activity: one pass costs
    what reading and writing W costs. A pass that turns round begins with the last rows, which are
    in the cache still if the pass before ended with them; rows do not depend on that.
    """
    n = activity.shape[0]
    for k in range(0, n, 4):
        i = n - 4 - k if turn else k
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        pa, pb, pc, pd = post[i], post[i + 1], post[i + 2], post[i + 3]
        sa = sb = sc = sd = activity.dtype.type(0)
        for j in range(n):
            t, h = trace[j], activity[j]
            wa, wb, wc, wd = a[j] + pa * t, b[j] + pb * t, c[j] + pc * t, d[j] + pd * t
            a[j], b[j], c[j], d[j] = wa, wb, wc, wd
            sa += wa * h
            sb += wb * h
            sc += wc * h
            sd += wd * h
        out[i], out[i + 1], out[i + 2], out[i + 3] = sa, sb, sc, sd


@vector_kernel
def read_pass(weights: Array, activity: Array, out: Array) -> None:
    """Read out = W h of weights that do not learn."""
    n = activity.shape[0]
    for i in range(0, n, 4):
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        sa = sb = sc = sd = activity.dtype.type(0)
        for j in range(n):
            h = activity[j]
            sa += a[j] * h
            sb += b[j] * h
            sc += c[j] * h
            sd += d[j] * h
        out[i], out[i + 1], out[i + 2], out[i + 3] = sa, sb, sc, sd


@kernel
def sparse_pass(
    first: Array, source: Array, weight: Array, post: Array, trace: Array, act: Array,
    pairs: Array, out: Array,
) -> None:  # fmt: skip
    """W <- W + post trace' on the edges there are (CSR), and out += W h.

    Not a vector kernel: gathers into vector registers are slower than reading number by number.
    Trace and activity of a source lie side by side in ``pairs``, scratch (2 n,), so that an edge
    touches one line of the cache for both. Unsigned indices are not asked whether they count from
    the end.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for k in range(act.shape[0]):
        pairs[2 * k] = trace[k]
        pairs[2 * k + 1] = act[k]
    for i in range(first.shape[0] - 1):
        p = post[i]
        s = r = act.dtype.type(0)
        e, end = np.uint64(first[i]), np.uint64(first[i + 1])
        while e + four <= end:
            ja, jb = np.uint64(source[e]) << one, np.uint64(source[e + one]) << one
            jc, jd = np.uint64(source[e + two]) << one, np.uint64(source[e + three]) << one
            wa, wb = weight[e] + p * pairs[ja], weight[e + one] + p * pairs[jb]
            wc, wd = weight[e + two] + p * pairs[jc], weight[e + three] + p * pairs[jd]
            s += wa * pairs[ja + one]
            r += wb * pairs[jb + one]
            s += wc * pairs[jc + one]
            r += wd * pairs[jd + one]
            weight[e], weight[e + one], weight[e + two], weight[e + three] = wa, wb, wc, wd
            e += four
        while e < end:
            ja = np.uint64(source[e]) << one
            wa = weight[e] + p * pairs[ja]
            s += wa * pairs[ja + one]
            weight[e] = wa
            e += one
        out[i] += s + r


@kernel
def squash(u: Array, power: Array, out: Array) -> None:
    """Take tanh of all potentials, to 2 units in the last place of 1, in vector registers.

    tanh u = 1 - 2 / (exp(2 u) + 1), exp by 2^k exp(r), |r| <= log(2) / 2, and Taylor's polynomial;
    a number plus 1.5 2^52 has its nearest integer k in its last bits. ``power`` is scratch, (n,).
    """
    bits = power.view(np.int64)
    for i in range(u.shape[0]):
        x = min(max(2.0 * np.float64(u[i]), -40.0), 40.0)
        shifted = x * _LOG2_E + _SHIFT
        k = shifted - _SHIFT
        r = (x - k * _LN2_HIGH) - k * _LN2_LOW
        e = 1.0 / 479001600
        e = e * r + 1.0 / 39916800
        e = e * r + 1.0 / 3628800
        e = e * r + 1.0 / 362880
        e = e * r + 1.0 / 40320
        e = e * r + 1.0 / 5040
        e = e * r + 1.0 / 720
        e = e * r + 1.0 / 120
        e = e * r + 1.0 / 24
        e = e * r + 1.0 / 6
        e = e * r + 0.5
        e = e * r + 1.0
        out[i] = e * r + 1.0
        power[i] = shifted
    for i in range(u.shape[0]):
        bits[i] = (bits[i] << 52) + (np.int64(1023) << 52)
    for i in range(u.shape[0]):
        out[i] = 1.0 - 2.0 / (out[i] * power[i] + 1.0)


@vector_kernel
def dot(a: Array, b: Array) -> float:
    """Sum of a_i b_i."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@ordered_kernel
def total_of(a: Array) -> float:
    """Sum of a_i, always in the same order: in eight parts, which a vector register holds."""
    n = a.shape[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, n - 7, 8):
        s0 += a[i]
        s1 += a[i + 1]
        s2 += a[i + 2]
        s3 += a[i + 3]
        s4 += a[i + 4]
        s5 += a[i + 5]
        s6 += a[i + 6]
        s7 += a[i + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(n - n % 8, n):
        total += a[i]
    return total


@ordered_kernel
def ordered_dot(a: Array, b: Array) -> float:
    """Sum of a_i b_i, always in the same order, as :func:`total_of`."""
    n = a.shape[0]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, n - 7, 8):
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
        s4 += a[i + 4] * b[i + 4]
        s5 += a[i + 5] * b[i + 5]
        s6 += a[i + 6] * b[i + 6]
        s7 += a[i + 7] * b[i + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(n - n % 8, n):
        total += a[i] * b[i]
    return total


@vector_kernel
def add(a: Array, factor: float, b: Array) -> None:
    """Let a <- a + factor b."""
    for i in range(a.shape[0]):
        a[i] += factor * b[i]


@vector_kernel
def softmax(logits: Array) -> None:
    """Turn logits into probabilities, in place."""
    top = -np.inf
    for y in range(logits.shape[0]):
        top = max(top, logits[y])
    total = 0.0
    for y in range(logits.shape[0]):
        logits[y] = exp(logits[y] - top)
        total += logits[y]
    for y in range(logits.shape[0]):
        logits[y] /= total


@vector_kernel
def fill(a: Array, value: float) -> None:
    """Let a_i = value: assignments to slices take seconds to compile."""
    for i in range(a.shape[0]):
        a[i] = value


@vector_kernel
def copy(a: Array, out: Array) -> None:
    """Let out_i = a_i."""
    for i in range(a.shape[0]):
        out[i] = a[i]
