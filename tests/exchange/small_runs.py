"""Small runs of streams, and names of nodes, for tests of exchange formats."""

import numpy as np
import pandas as pd
from scipy import sparse

from neurolp.runs.kinds import read_configuration
from neurolp.runs.stream import run

N = 12


def dense(weights):
    return weights.toarray() if sparse.issparse(weights) else weights


def wiring():
    """A table of edges between nodes with names, a fifth of all."""
    rng = np.random.default_rng(5)
    target, source = np.nonzero((rng.random((N, N)) < 0.2) & ~np.eye(N, dtype=bool))
    names = np.array([f"N{k:02d}" for k in range(N)])
    weight = rng.standard_normal(len(target))
    return names, pd.DataFrame({"source": names[source], "target": names[target], "weight": weight})


def ran(folder, *settings, connectivity='kind = "full"'):
    """The file of a run of values and symbols."""
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(400) / 5) + 0.1 * rng.standard_normal(400)
    rows = pd.DataFrame({"x": x, "sky": np.where(x > 0.3, "clear", "grey")})
    rows.loc[17, "x"] = np.nan
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "a.toml").write_text(f"""title = "A wave and a sky"
seed = 1
[stream]
file = "rows.csv"
symbols = ["sky"]
[brain]
n_hidden = {N}
n_lags = 3
n_contexts = 16
max_order = 2
[connectivity]
{connectivity}
[record]
weights_every = 100
activity_every = 7
every = 25
last = 60
""")
    return run(read_configuration(folder / "a.toml", settings), folder / "a.h5").path


def named(folder, *settings):
    """The file of a run on edges between nodes with names."""
    _, table = wiring()
    table.to_csv(folder / "edges.csv", index=False)
    return ran(folder, *settings, connectivity='kind = "file"\nfile = "edges.csv"')
