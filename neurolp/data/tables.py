"""Named data sets and user files -> arrays, checked, dequantised and split."""

from __future__ import annotations

import importlib.util
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from neurolp.arrays import Array
from neurolp.data.csv_file import CsvFile
from neurolp.data.csv_frame import frame_of
from neurolp.data.problems_1d import PROBLEMS
from neurolp.data.problems_2d import PROBLEM_NAMES, sample_problem
from neurolp.errors import DataError

TABLE_NAMES = ("digits", "wine", "breast_cancer", "iris", "diabetes")
LINE_NAMES = tuple(PROBLEMS)
DATA_NAMES: tuple[str, ...] = TABLE_NAMES + PROBLEM_NAMES + LINE_NAMES

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")

_DEQUANTISATION_SEED = 12345
MIN_ROWS = 10  # 60/20/20 of fewer leaves nothing to learn from or to judge by


@dataclass(frozen=True)
class DataSplit:
    """A data set ready for use: rows are samples, columns are nodes.

    ``steps`` has, per column, the width of the uniform noise that was added (0: none): the grid of
    a discrete column. ``image_shape`` is set where a row is an image.
    """

    title: str
    train: Array
    validation: Array
    test: Array
    columns: tuple[str, ...]
    steps: Array
    image_shape: tuple[int, int] | None = None


def load_data(
    name: str | None = None,
    file: str | Path | None = None,
    *,
    dataset: str | None = None,
    columns: Sequence[str | int] | None = None,
    dequantise: bool = True,
    split_seed: int = 0,
) -> DataSplit:
    """Load, check, dequantise and split a data set.

    Rows are permuted by ``default_rng(split_seed)`` and cut 60 / 20 / 20. Before that, discrete
    columns get uniform noise from ``default_rng(12345)``: digits k + U(0, 1), other columns
    plus U(-s/2, s/2) with s the coarsest power of ten on whose grid the whole column lies (none if
    finer than 1e-6). Problems of known density are drawn by ``default_rng(split_seed)``: 10,000
    training, 2,000 validation and 10,000 test points.

    Parameters
    ----------
    name : str, optional
        One of ``DATA_NAMES``. Exactly one of ``name`` and ``file`` is given.
    file : path, optional
        CSV (with or without a header), NPY, NPZ or HDF5 file of a table, rows are samples.
    dataset : str, optional
        Which array of an NPZ or HDF5 file; needed where there are several.
    columns : sequence of str or int, optional
        Columns to use, by name (CSV with header) or position; all by default.
    dequantise : bool
        Whether to add the noise; without it a density of discrete data has no meaning.
    split_seed : int
        Seed of the split.

    Raises
    ------
    DataError
        One line that says what is wrong, where.
    """
    if (name is None) == (file is None):
        raise DataError("data must be given by exactly one of `name` and `file`")
    if name is not None and name in PROBLEM_NAMES + LINE_NAMES:
        rng = np.random.default_rng(split_seed)
        if name in LINE_NAMES:
            points = PROBLEMS[name].sample(22_000, rng)[:, None]
        else:
            points = sample_problem(name, 22_000, rng)
        d = points.shape[1]
        names = ("x", "y") if d == 2 else tuple(f"x{j}" for j in range(d))
        points, names = select(points, names, columns, name)
        parts = np.split(points, [10_000, 12_000])
        return DataSplit(name, parts[0], parts[1], parts[2], names, np.zeros(len(names)))
    if name is not None:
        title: str = name
        table, names = select(*named_table(name), columns, title)
        image = (8, 8) if name == "digits" and columns is None else None
    else:
        path = Path(str(file))
        table, names = read_table(path, dataset, columns)
        title, image = str(path), None
    check_table(table, names, title)
    if name != "digits":  # blank pixels become U(0, 1)
        _check_constant(table, names, title)
    steps = np.zeros(len(names))
    if dequantise:
        table, steps = dequantised(table, from_zero=name == "digits")
    parts = [table[rows] for rows in split_rows(len(table), split_seed)]
    _check_constant(parts[0], names, f"{title}, training part")
    return DataSplit(title, parts[0], parts[1], parts[2], names, steps, image)


def split_rows(n_rows: int, split_seed: int) -> list[Array]:
    """Positions of the rows for training, validation and test: permuted and cut 60 / 20 / 20."""
    order = np.random.default_rng(split_seed).permutation(n_rows)
    return np.split(order, [int(0.6 * n_rows), int(0.8 * n_rows)])


