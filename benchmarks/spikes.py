"""Bits a spike of a grasshopper's auditory receptor beside peers: python benchmarks/spikes.py.

Needs the package nitime (pip install 'neurolp[spikes]'), in which the two recordings come. Bins of
0.5 ms, the first 80 % to learn, the last 20 % to score:

    sum over scored bins of (log2 p(bin) - log2 p_const(bin)) / number of scored spikes,

p_const the mean rate of the first 80 %. The prediction of a bin uses the sound and the spikes of
the bins before it, and the sound of the bin itself, as it does for the peers. *learns on* goes on
learning in the scored part, each bin predicted before it is learned; *frozen* does not, as the
peers do not.

Peers (scikit-learn): a Bernoulli GLM with filters of the sound (60 bins) and of the spikes
(60 bins), penalty chosen among five on the third quarter of the learning part; gradient boosting
of the same with the time since the last spike, and the number of its rounds chosen likewise.
The settings of ours (simulations/grasshopper.toml) were chosen on the first 80 % in the same way.
"""

import argparse
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from neurolp import StreamBrain
from neurolp.data.streams import Stream, generator

Array = Any

SETTINGS = Path(__file__).parent.parent / "simulations" / "grasshopper.toml"
LAGS = 60  # bins of sound and of spikes for the peers
WANTED = {1: 2.45, 2: 1.95}  # bits a spike
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
ROUNDS = (100, 200, 300, 500)


def bits_a_spike(p: Array, spikes: Array, rate: float) -> float:
    """Bits a spike of probabilities above a constant rate."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    gain = np.where(spikes > 0, np.log2(p / rate), np.log2((1 - p) / (1 - rate)))
    return float(gain.sum() / spikes.sum())


def ours(stream: Stream, rows: Array, n: int, seed: int, learn: bool) -> Array:
    """Probability of a spike in the bins after the first ``n``."""
    settings = tomllib.loads(SETTINGS.read_text())["brain"]
    brain = StreamBrain(stream.sensors, random_state=seed, **settings)
    brain.run(rows[:n])
    return brain.run(rows[n:], predictions=True, learn=learn).probabilities["spike"][:, 1]


def lagged(x: Array, lags: range) -> Array:
    """Values of x at each lag, (n, len(lags)); 0 before the first."""
    out = np.zeros((len(x), len(lags)))
    for j, lag in enumerate(lags):
        out[lag:, j] = x[: len(x) - lag]
    return out


def features(stream: Stream, rows: Array) -> tuple[Array, Array]:
    """Features of the GLM, and those of the trees, which also get the time since the last spike."""
    sound, spikes = rows.T
    location, scale = stream.sensors[0].units or (0.0, 1.0)
    sound = (sound - location) / scale
    # Indicators of spikes are rare: in units of three their penalty is about that of the sound.
    linear = np.hstack([lagged(sound, range(LAGS)), 3.0 * lagged(spikes, range(1, LAGS + 1))])
    since = np.empty(len(spikes))
    last = 200.0
    for t, spike in enumerate(spikes):
        since[t] = min(last, 200.0)
        last = 1.0 if spike else last + 1.0
    return linear, np.column_stack([linear, since])


def fitted(make: Any, choices: tuple[float, ...], x: Array, y: Array, n: int) -> Array:
    """Probabilities of a spike after the first ``n`` bins, with what is best on their last quarter.

    ``make(choice)`` is the model.
    """
    learn, held = slice(LAGS, 3 * n // 4), slice(3 * n // 4, n)
    rate = y[learn].mean()

    def score(choice: float) -> float:
        model = make(choice).fit(x[learn], y[learn])
        return bits_a_spike(model.predict_proba(x[held])[:, 1], y[held], rate)

    best = max(choices, key=score)
    return make(best).fit(x[LAGS:n], y[LAGS:n]).predict_proba(x[n:])[:, 1]


def glm(penalty: float) -> Any:
    """Bernoulli GLM."""
    return LogisticRegression(C=penalty, max_iter=2000)


def trees(rounds: float) -> Any:
    """Boosted trees."""
    return HistGradientBoostingClassifier(
        learning_rate=0.03, max_iter=int(rounds), max_leaf_nodes=7, early_stopping=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds of ours")
    seeds = range(parser.parse_args().seeds)
    table = Table(title="bits a spike above the constant rate, last fifth")
    for name in ("recording", "spikes", "learns on", "frozen", "GLM", "boosted trees", "wanted"):
        table.add_column(name, justify="right")
    for recording, wanted in WANTED.items():
        stream = generator("grasshopper", recording=recording)
        rows = stream.read(stream.n_steps or 0)
        n = len(rows) * 4 // 5
        y = rows[:, 1]
        rate, scored = y[:n].mean(), y[n:]
        cells = [str(recording), f"{scored.sum():.0f}"]
        for learn in (True, False):
            found = [
                bits_a_spike(ours(stream, rows, n, seed, learn), scored, rate) for seed in seeds
            ]
            cells.append(f"{np.mean(found):.3f} ({min(found):.3f} .. {max(found):.3f})")
        linear, more = features(stream, rows)
        for make, choices, x in ((glm, PENALTIES, linear), (trees, ROUNDS, more)):
            start = time.perf_counter()
            p = fitted(make, choices, x, y.astype(int), n)
            seconds = time.perf_counter() - start
            cells.append(f"{bits_a_spike(p, scored, rate):.3f} ({seconds:.0f} s)")
        table.add_row(*cells, f"{wanted}")
    Console().print(table)


if __name__ == "__main__":
    main()
