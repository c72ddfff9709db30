"""``experiment = "supervised"``: supervised learning as conditional probability.

Regression learns all of p(y | x), of which least squares is the special case of a normal density
of one width; classification learns p(label | x), directly and through a density per class, which
also says how probable the input itself is.
"""

from __future__ import annotations

from collections.abc import Sequence

from neurolp.arrays import NamedArrays
from neurolp.config.experiment_sections import SupervisedConfiguration
from neurolp.data.supervised import (
    SUPERVISED_NAMES,
    SupervisedSplit,
    load_supervised,
    load_supervised_table,
)
from neurolp.errors import DataError
from neurolp.progress import Observer
from neurolp.runs import supervised_classification, supervised_regression
from neurolp.runs.computation import experiment, watched
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.memory import NUMBER, PROCESS, SEVERAL_MODELS, Memory
from neurolp.storage.reader import Trajectory


def compute(configuration: SupervisedConfiguration, observe: Observer) -> NamedArrays:
    """Fit all problems; the user's own table is the last."""
    regressions, classifications = [], []
    for data in watched(_load(configuration), observe, lambda data: data.title):
        seed = (configuration.seed or 0) % 2**32
        try:
            if data.classification:
                classifications.append(supervised_classification.measure(data, seed))
            else:
                regressions.append(supervised_regression.measure(data, seed))
        except DataError as error:
            raise DataError(f"{data.title}: {error}") from error
    out = NamedArrays()
    if regressions:
        out.update(supervised_regression.named_arrays(regressions))
    if classifications:
        out.update(supervised_classification.named_arrays(classifications))
    return out


def summary(file: Trajectory) -> list[SummaryTable]:
    """Tables of regression and of classification, whichever there are."""
    return [*supervised_regression.summary(file), *supervised_classification.summary(file)]


def _load(configuration: SupervisedConfiguration) -> list[SupervisedSplit]:
    names: Sequence[str]
    if configuration.problems is not None:
        names = configuration.problems
    else:
        names = SUPERVISED_NAMES if configuration.table is None else ()
    split_seed = configuration.split_seed
    data = [
        load_supervised(name, n_points=configuration.n_points, split_seed=split_seed)
        for name in names
    ]
    if configuration.table is not None:
        table = configuration.table.model_dump()
        data.append(load_supervised_table(**table, split_seed=split_seed))
    return [split.limited(configuration.max_rows) for split in data]


def _memory(configuration: SupervisedConfiguration) -> Memory:
    least = 20.0 * NUMBER * configuration.n_points
    return Memory("key n_points", least, PROCESS + SEVERAL_MODELS)


_ABOUT = (
    "Conditional densities of a target, and probabilities of labels, were learned and "
    "compared with common models."
)

KIND = experiment("supervised", SupervisedConfiguration, compute, summary, _memory, _ABOUT, _load)
