"""Whatever a configuration describes: done as ``neurolp run`` does it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from neurolp.config.load import AnyConfiguration
from neurolp.config.sections import Configuration
from neurolp.config.stream_sections import StreamConfiguration


def run_any(
    configuration: AnyConfiguration,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    observe: Callable[[Any], None] = lambda progress: None,
) -> int | None:
    """Run a brain, a stream or an experiment; the signal that interrupted it, or None.

    Raises as the ``run`` of its kind.
    """
    if isinstance(configuration, Configuration):  # only what is needed: some take seconds
        from neurolp.runs import density as brain

        return brain.run(configuration, output, overwrite=overwrite, observe=observe).signal
    if isinstance(configuration, StreamConfiguration):
        from neurolp.runs import stream

        return stream.run(configuration, output, overwrite=overwrite, observe=observe).signal
    from neurolp import runs as experiments

    experiments.run(configuration, output, overwrite=overwrite, observe=observe)
    return None
