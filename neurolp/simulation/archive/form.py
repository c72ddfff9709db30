"""Parameters of the paper's forms <-> the labelled arrays of a trajectory file."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolp.arrays import NamedArrays
from neurolp.brain.node_map import SplineGrid
from neurolp.paper.bounded import BoundedForm
from neurolp.paper.linear import LinearForm
from neurolp.paper.node_energy import NodeEnergies
from neurolp.storage.reader import Trajectory

PaperForm = LinearForm | BoundedForm


def describe_form(form: PaperForm) -> dict[str, Any]:
    """Everything about a form that is not an array over nodes."""
    about = {"duration": form.duration, "n_steps": form.n_steps}
    if isinstance(form, BoundedForm):
        return about | {"form": "bounded", "base": "logistic"}
    return about | {
        "form": "linear",
        "base": "normal",
        "stepping": form.stepping,
        "spline_low": form.energies.grid.low,
        "spline_high": form.energies.grid.high,
    }


def pack_form(out: NamedArrays, form: PaperForm) -> None:
    """Add the parameters of a form, which all times share."""
    n = form.n_nodes
    out.add_coordinate("target", np.arange(n), "1", "node an edge enters")
    out.add_coordinate("source", np.arange(n), "1", "node an edge leaves")
    dims = ("target", "source")
    out.add("coupling", dims, form.weights, "1/time", "w of every edge, at all times")
    if isinstance(form, LinearForm):
        k = form.energies.grid.n_intervals
        out.add_coordinate("coefficient", np.arange(1, k + 1), "1", "B-spline")
        out.add("drift", ("node",), form.bias, "1/time", "constant drift b_i")
        slopes = form.energies.slopes
        out.add("energy", ("node", "coefficient"), slopes, "nat", "coefficients of psi_i = E_i'")
        return
    k = form.grid.n_intervals
    out.add_coordinate("coefficient", np.arange(k + 1), "1", "0 the value at 1/2, k B-spline k")
    out.add("barrier", ("node",), form.barrier, "1/time", "alpha_i of alpha log((1 - a) / a)")
    meaning = "value of p_i at 1/2 and coefficients of p_i', drift b_i = barrier + p_i"
    out.add("drift_shape", ("node", "coefficient"), form.shape, "1/time", meaning)


def unpack_form(file: Trajectory) -> PaperForm:
    """Rebuild the form in a trajectory file; every part of it is validated again."""
    about = file.brain
    weights, times = file.read("coupling"), (float(about["duration"]), int(about["n_steps"]))
    if about["form"] == "bounded":
        return BoundedForm(weights, file.read("barrier"), file.read("drift_shape"), *times)
    slopes = file.read("energy")
    grid = SplineGrid(about["spline_low"], about["spline_high"], slopes.shape[1])
    energies = NodeEnergies(grid, slopes)
    return LinearForm(weights, file.read("drift"), energies, *times, str(about["stepping"]))
