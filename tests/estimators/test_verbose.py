"""Estimators that are verbose show their progress, learn the same, and are silent by default."""

import re

import numpy as np
import pytest

from neurolp import (
    BoundedBrain,
    BrainDensity,
    ConditionalClassifier,
    ConditionalDensity,
    LinearBrain,
    MonotoneDensity,
    OnlineBrain,
    TriangularDensity,
    load,
)
from neurolp.config.sections import BRAIN_SECTIONS
from neurolp.errors import ConfigurationError
from neurolp.progress import RunProgress, report, reported_to

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 2)) @ [[1.0, 0.5], [0.0, 0.7]]
Y = X[:, 0] + 0.3 * RNG.standard_normal(80)
PLAIN = LinearBrain(max_epochs=2)
CASES = [
    (BrainDensity(max_slices=3), (X,), r"slice \d/3: surprise \(nats\): train"),
    (OnlineBrain(max_epochs=2), (X,), r"epoch \d/2: surprise"),
    (LinearBrain(max_epochs=2), (X,), r"epoch \d/2: surprise"),
    (BoundedBrain(max_epochs=2), (X,), r"epoch \d/2: surprise"),
    (TriangularDensity(max_layers=3), (X,), r"layer \d/3: surprise"),
    (MonotoneDensity(), (X[:, 0],), r"fold \d/10: units after the transform"),
    (ConditionalDensity(max_epochs=3, hidden=(4,), n_members=2), (X, Y), r"epoch \d/3: mean held-out loss"),
    (ConditionalClassifier(max_epochs=3, hidden=(4,), n_members=2), (X, Y > 0), r"epoch \d/3: mean held"),
    (ConditionalClassifier(route="bayes", density=PLAIN), (X, Y > 0), r"class \d/2: learning the density"),
]  # fmt: skip


def name_of(case):
    return "-".join([type(case).__name__, getattr(case, "route", "")]).strip("-")


@pytest.mark.parametrize(("estimator", "data", "line"), CASES, ids=name_of)
def test_verbose_shows_what_is_learned_and_changes_nothing(estimator, data, line, capsys):
    silent = estimator.set_params(random_state=1, verbose=False).fit(*data)
    score = silent.score(*data)
    assert capsys.readouterr() == ("", "")
    loud = estimator.set_params(verbose=True).fit(*data)
    out, err = capsys.readouterr()
    assert re.search(f"(?m)^{line}", out), out
    assert err == ""
    assert loud.score(*data) == score
    report("after the fit nobody listens")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("estimator", [case[0] for case in CASES[:7]], ids=name_of)
def test_verbose_is_true_or_false_and_no_key_of_a_configuration(estimator):
    changed = type(estimator)(verbose="loud")
    with pytest.raises(ConfigurationError, match="`verbose` must be True or False, but is 'loud'"):
        changed.fit(X[:, :1] if isinstance(estimator, MonotoneDensity) else X, Y)
    assert all("verbose" not in section.model_fields for section in BRAIN_SECTIONS.values())


def test_a_file_says_nothing_of_it(tmp_path):
    LinearBrain(max_epochs=1, verbose=True, random_state=0).fit(X).save(tmp_path / "a.h5")
    assert load(tmp_path / "a.h5").verbose is False
    assert b"verbose" not in (tmp_path / "a.h5").read_bytes()


def test_work_deep_inside_is_heard_by_the_innermost_listener():
    first, second = [], []
    with reported_to(first.append):
        report("a", 1, 2, "step")
        with reported_to(second.append):
            report("b")
        report("c")
    report("d")
    assert [event.message for event in first] == ["a", "c"]
    assert [event.message for event in second] == ["b"]
    assert first[0] == RunProgress(1, 2, "step", "a", first[0].elapsed)
    assert 0 <= first[0].elapsed < 5
