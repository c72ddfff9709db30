"""What files of densities and streams are the record of, and how far unfinished ones have come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from neurolp.arrays import Array
from neurolp.progress import RunProgress
from neurolp.simulation.stream_network import lesioned_nodes, node_labels, recurrent_weights
from neurolp.storage.reader import Trajectory
from neurolp.stream.wiring import spectral_radius

_MODELS = {
    "density": "An invertible network learned the joint probability density of a table, slice by "
    "slice, by local rules",
    "online": "An invertible network learned the joint probability density of a table while its "
    "rows were presented",
    "linear": "The linear form of the paper learned the joint probability density of a table",
    "bounded": "The bounded form of the paper learned the joint probability density of a table",
    "stream": "A brain that predicts a stream was saved",
}
_FEW = 12  # nodes, or intervals of steps, that are listed
_CHEAP = 2000  # nodes up to which eigenvalues are computed


def about_density(file: Trajectory) -> dict[str, str]:
    """What was run, and on what table."""
    what = _MODELS.get(str(file.brain.get("model")), "The joint probability density of a table")
    unit, chosen = file.brain.get("time_unit", "slice"), file.brain.get("n_slices")
    if "surprise" in file and chosen is not None:
        learned = len(file["surprise"]) - 1
        what += f"; {learned} {unit}s were learned"
        if unit == "slice":
            what += f", of which the first {chosen} are in use (chosen on validation rows)"
    out = {"What was run": f"{what}."}
    data = file.configuration.get("data")
    if data is not None:
        n = len(file["column_name" if "column_name" in file else "node_name"])
        n -= 0 if "column_name" in file else int(file.brain.get("n_hidden", 0))
        noise = "; uniform noise was added to its whole numbers" if data["dequantise"] else ""
        out["On what"] = f"{_source(data)}, {_counted(n, 'column')}{noise}."
    return out | (about_network(file) if file.brain.get("model") == "stream" else {})


def about_stream(file: Trajectory) -> dict[str, str]:
    """What was run, and on what stream."""
    n_hidden = len(file["hidden"]) if "hidden" in file else 0
    nodes = f"a recurrent network of {n_hidden} hidden nodes" if n_hidden else "linear prediction"
    sensors = [str(name) for name in file.read("sensor")]
    shown = ", ".join(sensors[:8]) + (", .." if len(sensors) > 8 else "")
    out = {
        "What was run": f"A brain predicted the density of every step of a stream from its past, "
        f"and learned from it ({nodes})."
    }
    section = file.configuration.get("stream")
    source = "Rows given to StreamBrain.run in Python"
    if section is not None:
        source = _source({"name": file.result.get("stream")} | section)
    steps = f"{int(file.result['n_steps']):,} steps"
    out["On what"] = f"{source}, {steps}, {_counted(len(sensors), 'sensor')}: {shown}."
    return out | about_network(file)


def about_network(file: Trajectory) -> dict[str, str]:
    """Nodes, edges and spectral radius of a brain for streams; what was cut, and injected."""
    out, labels = {}, node_labels(file)
    weights = recurrent_weights(file)
    if len(labels):
        said = [_counted(len(labels), "hidden node")]
        if weights is not None:
            n_edges = weights.nnz if sparse.issparse(weights) else np.count_nonzero(weights)
            said.append(_counted(int(n_edges), "edge"))
            if len(labels) <= _CHEAP and np.isfinite(getattr(weights, "data", weights)).all():
                said.append(f"spectral radius {spectral_radius(weights):.4g}")
        out["Network"] = f"{', '.join(said)}."
    gone = lesioned_nodes(file)
    if len(gone):
        out["Lesion"] = f"{_counted(len(gone), 'hidden node')} taken away: {_named(labels[gone])}."
    if "injected_current" in file:
        out["Injection"] = _about_injection(file)
    return out


def _about_injection(file: Trajectory) -> str:
    """Which nodes got a current, how much, and when."""
    current = file["injected_current"]
    nodes, values = current.coords["injected_node"].values, current.values
    steps = np.flatnonzero(np.any(values != 0, axis=1))
    text = f"A current into {_counted(len(nodes), 'hidden node')} ({_named(nodes)})"
    if not len(steps):
        return f"{text} that was 0 in all steps."
    of_runs = np.split(steps, np.flatnonzero(np.diff(steps) > 1) + 1)
    times = [f"{run[0]:,}" if len(run) == 1 else f"{run[0]:,} to {run[-1]:,}" for run in of_runs]
    when = f"steps {_named(times)}" if len(steps) < len(values) else "all steps"
    return f"{text}, from {values.min():.4g} to {values.max():.4g}, in {when}."


def _named(names: Sequence[Any] | Array) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _FEW:,} more" if len(names) > _FEW else ""
    return ", ".join(str(name) for name in names[:_FEW]) + more


def density_progress(file: Trajectory) -> RunProgress:
    """How far a brain has come that learns a table: slices or epochs of at most so many."""
    surprise = file["surprise"]
    time, section = surprise.coords["time"].values, file.configuration["brain"]
    values, splits = surprise.values, [str(name) for name in surprise.coords["split"].values]
    unit = "epoch" if "max_epochs" in section else "slice"
    message = ""
    if len(time):
        parts = [f"{name} {value:.3f}" for name, value in zip(splits, values[-1], strict=True)]
        best = time[np.argmin(values[:, splits.index("validation")])]
        message = f"surprise (nats): {', '.join(parts)}, best at {best}"
    reached = int(time[-1]) if len(time) else 0
    return RunProgress(reached, int(section[f"max_{unit}s"]), unit, message, _seconds(file))


def stream_progress(file: Trajectory) -> RunProgress:
    """How far a brain has come that learns a stream: steps of so many, 0 if that is not known."""
    mean, observed = file["mean_surprise"].values, file["window_observed"].values
    message = ""
    if len(mean):
        of_window = np.nansum(mean[-1] * observed[-1]) / file["window_steps"].values[-1]
        message = f"surprise {of_window:.4f} nats"
    if message and "rate" in file.result:
        message += f", entropy rate {file.result['rate']:.4f}"
    total = file.configuration["stream"].get("n_steps") or 0
    return RunProgress(int(file.result["n_steps"]), total, "step", message, _seconds(file))


def _seconds(file: Trajectory) -> float:
    """Seconds that the run had taken when it was saved last."""
    return float(file.attributes("checkpoint").get("seconds", 0.0))


def _source(section: dict[str, Any]) -> str:
    """Where the rows come from, as the start of a sentence."""
    if section.get("file"):
        return f"The file {Path(section['file']).name}"
    return f"{section.get('source') or section['name']} (built in)"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n:,} {what}s"
