"""``experiment = "principle"``: surprise falls to the entropy, and every loss is a density.

A source draws symbols k with probability P_k; the model Phi = softmax(theta) takes one step down
the gradient of -log Phi at each symbol,

    theta <- theta - rate_t (Phi - onehot(k)),      rate_t = rate / sqrt(1 + t / 10),

and the average of theta over time is the estimate in use (Polyak's averaging). Counting, with one
count given to each symbol (Laplace), is the baseline. Then four losses, each as the density it
stands for, are fitted to four kinds of noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from neurolp.arrays import Array, NamedArrays
from neurolp.brain.seeds import generator
from neurolp.config.experiment_sections import PrincipleConfiguration
from neurolp.evaluation.losses import LOSSES, LossDensity
from neurolp.evaluation.metrics import kl_by_quadrature, total_probability
from neurolp.progress import Observer
from neurolp.runs.computation import experiment, watched
from neurolp.runs.kinds import SummaryTable
from neurolp.runs.memory import NUMBER, PROCESS, Memory
from neurolp.storage.reader import Trajectory

LEARNERS = ("gradient", "averaged gradient", "counting")
_N_TIMES = 120


def compute(configuration: PrincipleConfiguration, observe: Observer) -> NamedArrays:
    """Learn the symbols in all runs at once, then the noise with each loss."""
    out = NamedArrays()
    for part in watched([_symbols, _losses], observe, lambda f: f.__name__.strip("_")):
        out.update(part(configuration))
    return out


def summary(file: Trajectory) -> list[SummaryTable]:
    """Surprise of the learners at the beginning, in between and at the end; losses by noise."""
    surprise, floor = file["surprise"], float(file.result["entropy"])
    times = surprise.coords["time"].values
    shown = np.unique(np.searchsorted(times, [0, times[-1] // 100, times[-1] // 10, times[-1]]))
    rows = [
        (str(name), *(f"{at:.5f}" for at in surprise.sel(learner=name).values.mean(axis=0)[shown]))
        for name in surprise.coords["learner"].values
    ]
    rows.append(("entropy of the source", *[f"{floor:.5f}"] * len(shown)))
    symbols = SummaryTable(
        f"Mean surprise after so many symbols, nats, mean of {surprise.shape[1]} runs",
        ("learner", *(f"{times[k]:,}" for k in shown)),
        rows,
    )
    cost = file["loss_kl"]
    names = tuple(str(name) for name in cost.coords["loss"].values)
    losses = SummaryTable(
        "What the density of each loss costs above the entropy of the noise, nats",
        ("noise", *names),
        [
            (str(noise), *(f"{value:.4f}" for value in row))
            for noise, row in zip(cost.coords["noise"].values, cost.values, strict=True)
        ],
    )
    return [symbols, losses]


def _symbols(configuration: PrincipleConfiguration) -> NamedArrays:
    p = np.array(configuration.probabilities) / np.sum(configuration.probabilities)
    n_runs, n_steps, k = configuration.n_runs, configuration.n_steps, len(p)
    rng = generator(configuration.seed or 0, "principle: symbols")
    block, symbols = 10_000, np.empty((0, n_runs), dtype=np.int64)  # drawn so many at a time
    times = np.unique(
        np.concatenate([[0], np.geomspace(1, n_steps, _N_TIMES).round().astype(np.int64)])
    )

    theta, average, counts = np.zeros((n_runs, k)), np.zeros((n_runs, k)), np.ones((n_runs, k))
    learned = np.empty((len(LEARNERS), n_runs, len(times), k))
    runs, at = np.arange(n_runs), 0
    for t in range(n_steps + 1):
        if t == times[at]:
            learned[:, :, at] = (
                _softmax(theta),
                _softmax(average),
                counts / counts.sum(axis=1, keepdims=True),
            )
            at += 1
        if t == n_steps:
            break
        if t % block == 0:
            symbols = rng.choice(k, size=(block, n_runs), p=p)
        seen = symbols[t % block]
        step = _softmax(theta)
        step[runs, seen] -= 1  # gradient of -log Phi at the symbol
        theta -= configuration.rate / np.sqrt(1 + t / 10) * step
        average += (theta - average) / (t + 1)
        counts[runs, seen] += 1

    floor = float(stats.entropy(p))
    divergence = np.sum(p * (np.log(p) - np.log(learned)), axis=-1)
    out = NamedArrays.of(
        coordinates={
            "learner": (LEARNERS, "1", "how Phi is learned"),
            "run": (runs, "1", "independent sequence of symbols"),
            "time": (times, "symbol", "symbols seen"),
            "symbol": ([f"symbol {j}" for j in range(k)], "1", "what the source draws"),
        },
        variables={
            "true_probability": ("symbol", p, "1", "P of the source"),
            "surprise": ("learner run time", floor + divergence, "nat", "E_P[-log Phi], exact"),
            "probability": ("learner time symbol", learned[:, 0], "1", "Phi, in the first run"),
        },
    )
    out.attributes["result"] = {"entropy": floor}  # H(P), nats
    return out


def _softmax(theta: Array) -> Array:
    z = np.exp(theta - theta.max(axis=-1, keepdims=True))
    return np.asarray(z / z.sum(axis=-1, keepdims=True))


def _losses(configuration: PrincipleConfiguration) -> NamedArrays:
    settings = {"threshold": configuration.threshold, "level": configuration.level}
    residual = np.linspace(-6, 6, 601)
    densities = [LossDensity(name, **settings) for name in LOSSES]
    noises = _noises(configuration.level)
    rng = generator(configuration.seed or 0, "principle: losses")
    cost = np.empty((len(noises), len(LOSSES)))
    location, scale = np.empty_like(cost), np.empty_like(cost)
    for i, source in enumerate(noises.values()):
        x = source.rvs(configuration.n_samples, random_state=rng)
        for j, density in enumerate(densities):
            best = density.fit(x)
            points = [*best.kinks, *source.ppf([0.01, 0.25, 0.5, 0.75, 0.99]), 0.0]
            cost[i, j] = kl_by_quadrature(source.logpdf, best.log_prob, points=points).value
            location[i, j], scale[i, j] = best.location, best.scale
    probability = [d.prob(residual) for d in densities]
    normaliser = [d.log_normaliser for d in densities]
    total = [total_probability(d.log_prob, points=[*d.kinks, 0.0]).value for d in densities]
    what = "KL from the noise to the density of the loss, location and scale of least mean surprise"
    return NamedArrays.of(
        coordinates={
            "loss": (LOSSES, "1", "loss of a residual"),
            "residual": (residual, "scale", "target minus prediction"),
            "noise": (list(noises), "1", "density of the residuals"),
        },
        variables={
            "loss_value": ("loss residual", [d.loss(residual) for d in densities], "nat", "l(r)"),
            "loss_density": ("loss residual", probability, "1/scale", "exp(-l) / Z"),
            "loss_log_normaliser": ("loss", normaliser, "nat", "log Z at scale 1, closed form"),
            "loss_total": ("loss", total, "1", "integral of exp(-l) / Z by quadrature"),
            "loss_kl": ("noise loss", cost, "nat", what),
            "loss_location": ("noise loss", location, "1", "location learned"),
            "loss_scale": ("noise loss", scale, "1", "scale learned"),
        },
    )


def _noises(level: float) -> dict[str, Any]:
    return {
        "normal": stats.norm(),
        "Laplace": stats.laplace(),
        "Student's t, 4 degrees": stats.t(4),
        "asymmetric Laplace": stats.laplace_asymmetric(np.sqrt(level / (1 - level))),
    }


def _memory(configuration: PrincipleConfiguration) -> Memory:
    k, n_runs = len(configuration.probabilities), configuration.n_runs
    least = n_runs * (10_000.0 + 3 * _N_TIMES * k) + 6.0 * configuration.n_samples
    most = PROCESS + 8.0 * NUMBER * k * n_runs * configuration.n_steps
    return Memory("keys n_runs and n_samples", NUMBER * least, most)


_ABOUT = (
    "Learners estimated the probabilities of the symbols of a source from single "
    "symbols; loss functions were compared as densities."
)

KIND = experiment("principle", PrincipleConfiguration, compute, summary, _memory, _ABOUT)
