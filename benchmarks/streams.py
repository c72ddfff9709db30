"""Surprise on streams beside peers: python benchmarks/streams.py [problem ...] [--recurrence].

Nats a step on the last 20 % of one pass. Ours goes on learning, as a brain does, with its defaults
and with the settings of simulations/, which were chosen on the first 80 %. Peers: counts of all
contexts of three symbols (Dirichlet prior 0.3, online); least squares on 20 past values, and a
perceptron on them (scikit-learn, early stopping on a tenth of the rows), both fitted to the first
60 % with the variance of their errors on the next 20 %. *i.i.d.*: frequencies, or mean and
variance, of the first 80 %. *truth*: the source's own surprise on the same steps.

``--recurrence`` compares hidden nodes whose weights stay as drawn with hidden nodes that learn,
where nothing else remembers the past beyond one step (one lag, no contexts).
"""

import argparse
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

from neurolp import StreamBrain
from neurolp.data.streams import Stream, generator

Array = Any

# Problem: file of settings, steps, at most this surprise.
PROBLEMS = {
    "markov3": ("markov", 50_000, 1.31),
    "ar2": ("oscillator", 20_000, 1.416),
    "mackey_glass": ("mackey_glass", 20_000, -2.48),
    "lorenz": ("lorenz", 20_000, 0.45),
}
LAGS, ORDER, PRIOR = 20, 3, 0.3
GAP = 0.85  # of the gap from the i.i.d. baseline to the target, to be closed by defaults
SIMULATIONS = Path(__file__).parent.parent / "simulations"


def ours(stream: Stream, rows: Array, settings: dict[str, Any]) -> Array:
    """Surprise of every step; compilation is done before."""
    brain = StreamBrain(stream.sensors, random_state=0, **settings)
    return brain.run(rows).total


def iid_baseline(rows: Array, symbols: int) -> Array:
    """Symbols or normal values that do not depend on the past."""
    train = rows[: len(rows) * 4 // 5, 0]
    if symbols:
        return -np.log(np.bincount(train.astype(int), minlength=symbols) / len(train))[
            rows[:, 0].astype(int)
        ]
    return normal_surprise(rows[:, 0] - train.mean(), train.var())


def normal_surprise(error: Array, variance: float) -> Array:
    """-log N(error; 0, variance)."""
    return 0.5 * (np.log(2 * np.pi * variance) + error**2 / variance)


def counts(rows: Array, symbols: int) -> Array:
    """Dirichlet counts of all contexts of three symbols, online."""
    table = np.full((symbols**ORDER, symbols), PRIOR)
    out, context = np.empty(len(rows)), 0
    for t, x in enumerate(rows[:, 0].astype(int)):
        out[t] = -np.log(table[context, x] / table[context].sum())
        table[context, x] += 1
        context = (context * symbols + x) % len(table)
    return out


def forecast(rows: Array, model: Any) -> Array:
    """Surprise of a forecast from 20 past values with normal errors."""
    x = (rows[:, 0] - rows[:, 0].mean()) / rows[:, 0].std()
    past = np.lib.stride_tricks.sliding_window_view(x[:-1], LAGS)
    error = np.zeros(len(rows))
    a, b = len(rows) * 3 // 5, len(rows) * 4 // 5
    error[LAGS:] = x[LAGS:] - model.fit(past[: a - LAGS], x[LAGS:a]).predict(past)
    return normal_surprise(error, error[a:b].var()) + np.log(rows[:, 0].std())


def compare(names: list[str]) -> Table:
    """The table of surprise."""
    columns = ("problem", "i.i.d.", "peer", "", "s", "default", "s", "gap", "simulation", "s",
               "at most", "truth")  # fmt: skip
    table = Table(*columns, title="surprise on the last 20 %, nats a step")
    for name in names:
        file, n, target = PROBLEMS[name]
        settings = tomllib.loads((SIMULATIONS / f"{file}.toml").read_text()).get("brain", {})
        stream = generator(name, n_steps=n)
        rows, truth = stream.read(n), None
        if stream.has_truth:
            truth = np.concatenate([t for _, t in stream.blocks_with_truth(n)])
        symbols = getattr(stream.sensors[0], "n_symbols", 0)
        late = slice(n * 4 // 5, None)
        peers: dict[str, Any] = {"counts": lambda rows=rows, k=symbols: counts(rows, k)}
        if not symbols:
            perceptron = MLPRegressor(
                hidden_layer_sizes=(64, 64),
                early_stopping=True,
                max_iter=300,
                n_iter_no_change=20,
                random_state=0,
            )
            peers = {
                "least squares": lambda rows=rows: forecast(rows, LinearRegression()),
                "perceptron": lambda rows=rows, m=perceptron: forecast(rows, m),
            }
        ours(stream, rows[:200], settings), ours(stream, rows[:200], {})  # compile
        results = []
        for run in (
            *peers.values(),
            lambda s=stream, rows=rows: ours(s, rows, {}),
            lambda s=stream, rows=rows, kw=settings: ours(s, rows, kw),
        ):
            began = time.perf_counter()
            results.append((run()[late].mean(), time.perf_counter() - began))
        nothing = iid_baseline(rows, symbols)[late].mean()
        *others, default, simulation = results
        closed = (nothing - default[0]) / (nothing - target)
        for k, (peer, result) in enumerate(zip(peers, others, strict=True)):
            last = k == len(peers) - 1
            table.add_row(
                name if k == 0 else "",
                f"{nothing:.4f}" if k == 0 else "",
                peer, f"{result[0]:.4f}", f"{result[1]:.1f}",
                *((f"{default[0]:.4f}", f"{default[1]:.1f}", f"{closed:.1%}",
                   f"{simulation[0]:.4f}", f"{simulation[1]:.1f}", f"{target}",
                   "" if truth is None else f"{truth[late].mean():.4f}") if last else ("",) * 7),
            )  # fmt: skip
    return table


def recurrence() -> Table:
    """What learning the recurrent weights adds to random ones."""
    table = Table("stream", "hidden", "as drawn", "learned", "gain", title="recurrent weights")
    for name, n in (("markov3", 50_000), ("text", 50_000), ("lorenz", 20_000)):
        stream = generator(name) if name == "text" else generator(name, n_steps=n)
        rows, late = stream.read(n), slice(n * 4 // 5, None)
        for hidden in (50, 200):
            surprise = []
            for rate in (0.0, 1.0 if name != "lorenz" else 0.01):
                settings = {
                    "n_hidden": hidden, "n_lags": 1, "fan_in": 1, "n_contexts": 0,
                    "connectivity": "full", "recurrent_strength": 0.9, "recurrent_rate": rate,
                }  # fmt: skip
                surprise.append(ours(stream, rows, settings)[late].mean())
            fixed, learned = surprise
            table.add_row(
                name, f"{hidden}", f"{fixed:.4f}", f"{learned:.4f}", f"{fixed - learned:.4f}"
            )
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("problems", nargs="*", default=list(PROBLEMS), metavar="problem")
    parser.add_argument("--recurrence", action="store_true", help="that table alone")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.problems) - set(PROBLEMS))
    if unknown:
        parser.error(f"no problem {unknown[0]!r}; there are {', '.join(PROBLEMS)}")
    Console(width=140).print(recurrence() if arguments.recurrence else compare(arguments.problems))


if __name__ == "__main__":
    main()
