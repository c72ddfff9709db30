"""Invertible networks: their evolution in time, learning rules, node maps and density heads."""
