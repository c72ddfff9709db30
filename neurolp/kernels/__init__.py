"""Numba kernels: plain loops over arrays and scalars, the output last, no objects, no callbacks.

What a kernel calls is in its own file, or in one that the tests of the architecture name: the
on-disk cache is good only as long as no kernel changes at all (``_jit``). Arrays are node-major,
``(nodes, trajectories)``; a kernel works on the columns ``start .. start + width`` of the whole
array, so that it always sees C-contiguous data.
"""
