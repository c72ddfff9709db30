"""Connectomes that ship in packages: the wiring of C. elegans."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neurolp.brain.connectivity import Connectivity
from neurolp.data.edge_tables import from_edge_table
from neurolp.errors import ConfigurationError

# Neurons with the transmitter GABA: McIntire, Jorgensen, Kaplan and Horvitz, Nature 364 (1993).
GABAERGIC = (
    *(f"DD{k}" for k in range(1, 7)),
    *(f"VD{k}" for k in range(1, 14)),
    "RMED", "RMEL", "RMER", "RMEV", "AVL", "DVB", "RIS",
)  # fmt: skip

_PACKAGE, _FILE = "wormneuroatlas", "aconnectome_white_1986_whole.csv"
_NO_NEURONS = (
    "GLRDL", "GLRDR", "GLRL", "GLRR", "GLRVL", "GLRVR", "LegacyBodyWallMuscles", "pm1", "pm4",
)  # fmt: skip


def c_elegans_synapses() -> pd.DataFrame:
    """Synapses between the 299 neurons of the adult hermaphrodite worm that have any.

    Columns "source", "target", "kind" ("chemical", or "electrical": gap junctions, in both
    directions) and "count". Synapses of a neuron with itself (6) and with other cells are left out.

    Source: White, Southgate, Thomson and Brenner, Phil. Trans. R. Soc. B 314 (1986), as a table in
    the package wormneuroatlas (Randi et al., Nature 623, 2023).

    Raises
    ------
    ConfigurationError
        If wormneuroatlas is not installed, or has no such table.
    """
    found = importlib.util.find_spec(_PACKAGE)  # its import would read all of its data
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"the wiring of C. elegans needs {_PACKAGE}, which is not installed: "
            "pip install 'neurolp[connectome]'"
        )
    path = Path(found.submodule_search_locations[0]) / "data" / _FILE
    if not path.is_file():
        raise ConfigurationError(f"the installed {_PACKAGE} has no data/{_FILE}")
    table = pd.read_csv(path, sep="\t")
    table.columns = pd.Index(["source", "target", "kind", "count"])
    others = table["source"].isin(_NO_NEURONS) | table["target"].isin(_NO_NEURONS)
    table = table[~others & (table["source"] != table["target"])]
    gaps = table[table["kind"] == "electrical"]
    back = gaps.rename(columns={"source": "target", "target": "source"})
    return pd.concat([table, back], ignore_index=True)[list(table.columns)]


def c_elegans(
    *, chemical: bool = True, gap_junctions: bool = True, inhibitory: Sequence[str] = GABAERGIC
) -> Connectivity:
    """Wiring of C. elegans, with names; weights are numbers of synapses.

    Chemical synapses and gap junctions from one neuron to another add up. Electron micrographs do
    not show signs: those of chemical synapses of ``inhibitory`` neurons are negative.

    Raises
    ------
    ConfigurationError
        If wormneuroatlas is not installed, ``inhibitory`` names none of the neurons, or nothing is
        left.
    """
    table = c_elegans_synapses()
    names = sorted({*table["source"], *table["target"]})
    unknown = [name for name in inhibitory if name not in names]
    if unknown:
        raise ConfigurationError(
            f"argument `inhibitory` must name neurons of C. elegans, but {unknown[0]!r} is none"
        )
    if not (chemical or gap_junctions):
        raise ConfigurationError("arguments `chemical` and `gap_junctions` must not both be false")
    kinds = ["chemical"] * chemical + ["electrical"] * gap_junctions
    table = table[table["kind"].isin(kinds)]
    negative = (table["kind"] == "chemical") & table["source"].isin(list(inhibitory))
    weight = table["count"].where(~negative, -table["count"])
    return from_edge_table(table.assign(weight=weight), nodes=names)
