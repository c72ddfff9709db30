"""Random sequences of operations on a StreamBrain keep its invariants; more of them in benchmarks/."""

from hypothesis import HealthCheck, settings

from tests.stream_sequences import BenchSequences

TestSequences = BenchSequences.TestCase
TestSequences.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
