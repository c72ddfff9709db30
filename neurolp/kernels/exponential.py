"""The exponential function in arithmetic that runs in vector registers.

exp(x) = 2^k p(r) with k the integer nearest to x / log 2 and r = x - k log 2, |r| <= log(2) / 2:
p is the polynomial of degree 11 of the Chebyshev expansion of exp on that interval (error 3e-18).
The compiler has no exp of its own for vectors, and calls the scalar one number by number.
"""

from __future__ import annotations

import numpy as np

from neurolp.kernels._jit import fused_kernel

_PER_LOG2 = 1.4426950408889634
_LOG2_HIGH, _LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding it rounds to an integer, which then stands in the lowest bits of the sum.
_ROUNDING = 6755399441055744.0
_MANTISSA_BITS = 52


@fused_kernel
def exponential(x: float) -> float:
    """exp(x) to 2 units in the last place, for -700 <= x <= 700; anything beyond."""
    shifted = x * _PER_LOG2 + _ROUNDING
    k = shifted - _ROUNDING
    r = (x - k * _LOG2_HIGH) - k * _LOG2_LOW
    p = 2.7632643465014625e-07 + r * 2.5114872543703817e-08
    p = 2.4801485471677305e-05 + r * (2.7557224949131394e-06 + r * p)
    p = 0.0013888888952325088 + r * (0.00019841269909227387 + r * p)
    p = 0.04166666666648806 + r * (0.008333333333309522 + r * p)
    p = 0.5000000000000019 + r * (0.16666666666666702 + r * p)
    p = 1.0 + r * (1.0 + r * p)
    exponent = np.float64(shifted).view(np.int64) << np.int64(_MANTISSA_BITS)
    return np.int64(np.float64(p).view(np.int64) + exponent).view(np.float64)
