"""Connectivity from tables of edges: numbers, names, weights, files, and what is refused."""

import h5py
import numpy as np
import pandas as pd
import pytest

from neurolp import (
    Activity,
    ConfigurationError,
    DataError,
    NetworkError,
    StreamBrain,
    from_edge_table,
    to_nwb,
)
from neurolp.config.stream_sections import StreamConfiguration
from neurolp.runs import figures
from neurolp.runs.connectivity import build_connectivity
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run
from neurolp.storage.reader import open_trajectory
from tests.estimators.stream_cases import SMALL, VALUE, rows_of

NAMED = pd.DataFrame(
    {
        "source": ["ALM", "AVD", "AVD", "ALM"],
        "target": ["AVD", "AVA", "AVA", "PVC"],
        "weight": [2, 3, 0.5, -1],
    }
)
NAMES = ("ALM", "AVA", "AVD", "PVC")
WEIGHTS = np.zeros((4, 4))
WEIGHTS[2, 0], WEIGHTS[1, 2], WEIGHTS[3, 0] = 2, 3.5, -1


def brain_of(connectivity, **settings):
    n = connectivity.n_nodes
    settings = SMALL | {"n_hidden": n, "random_state": 0} | settings
    return StreamBrain(VALUE, connectivity=connectivity, **settings)


def test_edges_and_weights_of_a_frame_become_the_weights_of_a_brain():
    connectivity = from_edge_table(NAMED)
    assert connectivity.names == NAMES
    np.testing.assert_array_equal(connectivity.weights.toarray(), WEIGHTS)
    brain = brain_of(connectivity)
    np.testing.assert_array_equal(brain.weights["recurrent"].toarray(), WEIGHTS)
    assert brain.node_names == NAMES
    assert brain.feature_names[-4:] == [f"hidden {name}" for name in NAMES]
    half = brain_of(connectivity, dtype="float32", spectral_radius=None).weights["recurrent"]
    np.testing.assert_array_equal(half.toarray(), WEIGHTS.astype("f4"))


def test_edges_without_weights_are_drawn():
    connectivity = from_edge_table(NAMED.drop(columns="weight"))
    assert connectivity.weights is None
    drawn = brain_of(connectivity).weights["recurrent"].toarray()
    np.testing.assert_array_equal(drawn != 0, WEIGHTS != 0)


def test_an_edge_of_weight_zero_is_an_edge_that_can_learn():
    edges = from_edge_table(NAMED.assign(weight=0.0))
    assert edges.n_edges == 3
    brain = brain_of(edges, recurrent_rate=0.3)
    assert brain.weights["recurrent"].nnz == 3
    brain.run(rows_of((VALUE,), 60, missing=0))
    assert np.count_nonzero(brain.weights["recurrent"].data) > 0


def test_a_table_of_all_edges_makes_dense_weights():
    w = np.random.default_rng(0).standard_normal((5, 5)) * (1 - np.eye(5))
    target, source = np.nonzero(w)
    table = pd.DataFrame({"source": source, "target": target, "weight": w[target, source]})
    brain = brain_of(from_edge_table(table))
    assert isinstance(brain.weights["recurrent"], np.ndarray)
    np.testing.assert_array_equal(brain.weights["recurrent"], w)


def test_nodes_are_numbers_or_names_in_the_order_given():
    table = pd.DataFrame({"pre": [0, 4], "post": [2, 0], "n": [1.5, 2.0]})
    columns = {"source": "pre", "target": "post", "weight": "n"}
    numbered = from_edge_table(table, **columns)
    assert (numbered.n_nodes, numbered.names) == (5, None)
    assert numbered.weights[2, 0] == 1.5
    assert from_edge_table(table, nodes=9, **columns).n_nodes == 9
    labelled = from_edge_table(table, nodes=[4, 2, 0], **columns)
    assert labelled.names == ("4", "2", "0")
    assert labelled.weights[1, 2] == 1.5
    more = from_edge_table(NAMED, nodes=["PVC", "AVD", "AVA", "ALM", "DVA"])
    assert more.names == ("PVC", "AVD", "AVA", "ALM", "DVA")
    assert more.weights[1, 3] == 2


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".h5"])
@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
def test_files_hold_what_a_frame_holds(suffix, named, tmp_path):
    table = NAMED if named else NAMED.assign(source=[0, 2, 2, 0], target=[2, 1, 1, 3])
    path = tmp_path / f"edges{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name in table:
                cells = table[name].to_numpy()
                file[name] = list(map(str, cells)) if named and name != "weight" else cells
    else:
        table.assign(type="chemical").to_csv(
            path, sep="," if suffix == ".csv" else "\t", index=False
        )
    found = from_edge_table(path)
    assert found.names == (NAMES if named else None)
    np.testing.assert_array_equal(found.weights.toarray(), WEIGHTS)


