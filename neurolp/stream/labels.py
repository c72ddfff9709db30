"""Labels of symbols: texts, numbers or booleans, and what stands for each in a column of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from neurolp.arrays import Array
from neurolp.errors import ConfigurationError, DataError

Label = str | bool | int | float

_EXACT = 2.0**53  # whole numbers up to here are exact in float64
_SHOWN = 8


def check_labels(labels: Iterable[Any]) -> tuple[Label, ...]:
    """The labels as plain values: at least two, all texts, all booleans, or all finite numbers.

    Raises
    ------
    ConfigurationError
        If they are something else, or two are equal.
    """
    given = () if isinstance(labels, str) or not isinstance(labels, Iterable) else tuple(labels)
    plain = tuple(map(_plain, given))
    kinds = {str if isinstance(x, str) else bool if isinstance(x, bool) else float for x in plain}
    if len(plain) < 2 or len(kinds) > 1 or None in plain or len(set(plain)) < len(plain):
        raise ConfigurationError(
            "argument `labels` must be at least two different texts, booleans or finite numbers, "
            f"but is {labels!r:.80}"
        )
    return tuple(label for label in plain if label is not None)


def read_labels(n_symbols: Any, labels: Iterable[Any]) -> tuple[int, tuple[Label, ...]]:
    """Number of symbols and their labels; ``n_symbols`` may hold the labels, or be None.

    Raises
    ------
    ConfigurationError
        If the number is not an integer of at least 2, or not that of the labels.
    """
    if n_symbols is None or (isinstance(n_symbols, Iterable) and not isinstance(n_symbols, str)):
        if n_symbols is not None and labels:
            raise ConfigurationError(
                "argument `labels` must not be given where `n_symbols` holds labels"
            )
        labels = check_labels(labels if n_symbols is None else n_symbols)
        return len(labels), labels
    if not isinstance(n_symbols, Integral) or n_symbols < 2:
        hint = f"; the name of a sensor is name={n_symbols!r}" if isinstance(n_symbols, str) else ""
        raise ConfigurationError(
            f"argument `n_symbols` must be an integer >= 2, or labels, but is {n_symbols!r}{hint}"
        )
    checked = check_labels(labels) if labels else ()
    if checked and len(checked) != n_symbols:
        raise ConfigurationError(
            f"argument `labels` must have {n_symbols} labels, but has {len(checked)}"
        )
    return int(n_symbols), checked


def _plain(label: Any) -> Label | None:
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bool | np.bool_):
        return bool(label)
    if isinstance(label, Integral):
        return int(label) if abs(int(label)) <= _EXACT else None
    return float(label) if isinstance(label, Real) and math.isfinite(label) else None


def are_texts(labels: Sequence[Label]) -> bool:
    """Whether the labels are texts, for which columns of rows hold their positions."""
    return len(labels) > 0 and isinstance(labels[0], str)


def column_values(labels: Sequence[Label]) -> Array:
    """What stands for each label in a column, (n,): the number itself; of a text its position."""
    return np.arange(len(labels)) * 1.0 if are_texts(labels) else np.array(labels, np.float64)


def codes_of(labels: Sequence[Label], columns: Array) -> Array:
    """Position of each number of a column among labels that are numbers; NaN stays."""
    values = column_values(labels)
    order = np.argsort(values)
    places = np.searchsorted(values[order], columns)  # NaN is behind all
    return np.where(np.isnan(columns), np.nan, np.append(order, 0)[places])


def positions_of(labels: Sequence[Label], cells: Iterable[Any], whose: str) -> Array:
    """Position of each cell among the labels, float64, NaN where it is None or NaN.

    Raises
    ------
    DataError
        If a cell is none of them; the message begins with ``whose``.
    """
    place = {label: float(k) for k, label in enumerate(labels)}
    texts, out = are_texts(labels), []
    for cell in cells:
        known = isinstance(cell, str) if texts else isinstance(cell, Real | np.bool_)
        if known and cell in place:
            out.append(place[cell])
        elif _is_missing(cell):
            out.append(np.nan)
        else:
            shown = cell.item() if isinstance(cell, np.generic) else cell
            raise DataError(f"{whose} {shown!r:.60}; the labels are {listed(labels)}")
    return np.array(out)


def listed(labels: Sequence[Label]) -> str:
    """The first labels, for messages."""
    return ", ".join(map(repr, labels[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")


def text_of(label: Label) -> str:
    """A label as it is shown: whole numbers without decimals."""
    return str(int(label) if isinstance(label, float) and label.is_integer() else label)


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # those of pandas
        return True
    return isinstance(cell, Real) and math.isnan(cell)
