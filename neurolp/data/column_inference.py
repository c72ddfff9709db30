"""The kind of a column, inferred from its values: grids, atoms, the share of unseen categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma

from neurolp.arrays import Array
from neurolp.data.column import DIGITS, Column, snapped
from neurolp.data.values import EXACT, Values
from neurolp.errors import ConfigurationError

KINDS = ("continuous", "ordinal", "nominal")

_GRID_EVIDENCE = 20.0  # nats, and rows, before a grid is taken to be coarser than it need be
_GRID_ROWS = 200
_ATOM_ROWS, _ATOM_SHARE, _ATOM_RATIO, _NEIGHBOURS = 10, 1e-3, 10, 5
_FEWEST = 10  # distinct values beside atoms that can have a density
_ALIKE = 3  # columns of the same range, before a constant is taken to be of it


def infer_column(
    values: Values, name: str, kind: str | None = None, label: str = "", argument: str = "X"
) -> Column:
    """Infer what a column is, or make it of the ``kind`` that is asked for, where that can be.

    * Strings, booleans and unordered categories are nominal, ordered categories ordinal.
    * Whole numbers are ordinal whatever their dtype, but a column of 0 and 1 is nominal as booleans
      are, and integers beyond 2^53 are: they are identifiers.
    * Decimal numbers are ordinal where most rows repeat the value of another row (atoms aside) and
      all lie on a grid of 10^-1 to 10^-6; or where hardly any row (5 in 100) does not repeat
      another's and there are no more different values than the root of the number of rows.
    * Dates and durations are ordinal where all are whole days and some repeat, or few.
    * All other numbers are continuous.
    * One value in all rows is a constant (see also ``within_range``).

    Raises
    ------
    ConfigurationError
        If the column cannot be of the ``kind`` asked for.
    """
    share = float(np.mean(values.missing))
    common: dict[str, Any] = {
        "name": name,
        "dtype": values.dtype,
        "missing": share > 0,
        "missing_share": share,
    }
    if share == 1:
        return Column(kind="constant", **common)
    if kind == "nominal" or (kind is None and _is_nominal(values)):
        return _nominal(values, common, kind)
    if kind is not None and (why := _why_not(values, kind)):
        raise _refusal(label, argument, why)
    if values.ordered:
        levels = np.arange(float(len(values.declared or ())))
        return Column(
            kind="ordinal",
            categories=tuple(values.declared or ()),
            step=1.0,
            levels=levels,
            **common,
        )
    numbers = cast(Array, values.numbers)  # all but labels have them
    distinct, counts = np.unique(numbers[~values.missing], return_counts=True)
    if len(distinct) == 1 and kind != "ordinal" and not share:
        if kind == "continuous":
            raise _refusal(label, argument, f"it is constant ({distinct[0]:g})")
        return Column(kind="constant", categories=tuple(values.labelled()[1]), **common)
    atoms = find_atoms(distinct, counts)
    if kind is None:
        kind = "ordinal" if _is_ordinal(values, distinct, counts, atoms) else "continuous"
    if kind == "continuous":
        return Column(kind=kind, atoms=tuple(distinct[atoms].tolist()), **common)
    step = _step(values, distinct, int(counts.sum()))
    levels = np.unique(snapped(distinct, step, values.rounding, distinct)) if step else distinct
    return Column(kind="ordinal", levels=levels, step=step, **common)


def shared_range(columns: Sequence[Column]) -> tuple[float, float] | None:
    """Least and greatest value of most of the columns but constants; None where they differ.

    All must be of numbers with a mass, as answers to the same scale are, or pixels.
    """
    others = [c for c in columns if c.kind != "constant"]
    ends = []
    for column in others:
        values = column.levels if column.kind == "ordinal" else column.categories
        if column.family != "number" or column.unseen or not len(values):
            return None
        if any(isinstance(v, str) or v != round(v) for v in (values[0], values[-1], column.step)):
            return None
        ends.append((float(min(values)), float(max(values))))
    (found, count), *_ = Counter(ends).most_common(1) or [((0.0, 0.0), 0)]
    return found if count >= _ALIKE and 2 * count > len(others) else None


def within_range(column: Column, ends: tuple[float, float]) -> Column:
    """What a constant column is among columns of that range: it could have had other values."""
    if column.family != "number" or len(column.categories) != 1:
        return column
    value = column.categories[0]
    if isinstance(value, str) or not ends[0] <= value <= ends[1] or value != round(value):
        return column
    if ends == (0.0, 1.0):
        return replace(column, kind="nominal", categories=(value, type(value)(1 - value)))
    return replace(column, kind="ordinal", categories=(), levels=np.array([float(value)]), step=1.0)


def _why_not(values: Values, kind: str) -> str:
    """Why values cannot be ordinal or continuous; empty if they can."""
    if values.ordered:
        return "categories have no density" if kind == "continuous" else ""
    if values.family == "label" and values.declared is None:
        return f"strings cannot be {kind}"
    if values.family == "label":
        return "its categories have no order; pandas.Categorical(..., ordered=True) declares one"
    if values.numbers is None or (not values.exact and kind == "ordinal"):
        return "it has whole numbers beyond 2^53, which can only be nominal"
    if values.family == "boolean" and kind == "continuous":
        return "booleans have no density"
    return ""


def _refusal(label: str, argument: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"argument `kinds` asks for what column {label} of `{argument}` cannot be: {why}"
    )


def _is_nominal(values: Values) -> bool:
    if values.family == "label":
        return not values.ordered
    if values.family == "boolean" or not values.exact:
        return True
    numbers = values.numbers
    if values.family != "number" or numbers is None:
        return False
    zero, one = numbers == 0, numbers == 1
    return bool(zero.any() and one.any() and np.all(zero | one | values.missing))


def _nominal(values: Values, common: dict[str, Any], kind: str | None) -> Column:
    codes, seen = values.labelled()
    labels = list(dict.fromkeys(seen))
    declared: tuple[int, ...] = ()
    if values.declared is not None:
        place = {label: k for k, label in enumerate(values.declared)}
        labels += [label for label in values.declared if label not in set(seen)]
        declared = tuple(place[label] for label in labels)
    if len(labels) == 1 and not common["missing"] and kind is None:
        return Column(kind="constant", categories=(labels[0],), **common)
    closed = values.declared is not None or _is_binary(labels)
    if values.family == "boolean":
        closed = True
        labels += [value for value in (False, True) if value not in labels]
    unseen = 0.0 if closed else unseen_share(len(labels), int(np.sum(codes >= 0)))
    return Column(
        kind="nominal", categories=tuple(labels), unseen=unseen, declared=declared, **common
    )


def _is_binary(labels: list[Any]) -> bool:
    return len(labels) == 2 and all(
        not isinstance(label, str) and label in (0, 1) for label in labels
    )


def _is_ordinal(values: Values, distinct: Array, counts: Array, atoms: Array) -> bool:
    """Whether numbers that are not nominal are values on a grid, or few."""
    whole = bool(np.all(distinct == np.rint(distinct)) and np.abs(distinct).max() <= EXACT)
    if values.family != "number" and whole:
        return bool(counts.max() > 1)
    if whole:
        return True
    rest = counts[~atoms]
    if atoms.any() and len(rest) < _FEWEST:
        return True
    repeated = rest[rest > 1].sum() / rest.sum()
    if values.family == "number" and decimals(distinct, values.rounding) is not None:
        return bool(repeated > 0.5)
    return bool(repeated >= 0.95 and len(rest) <= math.sqrt(rest.sum()))


def find_atoms(distinct: Array, counts: Array) -> Array:
    """Which of the sorted values repeat far more often than the values beside them; boolean.

    An atom has at least ten rows and one in a thousand, and ten times the median count of the five
    values on either side (fewer at the ends).
    """
    n = counts.sum()
    out = np.zeros(len(distinct), dtype=bool)
    for i in np.flatnonzero(counts >= max(_ATOM_ROWS, _ATOM_SHARE * n)):
        low = max(int(i) - _NEIGHBOURS, 0)
        beside = np.delete(counts[low : int(i) + _NEIGHBOURS + 1], int(i) - low)
        out[i] = len(beside) > 0 and counts[i] >= _ATOM_RATIO * np.median(beside)
    return out


def decimals(values: Array, rounding: float) -> int | None:
    """Number of decimals, at most six, that all values are rounded to; None if more.

    ``rounding`` is the relative error of the values (of the largest one); a grid on which numbers
    would lie because of that error is none.
    """
    largest = float(np.max(np.abs(values)))
    for digits in range(DIGITS + 1):
        tolerance = rounding * largest
        if tolerance * 10**digits > 5e-3 or largest * 10**digits > EXACT:
            return None
        if np.all(np.abs(np.round(values, digits) - values) <= tolerance):
            return digits
    return None


def _step(values: Values, distinct: Array, n_rows: int) -> float:
    """Width of the grid ``distinct[0] + i step`` of all values; 0 if there is none.

    It is 1, or the power of ten the values are rounded to; their greatest common divisor g of that
    is taken instead only where (n_levels - 1) ln g >= 20 and there are 200 rows, so that values in
    between are as good as excluded. Days have step 1.
    """
    if np.all(distinct == np.rint(distinct)):
        digits: int | None = 0 if np.abs(distinct).max() <= EXACT else None
    else:
        digits = decimals(distinct, values.rounding) if values.family == "number" else None
    if digits is None:
        return 0.0
    if values.family != "number":
        return 1.0
    ticks = np.rint(distinct * 10**digits).astype(np.int64)
    divisor = int(np.gcd.reduce(np.diff(ticks))) if len(ticks) > 1 else 1
    evidence = (len(ticks) - 1) * math.log(max(divisor, 1))
    if n_rows < _GRID_ROWS or evidence < _GRID_EVIDENCE:
        divisor = 1
    return float(divisor / 10**digits)


def unseen_share(n_categories: int, n_rows: int) -> float:
    """Probability theta / (n + theta) that the next value is a new one.

    Ewens' sampling formula: theta solves K = sum_{i < n} theta / (theta + i) for K different
    values in n rows; 0 for K = 1, and n / (n + 1) where all differ, for which theta is infinite.
    """
    if n_categories <= 1:
        return 0.0
    if n_categories == n_rows:
        return n_rows / (n_rows + 1)

    def surplus(log_theta: float) -> float:
        theta = math.exp(log_theta)
        if theta > 1e4:  # the difference of digammas without their cancellation
            growth = math.log1p(n_rows / theta) + n_rows / (2 * theta * (theta + n_rows))
        else:
            growth = float(digamma(theta + n_rows) - digamma(theta))
        return theta * growth - n_categories

    theta = math.exp(float(brentq(surplus, math.log(1e-6), 2 * math.log(n_rows) + 3)))
    return theta / (n_rows + theta)
