"""How many draws of holes a point of a distribution function has."""

import pytest

from neurolp.mixed.holes import N_DRAWS, draws_for


@pytest.mark.parametrize("n_values", [1, 2, 16, 17, 100, 10_000])
def test_all_points_together_have_the_draws_of_sixteen(n_values):
    found = draws_for(n_values)
    assert N_DRAWS // 8 <= found <= N_DRAWS
    assert found * n_values >= 0.95 * N_DRAWS * min(n_values, 16)
