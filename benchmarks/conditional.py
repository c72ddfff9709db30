"""Conditional probability beside its peers: python benchmarks/conditional.py [problem ...] [--mdn].

With --tables FOLDER [--splits N], instead: regression on the tables FOLDER/*.npz (or those named),
each with X, y and the rows of every split that test (bits, packed along axis 1).

Mean test figures in nats and seconds to fit, mean and standard error over seeds. bimodal: KL from
the truth to the estimate, over 50,000 fresh pairs, of 1,000 and 10,000 pairs that train and
validate. diabetes: mean log p(y | x), y standardised by the training rows. classes: log-loss and
accuracy of p(label | x) on four tables, and how well log p(x) tells digits from what is none (area
under the ROC curve: uniform counts, uniform values, each image's pixels permuted). Real tables are
split 0 of 60 / 20 / 20 (wine, breast_cancer and iris, which are small: one split for each seed);
every model gets the first two parts, ours sees to its own validation.

Everything has its defaults but for what the names say. A mixture density network takes part with
--mdn, which needs `pip install torch`.
"""

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import BayesianRidge, LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp import ConditionalClassifier, ConditionalDensity
from neurolp.data.problems_conditional import bimodal_log_density, sample_bimodal
from neurolp.differentiation.ensemble import stack

Array = np.ndarray[Any, Any]
# Training rows, their targets, test rows, their targets, seed -> log p of the test targets.
Fit = Callable[[Array, Array, Array, Array, int], Array]
PROBLEMS = ("bimodal", "diabetes", "classes")
RIDGES = np.geomspace(1e-3, 1e4, 29)


def ours(X: Array, y: Array, X_test: Array, y_test: Array, seed: int) -> Array:
    model = ConditionalDensity(target_kind="continuous", random_state=seed).fit(X, y)
    return model.log_prob(X_test, y_test)


def homoscedastic(model: Any) -> Fit:
    """Gaussian noise of one width: that of the errors in cross-validation."""

    def fit(X: Array, y: Array, X_test: Array, y_test: Array, seed: int) -> Array:
        noise = np.sqrt(np.mean((y - cross_val_predict(model, X, y, cv=5)) ** 2))
        return norm(model.fit(X, y).predict(X_test), noise).logpdf(y_test)

    return fit


def own_deviation(model: Any) -> Fit:
    """Gaussian noise as the model itself tells it."""

    def fit(X: Array, y: Array, X_test: Array, y_test: Array, seed: int) -> Array:
        mean, deviation = model.fit(X, y).predict(X_test, return_std=True)
        return norm(mean, deviation).logpdf(y_test)

    return fit


def mixture_density_network(X: Array, y: Array, X_test: Array, y_test: Array, seed: int) -> Array:
    """Two layers of 64, 8 components, Adam, stopped on a fifth of the rows."""
    import torch

    torch.manual_seed(seed)
    mean, scale, centre, spread = X.mean(axis=0), X.std(axis=0), y.mean(), y.std()
    x, t = (
        torch.tensor(v, dtype=torch.float32) for v in ((X - mean) / scale, (y - centre) / spread)
    )
    order = torch.randperm(len(x))
    train, held_out = order[len(x) // 5 :], order[: len(x) // 5]
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 24),
    )

    def log_prob(x: Any, t: Any) -> Any:
        a, m, r = net(x).chunk(3, dim=1)
        each = torch.distributions.Normal(m, 1e-3 + torch.nn.functional.softplus(r))
        return torch.logsumexp(torch.log_softmax(a, dim=1) + each.log_prob(t[:, None]), dim=1)

    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    best, kept, waiting = -np.inf, net.state_dict(), 0
    while waiting < 30:
        for rows in train[torch.randperm(len(train))].split(128):
            optimiser.zero_grad()
            (-log_prob(x[rows], t[rows]).mean()).backward()
            optimiser.step()
        with torch.no_grad():
            score = float(log_prob(x[held_out], t[held_out]).mean())
        waiting += 1
        if score > best:
            best, waiting = score, 0
            kept = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    with torch.no_grad():
        x_test = torch.tensor((X_test - mean) / scale, dtype=torch.float32)
        t_test = torch.tensor((y_test - centre) / spread, dtype=torch.float32)
        return log_prob(x_test, t_test).numpy().astype(np.float64) - np.log(spread)


def split(X: Array, y: Array, seed: int = 0) -> tuple[Array, Array, Array, Array, Array]:
    """Rows to fit and their targets, test rows and theirs; numbers of the 60 % to scale by."""
    order = np.random.default_rng(seed).permutation(len(X))
    train, fit, test = (
        order[: int(0.6 * len(X))],
        order[: int(0.8 * len(X))],
        order[int(0.8 * len(X)) :],
    )
    return X[fit], y[fit], X[test], y[test], train


def cell(values: list[float], digits: int) -> str:
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def gaussian_process() -> Any:
    kernel = ConstantKernel() * RBF(3.0) + WhiteKernel()
    return make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True))


def ridge() -> Any:
    return make_pipeline(StandardScaler(), RidgeCV(RIDGES))


