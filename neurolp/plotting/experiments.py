"""Pictures of experiments: Axes in, Axes out.

``draw`` of a module makes all pictures of its experiment from a file.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from neurolp.plotting import general_purpose, principle, supervised, univariate
from neurolp.plotting.general_purpose import plot_gains, plot_maps
from neurolp.plotting.principle import (
    plot_cost_of_ignorance,
    plot_cost_of_losses,
    plot_frequencies,
    plot_losses,
    plot_surprise_of_symbols,
)
from neurolp.plotting.supervised import (
    plot_conditions,
    plot_input_scores,
    plot_intervals,
    plot_pit,
    plot_reliability,
)
from neurolp.plotting.univariate import plot_densities, plot_distribution, plot_divergence
from neurolp.storage.reader import Trajectory

__all__ = [
    "pictures",
    "plot_conditions",
    "plot_cost_of_ignorance",
    "plot_cost_of_losses",
    "plot_densities",
    "plot_distribution",
    "plot_divergence",
    "plot_frequencies",
    "plot_gains",
    "plot_input_scores",
    "plot_intervals",
    "plot_losses",
    "plot_maps",
    "plot_pit",
    "plot_reliability",
    "plot_surprise_of_symbols",
]

_DRAW = {
    "principle": principle.draw,
    "univariate": univariate.draw,
    "supervised": supervised.draw,
    "general_purpose": general_purpose.draw,
}


def pictures(trajectory: Trajectory) -> dict[str, Figure]:
    """All pictures of an experiment, by name."""
    out: dict[str, Figure] = {}

    def figure(name: str, width: float, height: float) -> Figure:
        out[name] = Figure(figsize=(width, height), layout="constrained")
        return out[name]

    name = str(trajectory.experiment["name"])
    if name == "stream":
        from neurolp.plotting.stream import draw  # which imports from here

        draw(trajectory, figure)
    else:
        _DRAW[name](trajectory, figure)
    return out
