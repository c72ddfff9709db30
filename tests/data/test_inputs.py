"""Columns as inputs of a regression: numbers as they are, categories as 0 and 1, holes as NaN."""

import numpy as np
import pandas as pd
import pytest

from neurolp.data.columns import Columns
from neurolp.data.inputs import TableInputs

NAN = np.nan


def inputs_of(frame, kinds=None):
    columns, codes = Columns.read(frame, kinds=kinds)
    inputs = TableInputs.of(columns, codes)
    return inputs(codes), lambda other: inputs(columns.encode(other))


def test_a_table_of_numbers_is_its_inputs():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((40, 4))
    table[:, 1] = rng.integers(-3, 9, 40)
    table[::7, 2] = NAN
    inputs, again = inputs_of(table)
    np.testing.assert_array_equal(inputs, table)
    np.testing.assert_array_equal(again(table[:1]), table[:1])


def test_categories_have_an_indicator_each_and_holes_too():
    frame = pd.DataFrame({"c": ["x", "y", None, "z", "x", "y", "z", "x", "y", "z"]})
    inputs, again = inputs_of(frame)
    expected = np.column_stack([*(frame["c"] == k for k in "xyz"), frame["c"].isna()])
    np.testing.assert_array_equal(inputs, expected)
    unseen = again(pd.DataFrame({"c": ["new"]}))
    np.testing.assert_array_equal(unseen, [[NAN, NAN, NAN, 0]])


def test_new_holes_are_not_known():
    frame = pd.DataFrame({"c": list("xyzxyzxyz"), "b": [True, False, True] * 3})
    inputs, again = inputs_of(frame)
    assert inputs.shape == (9, 4)
    np.testing.assert_array_equal(inputs[:, 3], frame["b"])
    new = again(pd.DataFrame({"c": [None, "x"], "b": [None, False]}))
    np.testing.assert_array_equal(new, [[NAN, NAN, NAN, NAN], [1, 0, 0, 0]])


def test_rare_categories_share_an_indicator_with_unseen_ones():
    frame = pd.DataFrame({"c": ["a", "b", "c"] * 4 + ["once", "twice", "twice"]})
    inputs, again = inputs_of(frame)
    assert inputs.shape == (15, 4)
    np.testing.assert_array_equal(inputs[-3:], [[0, 0, 0, 1]] * 3)
    np.testing.assert_array_equal(
        again(pd.DataFrame({"c": ["new", "b"]})), [[0, 0, 0, 1], [0, 1, 0, 0]]
    )
    many, _ = inputs_of(pd.DataFrame({"c": np.repeat(np.arange(300), 4).astype(str)}))
    assert many.shape == (1200, 65)
    np.testing.assert_array_equal(many.sum(axis=1), 1)


def test_two_categories_are_one_input_and_ordered_ones_their_position():
    frame = pd.DataFrame({
        "two": ["no", "yes", None, "yes"],
        "size": pd.Categorical(["s", "l", "m", "s"], categories=["s", "m", "l"], ordered=True),
        "code": [7.0, 8.0, 7.0, 8.0],
        "same": ["k"] * 4,
    })  # fmt: skip
    inputs, again = inputs_of(frame, kinds={"code": "nominal"})
    np.testing.assert_array_equal(
        inputs, [[0, 0, 7, 0], [1, 2, 8, 0], [NAN, 1, 7, 0], [1, 0, 8, 0]]
    )
    new = again(frame.assign(two="maybe", code=9.0)[:1])
    np.testing.assert_array_equal(new, [[NAN, 0, NAN, 0]])


@pytest.mark.parametrize("names", [{"x": "z", "z": "x"}, {"x": "Ünï", "y": "1", "z": "a b"}])
def test_names_of_categories_do_not_matter(names):
    frame = pd.DataFrame({"c": np.random.default_rng(0).choice(list("xyz"), 30)})
    np.testing.assert_array_equal(inputs_of(frame)[0], inputs_of(frame.replace({"c": names}))[0])


def test_dates_are_days():
    days = pd.date_range("2020-01-01", periods=5, freq="36h")
    inputs, _ = inputs_of(pd.DataFrame({"when": days}))
    np.testing.assert_allclose(np.diff(inputs[:, 0]), 1.5, rtol=1e-9)
