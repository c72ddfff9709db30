"""What locality costs: test log-likelihood against signal, horizon and period.

    python benchmarks/online.py [--data digits] [--update-order halves]

Split 0, otherwise the defaults of ``OnlineBrain``; standardised nats; early stopping on validation.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from neurolp import OnlineBrain
from neurolp.data.tables import TABLE_NAMES, load_data

SIGNALS = (
    ("local", {"signal": "local"}),
    ("final", {"signal": "final"}),
    ("replay, horizon 2", {"signal": "replay", "horizon": 2}),
    ("replay, horizon 4", {"signal": "replay", "horizon": 4}),
    ("replay, all", {"signal": "replay"}),
)


def main() -> None:
    """Print a line per signal: validation, test, seconds for each period."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=TABLE_NAMES, default="digits")
    parser.add_argument(
        "--update-order", choices=("random_halves", "sequential"), default="random_halves"
    )
    parser.add_argument("--slices", type=int, default=12)
    arguments = parser.parse_args()
    data = load_data(name=arguments.data)
    for name, signal in SIGNALS:
        cells = []
        for period in (1, 4, arguments.slices):
            brain = OnlineBrain(
                **signal,
                n_slices=arguments.slices,
                period=period,
                update_order=arguments.update_order,
                random_state=0,
            )
            began = time.perf_counter()
            brain.fit(data.train, X_validation=data.validation)
            seconds = time.perf_counter() - began
            unit = np.log(brain.scale_).sum()
            scores = [brain.score(part) + unit for part in (data.validation, data.test)]
            cells.append(f"period {period}: {scores[0]:.2f} / {scores[1]:.2f} ({seconds:.1f} s)")
        print(f"{name:18s} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
