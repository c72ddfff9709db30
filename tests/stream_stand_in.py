"""A brain for streams that is quick and simple: it expects what came, on average, at random lags."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
from scipy import stats

from neurolp.arrays import NamedArrays
from neurolp.errors import DivergedError
from neurolp.stream.sensors import check_rows, check_sensors, places


@dataclass
class Distribution:
    """Of one sensor: Gaussian values, or symbols."""

    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def quantile(self, p):
        return stats.norm(self.mean, self.std).ppf(p)

    def sample(self, n_samples, rng):
        return rng.normal(self.mean, self.std, (n_samples, len(self.mean)))


@dataclass
class Run:
    surprise: np.ndarray
    pit: np.ndarray


class StandIn:
    """Frequencies of symbols, running mean and variance of values; nothing else is remembered.

    ``diverge_at``: the step whose surprise becomes NaN; ``hook`` is called before each run.
    """

    def __init__(self, sensors, *, n_hidden=3, random_state=None, diverge_at=None, hook=None, **_):
        self.sensors = check_sensors(sensors)
        self.rng = np.random.default_rng(random_state)
        self.counts = [np.ones(s.n_symbols) if s.n_symbols else None for s in self.sensors]
        self.sums = [np.outer([1.0, 0.0, 1.0], np.ones(s.n_columns)) for s in self.sensors]
        self.activity = np.zeros(n_hidden)
        self.n_steps_ = 0
        self.diverge_at, self.hook = diverge_at, hook
        n = places(self.sensors)[-1].outputs.stop
        self.output_names = [f"output {k}" for k in range(n)]
        self.feature_names = ["constant", *(f"hidden {k}" for k in range(n_hidden))]
        self.node_names = range(n_hidden)
        self.lesioned = np.zeros(0, np.int64)
        self.weights = {
            "readout": np.zeros((n, 1 + n_hidden)),
            "recurrent": self.rng.standard_normal((n_hidden, n_hidden)),
        }

    def predict(self):
        out = {}
        for s, counts, (n, total, square) in zip(self.sensors, self.counts, self.sums, strict=True):
            if counts is None:
                mean = total / n
                out[s.name] = Distribution(mean, np.sqrt(np.maximum(square / n - mean**2, 1e-6)))
            else:
                out[s.name] = Distribution(probabilities=counts / counts.sum())
        return out

    def run(self, rows, *, learn=True):
        if self.hook:
            self.hook(self)
        rows = check_rows(rows, self.sensors)
        n_values = sum(
            s.n_columns for s, c in zip(self.sensors, self.counts, strict=True) if c is None
        )
        surprise, pit = (
            np.full((len(rows), len(self.sensors)), np.nan),
            np.full((len(rows), n_values), np.nan),
        )
        for t, row in enumerate(rows):
            column = value = 0
            for j, (s, d) in enumerate(zip(self.sensors, self.predict().values(), strict=True)):
                x = row[column : column + s.n_columns]
                column += s.n_columns
                seen = not np.isnan(x[0])
                if d.probabilities is None:
                    if seen:
                        surprise[t, j] = -stats.norm.logpdf(x, d.mean, d.std).sum()
                        pit[t, value : value + s.n_columns] = stats.norm.cdf(x, d.mean, d.std)
                        if learn:
                            self.sums[j] += np.stack([np.ones_like(x), x, x**2])
                    value += s.n_columns
                elif seen:
                    surprise[t, j] = -np.log(d.probabilities[int(x[0])])
                    if learn:
                        self.counts[j][int(x[0])] += 1
            self.activity = np.tanh(np.roll(self.activity, 1) + np.nan_to_num(row[0]))
            if self.n_steps_ == self.diverge_at:
                raise DivergedError(
                    f"the surprise of sensor '{self.sensors[0].name}' became nan in step {self.n_steps_}"
                )
            self.weights["readout"] = self.weights["readout"] + 0.001
            self.n_steps_ += 1
        return Run(surprise, pit)

    def to_arrays(self):
        return NamedArrays(attributes={"brain": {"model": "stand-in"}})

    def state(self):
        state = {k: v for k, v in vars(self).items() if k != "hook"}
        return {"pickled": np.frombuffer(pickle.dumps(state), np.uint8)}

    def restore(self, arrays):
        vars(self).update(pickle.loads(arrays["pickled"].tobytes()))

    def fault(self):
        return None

    def copy(self):
        return copy.deepcopy(self)

    def dream(self, n, *, random_state=None):
        rows = []
        for _ in range(n):
            row = []
            for d in self.predict().values():
                if d.probabilities is None:
                    row += list(self.rng.normal(d.mean, d.std))
                else:
                    row.append(float(self.rng.choice(len(d.probabilities), p=d.probabilities)))
            rows.append(row)
        return np.array(rows)