def dequantised(table: Array, *, from_zero: bool = False) -> tuple[Array, Array]:
    """Add uniform noise to the discrete columns of ``table`` (n, d); see :func:`load_data`.

    Returns the new table and the width of the noise per column (0 where continuous). ``from_zero``
    treats all columns as counts k and adds U(0, 1) rather than centred noise.
    """
    rng = np.random.default_rng(_DEQUANTISATION_SEED)
    if from_zero:
        return table + rng.random(table.shape), np.ones(table.shape[1])
    out, steps = table.copy(), np.zeros(table.shape[1])
    for j in range(table.shape[1]):
        steps[j] = grid_step(table[:, j])
        if steps[j]:
            out[:, j] += steps[j] * (rng.random(len(table)) - 0.5)
    return out, steps


def grid_step(column: Array) -> float:
    """Return the coarsest power of ten on whose grid all values lie; 0 if finer than 1e-6.

    A grid wider than the whole column is none. Decimal numbers are not exact in binary, so values
    may miss the grid by a rounding error of the largest one.

    >>> grid_step(np.array([1.2, 3.45])), grid_step(np.array([10.0, 250.0]))
    (0.01, 10.0)
    """
    tolerance, spread = 1e-13 * np.max(np.abs(column)), np.ptp(column)
    for exponent in range(6, -7, -1):
        step = 10.0**exponent
        distance = np.abs(np.round(column / step) * step - column)
        if step <= spread and np.all(distance <= tolerance):
            return step
    return 0.0


def named_table(name: str) -> tuple[Array, tuple[str, ...]]:
    """A data set of scikit-learn, (n, d), and the names of its columns.

    Raises
    ------
    DataError
        If there is none of this name.
    """
    from sklearn import datasets

    loaders = {
        "digits": datasets.load_digits,
        "wine": datasets.load_wine,
        "breast_cancer": datasets.load_breast_cancer,
        "iris": datasets.load_iris,
        "diabetes": partial(datasets.load_diabetes, scaled=False),
    }
    if name not in loaders:
        raise DataError(f"unknown data set {name!r}; known are {', '.join(DATA_NAMES)}")
    bunch = loaders[name]()
    return np.asarray(bunch.data, dtype=np.float64), tuple(str(n) for n in bunch.feature_names)


# --- files ----------------------------------------------------------------------------------------


def read_table(
    path: Path, dataset: str | None = None, columns: Sequence[str | int] | None = None
) -> tuple[Array, tuple[str, ...]]:
    """The chosen ``columns`` of a table of numbers, (n, d), and their names.

    Raises
    ------
    DataError
        One line that says what is wrong, where.
    """
    if _is_text(path):
        file = CsvFile.open(path)
        use = column_positions(file.names, _all(file.names, columns), str(path))
        return file.table(use), tuple(file.names[j] for j in use)
    table, names = _read_array(path, dataset)
    if table.dtype.kind not in "fiub":
        raise DataError(f"{path}: wanted numbers, but the array has dtype {table.dtype}")
    return select(table.astype(np.float64), names, columns, str(path))


def read_frame(
    path: Path,
    dataset: str | None = None,
    columns: Sequence[str | int] | None = None,
    missing_values: Collection[str | float] = (),
    kinds: Mapping[str | int, str] | None = None,
) -> pd.DataFrame:
    """The chosen ``columns`` of any table, as a frame with the dtypes of what they hold.

    CSV files are read by :func:`neurolp.data.csv_frame.frame_of`, which says what is a number, a
    date, missing; columns that are nominal in ``kinds`` (by name, or position among the chosen
    ones) may mix numbers and text. Parquet files need PyArrow. Columns of NPY, NPZ and HDF5 files
    are named "column 0", "column 1", ....

    Raises
    ------
    DataError
        One line that says what is wrong, where.
    """
    if _is_text(path):
        file = CsvFile.open(path)
        use = column_positions(file.names, _all(file.names, columns), str(path))
        names = tuple(file.names[j] for j in use)
        nominal = [
            column
            for column, kind in (kinds or {}).items()
            if kind == "nominal" and (column in names or not isinstance(column, str))
        ]
        text = [use[column_positions(names, [column], str(path))[0]] for column in nominal]
        return frame_of(file, use, missing_values, text)
    if path.suffix.lower() in PARQUET_SUFFIXES:
        frame = _read_parquet(path)
        names = tuple(map(str, frame.columns))
        return frame.iloc[:, column_positions(names, _all(names, columns), str(path))]
    table, names = _read_array(path, dataset)
    table, names = select(table, names, columns, str(path))
    return pd.DataFrame(table, columns=list(names))


