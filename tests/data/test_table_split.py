"""Tables of any columns, read as they are and split."""

import numpy as np
import pandas as pd
import pytest

from neurolp.data.table_split import continuous_split, load_table
from neurolp.data.tables import load_data
from neurolp.errors import ConfigurationError, DataError


def write(folder, **columns):
    path = folder / "table.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def rows(n=20):
    rng = np.random.default_rng(0)
    return {"x": rng.standard_normal(n), "n": rng.integers(0, 5, n), "who": list("ab" * (n // 2))}


def test_rows_are_split_as_those_of_numbers(tmp_path):
    path = write(tmp_path, **rows())
    table = load_table(file=path, split_seed=3)
    numbers = load_data(file=path, columns=["x"], split_seed=3)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(table, part)["x"], getattr(numbers, part)[:, 0])
        assert table.codes()[part].shape == (len(getattr(table, part)), 3)
    assert table.columns == ("x", "n", "who")
    assert table.known.kinds == ("continuous", "ordinal", "nominal")


def test_named_tables_keep_their_values():
    table = load_table("digits")
    assert table.image_shape == (8, 8)
    assert {*table.known.kinds} <= {"ordinal", "nominal", "constant"}
    assert sum(len(part) for part in (table.train, table.validation, table.test)) == 1797
    with pytest.raises(DataError, match="exactly one of"):
        load_table()


def test_kinds_are_honoured_and_refused_in_one_line(tmp_path):
    path = write(tmp_path, **rows())
    table = load_table(file=path, kinds={"n": "nominal", "x": "continuous"})
    assert table.known.kinds == ("continuous", "nominal", "nominal")
    for kinds, message in (
        ({"who": "ordinal"}, "column 'who' of `.*table.csv` cannot be: strings cannot be ordinal"),
        ({"age": "ordinal"}, "unknown column 'age'; known are x, n, who"),
        ({"age": "nominal"}, "unknown column 'age'; known are x, n, who"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            load_table(file=path, kinds=kinds)


def test_models_of_numbers_refuse_the_rest_by_name(tmp_path):
    path = write(tmp_path, **rows())
    for columns, message in (
        (["x", "n"], "column 'n' is ordinal, but a model takes continuous columns; key "
                     "'data.dequantise' = true adds noise"),
        (["x", "who"], "column 'who' is nominal, but a model takes numbers"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            continuous_split(load_table(file=path, columns=columns), "a model")
    numbers = continuous_split(load_table(file=path, columns=["x"]), "a model")
    np.testing.assert_array_equal(numbers.train, load_data(file=path, columns=["x"]).train)
    said = continuous_split(
        load_table(file=path, columns=["x", "n"], kinds={"n": "continuous"}), "a model"
    )
    assert {*np.unique(said.train[:, 1])} <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.5] * 9}, "wanted at least 10 rows, but it has 9"),
        ({"x": [np.nan] * 12, "y": [None] * 12}, r"wanted values, but all of \(12, 2\) are missing"),
        ({"x": [1.5] * 4 + [np.inf] * 8}, "column 'x', line 6: value is infinite"),
    ],
)  # fmt: skip
def test_tables_without_data_are_one_line(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        load_table(file=write(tmp_path, **columns))


def test_holes_are_refused_where_no_model_can_take_them(tmp_path):
    path = write(tmp_path, x=[*rows()["x"], None])
    with pytest.raises(DataError, match="has missing values, which a model does not take"):
        continuous_split(load_table(file=path), "a model")
