"""Data sets: dequantisation, splits, files, and one clear line for each thing that can be wrong."""

import h5py
import numpy as np
import pytest
from scipy import stats
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine

from neurolp import DataError
from neurolp.data.problems_2d import (
    PROBLEM_NAMES,
    _field_precision,
    gaussian_field_entropy,
    problem_log_density,
    sample_problem,
)
from neurolp.data.tables import DATA_NAMES, dequantised, load_data
from neurolp.evaluation.metrics import bits_per_dim


@pytest.mark.parametrize(
    ("name", "seeds", "expected"),
    [("digits", [0], -72.55), ("breast_cancer", range(5), -10.65), ("wine", range(5), -17.33)],
)
def test_reference_gaussians(name, seeds, expected):
    """Splits and dequantisation reproduce the published Gaussian figures of the project's theory."""
    scores = []
    for seed in seeds:
        data = load_data(name, split_seed=seed)
        mean, std = data.train.mean(axis=0), data.train.std(axis=0)
        train, test = ((x - mean) / std for x in (data.train, data.test))
        covariance = np.cov(train.T, bias=True)
        scores.append(multivariate_normal(cov=covariance).logpdf(test).mean())
    assert np.mean(scores) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("name", DATA_NAMES)
def test_every_named_data_set_loads(name):
    data = load_data(name)
    assert data.train.shape[1] == len(data.columns) == len(data.steps)
    assert len(data.train) > len(data.validation)
    assert np.isfinite(data.train).all()
    again = load_data(name)
    assert np.array_equal(data.train, again.train)
    assert not np.array_equal(data.train, load_data(name, split_seed=1).train)


def test_the_gaussian_field_has_its_entropy_and_precision():
    x = sample_problem("gaussian_field", 200_000, np.random.default_rng(0))
    log_density = problem_log_density("gaussian_field", x)
    reference = stats.multivariate_normal(np.zeros(16), np.linalg.inv(_field_precision()))
    np.testing.assert_allclose(log_density[:50], reference.logpdf(x[:50]), rtol=1e-12)
    assert gaussian_field_entropy() == pytest.approx(reference.entropy(), rel=1e-12)
    assert abs(log_density.mean() + gaussian_field_entropy()) < 5 * log_density.std() / 200_000**0.5
    precision = np.linalg.inv(np.cov(x.T))
    np.testing.assert_allclose(precision, _field_precision(), atol=0.03)


def test_the_interaction_has_its_entropy():
    x = sample_problem("interaction", 200_000, np.random.default_rng(0))
    log_density = problem_log_density("interaction", x)
    factors = stats.norm.logpdf(x[:, :2]).sum(axis=1)
    factors += stats.norm.logpdf(x[:, 2], x[:, 0] * x[:, 1], 0.3)
    np.testing.assert_allclose(log_density, factors, rtol=1e-12)
    assert abs(log_density.mean() + 3.0528) < 5 * log_density.std() / 200_000**0.5


PLANE = [name for name in PROBLEM_NAMES if name not in ("gaussian_field", "interaction")]


@pytest.mark.parametrize("name", PLANE)
def test_problem_densities_are_those_of_the_samples(name):
    """The density integrates to one, and its mean log over samples is minus its entropy."""
    reach = 14 if name == "mixed_sources" else 3.5  # heavy tails
    x = np.linspace(-reach, reach, round(40 * reach) + 1) + 0.001
    points = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    log_density = problem_log_density(name, points)
    density = np.exp(log_density)
    cell = (x[1] - x[0]) ** 2
    assert density.sum() * cell == pytest.approx(1, abs=5e-3)
    entropy = -(density[density > 0] * log_density[density > 0]).sum() * cell
    sampled = -problem_log_density(name, sample_problem(name, 20_000, np.random.default_rng(0)))
    assert sampled.mean() == pytest.approx(entropy, abs=0.03)


def test_dequantisation_stays_within_the_grid():
    table = np.array([[1.0, 0.25, 0.5**0.5], [3.0, 0.5, 0.1], [10.0, -0.75, 1 / 3]])
    noisy, steps = dequantised(table)
    assert list(steps) == [1.0, 0.01, 0.0]
    assert np.all(np.abs(noisy - table) <= steps / 2)
    assert np.array_equal(noisy[:, 2], table[:, 2])
    raw = load_data("wine", dequantise=False).train
    assert np.isin(raw, load_wine().data).all()
    with pytest.raises(DataError, match="column 'pixel_0_0' is constant"):
        load_data("digits", dequantise=False)


def test_small_units_are_not_taken_for_a_grid():
    """Currents in ampere: noise as wide as a grid of 1 would bury them."""
    currents = np.random.default_rng(0).normal(0, 1e-10, (1000, 1))
    noisy, steps = dequantised(currents)
    assert list(steps) == [0.0]
    assert np.array_equal(noisy, currents)
    assert list(dequantised(np.round(1e3 * currents / 1e-10) * 1e-3)[1]) == [1e-3]


def test_bits_per_dim():
    # Uniform over 4 values in each of 3 columns: 2 bits per dimension, whatever the grid.
    steps = np.array([1.0, 0.1, 10.0])
    log_prob = -np.log(4 * steps).sum()
    assert bits_per_dim(log_prob, steps) == pytest.approx(2.0)
    assert bits_per_dim(log_prob, np.array([1.0, 0.0, 1.0])) is None


