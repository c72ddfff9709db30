"""Draw the figure at the top of the README: python docs/make_figure.py digits.h5."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from neurolp import BrainDensity, open_trajectory
from neurolp.plotting import density as plotting


def main(file: str) -> None:
    """Mean surprise, real and dreamed digits, from a trajectory of simulations/digits.toml."""
    with open_trajectory(file) as trajectory:
        figure, axes = plt.subplots(1, 3, figsize=(13, 5), layout="constrained")
        plotting.plot_surprise(trajectory, axes[0])
        axes[0].get_legend().remove()
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        rows = plotting.recorded_rows(trajectory)
        if rows is None:
            sys.exit(f"{file}: has no recorded rows")
        plotting.plot_dream(BrainDensity.load(file), rows[:100], (8, 8), axes[1:])
    figure.savefig(Path(__file__).parent / "images" / "digits.png", dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