def densities(names: list[str], extra: dict[str, Fit]) -> Table:
    """The table of conditional densities."""
    table = Table(title="p(y | x), nats")
    for name in ("problem", "model", "figure", "s"):
        table.add_column(name, justify="right" if name in ("figure", "s") else "left")
    if "bimodal" in names:
        X_test, y_test = sample_bimodal(50_000, np.random.default_rng(10**6))
        truth = bimodal_log_density(X_test, y_test).mean()
        grid = {"alpha": [0.01, 0.1, 1.0], "gamma": [0.3, 1.0, 3.0]}
        kernel = GridSearchCV(KernelRidge(kernel="rbf"), grid)
        for n in (1000, 10_000):
            models = {"ConditionalDensity": ours, **extra}
            models["ridge + Gaussian noise"] = homoscedastic(ridge())
            if n == 1000:  # cubic in the rows
                models["kernel ridge + Gaussian noise"] = homoscedastic(kernel)
            for name, fit in models.items():
                scores, seconds = [], []
                for seed in range(3):
                    X, y = sample_bimodal(n, np.random.default_rng(seed))
                    began = time.perf_counter()
                    scores.append(truth - float(fit(X, y, X_test, y_test, seed).mean()))
                    seconds.append(time.perf_counter() - began)
                cells = (f"KL {cell(scores, 4)}", f"{np.mean(seconds):.1f}")
                table.add_row(f"bimodal, n = {n:,}", name, *cells)
    if "diabetes" in names:
        data = load_diabetes(scaled=False)
        X, y, X_test, y_test, train = split(data.data, data.target)
        mean, scale = data.target[train].mean(), data.target[train].std()
        y, y_test = (y - mean) / scale, (y_test - mean) / scale
        models = {
            "ConditionalDensity": ours,
            **extra,
            "ridge + Gaussian noise": homoscedastic(ridge()),
            "BayesianRidge": own_deviation(make_pipeline(StandardScaler(), BayesianRidge())),
            "GaussianProcessRegressor": own_deviation(gaussian_process()),
        }
        for name, fit in models.items():
            scores, seconds = [], []
            for seed in range(3 if name in ("ConditionalDensity", *extra) else 1):
                began = time.perf_counter()
                scores.append(float(fit(X, y, X_test, y_test, seed).mean()))
                seconds.append(time.perf_counter() - began)
            table.add_row("diabetes", name, cell(scores, 4), f"{np.mean(seconds):.1f}")
    return table