def test_hdf5_tables_of_pairs_and_groups(tmp_path):
    source, target = np.array([1, 2, 0, 1]), np.array([0, 0, 3, 0])
    path = tmp_path / "edges.h5"
    with h5py.File(path, "w") as file:
        file["source"], file["target"] = source, target
    expected = np.zeros((4, 4), dtype=bool)
    expected[[0, 0, 3], [1, 2, 0]] = True  # the edge from 1 to 0 is listed twice
    assert np.array_equal(from_edge_table(path).matrix.toarray(), expected)
    assert from_edge_table(path, nodes=9).n_nodes == 9
    with h5py.File(path, "w") as file:
        file["a/table"] = np.stack([source, target], axis=1)
        file["other"] = np.arange(4)
        file["loops"] = np.array([[0, 1], [2, 2]])
        file["real"] = np.array([[0.0, 1.0]])
        file["negative"] = np.array([[0, -1]])
        file["uneven/source"], file["uneven/target"] = source, target
        file["uneven/weight"] = np.ones(3)
    assert np.array_equal(from_edge_table(path, dataset="a/table").matrix.toarray(), expected)
    for arguments, error, message in (
        ({}, DataError, "wanted a group with 'source' and 'target'"),
        ({"dataset": "none"}, DataError, "has no 'none'"),
        ({"dataset": "other"}, DataError, "must have shape"),
        ({"dataset": "real"}, DataError, "must be integers"),
        ({"dataset": "negative"}, DataError, "but one is -1"),
        ({"dataset": "uneven"}, DataError, "must be as long as each other"),
        ({"dataset": "uneven", "weight": "g"}, DataError, "has no column 'g'"),
        ({"dataset": "a/table", "weight": "g"}, DataError, "has no column 'g'"),
        ({"dataset": "a/table", "nodes": 3}, DataError, r"\[0, 2\], but one is 3"),
        ({"dataset": "loops"}, NetworkError, "no self-edges, but node 2"),
    ):
        with pytest.raises(error, match=message):
            from_edge_table(path, **arguments)
    with pytest.raises(DataError, match="no such file"):
        from_edge_table(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("1 2")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        from_edge_table(tmp_path / "text.h5")


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (NAMED, {"source": "pre"}, "has no column 'pre', but has source, target, weight; `source`, `target` and `weight` say"),
        (NAMED, {"weight": "g"}, "has no column 'g'"),
        (NAMED, {"dataset": "a"}, "`dataset` is for HDF5 files"),
        (NAMED, {"nodes": 4}, "edges name their nodes, such as 'ALM'"),
        (NAMED, {"nodes": ["ALM", "AVD"]}, "names the node 'PVC', which is not in `nodes`|'AVA'"),
        (NAMED, {"nodes": [*NAMES, "ALM"]}, "'ALM' twice"),
        (NAMED, {"nodes": "ALM"}, "must be a number of nodes or their names"),
        (NAMED, {"nodes": True}, "must be a number of nodes or their names"),
        (NAMED.assign(weight=[1, 2, np.nan, 3]), {}, "'weight' must hold finite numbers"),
        (NAMED.assign(weight="heavy"), {}, "'weight' must hold finite numbers"),
        (NAMED.assign(source=["a", None, "b", "c"]), {}, "'source' names no node in row 1"),
        (NAMED.assign(source=0.5), {}, "'source' must hold integers or names"),
        (NAMED.assign(source=[0, 1, 2, 720575940], target=[1, 2, 3, 72057594037927936]), {},
         "if they are identifiers, list them in `nodes`"),
        (NAMED.assign(source=[0, 1, 2, -1], target=[1, 2, 3, 0]), {}, "but one is -1"),
        (NAMED.assign(source=[0, 1, 2, 3], target=[1, 2, 3, 0]), {"nodes": 0}, "at least 1"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_named(table, arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        from_edge_table(table, **arguments)
    assert "\n" not in str(caught.value)


def test_self_edges_name_the_node():
    with pytest.raises(NetworkError, match="no self-edges, but node 'AVD' has one"):
        from_edge_table(NAMED.assign(target="AVD"))


# --- names on the bench ---------------------------------------------------------------------------


def test_nodes_are_called_by_name_on_the_bench(tmp_path):
    rows = rows_of((VALUE,), 60, missing=0)
    by_name, by_number = (brain_of(from_edge_table(NAMED)) for _ in range(2))
    current = np.random.default_rng(0).standard_normal((60, 2))
    # The order of the columns is that of the names.
    one = by_name.run(rows, inject={"nodes": ["PVC", "ALM"], "current": current}, activity=True)
    two = by_number.run(rows, inject={"nodes": [3, 0], "current": current}, activity=True)
    np.testing.assert_array_equal(one.activity, two.activity)
    by_name.save(tmp_path / "brain.h5")
    by_name = StreamBrain.load(tmp_path / "brain.h5")
    assert by_name.node_names == NAMES
    by_name.lesion(nodes=["AVA"], edges=[["AVD", "ALM"]])
    by_number.lesion(nodes=[1], edges=[[2, 0]])
    np.testing.assert_array_equal(by_name.run(rows).total, by_number.run(rows).total)
    assert by_name.weights["recurrent"].toarray()[3, 0] != 0
    assert not by_name.weights["recurrent"].toarray()[2, 0]
    assert by_name.copy().node_names == NAMES


def test_the_activity_of_named_nodes_is_recorded(tmp_path):
    rows = rows_of((VALUE,), 60, missing=0)
    some, every = (brain_of(from_edge_table(NAMED)) for _ in range(2))
    monitor = Activity(nodes=["PVC", "AVD"])
    run_of_some = some.run(rows, monitors=[monitor], output=tmp_path / "a.h5")
    whole = every.run(rows, monitors=[Activity()]).monitors["activity"]
    np.testing.assert_array_equal(run_of_some.monitors["activity"], whole[:, [2, 3]])
    with open_trajectory(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["activity"].sel(activity_node="PVC"), whole[:, 3])
    with pytest.raises(ConfigurationError, match=r"nodes of monitor Activity .* no 'AVX'"):
        some.run(rows, monitors=[Activity(nodes=["AVX"])])


@pytest.mark.parametrize("what", [{"nodes": ["AVX"]}, {"edges": [["AVX", "ALM"]]}])
def test_names_that_are_none_are_refused(what):
    brain = brain_of(from_edge_table(NAMED))
    with pytest.raises(ConfigurationError, match="there is no 'AVX'"):
        brain.lesion(**what)
    with pytest.raises(ConfigurationError, match=r"'ALM' \.\. 'PVC'.*there is no 'AVX'"):
        brain.run([[0.0]], inject={"nodes": ["AVX"], "current": [1.0]})
    unnamed = brain_of(from_edge_table(NAMED.assign(source=[0, 2, 2, 0], target=[2, 1, 1, 3])))
    assert unnamed.node_names == (0, 1, 2, 3)
    with pytest.raises(ConfigurationError, match=r"must hold hidden nodes 0 \.\. 3 or be a mask"):
        unnamed.lesion(nodes=["ALM"])


# --- in a configuration ---------------------------------------------------------------------------

STREAM = """seed = 1
[stream]
source = "ar2"
n_steps = 300
[brain]
n_hidden = 4
n_lags = 2
train_connectivity = false
[connectivity]
kind = "file"
file = "edges.csv"
"""


def test_some_nodes_of_a_configuration_are_recorded(tmp_path):
    NAMED.to_csv(tmp_path / "edges.csv", index=False)
    (tmp_path / "a.toml").write_text(STREAM)
    configuration = read_configuration(tmp_path / "a.toml", ["record.activity_nodes=['AVD']"])
    with open_trajectory(run(configuration, tmp_path / "a.h5").path) as file:
        assert list(file["activity"].coords["activity_node"].values) == ["AVD"]
        assert file["activity"].shape == (300, 1)
        assert "activity" in figures(file)
    to_nwb(tmp_path / "a.h5", tmp_path / "a.nwb")


def test_a_stream_runs_on_named_edges_and_its_file_keeps_the_names(tmp_path):
    NAMED.to_csv(tmp_path / "edges.csv", index=False)
    (tmp_path / "a.toml").write_text(STREAM)
    path = run(read_configuration(tmp_path / "a.toml"), tmp_path / "a.h5").path
    with open_trajectory(path) as file:
        assert file["activity"].sel(hidden="AVD").values.shape == (300,)
        assert file["feature"].values[-1] == "hidden PVC"
        first = file["recurrent"][0].values
        assert {*figures(file)} >= {"recurrent", "activity"}
    brain = StreamBrain.load(path)
    assert brain.node_names == NAMES
    np.testing.assert_array_equal(first, from_edge_table(NAMED).weights.data)
    brain.lesion(nodes=["AVD"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["brain.n_hidden=9"], "'connectivity.file': .*there are 9 nodes, but the edges have 4: brain.n_hidden = 4 fits"),
        (["connectivity.weight='g'"], "has no column 'g'"),
        (["connectivity.file='none.csv'"], "no such file"),
        (["connectivity.dataset='a'"], "`dataset` is for HDF5 files"),
        (["connectivity.file='w.npy'", "connectivity.weight='g'"],
         "key 'connectivity.weight' has no meaning for"),
        (["connectivity.file='nan.npy'"],
         r"key 'connectivity.file': .*nan.npy: must have finite weights, but contains NaN at \[1, 2\]"),
        (["connectivity.file='self.npy'"], "'connectivity.file': .*self.npy: must have no self-edges"),
        (["connectivity.file='w.npy'", "brain.n_hidden=9"],
         "'connectivity.file': .*w.npy: there are 9 nodes, but the edges have 4"),
    ],
)  # fmt: skip
def test_tables_in_configurations_that_cannot_be_used(settings, message, tmp_path):
    NAMED.to_csv(tmp_path / "edges.csv", index=False)
    np.save(tmp_path / "w.npy", WEIGHTS)
    np.save(tmp_path / "nan.npy", np.where(WEIGHTS == 3.5, np.nan, WEIGHTS))
    np.save(tmp_path / "self.npy", WEIGHTS + np.eye(4))
    (tmp_path / "a.toml").write_text(STREAM)
    settings = [s.replace("'", f"'{tmp_path}/", 1) if "file=" in s else s for s in settings]
    configuration = read_configuration(tmp_path / "a.toml", settings)
    with pytest.raises((ConfigurationError, DataError), match=message):
        run(configuration, tmp_path / "a.h5")


def test_numbered_tables_may_leave_out_the_last_nodes_and_order_is_that_of_nodes(tmp_path):
    NAMED.assign(source=[0, 2, 2, 0], target=[2, 1, 1, 3]).to_csv(tmp_path / "n.csv", index=False)
    NAMED.to_csv(tmp_path / "edges.csv", index=False)

    def section(**keys):
        raw = {"stream": {"source": "ar2", "n_steps": 9}, "connectivity": {"kind": "file"} | keys}
        return StreamConfiguration.model_validate(raw).connectivity

    assert build_connectivity(section(file=tmp_path / "n.csv"), 7).n_nodes == 7
    names = ["PVC", "AVD", "AVA", "ALM"]
    found = build_connectivity(section(file=tmp_path / "edges.csv", nodes=names), 4)
    assert found.names == tuple(names)
