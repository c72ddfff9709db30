"""Runs: from a configuration to a file. Each kind of run is a module with a ``KIND``."""

from neurolp.progress import RunProgress
from neurolp.runs.computation import computed, watched
from neurolp.runs.execution import figures, resume, run, summary
from neurolp.runs.kinds import RunKind, SummaryTable, read_configuration, register

__all__ = [
    "RunKind",
    "RunProgress",
    "SummaryTable",
    "computed",
    "figures",
    "read_configuration",
    "register",
    "resume",
    "run",
    "summary",
    "watched",
]
