"""SONATA files, read by libsonata and by from_sonata, and compared with the weights of brains."""

import h5py
import libsonata
import numpy as np
import pytest

from neurolp import (
    ContinuousSensor,
    DataError,
    MonotoneDensity,
    NetworkError,
    OutputError,
    StreamBrain,
    from_edge_table,
    from_sonata,
    open_trajectory,
    to_sonata,
)
from neurolp.exchange import network
from tests.estimators.stream_cases import SENSORS, SMALL, rows_of
from tests.exchange.small_runs import dense, named, ran, wiring

KINDS = {"full": "full", "sparse": None, "named": None, "none": "none"}


def brain_of(kind):
    names, table = wiring()
    connectivity = from_edge_table(table, nodes=names) if kind == "named" else KINDS[kind]
    brain = StreamBrain(SENSORS["all"], **SMALL, connectivity=connectivity, random_state=0)
    brain.run(rows_of(SENSORS["all"], 80))
    return brain


def circuit(folder):
    return libsonata.CircuitConfig.from_file(str(folder / "circuit_config.json"))


def matrix_of(population, shape):
    """Weights (target, source) of a population, as libsonata reads them."""
    every = population.select_all()
    out = np.full(shape, np.nan)
    ends = population.target_nodes(every), population.source_nodes(every)
    assert len(set(zip(*ends, strict=True))) == population.size
    out[ends] = population.get_attribute("syn_weight", every)
    return out


