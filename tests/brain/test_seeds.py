"""Random generators by name: independent of each other, functions of seed, name and index alone."""

from itertools import combinations

import numpy as np

from neurolp import BrainDensity
from neurolp.brain.seeds import KEYS, generator


def test_all_names_and_times_have_generators_of_their_own():
    keys = [(name, *index) for name in KEYS for index in ((), (0,), (1,), (2,))]
    first = {key: tuple(generator(1, *key).integers(2**63, size=4)) for key in keys}
    first["seed alone"] = tuple(np.random.default_rng(1).integers(2**63, size=4))
    first["seed and 1"] = tuple(np.random.default_rng([1, 1]).integers(2**63, size=4))
    for a, b in combinations(first, 2):
        assert not set(first[a]) & set(first[b]), (a, b)


def test_results_depend_on_seed_and_name_alone():
    assert generator(7, "slice", 3).random() == generator(7, "slice", 3).random()
    assert generator(7, "slice", 3).random() != generator(8, "slice", 3).random()
    X = np.random.default_rng(0).standard_normal((60, 3))
    one, two = (BrainDensity(random_state=4, max_slices=3).fit(X) for _ in range(2))
    np.random.default_rng(0).random(10)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))
