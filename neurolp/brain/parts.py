"""Registries of the parts of a brain that can be replaced: rule, node map, base density, head."""

from __future__ import annotations

from neurolp.brain.base_density import BASES
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.registry import Registry

RULES = Registry("rule", {"greedy": GreedyRule}, ("learn", "node_rate"))
NODE_MAPS = Registry(
    "node_map",
    {"spline": lambda: SplineGrid(-3.5, 3.5, 14)},
    ("n_coefficients", "identity", "check", "forward", "inverse", "learn"),
)
HEADS = Registry(
    "head",
    {name: lambda name=name: name for name in ("auto", "mixture", "base")},  # type: ignore[misc]  # mypy knows no defaults of lambdas
    ("fit", "log_prob", "sample"),
)
PARTS = {registry.argument: registry for registry in (RULES, NODE_MAPS, BASES, HEADS)}