def _is_text(path: Path) -> bool:
    """Whether a file is a CSV file, by its suffix; it has to be there."""
    if not path.is_file():
        what = "is a folder, not a table" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}")
    return path.suffix.lower() in TEXT_SUFFIXES


def _read_array(path: Path, dataset: str | None) -> tuple[Array, tuple[str, ...]]:
    """The table of an NPY, NPZ or HDF5 file, and names of its columns."""
    readers = {".npy": _read_numpy, ".npz": _read_numpy, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DataError(f"{path}: unknown kind of file; wanted .csv, .npy, .npz, .h5 or .hdf5")
    try:
        table = readers[suffix](path, dataset)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read, damaged or not a {suffix} file") from error
    if table.ndim == 1 and table.dtype.names is None:
        table = table[:, None]
    if table.ndim != 2:
        raise DataError(
            f"{path}: wanted a table of shape (rows, columns), but it has {table.shape}"
        )
    return table, tuple(f"column {j}" for j in range(table.shape[1]))


def _read_parquet(path: Path) -> pd.DataFrame:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(f"{path}: reading Parquet files needs pyarrow, which is not installed")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, damaged or not a Parquet file") from error


def _read_numpy(path: Path, dataset: str | None) -> Array:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return np.asarray(loaded[choose_array(path, list(loaded.files), dataset)])


def _read_hdf5(path: Path, dataset: str | None) -> Array:
    with h5py.File(path, "r") as file:
        return np.asarray(chosen_array(path, file, dataset)[()])


def chosen_array(path: Path, file: h5py.File, dataset: str | None) -> h5py.Dataset:
    """The array ``dataset`` of an open HDF5 file, or its only one."""
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return file[choose_array(path, found, dataset)]


def choose_array(path: Path, available: list[str], dataset: str | None) -> str:
    """Name of the array to use of those ``available``: ``dataset``, or else the only one."""
    if dataset is None and len(available) == 1:
        return available[0]
    if dataset is None or dataset.strip("/") not in available:
        asked = "`dataset` must name one of" if dataset is None else f"no array {dataset!r} among"
        raise DataError(f"{path}: {asked} {', '.join(sorted(available)) or 'no arrays at all'}")
    return dataset.strip("/")


# --- checks ---------------------------------------------------------------------------------------


def column_positions(names: tuple[str, ...], columns: Sequence[str | int], title: str) -> list[int]:
    """Positions of ``columns``, each a name or a position, among ``names``."""
    out = []
    for column in columns:
        if isinstance(column, str) and column in names:
            out.append(names.index(column))
        elif isinstance(column, int) and 0 <= column < len(names):
            out.append(column)
        else:
            raise DataError(f"{title}: no column {column!r} among {', '.join(names)}")
    if len(set(out)) != len(out) or not out:
        raise DataError(f"{title}: `columns` must name at least one column, and none twice")
    return out


def _all(names: tuple[str, ...], columns: Sequence[str | int] | None) -> Sequence[str | int]:
    return range(len(names)) if columns is None else columns


def select(
    table: Array, names: tuple[str, ...], columns: Sequence[str | int] | None, title: str
) -> tuple[Array, tuple[str, ...]]:
    """The chosen ``columns`` of a table, by name or position, and their names."""
    if columns is None:
        return table, names
    use = column_positions(names, columns, title)
    return table[:, use], tuple(names[j] for j in use)


def check_table(table: Array, names: tuple[str, ...], title: str) -> None:
    """Raise ``DataError`` unless the table has ten rows, a column, and finite values only."""
    if len(table) < MIN_ROWS:
        raise DataError(f"{title}: wanted at least {MIN_ROWS} rows, but it has {len(table)}")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, j = bad[0]
        what = "NaN" if np.isnan(table[row, j]) else "infinite"
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(f"{title}: column '{names[j]}', row {row}: value is {what}{more}")
    if table.shape[1] == 0:
        raise DataError(f"{title}: wanted at least one column, but it has none")


def _check_constant(table: Array, names: tuple[str, ...], title: str) -> None:
    constant = np.flatnonzero(np.ptp(table, axis=0) == 0)
    if len(constant):
        j = int(constant[0])
        raise DataError(
            f"{title}: column '{names[j]}' is constant ({table[0, j]:g}), it has no density"
        )
