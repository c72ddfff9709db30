"""Trajectory files: the format, what is recorded, writing and reading. Knows arrays, no models."""
