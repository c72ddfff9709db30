"""Trees of plain objects as arrays by name, and back: how fitted models are in files.

A tree has numbers, texts, None, arrays, sparse matrices, tuples, lists, dictionaries, and objects
of this package: dataclasses, named tuples, and classes with ``to_tree`` and ``from_tree``. It is
written column by column: what a thousand trees of a tuple have in one field is one array, so the
number of arrays depends on the classes, not on how large a model is. The array ``structure`` says
in JSON what they mean:

    {"kind": "tuple", "lengths": .., "items": {"kind": "object", "class": "neurolp.a.b:C",
     "state": {"kind": "dict", "fields": {"weights": {"kind": "array", "array": "items.weights"}}}}}

A file is data, not code. Classes are found in this package only, and made by their initialisers;
parts that users wrote are made by the registries that know them (``neurolp.registry``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import FormatError
from neurolp.storage.tree_reader import TreeReader
from neurolp.storage.tree_writer import STRUCTURE, Parts, TreeWriter

_DAMAGE = (ArithmeticError, AttributeError, FormatError, LookupError, MemoryError, RuntimeError,
           TypeError, ValueError)  # fmt: skip


def tree_to_arrays(tree: Any, registries: Iterable[Parts] = ()) -> dict[str, Array]:
    """Arrays by name from which :func:`tree_from_arrays` makes an equal tree.

    An object that occurs several times at one place of the tree is stored once.

    Raises
    ------
    OutputError
        If something in it cannot be stored; the message names its place.
    """
    writer = TreeWriter(registries)
    structure = json.dumps(writer.encode([tree], "", 0))
    return {STRUCTURE: np.frombuffer(structure.encode(), np.uint8), **writer.arrays}


def tree_from_arrays(arrays: Mapping[str, Array], registries: Iterable[Parts] = ()) -> Any:
    """The tree that was given to :func:`tree_to_arrays`, in arrays of its own.

    Raises
    ------
    FormatError
        If the arrays do not describe one, or name a class that is not to be made from a file.
    """
    try:
        structure = json.loads(arrays[STRUCTURE].tobytes())
        return TreeReader(arrays, registries).decode(structure, 1)[0]
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FormatError(f"the model in it cannot be read: {reason}") from error
