"""Numba kernels: plain loops over arrays and scalars, the output last, no objects, no callbacks.

Each file is self-contained, because an edited callee in another file would leave the on-disk
cache of its caller stale. Arrays are node-major, ``(nodes, trajectories)``; a kernel works on the
columns ``start .. start + width`` of the whole array, so that it always sees C-contiguous data.
"""
