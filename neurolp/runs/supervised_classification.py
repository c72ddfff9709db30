"""Classification in the experiment ``supervised``: p(label | x) by two routes, and p(x)."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurolp.arrays import Array, NamedArrays
from neurolp.brain.seeds import generator
from neurolp.brain.workers import single_threaded_blas
from neurolp.data.supervised import SupervisedSplit
from neurolp.estimators import ConditionalClassifier
from neurolp.evaluation.metrics import reliability
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.supervised_regression import stacked
from neurolp.storage.reader import Trajectory

MODELS = ("softmax", "Bayes", "logistic regression")
SOURCES = ("test rows", "shuffled", "noise")
SCORES = ("log p(x), Bayes", "largest p(label | x), softmax")
_BINS = 10
_MOST_ROWS = 1000


# Dimensions, units and meaning of what is measured on the test rows of every problem.
_MEASURED = {
    "log_loss": ("classifier", "nat", "mean of -log p(label | x) over test rows"),
    "log_loss_error": ("classifier", "nat", "its standard error"),
    "accuracy": ("classifier", "1", "share of test rows whose most probable label is right"),
    "calibration_error": ("classifier", "1", "mean |confidence - frequency|, weighted by rows"),
    "seconds": ("classifier", "s", "time of fitting"),
    "bin_confidence": ("classifier confidence_bin", "1", "mean of the largest p(label | x)"),
    "bin_frequency": ("classifier confidence_bin", "1", "how often that label is right"),
    "bin_counts": ("classifier confidence_bin", "1", "test rows in the bin"),
    "auroc": ("score strange_source", "1", "chance that a test row scores higher than this input"),
    "input_score": ("score source input_row", "nat or 1", "score; NaN beyond their number"),
}


def measure(data: SupervisedSplit, seed: int) -> dict[str, Any]:
    """Fit the models and measure them on test rows and on inputs of no class: arrays by name."""
    X, y = data.learned
    labels = np.unique(y)
    routes = [ConditionalClassifier(route=r, random_state=seed) for r in ("softmax", "bayes")]
    models: list[Any] = []
    seconds = []
    for fit in (*(route.fit for route in routes), _logistic):
        began = time.monotonic()
        models.append(fit(X, y))
        seconds.append(time.monotonic() - began)

    at = np.searchsorted(labels, data.y_test)
    rows = np.arange(len(at))
    surprise, right, bins = [], [], []
    for model in models:
        log_p = model.predict_log_proba(data.X_test)
        surprise.append(-log_p[rows, at])
        p = np.minimum(np.exp(log_p), 1.0)
        right.append(p.argmax(axis=1) == at)
        bins.append(reliability(p.max(axis=1), right[-1], _BINS))
    softmax, bayes = models[:2]
    scores = np.full((len(SCORES), len(SOURCES), _MOST_ROWS), np.nan)
    for k, given in enumerate((data.X_test, *_never_seen(data, seed))):
        n = min(len(given), _MOST_ROWS)
        scores[0, k, :n] = bayes.score_samples(given)[:n]
        scores[1, k, :n] = softmax.predict_proba(given).max(axis=1)[:n]
    return {
        "title": data.title,
        "log_loss": np.mean(surprise, axis=1),
        "log_loss_error": np.std(surprise, axis=1, ddof=1) / np.sqrt(len(at)),
        "accuracy": np.mean(right, axis=1),
        "calibration_error": [b.error for b in bins],
        "seconds": seconds,
        "bin_confidence": [b.confidence for b in bins],
        "bin_frequency": [b.frequency for b in bins],
        "bin_counts": [b.counts for b in bins],
        "auroc": [[_auroc(s[0], s[k]) for k in (1, 2)] for s in scores],
        "input_score": scores,
    }


def _logistic(X: Array, y: Array) -> Any:
    """Logistic regression on standardised columns, its ridge chosen by cross-validation."""
    model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=8, max_iter=2000))
    with single_threaded_blas(), warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
        return model.fit(X, y)


def _never_seen(data: SupervisedSplit, seed: int) -> tuple[Array, Array]:
    """Inputs of no class, as many as test rows.

    Shuffled: the values of each test row in another order where all columns have one unit
    (digits), else those of each column in another order of rows. Noise: every column uniform over
    its range, whole numbers where the column is.
    """
    rng = generator(seed, "inputs of no class")
    X = data.X_test
    shuffled = rng.permuted(X, axis=1 if data.title == "digits" else 0)
    low, high = data.X_train.min(axis=0), data.X_train.max(axis=0)
    if data.title == "digits":
        low, high = np.zeros_like(low), np.full_like(high, 16.0)
    noise = rng.uniform(low, high, X.shape)
    whole = np.all(data.X_train == np.round(data.X_train), axis=0)
    return shuffled, np.where(whole, np.round(noise), noise)


def _auroc(known: Array, strange: Array) -> float:
    known, strange = known[~np.isnan(known)], strange[~np.isnan(strange)]
    scores = np.concatenate([known, strange])
    scores = np.maximum(scores, np.finfo(np.float64).min)  # a log-density may be -inf
    is_known = np.arange(len(scores)) < len(known)
    return float(roc_auc_score(is_known, scores))


def named_arrays(found: list[dict[str, Any]]) -> NamedArrays:
    """What :func:`measure` returned for all problems."""
    return NamedArrays.of(
        coordinates={
            "classification": ([f["title"] for f in found], "1", "problem"),
            "classifier": (MODELS, "1", "model of p(label | x)"),
            "confidence_bin": (np.arange(_BINS), "1", "bins of equal width from 0 to 1"),
            "score": (SCORES, "1", "score that separates known inputs from others"),
            "source": (SOURCES, "1", "where inputs come from"),
            "strange_source": (SOURCES[1:], "1", "inputs of no class"),
            "input_row": (np.arange(_MOST_ROWS), "1", "input, the first so many"),
        },
        variables=stacked(found, "classification", _MEASURED),
    )


def summary(file: Trajectory) -> list[SummaryTable]:
    """Log-loss, accuracy and calibration; how well inputs of no class are recognised."""
    if "log_loss" not in file:
        return []
    loss = file["log_loss"]
    rows, strange = [], []
    for k, problem in enumerate(loss.coords["classification"].values):
        for j, model in enumerate(loss.coords["classifier"].values):
            error = file["log_loss_error"].values[k, j]
            rows.append(
                (
                    str(problem),
                    str(model),
                    f"{loss.values[k, j]:.4f} +- {error:.4f}",
                    f"{file['accuracy'].values[k, j]:.2%}",
                    f"{file['calibration_error'].values[k, j]:.3f}",
                    f"{file['seconds'].values[k, j]:.1f}",
                )
            )
        for j, score in enumerate(file["auroc"].coords["score"].values):
            values = file["auroc"].values[k, j]
            strange.append((str(problem), str(score), *(f"{value:.4f}" for value in values)))
    return [
        SummaryTable(
            "Classification, test rows: log-loss in nats (lower is better)",
            ("problem", "model", "log-loss", "accuracy", "calibration error", "s"),
            rows,
        ),
        SummaryTable(
            "Told from inputs never seen (area under the ROC curve; 0.5 is guessing)",
            ("problem", "by", *map(str, file["auroc"].coords["strange_source"].values)),
            strange,
        ),
    ]
