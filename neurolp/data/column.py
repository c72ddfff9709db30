"""A column of a table: what it holds, and its values as codes and back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.values import BIG, EXACT, Values, cells_of_numbers, family_of
from neurolp.errors import DataError

DIGITS = 6  # finer decimal grids are none


@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """What a column of a table is; see :class:`neurolp.data.columns.Columns` for its codes.

    Parameters
    ----------
    name : str
        Its name in the frame, else "x0", "x1", ...
    kind : str
        "continuous", "ordinal", "nominal" or "constant".
    dtype : str
        Of the data it was inferred from: "float64", "Int64", "bool", "category", "str",
        "datetime64[ns]", ...
    missing : bool
        Whether there were holes, in a share ``missing_share`` of the rows.
    categories : tuple
        Nominal: the values seen, in order of first appearance, then declared ones that were not
        seen. Ordinal: the categories of an ordered pandas Categorical, in their order. Constant:
        its one value, none where all are missing. Booleans, numbers (dates: days) or text.
    levels : (n_levels,) array
        Ordinal: the sorted distinct values seen; all positions of an ordered Categorical.
    step : float
        Ordinal: width of the grid ``levels[0] + i step``; 0: there are no values but the levels.
    atoms : tuple of float
        Continuous: values that repeat far more often than chance; each has a probability.
    unseen : float
        Nominal: the probability that the next value is none of ``categories``.
    declared : tuple of int
        Nominal: the place of each category in the order declared by a pandas Categorical.
    """

    name: str
    kind: str
    dtype: str
    missing: bool = False
    categories: tuple[Any, ...] = ()
    levels: Array = field(default_factory=lambda: np.empty(0))
    step: float = 0.0
    atoms: tuple[float, ...] = ()
    unseen: float = 0.0
    declared: tuple[int, ...] = ()
    missing_share: float = 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Column):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    def __repr__(self) -> str:
        what = self.describe()
        return f"Column({self.name!r}, {self.kind}, {self.dtype}{', ' + what if what else ''})"

    def __hash__(self) -> int:
        return hash((self.name, self.kind, self.dtype, len(self.levels), len(self.categories)))

    @property
    def family(self) -> str:
        """What its values are: "number", "boolean", "label", "date", "duration" or "any"."""
        return family_of(self.dtype)

    def describe(self) -> str:
        """Levels, categories or atoms in a few words."""
        if self.kind == "constant":
            return f"always {self._listed(self.categories) or 'missing'}"
        if self.kind == "continuous":
            return f"atoms {self._listed(self.atoms)}" if self.atoms else ""
        if self.kind == "nominal":
            unseen = f"; others with probability {self.unseen:.2g}" if self.unseen else ""
            return f"{len(self.categories)} categories: {self._listed(self.categories)}{unseen}"
        if self.categories:
            return f"{len(self.categories)} ordered categories: {self._listed(self.categories)}"
        low, high = (self._text(level) for level in (self.levels[0], self.levels[-1]))
        days = " days" if self.step and self.family in ("date", "duration") else ""
        step = f", step {self.step:g}{days}" if self.step else ""
        if len(self.levels) == 1:
            return f"level {low}{step}"
        return f"{len(self.levels)} levels from {low} to {high}{step}"

    def _text(self, value: Any) -> str:
        """A value as it is shown; dates and durations are days."""
        if isinstance(value, str):
            return repr(value if len(value) <= 30 else value[:27] + "...")
        if self.family == "date":
            return str(np.datetime64(0, "s") + np.timedelta64(round(value * 86400), "s"))[:10]
        shown = f"{value:.10g}" if isinstance(value, float) else str(value)
        return shown + " days" if self.family == "duration" else shown

    def _listed(self, values: tuple[Any, ...], most: int = 4) -> str:
        return ", ".join(map(self._text, values[:most])) + (", ..." if len(values) > most else "")


def encoded(column: Column, values: Values, label: str, name: str) -> Array:
    """Codes (n,) of the values of one column of argument ``name``."""
    if values.missing.all():
        all_missing = column.kind == "constant" and not column.categories
        return np.full(len(values.missing), 0.0 if all_missing else np.nan)
    if column.kind == "constant" and not column.categories:
        return np.where(values.missing, 0.0, 1.0)
    _check_family(column, values, label, name)
    if column.kind in ("constant", "nominal") or column.categories:
        return _encoded_labels(column, values)
    if values.numbers is None:
        raise DataError(f"argument `{name}`: the numbers of column {label} are too large")
    if column.kind == "ordinal" and column.step:
        return snapped(values.numbers, column.step, values.rounding, column.levels)
    return values.numbers


def _encoded_labels(column: Column, values: Values) -> Array:
    codes, labels = values.labelled()
    place = {category: k for k, category in enumerate(column.categories)}
    unknown = len(column.categories)
    lookup = np.array([*(place.get(label, unknown) for label in labels), np.nan], dtype=np.float64)
    return lookup[codes]  # -1, missing, is the last


def _check_family(column: Column, values: Values, label: str, name: str) -> None:
    family = column.family
    alike = ({"number", "boolean"}, {"any", "label"})
    if family in (values.family, "any") or any({family, values.family} <= a for a in alike):
        return
    categories = values.declared is not None  # which may be numbers
    if categories and (column.kind in ("nominal", "constant") or column.categories):
        return
    raise DataError(
        f"argument `{name}` must have {_PLURALS[family]} in column {label}, as in fit, "
        f"but has {'categories' if categories else _PLURALS[values.family]}"
    )


_PLURALS = {
    "number": "numbers",
    "boolean": "booleans",
    "label": "strings",
    "date": "dates",
    "duration": "durations",
}


def supported(column: Column, codes: Array) -> Array:
    """Whether each of the codes (n,) is missing or of a value that the column can have; boolean."""
    with np.errstate(invalid="ignore", over="ignore"):
        if column.kind == "continuous":
            inside = np.isfinite(codes)
        elif column.kind == "constant":
            inside = codes == 0
        elif column.kind == "nominal":
            inside = codes < len(column.categories) + (column.unseen > 0)
        elif column.categories or not column.step:
            inside = np.isin(codes, column.levels)
        else:
            ticks = (codes - column.levels[0]) / column.step
            inside = np.abs(ticks - np.rint(ticks)) <= 1e-6
    return inside | np.isnan(codes)


def decoded(column: Column, codes: Array) -> Any:
    """The values (n,) of a column that have these codes, as an array of its dtype."""
    if column.kind in ("constant", "nominal") or column.categories:
        missing = np.isnan(codes) | (column.kind == "constant" and not column.categories)
        closed = column.kind != "nominal" or column.declared or column.family == "boolean"
        most = len(column.categories) - bool(closed)
        wrong = ~np.isnan(codes) & (
            (codes < 0) | (codes > max(most, 0)) | (codes != np.rint(codes))
        )
        if wrong.any():
            raise DataError(
                f"argument `codes` has {codes[wrong][0]:g} at row {np.flatnonzero(wrong)[0]}, "
                f"which stands for no value of column {column.name!r}"
            )
        return _cells_of_labels(column, np.where(missing, -1, codes).astype(np.int64))
    if column.kind == "ordinal" and column.step:
        codes = snapped(codes, column.step, 1e-12, column.levels)
    integers = column.kind == "continuous" and column.dtype.lower().startswith(("int", "uint"))
    return cells_of_numbers(codes, "float64" if integers else column.dtype)


def _cells_of_labels(column: Column, places: Array) -> Any:
    """Cells of categories at ``places`` (-1: missing, K: another value)."""
    categories = list(column.categories)
    if column.dtype == "category":
        order = np.argsort(column.declared) if column.declared else np.arange(len(categories))
        back = np.append(np.argsort(order), -1)
        ordered = column.kind == "ordinal"
        return pd.Categorical.from_codes(
            back[places], categories=[categories[k] for k in order], ordered=ordered
        )
    another = _another(categories, column.dtype)
    exact = all(isinstance(c, str) or abs(c) <= EXACT for c in categories)
    if column.family in _PLURALS and column.family != "label" and exact and column.dtype != BIG:
        table = np.array([*map(float, categories), another, np.nan])
        return cells_of_numbers(table[places], column.dtype)
    cells = np.empty(len(categories) + 2, dtype=object)
    cells[:-1] = [*categories, another]
    if column.dtype == BIG:
        cells[:-1] = [int(c, 16) if isinstance(c, str) else c for c in cells[:-1]]
    elif column.dtype == "bytes":
        cells[:-1] = [text.encode("latin-1") for text in cells[:-1]]
    out = cells[places]
    if column.family == "label" or column.dtype == BIG:
        return pd.array(out, dtype=column.dtype) if column.dtype[:3] == "str" else out
    nullable = column.dtype.replace("int", "Int").replace("uI", "UI")
    return pd.array(out, dtype=nullable if np.any(places == -1) else column.dtype)


def _another(categories: list[Any], dtype: str) -> Any:
    """A value that is none of the categories: "unseen", or one more than the largest number."""
    known = set(categories)
    if dtype == BIG:
        return hex(max(int(c, 16) if isinstance(c, str) else int(c) for c in categories) + 1)
    if not any(isinstance(c, str) for c in categories):
        above = max(categories, default=-1) + 1
        return above if above < 2**63 else next(k for k in range(len(known) + 1) if k not in known)
    word = "unseen"
    while word in known:
        word = "_" + word
    return word


def snapped(values: Array, step: float, rounding: float, scale: Array) -> Array:
    """Values without the rounding errors by which they miss the decimals of ``step``.

    ``scale``: the error is relative to the largest of these. Other values stay as they are.
    """
    digits = next((k for k in range(DIGITS + 1) if round(step, k) == step), DIGITS)
    largest = float(np.max(np.abs(scale)))
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(values, digits)
        near = np.abs(rounded - values) <= rounding * np.maximum(np.abs(values), largest)
    return np.where(near & (np.abs(values) <= EXACT), rounded, values) + 0.0
