"""Density heads: the density that is read from the potentials of an evolved brain."""
