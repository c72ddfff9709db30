"""Normalisation by differentiation: densities that are derivatives of monotone functions."""
