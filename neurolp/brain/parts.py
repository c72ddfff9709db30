"""Registries of the parts of a brain that can be replaced: rule, node map, base density, head."""

from __future__ import annotations

from neurolp.brain.base_density import BASES
from neurolp.brain.heads.head import HEADS
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.rules.greedy import GreedyRule
from neurolp.registry import Registry

RULES = Registry("rule", {"greedy": GreedyRule}, ("learn", "node_rate"))
NODE_MAPS = Registry(
    "node_map",
    {"spline": lambda: SplineGrid(-3.5, 3.5, 14)},
    ("n_coefficients", "identity", "check", "forward", "inverse", "learn"),
)
PARTS = {registry.argument: registry for registry in (RULES, NODE_MAPS, BASES, HEADS)}
