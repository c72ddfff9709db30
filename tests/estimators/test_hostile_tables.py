"""Tables that nobody should make: every estimator learns from them or refuses them in one line.

``benchmarks/hostile_tables.py`` tries as many as one has the patience for.
"""

from hypothesis import HealthCheck, given, settings

from tests.hostile_tables import cases, outcome


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(most_rows=12))
def test_any_table_is_learned_from_or_refused_in_one_line(case):
    assert outcome(case) in ("fitted", "refused")