def check_circuit(folder, weights, n_features):
    """All edges and weights of a circuit are those of a brain."""
    found = circuit(folder)
    n_outputs, n = len(weights["readout"]), weights["readout"].shape[1] - n_features
    expected = {
        "features__outputs": weights["readout"][:, :n_features],
        "hidden__outputs": weights["readout"][:, n_features:],
    }
    for name, of in (("hidden__hidden", "recurrent"), ("features__hidden", "afferent")):
        if of in weights and dense(weights[of]).any():
            expected[name] = dense(weights[of])[:, : n if of == "recurrent" else n_features]
    expected["outputs__outputs"] = dense(weights["chain"])
    assert found.edge_populations == set(expected)
    for name, values in expected.items():
        population = found.edge_population(name)
        read = matrix_of(population, values.shape)
        np.testing.assert_array_equal(np.nan_to_num(read), values)
        for node in range(values.shape[1]):  # the index of each direction finds its edges
            edges = population.efferent_edges([node])
            assert {*population.source_nodes(edges)} <= {node}
            np.testing.assert_array_equal(
                np.sort(population.target_nodes(edges)), np.flatnonzero(~np.isnan(read[:, node]))
            )
        for node in range(len(values)):
            edges = population.afferent_edges([node])
            np.testing.assert_array_equal(
                np.sort(population.source_nodes(edges)), np.flatnonzero(~np.isnan(read[node]))
            )
    assert found.node_population("outputs").size == n_outputs
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_libsonata_reads_the_weights_of_a_brain(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(network, "_BLOCK", 29)  # many blocks
    brain = brain_of(kind)
    assert to_sonata(brain, tmp_path / "circuit") == tmp_path / "circuit"
    n_features = len(brain.feature_names) - 12
    found = check_circuit(tmp_path / "circuit", brain.weights, n_features)
    hidden, past = found.node_population("hidden"), found.node_population("features")
    for name in ("leak", "bias"):
        values = hidden.get_dynamics_attribute(name, hidden.select_all())
        np.testing.assert_array_equal(values, brain.state()[f"memory_{name}"][:12])
    if kind == "named":
        assert tuple(hidden.get_attribute("name", hidden.select_all())) == brain.node_names
    else:
        assert "name" not in hidden.attribute_names
    every = past.select_all()
    labels = past.get_attribute("name", every)
    assert list(labels) == brain.feature_names[:n_features]
    outputs = [*brain.output_names, ""]
    lags, which = past.get_attribute("lag", every), past.get_attribute("output", every)
    for label, lag, output in zip(labels, lags, which, strict=True):
        assert label == (f"{outputs[output]} lag {lag}" if lag else "constant")


@pytest.mark.parametrize("kind", ["full", "sparse", "named"])
def test_what_is_written_and_read_again_makes_the_same_weights(kind, tmp_path):
    brain = brain_of(kind)
    to_sonata(brain, tmp_path)
    read = from_sonata(tmp_path / "edges.h5", tmp_path / "nodes.h5")
    again = StreamBrain(SENSORS["all"], **SMALL, connectivity=read, random_state=9)
    assert again.node_names == brain.node_names
    one, other = brain.weights["recurrent"], again.weights["recurrent"]
    assert type(one) is type(other)
    np.testing.assert_array_equal(dense(one), dense(other))
    if kind != "full":
        np.testing.assert_array_equal(one.indices, other.indices)  # also where a weight is zero


@pytest.mark.parametrize("make", [ran, named], ids=["dense", "named"])
@pytest.mark.parametrize("saved", [True, False], ids=["with the brain", "weights alone"])
def test_runs_are_written_with_their_last_weights(make, saved, tmp_path):
    file = make(tmp_path, f"record.brain={str(saved).lower()}")
    to_sonata(file, tmp_path / "circuit")
    (tmp_path / "whole").mkdir()
    brain = StreamBrain.load(make(tmp_path / "whole"))
    n_features = len(brain.feature_names) - 12
    found = check_circuit(tmp_path / "circuit", brain.weights, n_features)
    hidden = found.node_population("hidden")
    assert hidden.dynamics_attribute_names == ({"leak", "bias"} if saved else set())
    read = from_sonata(tmp_path / "circuit/edges.h5", tmp_path / "circuit/nodes.h5")
    assert read.names == (brain.node_names if make is named else None)
    # A saved brain is the same.
    brain.save(tmp_path / "brain.h5")
    to_sonata(tmp_path / "brain.h5", tmp_path / "again")
    check_circuit(tmp_path / "again", brain.weights, n_features)


def test_a_brain_without_hidden_nodes_or_lags(tmp_path):
    for k, settings in enumerate(({"n_hidden": 0, "n_lags": 2}, {"n_hidden": 3, "n_lags": 0})):
        brain = StreamBrain(ContinuousSensor(), random_state=0, **settings)
        to_sonata(brain, tmp_path / str(k))
        found = circuit(tmp_path / str(k))
        assert ("hidden" in found.node_populations) == bool(settings["n_hidden"])
        assert "features__outputs" in found.edge_populations


def test_what_cannot_be_written_is_named(tmp_path):
    brain = brain_of("sparse")
    to_sonata(brain, tmp_path / "a")
    before = (tmp_path / "a/edges.h5").read_bytes()
    with pytest.raises(OutputError, match=r"nodes\.h5: exists already; --force"):
        to_sonata(brain, tmp_path / "a")
    brain.weights["recurrent"] = 2 * brain.weights["recurrent"]
    to_sonata(brain, tmp_path / "a", overwrite=True)
    assert (tmp_path / "a/edges.h5").read_bytes() != before
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file, wanted a folder"):
        to_sonata(brain, tmp_path / "file")
    with pytest.raises(OutputError, match="its folder does not exist"):
        to_sonata(brain, tmp_path / "none/b")
    with pytest.raises(OutputError, match="cannot write the network, File name too long"):
        to_sonata(brain, tmp_path / ("b" * 300))
    assert {path.name for path in tmp_path.iterdir()} == {"a", "file"}  # nothing is left over


def foreign(path, **changes):
    """A file of edges as another program may write it, in two groups of attributes."""
    with h5py.File(path, "w") as file:
        for name, ends in (("v1__v1", ("v1", "v1")), ("lgn__v1", ("lgn", "v1"))):
            group = file.create_group(f"edges/{name}")
            for end, ids, population in zip(
                ("source", "target"), ([0, 2, 2, 4], [1, 0, 0, 3]), ends, strict=True
            ):
                group[f"{end}_node_id"] = np.array(ids, np.uint64)
                group[f"{end}_node_id"].attrs["node_population"] = population
            group["edge_group_id"] = np.array([0, 1, 0, 1], np.uint32)
            group["edge_group_index"] = np.array([0, 0, 1, 1], np.uint64)
            for k, values in ((0, [1.0, 3.0]), (1, [2.0, 4.0])):
                group[f"{k}/syn_weight"] = values
                group[f"{k}/nsyns"] = [1 + k, 2 + k]
            group["0/model"] = ["a", "b"]
        file["other"] = 1.0
    return path


def test_edges_of_other_programs(tmp_path):
    path = foreign(tmp_path / "edges.h5")
    expected = np.zeros((5, 5))
    expected[1, 0], expected[0, 2], expected[3, 4] = 1, 5, 4  # two edges from 2 to 0
    read = from_sonata(path)
    assert read.names is None
    np.testing.assert_array_equal(read.weights.toarray(), expected)
    counts = from_sonata(path, population="v1__v1", weight="nsyns").weights.toarray()
    np.testing.assert_array_equal(counts[[1, 0, 3], [0, 2, 4]], [1, 4, 3])
    with h5py.File(path, "r+") as file:
        for k in "01":
            del file[f"edges/v1__v1/{k}/syn_weight"]
    assert from_sonata(path).weights is None
    assert from_sonata(path).n_edges == 3
    with h5py.File(tmp_path / "nodes.h5", "w") as file:
        file["nodes/v1/node_type_id"] = np.zeros(7, np.int64)
    assert from_sonata(path, tmp_path / "nodes.h5").n_nodes == 7
    with h5py.File(tmp_path / "nodes.h5", "r+") as file:
        file["nodes/v1/0/name"] = [b"x"] * 7
    with pytest.raises(DataError, match="names of nodes 'v1' must differ"):
        from_sonata(path, tmp_path / "nodes.h5")
    with h5py.File(tmp_path / "nodes.h5", "w") as file:
        file["nodes/v1/node_type_id"] = np.zeros(3, np.int64)
    with pytest.raises(DataError, match=r"names node 4, but .*nodes.h5 has 3"):
        from_sonata(path, tmp_path / "nodes.h5")
    with pytest.raises(DataError, match="has no population of nodes 'v1', but none"):
        from_sonata(path, path)


def test_edges_that_cannot_be_used_are_named(tmp_path):
    path = foreign(tmp_path / "edges.h5")
    for arguments, message in (
        ({"population": "v2"}, "has no population 'v2', but lgn__v1, v1__v1"),
        ({"population": "lgn__v1"}, "from a population of nodes to itself, but join lgn and v1"),
        ({"weight": "g"}, "'v1__v1' have no attribute 'g', but model, nsyns, syn_weight"),
        ({"weight": "model"}, "have no attribute 'model' in group 1"),
    ):
        with pytest.raises(DataError, match=message):
            from_sonata(path, **arguments)
    with h5py.File(path, "r+") as file:
        file["edges/v1__v1/source_node_id"][0] = 1
    with pytest.raises(NetworkError, match="no self-edges, but node 1"):
        from_sonata(path)
    with h5py.File(path, "r+") as file:
        file["edges/v1__v1/1/model"] = ["c", "d"]
    with pytest.raises(DataError, match="'model' must be numbers"):
        from_sonata(path, weight="model")
    with h5py.File(path, "r+") as file:
        del file["edges/v1__v1"]
    with pytest.raises(DataError, match="`population` must be one of lgn__v1, of which 0 lead"):
        from_sonata(path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="has no edges as in SONATA, but x"):
        from_sonata(path)
    with pytest.raises(DataError, match="no such file"):
        from_sonata(tmp_path / "absent.h5")
    path.write_text("edges")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        from_sonata(path)


def test_a_file_without_a_network_is_refused(tmp_path):
    x = np.random.default_rng(0).standard_normal(50)
    MonotoneDensity(random_state=0).fit(x).save(tmp_path / "a.h5")
    with pytest.raises(DataError, match="holds no network of a brain for streams"):
        to_sonata(tmp_path / "a.h5", tmp_path / "out")
    with open_trajectory(tmp_path / "a.h5") as file:
        assert file.status == "complete"
