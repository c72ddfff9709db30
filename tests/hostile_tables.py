"""Tables that nobody should make and people do, and what estimators make of them."""

import contextlib
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

import neurolp
from neurolp import (
    BoundedBrain,
    BrainDensity,
    ConditionalClassifier,
    ConditionalDensity,
    LinearBrain,
    MonotoneDensity,
    NeurolpError,
    OnlineBrain,
    TriangularDensity,
)
from tests.hostile import TooLongError, ringing
from tests.hostile_frames import LABELS
from tests.hostile_frames import columns as hostile_columns

_QUICK = {"hidden": (3,), "n_members": 2, "max_epochs": 2, "decays": (1.0,), "random_state": 0}
# Which of them learns, more often those that are named more often.
MODELS = {
    "brain": lambda: BrainDensity(max_slices=3, random_state=0, n_threads=1),
    "brain alone": lambda: BrainDensity(
        max_slices=3, constructions=["brain"], random_state=0, n_threads=1
    ),
    "cells": lambda: BrainDensity(constructions=["cells"], random_state=0, n_threads=1),
    "slices and layers": lambda: BrainDensity(
        max_slices=3, constructions=["brain", "triangular"], random_state=0, n_threads=1
    ),
    "one continuous": lambda: BrainDensity(
        max_slices=3, kinds={0: "continuous"}, random_state=0, n_threads=1
    ),
    "one nominal": lambda: BrainDensity(
        max_slices=3, kinds={0: "nominal"}, random_state=0, n_threads=1
    ),
    "defaults": lambda: BrainDensity(random_state=0, n_threads=1),
    "triangular": lambda: TriangularDensity(max_layers=3, random_state=0, n_threads=1),
    "given order": lambda: TriangularDensity(
        max_layers=3, order="given", random_state=0, n_threads=1
    ),
    "conditional": lambda: ConditionalDensity(**_QUICK),
    "conditional continuous": lambda: ConditionalDensity(target_kind="continuous", **_QUICK),
    "classifier": lambda: ConditionalClassifier(**_QUICK),
    "bayes": lambda: ConditionalClassifier(
        route="bayes", random_state=0,
        density=BrainDensity(max_slices=2, random_state=0, n_threads=1),
    ),
    "online": lambda: OnlineBrain(max_epochs=2, n_slices=4, random_state=0, n_threads=1),
    "linear": lambda: LinearBrain(max_epochs=2, random_state=0),
    "bounded": lambda: BoundedBrain(max_epochs=2, random_state=0),
    "monotone": lambda: MonotoneDensity(random_state=0),
}  # fmt: skip
_OFTEN = [
    *["brain"] * 12, *["brain alone"] * 3, *["cells"] * 2, *["slices and layers"] * 2, "one continuous",
    "one nominal", "defaults", *["triangular"] * 5, "given order", *["conditional"] * 3, "conditional continuous",
    *["classifier"] * 3, "bayes", "online", "linear", "bounded", "monotone",
]  # fmt: skip
_FAR = 1e50  # what lies so far out among others may have no density that is a number
_MOST = 200  # outcomes whose probabilities are asked for
_WIDE = 10  # tables of more columns are asked of one row only
_ASKED = 6  # rows of which conditionals are asked for
_RARE = ("defaults", "bayes", "monotone")  # slow ones, which a quick test leaves out


# --- columns that can often be learned from, each with a wrinkle ----------------------------------


def _holes(rng, values):
    return pd.Series(values).where(rng.random(len(values)) < 0.7).array


def _times(rng, n, unit, zone=None):
    days = pd.Timestamp("2024-03-30") + pd.to_timedelta(rng.integers(0, 5000, n), unit)
    return (days if zone is None else days.tz_localize("UTC").tz_convert(zone)).array


def _spoiled(values, one):
    out = values.astype(type(one) if isinstance(one, float) else object)
    out[-1:] = one
    return out


def _levels(rng, n, ordered):
    labels = ["low", "middle", "high", "never"]
    return pd.Categorical(rng.choice(labels[:3], n), categories=labels, ordered=ordered)


