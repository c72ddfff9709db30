"""Tests of the package; this module is imported before all of them, and before NumPy."""

import os

# Tests run side by side on all processors: threads of BLAS in each would wait for one another.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
