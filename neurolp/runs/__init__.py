"""Experiments: from a configuration to a file, one module each.

``brain`` is the simulation of a brain. Each of the others is two functions:

    run(configuration, observe) -> Contents     do it, return labelled arrays
    tables(file) -> list of ClosingTable        what the file says, in a few lines for the terminal

and :func:`run` here does what they have in common.
"""

from neurolp.runs.experiment import ClosingTable, Observer, Step, closing_tables, run

__all__ = ["ClosingTable", "Observer", "Step", "closing_tables", "run"]
