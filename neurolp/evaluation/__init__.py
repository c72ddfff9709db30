"""Metrics, losses as densities, the audit of claims, and baselines."""
