"""Files of fitted estimators: what every estimator saves and loads, and loading of any of them."""

from __future__ import annotations

import inspect
import json
import os
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neurolp.arrays import NamedArrays
from neurolp.brain.parts import PARTS
from neurolp.errors import FormatError
from neurolp.storage.classes import class_of, class_path
from neurolp.storage.provenance import provenance
from neurolp.storage.reader import Trajectory, open_trajectory
from neurolp.storage.tree import tree_from_arrays, tree_to_arrays
from neurolp.storage.writer import write_trajectory

GROUP = "estimator"  # of a file: the class of the estimator, and what is in no other variable


def header(
    seed: int, title: str, configuration: dict[str, Any], digests: dict[str, str] | None = None
) -> NamedArrays:
    """What is known of a file before there is a model."""
    out = NamedArrays()
    out.attributes[""] = {"title": title}
    out.attributes["configuration"] = {"json": json.dumps(configuration, default=_plain)}
    out.attributes["provenance"] = provenance(seed, digests)
    return out


class Stored(ABC):
    """A model that can be written to a file and read again: subclasses say how."""

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model to a file (HDF5), atomically; see :meth:`load`.

        Raises
        ------
        OutputError
            If something in it cannot be stored, the file exists and ``overwrite`` is false, or it
            cannot be written.
        """
        write_trajectory(path, self._contents(), overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the fitted model in a file written by :meth:`save`, or by ``neurolp run``.

        A file is data, not code: classes of this package are made from it, and parts of your own
        (a learning rule, a sensor) whose module was imported before.

        Raises
        ------
        FormatError
            If the file does not hold such a model, or is damaged.
        """
        with open_trajectory(path) as file:
            found = _class_in(file)
            if found is not cls:
                raise FormatError(f"{path}: holds a {found.__name__}, wanted {cls.__name__}")
            try:
                model = cls._from_file(file)
            except (LookupError, OSError, TypeError, ValueError) as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise FormatError(f"{path}: {reason}") from error
        return model

    @abstractmethod
    def _contents(self) -> NamedArrays:
        """Everything that is to be in the file."""

    @classmethod
    @abstractmethod
    def _from_file(cls, file: Trajectory) -> Self:
        """The model whose :meth:`_contents` are in a file."""


class StoredEstimator(Stored):
    """An estimator whose files hold its parameters and all that ``fit`` left in it.

    It needs the attribute ``seed_``. Attributes are numbers, texts, arrays, containers of such, or
    objects of this package; see ``neurolp.storage.tree``.
    """

    seed_: int

    def to_tree(self) -> dict[str, Any]:
        """Parameters and fitted attributes by name; a random generator becomes the seed it gave.

        ``verbose`` is left out: it says nothing of the model.
        """
        tree = {name: value for name, value in vars(self).items() if name != "verbose"}
        given = tree.get("random_state")
        if not isinstance(given, int | np.integer | None):
            tree["random_state"] = tree.get("seed_", given)
        return tree

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """The estimator that :meth:`to_tree` was called of.

        Raises
        ------
        FormatError
            If the parameters are not those of the class.
        """
        names = set(inspect.signature(cls).parameters) - {"verbose"}
        fitted = {k: v for k, v in tree.items() if k.endswith("_") or k.startswith("_")}
        if different := names ^ (tree.keys() - fitted.keys()):
            raise FormatError(
                f"{cls.__name__} has other parameters in this release: "
                f"{', '.join(sorted(different))}"
            )
        estimator = cls(**{name: tree[name] for name in names})
        vars(estimator).update(fitted)
        return estimator

    def _contents(self) -> NamedArrays:
        check_is_fitted(self)
        out = header(self.seed_, type(self).__name__, {})
        out.attributes[""]["status"] = "complete"
        add_tree(out, type(self), self)
        return out

    @classmethod
    def _from_file(cls, file: Trajectory) -> Self:
        estimator = read_tree(file)
        if type(estimator) is not cls:
            raise FormatError(f"holds a {type(estimator).__name__} that says it is another class")
        return estimator


def add_tree(out: NamedArrays, kind: type, tree: Any = None) -> None:
    """Add the class of an estimator, and what of it is not stored in another way.

    Raises
    ------
    OutputError
        If something cannot be stored; the message names it.
    """
    out.attributes[GROUP] = {"class": class_path(kind)}
    if tree is not None:
        arrays = tree_to_arrays(tree, PARTS.values())
        out.add_group(GROUP, arrays, f"part of the fitted {kind.__name__}")


def read_tree(file: Trajectory) -> Any:
    """What :func:`add_tree` was given.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    return tree_from_arrays(file.read_group(GROUP), PARTS.values())


def load(path: str | os.PathLike[str]) -> Any:
    """Return the fitted estimator in a file, of whatever class it is.

    Files are written by ``save`` of an estimator, and by ``neurolp run``.

    Raises
    ------
    FormatError
        If there is none that this release can read.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from neurolp import MonotoneDensity, load
    >>> x = np.random.default_rng(0).exponential(size=50)
    >>> density = MonotoneDensity(support=(0, np.inf), random_state=0).fit(x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     density.save(folder + "/waiting.h5")
    ...     again = load(folder + "/waiting.h5")
    >>> again
    MonotoneDensity(random_state=0, support=(0, inf))
    >>> bool(np.all(again.pdf(x) == density.pdf(x)))
    True
    """
    with open_trajectory(path) as file:
        kind = _class_in(file)
    return kind.load(path)


def _class_in(file: Trajectory) -> type[Stored]:
    """The class of the model in a file.

    Raises
    ------
    FormatError
        If there is no model, or its class is not known.
    """
    path = file.attributes(GROUP).get("class")
    if path is None:
        name = file.experiment.get("name")
        what = "" if name is None else f", but the experiment {name!r}"
        raise FormatError(
            f"{file.path}: holds no fitted model{what}; a run keeps it unless a key of its "
            "section [record] says otherwise"
        )
    try:
        found = class_of(path)
    except FormatError as error:
        raise FormatError(f"{file.path}: {error}") from error
    if not issubclass(found, Stored) or inspect.isabstract(found):
        raise FormatError(f"{file.path}: the class '{path}' is none of an estimator")
    return found


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays for JSON."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"cannot store a parameter of type {type(value).__name__}")