TABLE = np.round(np.random.default_rng(0).standard_normal((40, 3)), 2)


def write(folder, name):
    path = folder / name
    header = "mass,height,width"
    if name == "headed.csv":
        np.savetxt(path, TABLE, delimiter=",", header=header, comments="", fmt="%.2f")
    elif name == "bare.csv":
        np.savetxt(path, TABLE, delimiter=";", fmt="%.2f")
    elif name == "tabs.tsv":
        np.savetxt(path, TABLE, delimiter="\t", header=header.replace(",", "\t"), comments="")
    elif name == "a.npy":
        np.save(path, TABLE)
    elif name == "a.npz":
        np.savez(path, other=np.zeros(3), table=TABLE)
    else:
        with h5py.File(path, "w") as file:
            file["group/table"] = TABLE
    return path


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("headed.csv", None),
        ("bare.csv", None),
        ("tabs.tsv", None),
        ("a.npy", None),
        ("a.npz", "table"),
        ("a.h5", None),
        ("a.h5", "group/table"),
    ],
)
def test_files_of_every_kind(tmp_path, name, dataset):
    data = load_data(file=write(tmp_path, name), dataset=dataset, dequantise=False)
    rows = np.concatenate([data.train, data.validation, data.test])
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(TABLE, axis=0))
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 8, 8)


def test_columns_by_name_and_position(tmp_path):
    path = write(tmp_path, "headed.csv")
    data = load_data(file=path, columns=["width", 0], dequantise=False)
    assert data.columns == ("width", "mass")
    np.testing.assert_allclose(
        np.sort(np.concatenate([data.train, data.validation, data.test])[:, 1]),
        np.sort(TABLE[:, 0]),
    )
    # Text in a column that nobody asked for does no harm.
    text = tmp_path / "text.csv"
    text.write_text("name,x\n" + "\n".join(f"row {i},{i * 0.37}" for i in range(20)))
    assert load_data(file=text, columns=["x"]).train.shape == (12, 1)


def rows(n, row="{i}.5,{i}\n"):
    return "".join(row.format(i=i) for i in range(n))


@pytest.mark.parametrize(
    ("name", "content", "kwargs", "message"),
    [
        ("absent.csv", None, {}, "absent.csv: no such file"),
        ("x.dat", "1", {}, "unknown kind of file"),
        ("x.csv", "", {}, "is empty"),
        ("x.csv", b"\xff\xfe\x00", {}, "not a text file in UTF-8"),
        ("x.csv", rows(4), {}, "at least 10 rows, but it has 4"),
        ("x.csv", "a,b\n" + rows(20) + "1,red\n", {}, "column 'b', line 22: wanted a number, but found 'red'"),
        ("x.csv", "a,b\n" + rows(20) + "1,\n", {}, "column 'b', line 22: value is missing"),
        ("x.csv", "a,b\n" + rows(20) + "1,2,3\n", {}, "line 22 has 3 fields"),
        ("x.csv", "a,b\n" + rows(20) + "nan,2\n", {}, "column 'a', row 20: value is NaN"),
        ("x.csv", "a,b\n" + rows(20) + "inf,2\n-inf,1\n", {}, r"column 'a', row 20: value is infinite \(and 1 more\)"),
        ("x.csv", "a,b\n" + rows(20, "{i}.5,7\n"), {}, r"column 'b' is constant \(7\)"),
        ("x.csv", "a,b\n" + rows(20), {"columns": ["c"]}, "no column 'c' among a, b"),
        ("x.csv", "a,b\n" + rows(20), {"columns": [5]}, "no column 5 among a, b"),
        ("x.csv", "a,b\n" + rows(20), {"columns": ["a", "a"]}, "none twice"),
        ("x.csv", "a,b\n" + rows(20), {"columns": []}, "at least one column"),
        ("x.csv", "1.0,NA\n" + rows(20), {}, "column 'column 1', line 1: wanted a number, but found 'NA'"),
        ("x.csv", "a,a\n" + rows(20), {}, "two columns are named 'a'"),
        ("x.npy", b"nonsense", {}, "damaged or not a .npy file"),
        ("x.npz", b"PK nonsense", {}, "damaged or not a .npz file"),
        ("x.h5", b"nonsense", {}, "damaged or not a .h5 file"),
        ("x.npy", np.array(["a", "b"] * 10), {}, "wanted numbers, but the array has dtype <U1"),
        ("x.npy", np.zeros((10, 2, 2)), {}, r"shape \(rows, columns\)"),
        ("x.npy", np.array([{}], dtype=object), {}, "damaged or not a .npy"),
    ],
)  # fmt: skip
def test_bad_files_get_one_clear_line(tmp_path, name, content, kwargs, message):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=message) as caught:
        load_data(file=path, **kwargs)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(DataError, match="is a folder, not a table"):
        load_data(file=tmp_path)


def test_several_arrays_need_a_choice(tmp_path):
    path = write(tmp_path, "a.npz")
    with pytest.raises(DataError, match="`dataset` must name one of other, table"):
        load_data(file=path)
    with pytest.raises(DataError, match="no array 'tables' among other, table"):
        load_data(file=path, dataset="tables")
    with pytest.raises(DataError, match="exactly one of"):
        load_data()
    with pytest.raises(DataError, match="unknown data set 'wines'"):
        load_data("wines")
