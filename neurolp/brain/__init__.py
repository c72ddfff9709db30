"""Normalisation by time evolution: networks, their evolution, and the local learning rule."""
