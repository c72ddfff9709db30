"""BrainDensity on tables of any columns: normalised, consistent, in the words of the table."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import neurolp
from neurolp import BrainDensity, ConfigurationError, DataError

ALL = ("brain", "triangular", "cells")


def mixed(n, seed=0, holes=0.0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, n)
    z = rng.standard_normal(n) + a
    grade = np.clip(np.round(z + rng.standard_normal(n)), 0, 3).astype(int)
    frame = pd.DataFrame(
        {
            "who": np.array(["ann", "bob", "eve"])[a],
            "size": z,
            "rain": np.where(rng.random(n) < 0.4, 0.0, np.exp(0.5 * z)),
            "count": rng.poisson(1 + a),
            "flag": rng.random(n) < 0.2 + 0.2 * a,
            "grade": pd.Categorical.from_codes(grade, list("dcba"), ordered=True),
            "same": "always",
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 20_000, n), "h"),
        }
    )
    for name in ("who", "count", "grade", "rain"):
        frame.loc[rng.random(n) < holes, name] = None
    return frame


def discrete(n, seed=0):
    frame = mixed(n, seed)[["who", "flag", "grade", "same"]]
    return frame.assign(who=pd.Categorical(frame["who"], ["ann", "bob", "eve"]))


@pytest.fixture(scope="module")
def model():
    return BrainDensity(random_state=0, max_slices=40, constructions=ALL).fit(mixed(500, holes=0.1))


@pytest.fixture(scope="module")
def labels():
    return BrainDensity(random_state=0, max_slices=40).fit(discrete(400))


def combinations(density):
    values = [density.categories_[name] for name in ("who", "flag", "grade")]
    frame = pd.DataFrame(list(product(*values)), columns=["who", "flag", "grade"])
    frame = frame.assign(same="always", flag=frame["flag"].astype(bool))
    return frame.astype({"who": discrete(9)["who"].dtype, "grade": mixed(9)["grade"].dtype})


def test_masses_of_all_combinations_sum_to_one(labels):
    assert np.exp(labels.score_samples(combinations(labels))).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("constructions", [*[(name,) for name in ALL], "auto"])
def test_sums_and_integrals_over_all_columns_are_one(constructions):
    frame = mixed(300)[["flag", "grade", "size"]]
    density = BrainDensity(random_state=1, max_slices=20, constructions=constructions).fit(frame)
    assert set(density.construction_weights_) <= (
        {*constructions} if constructions != "auto" else {*ALL}
    )
    # Midpoints of equal steps of sinh: fine in the middle, far out at the ends.
    t = (np.arange(4000) + 0.5) / 4000 * 24 - 12
    x, width = 0.05 * np.sinh(t), 0.05 * np.cosh(t) * 24 / 4000
    total = 0.0
    for flag, grade in product([False, True], "dcba"):
        rows = pd.DataFrame({"flag": flag, "grade": grade, "size": x})
        rows = rows.astype({"grade": frame["grade"].dtype})
        total += float(np.exp(density.score_samples(rows)) @ width)
    assert total == pytest.approx(1, abs=5e-4)


def test_marginals_are_sums_within_their_standard_errors(labels):
    every = combinations(labels)
    log_p = labels.score_samples(every)
    holes = every.astype({"flag": "boolean"}).iloc[[0, 7, 13, 20]].copy()
    holes["grade"] = pd.Categorical([None] * 4, categories=list("dcba"), ordered=True)
    holes.iloc[2:, holes.columns.get_loc("flag")] = pd.NA
    found, error = labels.score_samples(holes, return_std=True)
    for row, log_q, std in zip(holes.to_dict("records"), found, error, strict=True):
        same = every["who"] == row["who"]
        if not pd.isna(row["flag"]):
            same &= every["flag"] == row["flag"]
        assert abs(log_q - logsumexp(log_p[same.to_numpy()])) < 5 * std + 1e-9


def test_conditionals_are_joint_over_marginal(labels, model):
    every = combinations(labels)
    p = np.exp(labels.score_samples(every))
    for target in ("who", "flag", "grade"):
        found = labels.predict_proba(every.drop(columns=target), target)
        rest = [c for c in ("who", "flag", "grade") if c != target]
        marginal = pd.Series(p).groupby([every[c] for c in rest], observed=True).transform("sum")
        place = {value: k for k, value in enumerate(labels.categories_[target])}
        own = found[np.arange(len(every)), [place[v] for v in every[target]]]
        np.testing.assert_allclose(own, p / marginal, rtol=1e-9)
    rows = mixed(30, 5)
    default, named = model.predict_proba(rows), model.predict_proba(rows, "grade")
    np.testing.assert_array_equal(default, named)
    np.testing.assert_allclose(named.sum(axis=1), 1)
    assert model.predict_proba(rows, "who").shape == (30, 3)


def test_missing_rows_are_certain_and_complete_rows_exact(model):
    nothing = mixed(2).astype(object)
    nothing.loc[:, :] = None
    np.testing.assert_array_equal(model.score_samples(nothing), 0)
    log_p, error = model.score_samples(mixed(20, 7), return_std=True)
    np.testing.assert_array_equal(error, 0)
    assert np.all(np.isfinite(log_p))


def test_errors_of_marginals_are_standard_errors():
    frame = mixed(400)[["flag", "grade", "size", "who"]]
    density = BrainDensity(random_state=0, max_slices=20).fit(frame)
    rows = mixed(40, 3)[["flag", "grade", "size", "who"]]
    exact = logsumexp(
        [density.score_samples(rows.assign(who=who)) for who in ("ann", "bob", "eve")], axis=0
    )
    # The share of categories that were not seen is among the marginal too.
    exact = np.logaddexp(exact, density.score_samples(rows.assign(who="nobody")))
    found, error = density.score_samples(rows.assign(who=None), return_std=True)
    z = (found - exact) / error
    assert np.all(error > 0)
    assert np.abs(z).max() < 6
    assert 0.3 < z.std() < 2


def test_draws_are_of_the_table_and_follow_it(model):
    drawn = model.sample(4000, random_state=0)
    frame = mixed(4000, seed=9)
    assert list(drawn.columns) == list(frame.columns)
    assert drawn["grade"].dtype == frame["grade"].dtype
    assert drawn["day"].dtype.kind == "M"
    assert drawn["flag"].dtype == bool
    assert (drawn["count"] >= 0).mean() > 0.99
    assert set(drawn["same"]) == {"always"}
    assert (drawn["rain"] == 0).mean() == pytest.approx(0.4, abs=0.08)
    for name in ("who", "flag", "grade"):
        mine = drawn[name].value_counts(normalize=True)
        other = frame[name].value_counts(normalize=True)
        assert (mine - other).abs().max() < 0.1  # 400 rows were learned from
    assert stats.ks_2samp(drawn["size"], frame["size"]).statistic < 0.1
    by_who = drawn.groupby("who", observed=True)["size"].mean()
    assert by_who["eve"] - by_who["ann"] > 0.5


def test_known_values_come_back_and_missing_ones_follow_the_rest(model):
    rows = pd.concat([mixed(1)] * 40, ignore_index=True)
    rows["who"], rows["size"] = None, 4.0
    drawn = model.sample_conditional(rows, 10, random_state=0)
    assert drawn.index.names == ["sample", "row"]
    assert len(drawn) == 400
    np.testing.assert_array_equal(drawn["size"], 4.0)
    p = model.predict_proba(rows.head(1), "who")[0]
    share = [(drawn["who"] == who).mean() for who in model.categories_["who"]]
    np.testing.assert_allclose(share, p, atol=0.1)
    filled = model.impute(rows.head(3))
    assert filled["who"].iloc[0] == model.categories_["who"][np.argmax(p)]
    assert not filled.isna().any().any()


def test_probabilities_sum_to_one_where_log_probabilities_differ_by_less_than_they_can_say():
    levels = ["low", "middle", "high", "never"]
    frame = pd.DataFrame({"x": [1e-5, 2.5e11, 1e-11], "level": ["low", "low", "high"]})
    frame["level"] = pd.Categorical(frame["level"], levels)
    model = BrainDensity(constructions=["brain"], random_state=0).fit(frame)
    p = model.predict_proba(frame, "level")
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)


def test_quantiles_are_those_of_the_conditional_distribution(model):
    rows = mixed(3, 11)
    q = [0.05, 0.5, 0.95]
    found = model.predict_quantile(rows.drop(columns="size"), q, "size")
    x = np.linspace(-15, 15, 6001)
    for k in range(3):
        grid = pd.concat([rows.iloc[[k]]] * len(x), ignore_index=True).assign(size=x)
        cdf = np.cumsum(np.exp(model.score_samples(grid)))
        at = np.interp(found[k], x + 0.0025, cdf / cdf[-1])
        np.testing.assert_allclose(at, q, atol=0.01)
    rain = model.predict_quantile(rows, [0.2, 0.99], "rain")
    np.testing.assert_array_equal(rain[:, 0], 0)
    assert np.all(rain[:, 1] > 0)
    counts = model.predict_quantile(rows, 0.5, "count")
    assert counts.shape == (3,)
    assert np.all(counts == np.round(counts))


def test_names_of_categories_change_nothing():
    frame = mixed(300)[["who", "size", "flag", "count"]]
    other = frame.assign(who=frame["who"].map({"ann": "z", "bob": "y", "eve": "x"}))
    scores = [
        BrainDensity(random_state=0, max_slices=20).fit(f).score_samples(f) for f in (frame, other)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("which", ["model", "labels"])
def test_files_give_it_back_to_the_last_bit(which, request, tmp_path):
    density = request.getfixturevalue(which)
    rows = mixed(20, 3, holes=0.2) if which == "model" else discrete(20, 3)
    density.save(tmp_path / "a.h5")
    again = neurolp.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(again.score_samples(rows), density.score_samples(rows))
    pd.testing.assert_frame_equal(again.sample(5, 0), density.sample(5, 0))
    assert again.columns_ == density.columns_
    again.save(tmp_path / "b.h5")


def test_values_that_cannot_be_have_no_probability(model):
    rows = mixed(3, 2)
    assert np.all(model.score_samples(rows.assign(same="never")) == -np.inf)
    assert np.all(model.score_samples(rows.assign(count=0.5)) == -np.inf)
    assert np.all(np.isfinite(model.score_samples(rows.assign(who="nobody"))))
    with pytest.raises(DataError, match="row 0, column 'count'"):
        model.impute(rows.assign(count=0.5))


def test_what_makes_a_row_impossible_tells_nothing_of_the_others(model):
    rows = mixed(4, seed=5)
    odd = rows.astype({"count": float, "same": object})
    odd.loc[0, "count"], odd.loc[1, "same"], odd.loc[2, "size"] = 0.5, "never", 1e300
    assert np.all(np.isneginf(model.score_samples(odd)[:2]))
    known = odd.assign(count=odd["count"].where(odd["count"] != 0.5))
    for target in ("who", "grade"):
        share = model.predict_proba(odd, target)
        assert np.allclose(share.sum(axis=1), 1.0)
        assert np.allclose(share[0], model.predict_proba(known, target)[0], atol=0.05)
    quantiles = model.predict_quantile(odd, [0.1, 0.9], "size")
    assert np.all(quantiles[:, 0] < quantiles[:, 1])


def test_whole_numbers_are_masses_and_kinds_overrule():
    X = np.random.default_rng(0).poisson(4, (300, 2))
    assert np.all(BrainDensity(random_state=0, max_slices=10).fit(X).score_samples(X) < 0)
    named = BrainDensity(random_state=0, max_slices=10, kinds={0: "continuous", 1: "nominal"}).fit(
        X
    )
    assert named.columns_.kinds == ("continuous", "nominal")
    drawn = BrainDensity(random_state=0, max_slices=10).fit(X).sample(50, 0)
    assert drawn.dtype == X.dtype


def test_outliers_are_the_least_probable(model):
    frame = mixed(500, holes=0.1)
    assert np.mean(model.predict(frame) == -1) == pytest.approx(0.1, abs=0.03)
    far = frame.head(3).assign(size=50.0)
    np.testing.assert_array_equal(model.predict(far), -1)
    np.testing.assert_allclose(
        model.decision_function(far), model.score_samples(far) - model.offset_
    )


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda m, f: m.predict_proba(f, "size"), ConfigurationError, "`target`.*'size' is cont"),
        (lambda m, f: m.predict_proba(f, "nobody"), ConfigurationError, "unknown column 'nobody'"),
        (lambda m, f: m.predict_quantile(f, 0.5, "who"), ConfigurationError, "'who' is nominal"),
        (lambda m, f: m.predict_quantile(f, 1.5, "size"), ConfigurationError, "`q`.*1.5"),
        (lambda m, f: m.score_samples(f.drop(columns="who")), ValueError, "who"),
        (lambda m, f: m.score_samples(f.assign(size="big")), DataError, "'size'"),
        (lambda m, f: m.score_samples(f.assign(size=np.inf)), DataError, "infinity.*'size'"),
        (lambda m, f: m.evolve(f), ConfigurationError, "'who' is nominal"),
        (lambda m, f: m.sample(0), ConfigurationError, "`n_samples`"),
    ],
)
def test_wrong_questions_are_refused(model, ask, error, message):
    with pytest.raises(error, match=message):
        ask(model, mixed(3))


def test_a_column_that_does_not_vary_in_training_rows_is_named():
    X = np.random.default_rng(0).standard_normal((2, 1))
    with pytest.raises(DataError, match="column 0 is constant"):
        BrainDensity(random_state=0).fit(X)


@pytest.mark.parametrize("shape", [(3, 3), (3, 1), (40, 1)])
@pytest.mark.parametrize("kind", ["float", "int", "str", "constant", "mixed"])
def test_small_tables_are_learned(shape, kind):
    rng = np.random.default_rng(0)
    values = {
        "float": rng.standard_normal(shape),
        "int": rng.integers(0, 5, shape),
        "str": rng.integers(0, 3, shape).astype(str),
        "constant": np.ones(shape),
        "mixed": np.where(rng.random(shape) < 0.5, "x", "1").astype(object),
    }[kind]
    density = BrainDensity(random_state=0, max_slices=5).fit(
        pd.DataFrame(values).rename(columns=str)
    )
    assert not np.any(np.isnan(density.score_samples(pd.DataFrame(values).rename(columns=str))))
    assert density.sample(3, 0).shape == (3, shape[1])


def test_potentials_come_back_and_are_frames_where_that_is_asked_for(model):
    frame = mixed(60)[["size"]].assign(other=np.random.default_rng(0).standard_normal(60))
    density = BrainDensity(random_state=0, max_slices=10).set_output(transform="pandas").fit(frame)
    potential = density.transform(frame)
    assert isinstance(potential, pd.DataFrame)
    assert list(potential.columns) == ["size", "other"]
    np.testing.assert_array_equal(potential, density.evolve(frame)[0])
    pd.testing.assert_frame_equal(density.inverse_transform(potential), frame)
    assert not hasattr(model, "transform")
    assert density.transform(frame.assign(other=np.nan)).isna().all(axis=None)


def test_values_far_apart_and_validation_rows_that_cannot_be():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": rng.integers(0, 10**12, 60), "who": rng.choice(["a", "b"], 60)})
    never = frame.assign(id=frame["id"] + 0.5)
    density = BrainDensity(random_state=0, max_slices=5).fit(frame, X_validation=never)
    assert sum(density.construction_weights_.values()) == pytest.approx(1)
    assert len(density.categories_["id"]) <= 60
    assert density.predict_quantile(frame.head(3), 0.5, "id").shape == (3,)