WRINKLES = {
    "normal": lambda r, n: r.standard_normal(n),
    "float32": lambda r, n: r.standard_normal(n).astype(np.float32),
    "float16": lambda r, n: r.standard_normal(n).astype(np.float16),
    "Float64 with holes": lambda r, n: pd.array(_holes(r, r.standard_normal(n)), dtype="Float64"),
    "normal with holes": lambda r, n: _holes(r, r.standard_normal(n)),
    "counts": lambda r, n: r.poisson(2.0, n),
    "counts with holes": lambda r, n: pd.array(_holes(r, r.poisson(2.0, n)), dtype="Int64"),
    "uint8": lambda r, n: r.integers(0, 256, n).astype(np.uint8),
    "words": lambda r, n: r.choice(np.array(["red", "green", "blue"], dtype=object), n),
    "words with holes": lambda r, n: np.array(["a", "b", None], dtype=object)[r.integers(0, 3, n)],
    "all different words": lambda r, n: np.array([f"row {i}" for i in range(n)], dtype=object),
    "string": lambda r, n: pd.array(r.choice(["x", "y", "\n"], n), dtype="string"),
    "booleans": lambda r, n: r.random(n) < 0.3,
    "boolean with holes": lambda r, n: pd.array(
        np.array([True, False, None], dtype=object)[r.integers(0, 3, n)], dtype="boolean"
    ),
    "constant": lambda r, n: np.full(n, 7.0),
    "constant word": lambda r, n: np.full(n, "same", dtype=object),
    "constant with holes": lambda r, n: _holes(r, np.full(n, 7.5)),
    "all missing": lambda r, n: np.full(n, np.nan),
    "all None": lambda r, n: np.full(n, None),
    "one present": lambda r, n: np.where(np.arange(n) == n // 2, 1.5, np.nan),
    "two present": lambda r, n: np.where(np.arange(n) % max(n // 2, 1) == 0, np.arange(n) / 3, np.nan),
    "one odd value": lambda r, n: _spoiled(r.poisson(2.0, n), 0.5),
    "one far value": lambda r, n: _spoiled(r.standard_normal(n), 1e12),
    "one very far value": lambda r, n: _spoiled(r.standard_normal(n), 1e100),
    "one farthest value": lambda r, n: _spoiled(r.standard_normal(n), 1.7e308),
    "huge": lambda r, n: 1e300 * r.standard_normal(n),
    "large": lambda r, n: 1e150 * r.standard_normal(n),
    "rather large": lambda r, n: 1e100 * r.standard_normal(n),
    "tiny spread": lambda r, n: 1.0 + 1e-13 * r.standard_normal(n),
    "tiniest spread": lambda r, n: 1.0 + np.finfo(float).eps * r.integers(0, 5, n),
    "tiny": lambda r, n: 1e-150 * r.standard_normal(n),
    "subnormal": lambda r, n: 1e-310 * r.standard_normal(n),
    "heavy tails": lambda r, n: np.exp(20.0 * r.standard_normal(n)),
    "heaviest tails": lambda r, n: np.exp(200.0 * r.standard_normal(n)),
    "int64 limits": lambda r, n: r.choice([-(2**63), 2**63 - 1, 0, 5], n),
    "uint64 limits": lambda r, n: r.choice(np.array([2**64 - 1, 2**63, 0], dtype=np.uint64), n),
    "identifiers": lambda r, n: r.integers(2**54, 2**62, n),
    "wide integers": lambda r, n: r.integers(-(2**52), 2**52, n),
    "sparse": lambda r, n: pd.arrays.SparseArray(r.integers(0, 3, n) * (r.random(n) < 0.4)),
    "categories": lambda r, n: _levels(r, n, False),
    "ordered categories": lambda r, n: _levels(r, n, True),
    "zoned times": lambda r, n: _times(r, n, "min", "Europe/Berlin"),
    "times": lambda r, n: _times(r, n, "s"),
    "days": lambda r, n: _times(r, n, "D"),
    "durations": lambda r, n: pd.to_timedelta(r.exponential(2.0, n), unit="h").array,
    "periods": lambda r, n: pd.PeriodIndex.from_ordinals(r.integers(500, 600, n), freq="M").array,
    "rain": lambda r, n: np.where(r.random(n) < 0.6, 0.0, r.exponential(2.0, n)),
    "two values": lambda r, n: r.choice([-1.5, 2.5], n),
    "signed zeros": lambda r, n: r.choice([0.0, -0.0, 1.0], n),
    "rounded": lambda r, n: np.round(r.standard_normal(n), 1),
    "finely rounded": lambda r, n: np.round(r.standard_normal(n), 6),
    "infinity": lambda r, n: np.where(np.arange(n) == n - 1, np.inf, r.standard_normal(n)),
    "mixed types": lambda r, n: np.array([1, "a", 2.5, None], dtype=object)[r.integers(0, 4, n)],
}  # fmt: skip

_REFUSED = (
    "one farthest value", "huge", "tiniest spread", "tiny", "subnormal", "heaviest tails", "infinity", "mixed types",
)  # fmt: skip


@st.composite
def _frames(draw, most_rows, wide):
    rows = [*[1, 2, 3, 5, 8, 12, 12, 20, 20, 40] * 2, most_rows]
    n = min(draw(st.sampled_from(rows)), most_rows)
    d = draw(st.sampled_from([*[1, 2, 2, 3, 3, 4, 5] * 3, wide]))
    d = min(d, 8) if n > 40 else d
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts: list[Any] = []
    usual = [name for name in WRINKLES if name not in _REFUSED]
    known = usual if draw(st.integers(0, 3)) else [*WRINKLES]  # else hardly any would be fitted
    for j in range(d):
        how = draw(st.integers(0, 20))
        if how == 0 and n <= 12 and known is not usual:
            parts.append(draw(hostile_columns(n)))
        elif how == 1 and j:
            parts.append(parts[draw(st.integers(0, j - 1))])  # a copy of an earlier one
        else:
            parts.append(WRINKLES[draw(st.sampled_from(known))](rng, n))
    frame = pd.DataFrame({j: pd.Series(part) for j, part in enumerate(parts)})
    if draw(st.integers(0, 9)) == 0:  # rows again and again
        frame = frame.iloc[rng.integers(0, min(n, 3), n)]
    return frame


@st.composite
def _named(draw, frame):
    """The frame with columns that have names, or nearly."""
    d, how = frame.shape[1], draw(st.integers(0, 19))
    names: Any = [f"c{j}" for j in range(d)]
    if how < 4:
        names = list(range(d))
    elif how == 4:
        names = [10 * (d - j) for j in range(d)]
    elif how == 5:
        names = ["same"] * d
    elif how == 6:
        names = pd.MultiIndex.from_tuples([("a", j) for j in range(d)])
    elif how == 7:
        names = pd.Index([draw(st.sampled_from(LABELS)) for _ in range(d)], tupleize_cols=False)
    elif how == 8:
        names = pd.date_range("2020", periods=d)
    elif how == 9:
        names = [float(j) for j in range(d)]
    frame = frame.copy()
    frame.columns = names
    index = draw(st.integers(0, 9))
    if index == 0:
        frame.index = pd.Index(["twice"] * len(frame))
    elif index == 1:
        frame.index = pd.date_range("2020", periods=len(frame), freq="h")
    elif index == 2:
        frame.index = frame.index[::-1]
    return frame


def _polars(frame):
    import polars as pl

    return pl.from_pandas(frame.reset_index(drop=True))


def _arrow(frame):
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


_FORMS = {
    "object array": lambda f: f.to_numpy(dtype=object),
    "array": lambda f: f.to_numpy(),
    "rows": lambda f: f.to_numpy(dtype=object).tolist(),
    "masked": lambda f: np.ma.masked_invalid(f.to_numpy(dtype=np.float64)),
    "strings": lambda f: f.to_numpy(dtype=str),
    "sparse": lambda f: sparse.csr_array(f.to_numpy(dtype=np.float64)),
    "polars": _polars,
    "arrow": _arrow,
    "line": lambda f: f.iloc[:, 0].to_numpy(),
    "series": lambda f: f.iloc[:, 0],
    "cube": lambda f: np.stack([f.to_numpy(dtype=object)] * 2),
    "no rows": lambda f: f.iloc[:0],
    "no columns": lambda f: f.iloc[:, :0],
    "dictionary": lambda f: f.to_dict("list"),
    "records": lambda f: f.to_records(index=False),
    "rows of different length": lambda f: [[1.0, 2.0], [3.0]],
    "lists of texts": lambda f: [["a", "b"], ["c", "d"], ["a", "d"]],
    "none": lambda f: None,
    "text": lambda f: "table.csv",
    "number": lambda f: 3.0,
    "generator": lambda f: (row for row in f.to_numpy()),
}


@dataclass
class Case:
    """A table, targets, the name of a model, and what is done with them."""

    model: str
    X: Any
    y: Any
    other: Any
    n_validation: int
    target: int
    files: bool

    def __str__(self) -> str:
        """What is in it, in a line."""
        parts = (f"{name} = {_shown(getattr(self, name))}" for name in ("X", "y", "other"))
        rest = f"n_validation = {self.n_validation}, target = {self.target}"
        return " ".join(f"{self.model}, {', '.join(parts)}, {rest}".split())


def _shown(table: Any) -> str:
    if isinstance(table, pd.DataFrame):
        cells = [table.iloc[:, j].tolist() for j in range(table.shape[1])]
        kinds = [str(table.dtypes.iloc[j]) for j in range(table.shape[1])]
        return f"columns {list(table.columns)!r:.200} of {kinds!r:.300}: {cells!r:.900}"
    return f"{type(table).__name__} {table!r:.300}"


@st.composite
def cases(draw, most_rows=40, quick=True):
    """Tables with what is to be done with them; ``quick`` leaves slow models out."""
    frame = draw(_frames(most_rows, 6 if quick else 30))
    X: Any = draw(_named(frame))
    if draw(st.integers(0, 3)) == 0:
        form = draw(st.sampled_from([*_FORMS]))
        with contextlib.suppress(ValueError, TypeError, OverflowError, ArithmeticError, LookupError,
                                 NotImplementedError, ImportError, AttributeError):  # fmt: skip
            X = _FORMS[form](X)  # not every frame has every form
    n = len(frame)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    name = draw(st.sampled_from([name for name in _OFTEN if not (quick and name in _RARE)]))
    if draw(st.integers(0, 4)) == 0 and n <= 40:
        y = draw(hostile_columns(n))
    else:
        y = WRINKLES[draw(st.sampled_from([*WRINKLES]))](rng, n)
    other = None
    if isinstance(X, pd.DataFrame) and X.size and draw(st.integers(0, 2)) == 0:
        other, j = X.copy(), draw(st.integers(0, X.shape[1] - 1))
        new = WRINKLES[draw(st.sampled_from([*WRINKLES]))](rng, n)
        names = other.columns
        other.columns = range(X.shape[1])
        other[j] = new
        other.columns = names
    n_validation = draw(st.sampled_from([0, 0, 0, 0, 1, n // 3]))
    return Case(name, X, y, other, n_validation, draw(st.integers(0, 50)), draw(st.booleans()))


# --- what became of one ---------------------------------------------------------------------------


def _too_long(signum, frame):
    raise TooLongError("too many seconds of the processor for a small table")


class FaultError(Exception):
    """What must not be."""


def outcome(case: Case, patience: float = 60.0) -> str:
    """What became of a case: "refused" or "fitted"; other errors than those of users are raised.

    Warnings are errors, but for those that are about the data and come from the package.
    """
    with warnings.catch_warnings(), ringing(patience, _too_long):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataConversionWarning)
        warnings.simplefilter("ignore", neurolp.DataWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = MODELS[case.model]()
        supervised = isinstance(model, ConditionalDensity | ConditionalClassifier)
        try:
            model.fit(*_arguments(case, supervised), **_validation(case, supervised))
        except (NeurolpError, ValueError, TypeError) as error:
            _check_line(error)
            return "refused"
        X = _arguments(case, supervised)[0]
        if supervised:
            _check_supervised(model, X, _arguments(case, supervised)[1])
        elif hasattr(model, "columns_"):
            _check_table(model, X, case)
        else:
            _check_numbers(model, X)
        if case.files:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.h5"
                model.save(path)
                again = neurolp.load(path)
            ask = again.predict if supervised else again.score_samples
            known = model.predict if supervised else model.score_samples
            _check(np.array_equal(ask(X), known(X)), "a loaded model answers otherwise")
        return "fitted"


def _sliced(values: Any, rows: slice) -> Any:
    return values.iloc[rows] if isinstance(values, pd.DataFrame) else values[rows]


def _can_split(case: Case) -> bool:
    return isinstance(case.X, pd.DataFrame | np.ndarray) and 0 < case.n_validation < len(case.X)


def _arguments(case: Case, supervised: bool) -> tuple[Any, ...]:
    rows = slice(None, -case.n_validation) if _can_split(case) else slice(None)
    X = _sliced(case.X, rows) if _can_split(case) else case.X
    return (X, case.y[rows]) if supervised else (X,)


def _validation(case: Case, supervised: bool) -> dict[str, Any]:
    if not _can_split(case):
        return {}
    rows = slice(-case.n_validation, None)
    out = {"X_validation": _sliced(case.X, rows)}
    return out | {"y_validation": case.y[rows]} if supervised else out


def _check(holds: Any, what: str) -> None:
    if not holds:
        raise FaultError(what)


def _check_line(error: BaseException) -> None:
    """A message for people: one line that names what is wrong; TypeErrors are ours or NumPy's."""
    line = str(error)
    _check("\n" not in line and 0 < len(line) < 700, f"not one line: {line!r:.2000}")
    if isinstance(error, NeurolpError):
        _check(
            re.search(r"argument `|column|class |diverged: node", line), f"names nothing: {line!r}"
        )
    else:
        _check(
            "sklearn" in _origin(error) or "could not convert" in line,
            f"{type(error).__name__} from {_origin(error)}: {line!r}",
        )


def _origin(error: BaseException) -> str:
    """File and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _check_scores(log_prob: Any, n: int, *, possible: bool = True) -> None:
    _check(log_prob.shape == (n,), f"scores of shape {log_prob.shape}")
    _check(not np.isnan(log_prob).any(), f"scores are NaN: {log_prob!r:.300}")
    _check(not np.any(log_prob == np.inf), f"scores are infinite: {log_prob!r:.300}")
    if possible:
        _check(np.all(log_prob > -np.inf), f"training rows are impossible: {log_prob!r:.300}")


def _check_probabilities(p: Any, n: int) -> None:
    _check(len(p) == n and np.all((p >= 0) & (p <= 1)), f"no probabilities: {p!r:.300}")
    _check(np.allclose(p.sum(axis=1), 1.0, atol=1e-9), f"sums {p.sum(axis=1)!r:.300}")


def _check_supervised(model: Any, X: Any, y: Any) -> None:
    n = model.predict(X).shape[0]
    if model.__class__ is ConditionalClassifier or model.targets_.labelled.any():
        _check_probabilities(model.predict_proba(X), n)
    _check_scores(model.log_prob(X, y), n)
    if model.__class__ is ConditionalDensity:
        _check(model.sample(X, 3, random_state=0).shape[:2] == (3, n), "shape of a sample")
        if not model.targets_.nominal:
            found = model.predict_quantile(X, [0.1, 0.9])
            _check(not np.any(pd.isna(found)), f"quantiles {found!r:.300}")
    else:
        _check(np.isin(model.predict(X), model.classes_).all(), "other labels")


def _few(X: Any, start: int) -> Any:
    """A few of the rows: some questions take long."""
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    first = start % max(n - _ASKED, 1)
    if hasattr(X, "slice") and not isinstance(X, pd.DataFrame):  # of other libraries
        return X.slice(first, _ASKED)
    return _sliced(X, slice(first, first + _ASKED))


def _check_numbers(model: Any, X: Any) -> None:
    n = len(X) if hasattr(X, "__len__") else 1
    _check_scores(np.asarray(model.score_samples(X)), n)
    _check(np.all(np.isfinite(model.sample(3, random_state=0))), "samples are not finite")


def _check_table(model: Any, X: Any, case: Case) -> None:
    columns = model.columns_
    codes = columns.encode(X)
    n = len(codes)
    log_prob, error = model.score_samples(X, return_std=True)
    _check_scores(log_prob, n, possible=np.nanmax(np.abs(codes), initial=0.0) < _FAR)
    _check(np.all(error >= 0) and np.all(np.isfinite(error)), f"errors {error!r:.300}")
    _check(np.isin(model.predict(X), [-1, 1]).all(), "neither in nor out")
    _check_sample(model.sample(3, random_state=0), columns, X)
    if case.other is not None:
        try:
            log_prob = model.score_samples(case.other)
        except (NeurolpError, ValueError) as error:
            _check_line(error)
        else:
            _check_scores(log_prob, len(case.other), possible=False)
    X = _few(X, case.target)
    X = _sliced(X, slice(1)) if len(columns) > _WIDE and isinstance(X, pd.DataFrame) else X
    codes = columns.encode(X)
    n = len(codes)
    found = columns.encode(model.impute(X))
    _check(not np.isnan(found).any(), "holes are left")
    rounded = np.isclose(found, codes, rtol=1e-12, atol=0) | np.isnan(codes)
    _check(rounded.all(), f"what is known was changed: {found[~rounded]} {codes[~rounded]}")
    j = case.target % len(columns)
    if len(model._outcomes(j) if columns.kinds[j] in ("nominal", "ordinal") else ()) > _MOST:
        return  # each outcome of each row is a marginal: it takes as long as that
    if columns.kinds[j] in ("nominal", "ordinal"):
        p = model.predict_proba(X, j if not columns.integer_names else int(columns.names[j]))
        _check_probabilities(p, n)
        _check(p.shape[1] == len(model.categories_[model._key(j)]), "other categories")
    if columns.kinds[j] in ("continuous", "ordinal"):
        key = j if not columns.integer_names else int(columns.names[j])
        q = model.predict_quantile(X, [0.1, 0.5, 0.9], key)
        _check(not pd.isna(pd.DataFrame(q)).any(axis=None), f"quantiles {q!r:.300}")


def _check_sample(drawn: Any, columns: Any, X: Any) -> None:
    """A sample has the names and dtypes of the frame, as far as ``Columns.decode`` promises."""
    _check(len(drawn) == 3, "length of a sample")
    _check(not np.isinf(columns.encode(drawn)).any(), "a sample is infinite")
    if not isinstance(X, pd.DataFrame):
        return
    _check(list(map(str, drawn.columns)) == list(map(str, X.columns)), "names of a sample")
    for j in range(X.shape[1]):
        was, now = X.dtypes.iloc[j], drawn.dtypes.iloc[j]
        if isinstance(was, pd.SparseDtype):
            was = was.subtype
        if was == now or was.kind == "O":
            continue
        whole = was.kind in "iu" and now.kind in "iu"  # with holes, or outside of their range
        smooth = was.kind in "iu" and columns.kinds[j] == "continuous" and now == np.float64
        nullable = was == np.bool_ and str(now) == "boolean"
        times = columns[j].family in ("date", "duration") and now.kind in "mM"
        _check(whole or smooth or nullable or times, f"column {j} of {was} was drawn as {now}")
