"""Searches: draws that follow what was found, and what may not be searched for."""

import numpy as np
import pytest

from neurolp import Sweep
from neurolp.errors import ConfigurationError
from neurolp.sweep.api import run_search
from neurolp.sweep.running import SweepOutcome
from neurolp.sweep.state import DIVERGED, DONE, JobState
from tests.sweep.quick import QUICK

RATES = {"brain.rate": {"low": 1e-4, "high": 1, "log": True}}
RULES = {"brain.rule": {"choice": ["nlms", "rls"]}}


def searched(value, n_draws=40, until=None, **search):
    """Draws of a search whose jobs find ``value(settings)``, without running anything."""
    search = search or {"minimise": "surprise", "round": 5}
    sweep = Sweep(QUICK, random=RATES | RULES, n_draws=n_draws, replicates=2, search=search)
    rounds = sweep.design.rounds()

    def run(design):
        found = {p.identity: value(p.settings) for p in design.jobs}
        states = {
            k: JobState(DIVERGED) if v is None else JobState(DONE, result={"surprise": v})
            for k, v in found.items()
        }
        stopped = 2 if until is not None and len(rounds.drawn) >= until else None
        return SweepOutcome("out", states, stopped, 1.0)

    return rounds, run_search(rounds, sweep._made, run)


def test_a_search_goes_where_it_was_good_and_is_the_same_again():
    def value(settings):
        if settings["brain.rule"] == "nlms" and settings["brain.rate"] > 0.5:
            return None  # it failed
        return abs(np.log10(settings["brain.rate"]) + 2) + (settings["brain.rule"] == "nlms")

    rounds, outcome = searched(value)
    assert len(rounds.drawn) == 40
    assert outcome.elapsed == 8.0
    assert len(outcome.states) == 80
    tried = [value(s) for s in rounds.drawn]
    best = min(v for v in tried if v is not None)
    assert best < 0.1
    assert outcome.best.startswith(f"surprise {best:.6g} with brain.rate = ")
    early, late = ([v for v in part if v is not None] for part in (tried[:10], tried[-15:]))
    assert np.median(late) < np.median(early) - 0.3
    # Interrupted and started again it draws the same, and continues.
    some, stopped = searched(value, until=20)
    assert some.drawn == rounds.drawn[:20]
    assert (stopped.stopped_by, stopped.best) == (2, "")
    _, failed = searched(lambda settings: None, n_draws=6)
    assert failed.best == ""


def test_what_a_search_may_not(tmp_path):
    for changed, message in (
        ({"search": {"minimise": "test_log_prob"}}, "nothing may be chosen by test data"),
        ({"search": {"minimise": "a", "maximise": "b"}}, "exactly one of 'minimise' and 'maximise'"),
        ({"search": {"minimise": "a"}, "grid": {"brain.n_hidden": [1]}}, "neither 'grid' nor 'lists'"),
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match=message):
            Sweep(QUICK, random=RATES, n_draws=3, **changed)
    sweep = Sweep(QUICK, random=RATES, n_draws=2, search={"maximise": "speed", "round": 1})
    with pytest.raises(
        ConfigurationError, match="asks for the result 'speed', but the jobs have surprise"
    ):
        sweep.run(tmp_path / "out", workers=1)
    assert Sweep(QUICK, random=RATES, n_draws=2, search={"maximise": "surprise"}).run(
        tmp_path / "out", workers=1
    ).counts == {"done": 2}