class BaggedPerceptrons:
    """scikit-learn's MLPClassifier, bagged as ConditionalClassifier is.

    As many members (two beginnings in each of five stratified folds), as many hidden units, the
    same penalty, steps and batches. Each stops when 20 passes through its rows have not raised the
    likelihood of its fold, and is as it was at the best pass. Their probabilities are averaged.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Array, y: Array) -> "BaggedPerceptrons":
        """Learn from all rows."""
        self.members = []
        label = np.unique(y, return_inverse=True)[1]
        folds = StratifiedKFold(5, shuffle=True, random_state=self.seed)
        for k, (train, held_out) in enumerate([*folds.split(X, y)] * 2):
            scaler = StandardScaler().fit(X[train])
            x, z = scaler.transform(X[train]), scaler.transform(X[held_out])
            member = MLPClassifier(
                (128,),
                alpha=0.1,
                learning_rate_init=3e-3,
                batch_size=min(max(len(train) // 20, 16), 128),
                random_state=100 * self.seed + k,
            )
            best, waiting = np.inf, 0
            while waiting < 20:
                member.partial_fit(x, label[train], classes=np.unique(label))
                proba = member.predict_proba(z)[np.arange(len(z)), label[held_out]]
                loss, waiting = -np.log(np.maximum(proba, 1e-300)).mean(), waiting + 1
                if loss < best:
                    best, waiting = loss, 0
                    kept = [[v.copy() for v in w] for w in (member.coefs_, member.intercepts_)]
            member.coefs_, member.intercepts_ = kept
            self.members.append((scaler, member))
        return self

    def predict_proba(self, X: Array) -> Array:
        """Mean probability of every class."""
        return np.mean([m.predict_proba(scaler.transform(X)) for scaler, m in self.members], axis=0)


TABLES = {
    "digits": load_digits,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "iris": load_iris,
}


def classifiers() -> Table:
    """The table of p(label | x), and of p(x) of what is no digit."""
    table = Table(title="p(label | x) of four tables, and p(x) of what is no digit")
    for name in (
        "table",
        "model",
        "log-loss (nats)",
        "accuracy",
        "AUROC: counts",
        "values",
        "permuted",
        "s",
    ):
        table.add_column(name, justify="left" if name in ("table", "model") else "right")
    models: dict[str, Callable[[int], Any]] = {
        "ConditionalClassifier (softmax)": lambda seed: ConditionalClassifier(random_state=seed),
        "bagged MLPClassifier": BaggedPerceptrons,
        "ConditionalClassifier (bayes)": lambda seed: ConditionalClassifier(
            route="bayes", random_state=seed
        ),
        "MLPClassifier": lambda seed: make_pipeline(
            StandardScaler(), MLPClassifier(max_iter=500, random_state=seed)
        ),
        "LogisticRegression (C by CV)": lambda seed: GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            {"logisticregression__C": np.geomspace(1e-3, 10, 9)},
            scoring="neg_log_loss",
        ),
    }
    for title, load in TABLES.items():
        data = load()
        for name, make in models.items():
            if "bayes" in name and title != "digits":
                continue
            losses, hits, seconds, areas = [], [], [], []
            for seed in range(1 if "bayes" in name else 3):
                X, y, X_test, y_test, _ = split(
                    data.data, data.target, 0 if title == "digits" else seed
                )
                began = time.perf_counter()
                model = make(seed).fit(X, y)
                seconds.append(time.perf_counter() - began)
                proba = model.predict_proba(X_test)
                chosen = np.clip(proba[np.arange(len(y_test)), y_test], 1e-300, None)
                losses.append(-float(np.log(chosen).mean()))
                hits.append(float(np.mean(proba.argmax(axis=1) == y_test)))
                if "bayes" in name:
                    rng = np.random.default_rng(1)
                    others = (
                        rng.integers(0, 17, X_test.shape),
                        rng.uniform(0, 16, X_test.shape),
                        rng.permuted(X_test, axis=1),
                    )
                    known = model.score_samples(X_test)
                    is_digit = np.repeat([True, False], len(known))
                    scores = [np.append(known, model.score_samples(other)) for other in others]
                    areas = [f"{roc_auc_score(is_digit, score):.4f}" for score in scores]
            figures = (cell(losses, 4), cell(hits, 4), *(areas or ["-"] * 3))
            table.add_row(title, name, *figures, f"{np.mean(seconds):.1f}")
    return table


def regressions(tables: dict[str, Path], n_splits: int, console: Console) -> None:
    """Print minus the mean log p(y | x) of test rows, in the units of y, table by table."""
    for title, path in tables.items():
        data = np.load(path)
        X, y = data["X"], data["y"].ravel()
        tests = np.unpackbits(data["test"], axis=1)[:, : len(y)].astype(bool)[:n_splits]
        scores: dict[str, list[float]] = defaultdict(list)
        seconds: dict[str, list[float]] = defaultdict(list)
        for seed, test in enumerate(tests):
            rows = X[~test], y[~test], X[test], y[test], seed
            began = time.perf_counter()
            # Rounded targets: densities are what is compared.
            model = ConditionalDensity(target_kind="continuous", random_state=seed)
            model.fit(*rows[:2])
            log_prob = {"ConditionalDensity": model.log_prob(X[test], y[test])}
            seconds["ConditionalDensity"].append(time.perf_counter() - began)
            unit: Any = model.units_[0]  # without its trees it is what trees=False learns
            smooth = unit.ensemble.weighted(stack(unit.ensemble.held_out)[0])
            alone = replace(unit, ensemble=smooth, boosted=None)
            log_prob["its perceptrons alone"] = alone.log_prob(X[test], y[test])
            boosting = HistGradientBoostingRegressor(random_state=seed)
            for name, peer in (("gradient boosting", boosting), ("ridge", ridge())):
                began = time.perf_counter()
                log_prob[f"{name} + Gaussian noise"] = homoscedastic(peer)(*rows)
                seconds[f"{name} + Gaussian noise"].append(time.perf_counter() - began)
            for name, each in log_prob.items():
                scores[name].append(-float(np.mean(each)))
        table = Table(title=f"{title}: {len(y):,} rows, {len(tests)} splits")
        for name in ("model", "-log p(y | x), nats", "minus that of the first", "s"):
            table.add_column(name, justify="left" if name == "model" else "right")
        first = np.array(scores["ConditionalDensity"])
        for name, values in scores.items():
            beyond = cell(list(np.array(values) - first), 3)
            spent = f"{np.mean(seconds[name]):.1f}" if seconds[name] else ""
            table.add_row(name, cell(values, 3), beyond, spent)
        console.print(table)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", help=f"of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--tables", type=Path, help="a folder of regression tables")
    parser.add_argument("--splits", type=int, default=20, help="so many splits of each table")
    parser.add_argument("--mdn", action="store_true", help="a mixture density network too")
    arguments = parser.parse_args()
    if arguments.tables:
        known = {path.stem: path for path in sorted(arguments.tables.glob("*.npz"))}
        tables = {name: known[name] for name in arguments.problems or known}
        regressions(tables, arguments.splits, Console(width=130))
        return
    names = arguments.problems or list(PROBLEMS)
    if unknown := set(names) - set(PROBLEMS):
        parser.error(f"unknown problem: {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    ours(*sample_bimodal(20, np.random.default_rng(0)), np.zeros((1, 1)), np.zeros(1), 0)  # compile
    console = Console(width=130)
    if {"bimodal", "diabetes"} & set(names):
        extra: dict[str, Fit] = {"mixture density network": mixture_density_network}
        console.print(densities(names, extra if arguments.mdn else {}))
    if "classes" in names:
        console.print(classifiers())


if __name__ == "__main__":
    main()
