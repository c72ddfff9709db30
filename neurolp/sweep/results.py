"""The numbers of a result that belong into a table: a few for each kind of run."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolp.evaluation.stream_scores import scores
from neurolp.storage.reader import Trajectory

if TYPE_CHECKING:
    import xarray

_FEW = 64  # values of a variable that an experiment's row of the table takes

# What is drawn where nothing else is asked for.
HEADLINES = ("surprise", "test_log_prob")
# Numbers that say how a run went, not what it found.
ASIDES = ("seconds", "n_steps", "steps_per_second", "n_slices", "rate", "bound", "surprise_error")


def summary(file: Trajectory) -> dict[str, float | None]:
    """The numbers in a file by name, the most telling one first; None is no number.

    Of a stream: mean surprise of the last fifth (nats a step, all sensors together), its standard
    error, what knowing nothing of the past gives, the mean difference to the source's own surprise
    where it is known. Of a brain: mean log-probability of test data. Of an experiment: all its
    variables of few values.
    """
    if file.experiment.get("name") == "stream":
        found = _of_stream(file)
    elif file.experiment:
        found = _of_experiment(file)
    else:
        found = _of_brain(file)
    return {name: _plain(value) for name, value in found.items()}


def _of_stream(file: Trajectory) -> dict[str, Any]:
    *sensors, total = scores(file)
    out: dict[str, Any] = {
        "surprise": total.brain.value,
        "surprise_error": total.brain.error,
        "independent": total.independent.value,
    }
    if total.excess is not None:
        out |= {"above_the_truth": total.excess.value}
    out |= {f"surprise[{score.sensor}]": score.brain.value for score in sensors}
    for name in ("rate", "bound", "n_steps", "steps_per_second"):
        if name in file.result:
            out[name] = file.result[name]
    return out


def _of_brain(file: Trajectory) -> dict[str, Any]:
    names = ("test_log_prob", "test_log_prob_standardised", "test_bits_per_dim", "seconds")
    out = {name: file.result[name] for name in names if name in file.result}
    if "n_slices" in file.brain:
        out["n_slices"] = file.brain["n_slices"]
    if "surprise" in file:
        # That of the time which was chosen by it: the least.
        out["validation_surprise"] = file["surprise"].sel(population="validation").values.min()
    models = zip(
        file.result.get("model", []), file.result.get("model_test_log_prob", []), strict=True
    )
    return out | {f"test_log_prob[{name.decode()}]": value for name, value in list(models)[1:]}


def _of_experiment(file: Trajectory) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, variable in file.items():
        if np.prod(variable.shape) <= _FEW:
            out |= _cells(name, variable)
    numbers = {k: v for k, v in file.result.items() if isinstance(v, int | float)}
    return out | numbers


def _cells(name: str, variable: xarray.DataArray) -> dict[str, Any]:
    """One number for each place of a small variable, named by its coordinates."""
    values = variable.values
    if values.dtype.kind not in "fiub":
        return {}
    labels = [[str(v) for v in variable[dim].values] for dim in variable.dims]
    places = zip(product(*labels), values.ravel().tolist(), strict=True)
    return {f"{name}[{','.join(place)}]" if place else name: value for place, value in places}


def _plain(value: Any) -> float | None:
    """A number that JSON knows."""
    if not isinstance(value, int | float | np.number) or not math.isfinite(float(value)):
        return None
    return int(value) if isinstance(value, int | np.integer) else float(value)
