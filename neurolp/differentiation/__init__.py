"""Normalisation by differentiation: the density is the derivative of a monotone network."""
