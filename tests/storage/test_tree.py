"""Trees of plain objects: what comes back is equal, in few arrays; a file runs nothing."""

import datetime
import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import neurolp.runs.execution
import neurolp.storage.store
from neurolp.arrays import Variable
from neurolp.brain.base_density import Normal
from neurolp.brain.heads.head import HEADS
from neurolp.brain.marginal import MarginalMap
from neurolp.brain.node_map import SplineGrid
from neurolp.brain.parts import PARTS
from neurolp.data.columns import Columns
from neurolp.differentiation.univariate import Identity, Log, MonotoneNetwork, Units
from neurolp.errors import FormatError, OutputError
from neurolp.kernels.stream_state import Memory
from neurolp.storage.tree import tree_from_arrays, tree_to_arrays
from tests.networks import random_network


def again(tree, registries=()):
    arrays = tree_to_arrays(tree, registries)
    assert all(a.dtype.kind in "biufc" for a in arrays.values())  # what HDF5 takes as it is
    return tree_from_arrays(arrays, registries)


def same(a, b):
    """Equality of types and values, bit by bit; of arrays with their order in memory."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        if a.flags.c_contiguous != b.flags.c_contiguous:
            return False
        if a.dtype.kind == "O":
            return all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        return a.tobytes() == b.tobytes()
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same([*a.keys()], [*b.keys()]) and same([*a.values()], [*b.values()])
    if isinstance(a, float | np.floating):
        return np.array(a).tobytes() == np.array(b).tobytes()
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, n), getattr(b, n)) for n in a.__dataclass_fields__)
    return bool(a == b)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.just(datetime.UTC) | st.none())
    | st.integers(-(2**31), 2**31 - 1).map(np.int32)
    | st.floats(width=32).map(np.float32)
    | st.text(alphabet="aä日", max_size=3).map(np.str_)
    | st.integers(0, 10**9).map(lambda n: np.datetime64(n, "s"))
)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
ARRAYS = st.builds(
    lambda shape, dtype, order: np.asarray(
        np.arange(int(np.prod(shape))).reshape(shape).astype(dtype), order=order
    ),
    SHAPES,
    st.sampled_from(["f8", "f4", ">f8", "i8", "u1", "?", "c16", "U5", "S3", "M8[D]", "m8[ns]"]),
    st.sampled_from("CF"),
)
TREES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"a": inner, "b/c": inner}), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(TREES)
def test_every_tree_comes_back_to_the_last_bit(tree):
    assert same(again(tree), tree)


def test_arrays_of_objects_and_many_numbers():
    labels = np.array(["a", 1, None, 2.5, True, ("b", 3)], dtype=object)
    many = {"ints": [*range(100), 2**70], "floats": [0.5] * 20 + [np.nan, -0.0], "names": labels}
    assert same(again(many), many)


def test_dataclasses_named_tuples_types_and_sparse_matrices():
    network = MonotoneNetwork(
        (
            Units(Identity(), np.zeros(2), np.arange(2.0), np.ones(2)),
            Units(Log(low=1.0), np.zeros(3), np.arange(3.0), np.ones(3)),
        )
    )
    memory = Memory(*(np.arange(float(k)) for k in range(len(Memory._fields))))
    tree = (network, memory, np.float32, np.dtype(">i2"), Normal(), SplineGrid(-1.0, 1.0, 4))
    found = again(tree)
    assert same(found, tree)
    assert type(found[1]) is Memory
    matrix = sparse.random_array((5, 7), density=0.3, format="csr", rng=np.random.default_rng(0))
    for kind in (sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.csc_matrix):
        loaded = again([kind(matrix), None])[0]
        assert type(loaded) is kind
        assert np.array_equal(loaded.toarray(), matrix.toarray())


def test_what_is_repeated_is_stored_once_and_stays_one_object():
    big = np.arange(1000.0)
    arrays = tree_to_arrays({"slices": [big, big + 1, big, big]})
    assert sum(a.nbytes for n, a in arrays.items() if n != "structure") < 2 * big.nbytes + 100
    first, second, *others = tree_from_arrays(arrays)["slices"]
    assert all(other is first for other in others)
    first[0] = -1
    assert second[0] == 1


def test_the_number_of_arrays_does_not_grow_with_that_of_small_objects():
    """Ten thousand small maps of different sizes are a handful of arrays."""
    rng = np.random.default_rng(0)

    def grown(n):
        return tuple(
            MarginalMap(Normal(), np.sort(rng.random(k)), np.full(k + 1, 1 / (k + 1)))
            for k in rng.integers(0, 30, n)
        )

    few, many = (tree_to_arrays(grown(n)) for n in (20, 10_000))
    assert set(few) == set(many)
    assert len(many) < 10
    assert len(tree_from_arrays(many)) == 10_000


def test_names_say_where_an_array_is_and_never_collide():
    x = np.arange(30.0)
    tree = {"a": {"b": x}, "a.b": x + 1, "ä/..": x + 2, "structure": x + 3, "": x + 4}
    arrays = tree_to_arrays(tree)
    assert {"a.b", "a.b_1", "structure", "structure_1"} <= set(arrays)
    assert not any("/" in name or name.startswith(".") for name in arrays)
    assert same(tree_from_arrays(arrays), tree)


class Foreign:
    def __init__(self):
        self.x = 1


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Foreign(), "tests.storage.test_tree.Foreign"),
        (lambda: 1, "function"),
        (print, "builtin_function"),
        (Foreign, "builtins.type"),
        ({1, 2}, "builtins.set"),
        (np.ma.masked_array([1.0]), "MaskedArray"),
        (np.zeros(2, dtype=[("a", "f8")]), "numpy.ndarray"),
        (np.random.default_rng(0), "Generator"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_place(value, what):
    tree = {"members_": [1.0, (2, {"inner": value})]}
    with pytest.raises(OutputError, match=rf"^cannot save `members_\.inner`: [^\n]*{what}") as e:
        tree_to_arrays(tree, PARTS.values())
    assert "\n" not in str(e.value)


def test_what_refers_to_itself_is_refused():
    circle = [1]
    circle.append(circle)
    with pytest.raises(OutputError, match="levels, or refers to itself"):
        tree_to_arrays({"a": circle})


# --- files that were made to do harm, or are damaged ----------------------------------------------


def read(structure, **arrays):
    text = structure if isinstance(structure, str) else json.dumps(structure)
    return tree_from_arrays(
        {"structure": np.frombuffer(text.encode(), np.uint8), **arrays}, [HEADS]
    )


def an_object(path, **fields):
    state = {k: {"kind": "str", "values": [v]} for k, v in fields.items()}
    return {"kind": "object", "class": path, "state": {"kind": "dict", "fields": state}}


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "tests.storage.test_tree:Foreign",
        "antigravity:x",
        "neurolp.storage.atomic:os",
        "neurolp.storage.atomic:Path",
        "neurolp.storage.atomic:os.system",
        "neurolp.storage.atomic.os:system",
        "neurolp.storage.tree:tree_from_arrays",
        "neurolp.runs.execution:run",
        "neurolp.__main__:main",
        "neurolp.kernels._jit:x",
        "neurolp..storage:x",
        "neurolp.:x",
        "neurolp/../os:system",
        "neurolp.absent:Class",
        "neurolp:BrainDensity",
        "neurolp.storage.store:RunStore",  # of this package, but it opens files
        "neurolp.estimators.stream:StreamBrain",
        "",
        7,
        None,
    ],
)
def test_a_file_imports_and_calls_nothing_else(path, monkeypatch):
    def called(*arguments, **keywords):
        raise AssertionError("it was called")

    monkeypatch.setattr("os.system", called)
    monkeypatch.setattr("subprocess.Popen.__init__", called)
    monkeypatch.setattr(neurolp.runs.execution, "run", called)
    monkeypatch.setattr(neurolp.storage.store.RunStore, "__init__", called)
    before = {name for name in sys.modules if name.partition(".")[0] != "neurolp"}
    with pytest.raises(FormatError, match=r"^the model in it cannot be read: the class") as caught:
        read(an_object(path, args="true"))
    assert "\n" not in str(caught.value)
    added = {name for name in sys.modules if name.partition(".")[0] != "neurolp"} - before
    assert "antigravity" not in added
    assert "neurolp.__main__" not in sys.modules


def test_a_part_of_a_user_is_made_by_its_registry_alone():
    for described in (
        {"class": "subprocess:Popen", "fields": {"args": "true"}},
        {"class": "os:system", "fields": {}},
        {"class": "not_imported_yet:Head", "fields": {}},
    ):
        part = {"kind": "part", "argument": "head", "values": [described]}
        with pytest.raises(FormatError, match=r"argument `head`"):
            read(part)
    with pytest.raises(FormatError, match="cannot be read: 'rule'"):
        read({"kind": "part", "argument": "rule", "values": [{}]})


NUMBERS = {"kind": "float", "values": [0.0]}


@pytest.mark.parametrize(
    "structure",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        {"kind": "absent"},
        {"kind": "float"},
        {"kind": "float", "values": 3},
        {"kind": "float", "values": [1.0, 2.0]},
        {"kind": "float", "values": ["x"]},
        {"kind": "float", "array": "absent"},
        {"kind": "float", "array": "two"},
        {"kind": "tuple", "lengths": {"values": [10**12]}, "items": {"kind": "none"}},
        {"kind": "tuple", "lengths": {"values": [-1]}, "items": {"kind": "none"}},
        {"kind": "tuple", "lengths": {"values": [2]}, "items": NUMBERS},
        {"kind": "repeated", "n": 1, "of": NUMBERS, "which": {"values": [4]}},
        {"kind": "repeated", "n": 1, "of": NUMBERS, "which": {"values": [-1]}},
        {"kind": "union", "of": [NUMBERS], "which": {"values": [1]}},
        {"kind": "array", "dtype": "<f8", "array": "absent"},
        {"kind": "array", "dtype": "nonsense", "array": "two"},
        {"kind": "array", "dtype": "<f8", "array": "two", "shapes": {"values": [3]}, "ndim": 1},
        {"kind": "array", "dtype": "<M8[s]", "array": "two"},
        {"kind": "array", "dtype": "O", "shape": [3], "elements": NUMBERS},
        {"kind": "dtype", "values": ["what"]},
        {"kind": "date", "values": ["yesterday"]},
        {"kind": "sparse", "class": "save_npz", "state": NUMBERS},
        an_object("neurolp.brain.node_map:SplineGrid"),
        an_object("neurolp.brain.node_map:SplineGrid", low="a", high="b", other="c"),
        an_object("neurolp.estimators.monotone:MonotoneDensity", support="real", score="x"),
    ],
    ids=lambda s: str(s)[:40],
)
def test_nonsense_is_refused_in_one_line(structure):
    with pytest.raises(FormatError, match=r"^the model in it cannot be read: ") as caught:
        read(structure, two=np.zeros(2, dtype=np.int32))
    assert "\n" not in str(caught.value)


def test_numbers_that_a_class_refuses_are_refused():
    grid = tree_to_arrays(SplineGrid(-1.0, 1.0, 4))
    text = grid["structure"].tobytes().decode().replace("-1.0", "1.0")
    with pytest.raises(FormatError, match="cannot be read: spline grid must satisfy low < 0"):
        read(text)
    matrix = tree_to_arrays(sparse.csr_array(np.eye(3)))
    with pytest.raises(FormatError, match="cannot be read"):
        tree_from_arrays(matrix | {"indices": np.array([0, 1, 99], dtype=np.int32)})


def test_large_arrays_are_as_narrow_as_they_can_be_without_loss():
    x = np.random.default_rng(0).standard_normal(20_000)
    single = x.astype(np.float32).astype(np.float64)
    with_nan, huge = np.where(x > 0, single, np.nan), np.append(single, 1e300)
    tree = {"x": x, "single": single, "nan": with_nan, "huge": huge}
    assert same(again(tree), tree)
    assert tree_to_arrays(tree)["single"].nbytes == single.nbytes // 2


def test_the_groups_of_a_network_are_validated_again():
    network = random_network(0, 4, n_slices=2)
    assert same(again(network).slices, network.slices)
    network.slices[1].groups[0].targets[0] = 99  # kernels would write there
    with pytest.raises(FormatError, match=r"the nodes of a group must be in 0 \.\. 3"):
        again(network)


def test_columns_of_a_table_come_back():
    frame = pd.DataFrame(
        {
            "count": [1, 2, 2, 5] * 20,
            "sex": ["f", "m", None, "größe"] * 20,
            "smokes": [True, False, True, True] * 20,
            "rain": np.r_[np.zeros(40), np.linspace(0.1, 7, 40)],
            "day": pd.date_range("2020-01-01", periods=80),
            "grade": pd.Categorical(["low", "high"] * 40, ["low", "high", "top"], ordered=True),
            "same": [3.5] * 80,
        }
    )
    columns = Columns.infer(frame)
    found = again(columns)
    assert found == columns
    assert same(found.encode(frame), columns.encode(frame))


def test_the_arrays_are_the_models_own():
    variable = Variable(("a",), np.arange(3.0), "1", "three numbers")
    arrays = tree_to_arrays([variable, replace(variable, values=np.ones(3))])
    first, second = tree_from_arrays(arrays)
    first.values[:] = -1
    assert np.array_equal(second.values, np.ones(3))
    assert second.values.flags.owndata or second.values.base is not first.values.base
