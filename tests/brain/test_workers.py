"""Threads: overlapping uses of single-threaded BLAS, in any order of entering and leaving."""

import threading

import numpy as np
from threadpoolctl import threadpool_info

from neurolp import BrainDensity
from neurolp.brain.workers import Workers, single_threaded_blas


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_the_limit_stays_until_the_last_one_leaves_and_is_lifted_then():
    before = blas_threads()
    first, second = single_threaded_blas(), Workers(2)
    first.__enter__()
    second.__enter__()
    assert blas_threads() == {1}
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_overlapping_fits_give_what_each_gives_alone():
    X = np.random.default_rng(0).standard_normal((200, 3))
    X[:, 2] = np.round(X[:, 2], 1)
    settings = {"max_slices": 3, "random_state": 0}
    alone = BrainDensity(**settings).fit(X).score_samples(X)
    before, scores, limits = blas_threads(), {}, []
    start = threading.Barrier(3)

    def fit(k):
        start.wait()
        for _ in range(2):
            brain = BrainDensity(**settings, n_threads=1 + k % 2)
            brain.fit(X, progress=lambda progress: limits.append(blas_threads()))
            scores.setdefault(k, []).append(brain.score_samples(X))

    threads = [threading.Thread(target=fit, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(score, alone) for k in scores for score in scores[k])
    assert sum(map(len, scores.values())) == 6
    assert blas_threads() == before


def test_columns_are_equalised_with_single_threaded_blas(monkeypatch):
    from neurolp.brain import marginal

    seen = []
    grow = marginal.grow_marginal_map

    def spy(base, u):
        seen.append(blas_threads())
        return grow(base, u)

    monkeypatch.setattr(marginal, "grow_marginal_map", spy)
    X = np.random.default_rng(0).standard_normal((60, 3))
    BrainDensity(max_slices=1, random_state=0).fit(X)
    assert seen[:3] == [{1}] * 3
