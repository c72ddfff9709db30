"""Probability models of tables with columns of any kind: every column is cut into cells."""
