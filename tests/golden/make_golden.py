"""Write the golden files of the present format version, and what a reader must find in them.

Run once for each released version, from the root of the repository, and never again for the same:

    python tests/golden/make_golden.py

It writes brain-vN.h5, stream-vN.h5, experiment-vN.h5 and golden-vN.json beside itself, N being the
format version. tests/storage/test_golden.py reads those of all versions.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import neurolp
from neurolp.data.tables import load_data
from neurolp.runs import density as brain
from neurolp.runs import stream
from neurolp.runs.kinds import configuration_of
from neurolp.storage.format import FORMAT_VERSION

FOLDER = Path(__file__).parent

BRAIN = {
    "title": "golden brain",
    "seed": 3,
    "data": {"name": "iris", "dequantise": True},
    "brain": {"max_slices": 3, "n_threads": 1, "synapse_thresholds": [0.0], "spline_intervals": 6},
    "record": {"trajectories": 4, "every": 2},
}
STREAM = {
    "title": "golden stream",
    "seed": 3,
    "stream": {"source": "causality", "n_steps": 150, "n_distractors": 1},
    "brain": {"n_hidden": 3, "n_lags": 3, "fan_in": 1, "max_order": 2, "n_contexts": 16},
    "record": {"every": 30, "last": 10, "dream": 5, "weights_at": [0, 100]},
}
EXPERIMENT = {
    "title": "golden experiment",
    "experiment": "principle",
    "seed": 3,
    "n_steps": 40,
    "n_runs": 2,
    "n_samples": 50,
}


def digest(values: np.ndarray) -> str:
    """SHA-256 of the type, the shape and the bits of an array."""
    about = f"{values.dtype.str} {values.shape}".encode()
    return hashlib.sha256(about + np.ascontiguousarray(values).tobytes()).hexdigest()


def contents(path: Path) -> dict[str, object]:
    """What a reader finds in a file."""
    with neurolp.open_trajectory(path) as file:
        return {
            "title": file.title,
            "status": file.status,
            "configuration": file.configuration,
            "variables": {
                name: {
                    "dims": file.stored(name).dims,
                    "units": file.stored(name).units,
                    "sha256": digest(file.read(name)),
                }
                for name in file.all_names()
            },
        }


def numbers(brain_path: Path, stream_path: Path) -> dict[str, float]:
    """What the brains in the files say of new data."""
    row = np.zeros(neurolp.StreamBrain.load(stream_path).n_columns)
    return {
        "score": neurolp.load(brain_path).score(load_data("iris").test),
        "next_surprise": float(neurolp.StreamBrain.load(stream_path).run(row[None]).surprise.sum()),
    }


def main() -> None:
    """Run the three configurations."""
    paths = {
        kind: FOLDER / f"{kind}-v{FORMAT_VERSION}.h5" for kind in ("brain", "stream", "experiment")
    }
    brain.run(configuration_of(BRAIN, "golden"), paths["brain"])
    stream.run(configuration_of(STREAM, "golden"), paths["stream"])
    neurolp.run(EXPERIMENT, paths["experiment"]).close()
    golden = {kind: contents(path) for kind, path in paths.items()}
    golden["numbers"] = numbers(paths["brain"], paths["stream"])
    target = FOLDER / f"golden-v{FORMAT_VERSION}.json"
    target.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
