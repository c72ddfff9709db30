"""Tables with a target: what is condition, what is target, and one line for what is wrong."""

import numpy as np
import pytest

from neurolp import DataError
from neurolp.data.supervised import load_supervised, load_supervised_table


@pytest.fixture
def flowers(tmp_path):
    """A CSV file with numbers, a note nobody asked for, and labels in words."""
    rng = np.random.default_rng(0)
    kinds = np.array(["lily", "rose", "tulip"])[rng.integers(0, 3, 90)]
    lines = [f"{rng.normal():.3f},{rng.normal():.3f},note,{kind}" for kind in kinds]
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(["length,width,remark,kind", *lines]) + "\n")
    return path, kinds


def test_labels_may_be_words_and_every_class_is_in_every_part(flowers):
    path, kinds = flowers
    data = load_supervised_table(path, "kind", columns=["length", "width"])
    assert data.classification
    assert (data.columns, data.target, data.title) == (("length", "width"), "kind", "flowers")
    for part in (data.y_train, data.y_validation, data.y_test):
        assert set(part) == set(kinds)
    everything = np.concatenate([data.y_train, data.y_validation, data.y_test])
    assert sorted(everything) == sorted(kinds)
    # Rows stay together: the pairs are those of the file.
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1))
    pairs = {(*x, kind) for x, kind in zip(table.tolist(), kinds, strict=True)}
    found = {(*x, y) for x, y in zip(data.X_test.tolist(), data.y_test, strict=True)}
    assert found <= pairs
    small = data.limited(9)
    assert (len(small.X_train), len(small.X_validation)) == (9, 3)
    assert len(set(small.y_train)) > 1  # the first rows are no single class


def test_numbers_are_regressed_and_few_whole_numbers_are_labels(tmp_path):
    rng = np.random.default_rng(1)
    table = np.column_stack([rng.normal(size=(60, 2)), rng.integers(0, 2, 60), rng.normal(size=60)])
    np.save(tmp_path / "t.npy", table)
    last = load_supervised_table(tmp_path / "t.npy", 3)
    assert not last.classification
    assert last.X_train.shape == (36, 3)
    labels = load_supervised_table(tmp_path / "t.npy", "column 2", columns=[0, 1])
    assert labels.classification
    assert labels.y_train.dtype == np.int64
    assert not load_supervised_table(tmp_path / "t.npy", 2, task="regression").classification


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "sort"}, "no column 'sort' among length, width, remark, kind"),
        ({"target": "kind", "columns": ["kind"]}, "target 'kind' must not be among"),
        ({"target": "kind"}, "column 'remark', line 2: wanted a number, but found 'note'"),
        (
            {"target": "kind", "columns": [0], "task": "regression"},
            "target 'kind' must be numbers for regression, but has '",
        ),
        ({"target": "remark", "columns": [0]}, "target 'remark' is constant"),
        (
            {"target": "length", "columns": [1], "task": "classification"},
            "must have at least 5 rows of each class, but has 1 of",
        ),
    ],
)
def test_wrong_tables_get_one_line(flowers, settings, message):
    with pytest.raises(DataError, match=message):
        load_supervised_table(flowers[0], **settings)


def test_missing_targets_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 5 + "1,\n" + "2,3\n" * 9)
    with pytest.raises(DataError, match="column 'b', line 7: value is missing"):
        load_supervised_table(path, "b")
    path.write_text("a,b\n" + "1,2\n" * 5 + "1,nan\n" + "2,3\n" * 9)
    with pytest.raises(DataError, match="column 'b', row 5: value is NaN"):
        load_supervised_table(path, "b")
    with pytest.raises(DataError, match="no such file"):
        load_supervised_table(tmp_path / "absent.csv", "b")


def test_named_problems():
    diabetes = load_supervised("diabetes")
    assert (len(diabetes.X_train), diabetes.X_train.shape[1]) == (265, 10)
    assert not diabetes.classification
    digits = load_supervised("digits")
    assert digits.classification
    assert set(digits.y_test) == set(range(10))
    with pytest.raises(DataError, match="unknown problem 'wine'"):
        load_supervised("wine")
