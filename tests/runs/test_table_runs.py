"""Runs on tables of any columns: from a file as people have it to the end, and on from the middle."""

import numpy as np
import pytest

from neurolp import BrainDensity, open_trajectory
from neurolp.errors import ConfigurationError, DataError
from neurolp.runs import density, resume
from neurolp.runs.kinds import configuration_of
from neurolp.runs.reproduce import reproduce
from neurolp.storage.compare import differences

QUICK = {"max_slices": 5}


class CrashError(BaseException):
    """The process ends, as far as the run is concerned."""


def dirty(n=120):
    """Lines of a CSV file: strings, holes, counts, dates, booleans, a constant, numbers."""
    rng = np.random.default_rng(0)
    lines = ["colour,height,count,day,flag,unit,weight"]
    for k in range(n):
        red = rng.random() < 0.5
        height = rng.normal() + 2 * red
        cells = ["red" if red else "blue", f"{height:.9f}", str(rng.poisson(np.exp(height / 3))),
                 f"2020-01-{1 + rng.integers(28):02d}", str(rng.random() < 0.3), "kg",
                 f"{height + rng.normal():.9f}"]  # fmt: skip
        if k % 9 == 0:
            cells[rng.choice([0, 2, 3, 4])] = ["", "NA", "unknown"][k % 3]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dirty.csv").write_text(dirty())
    words = np.random.default_rng(1).choice(["a", "b", "c", ""], (60, 2))
    (tmp_path / "words.csv").write_text("x,y\n" + "\n".join(",".join(row) for row in words) + "\n")
    return tmp_path


def configured(folder, file="dirty.csv", brain=QUICK, **data):
    texts = {"missing_values": ["unknown"]} if file == "dirty.csv" else {}
    raw = {"seed": 5, "data": {"file": file} | texts | data, "brain": brain,
           "record": {"trajectories": 7, "every": 2, "checkpoint_seconds": 0}}  # fmt: skip
    return configuration_of(raw, "test", folder=folder)


def test_a_dirty_table_and_its_middle(folder):
    configuration = configured(folder)
    result = density.run(configuration, folder / "whole.h5")
    assert result.data.known.kinds == (
        "nominal", "continuous", "ordinal", "ordinal", "nominal", "constant", "continuous",
    )  # fmt: skip
    names = [row.model for row in result.rows]
    assert names[0].startswith("brain (5 slices): ")
    assert names[1].startswith("mixture of products")
    assert names[2] == "Chow-Liu tree"
    with open_trajectory(folder / "whole.h5") as file:
        kinds, closing = density.summary(file)
        assert [row[0] for row in kinds.rows] == list(result.data.columns)
        assert kinds.rows[5][1] == "constant, always 'kg'"
        assert "mass of discrete columns, density of continuous ones" in closing.title
        assert file.result["impossible_test_rows"] == 0
        assert file.result["test_log_prob"] == pytest.approx(result.rows[0].log_prob)
        assert density.numbers(file)["test_log_prob"] == file.result["test_log_prob"]
        codes = file["shown_codes"].values
        drawn = density.KIND.figures(file)
    assert {"columns", "dependence", "calibration", "surprise", "potentials"} <= {*drawn}
    titles = [ax.get_title("left") for ax in drawn["columns"].figure.axes]
    assert titles[0].startswith("colour")
    assert "unit" not in titles  # constants are not drawn
    named = [ax.get_title("left") for ax in drawn["calibration"].figure.axes]
    judged = [name.partition(":")[0] for name in named if name]
    assert judged == ["colour", "count", "day", "flag"]
    np.testing.assert_array_equal(codes, result.data.codes()["test"])
    again = BrainDensity.load(folder / "whole.h5")
    assert again.score(result.data.test) == pytest.approx(result.rows[0].log_prob, rel=1e-12)

    def observe(progress):
        if progress.time >= 3:
            raise CrashError

    with pytest.raises(CrashError):
        density.run(configuration, folder / "parts.h5", observe=observe)
    resume(folder / "parts.h5")
    assert differences(folder / "whole.h5", folder / "parts.h5") == []


def test_words_alone_have_no_slices_and_a_whole_file(folder):
    configuration = configured(folder, "words.csv", brain={})
    result = density.run(configuration, folder / "whole.h5")
    assert not hasattr(result.brain, "network_")
    assert result.rows[0].model == "brain: 100% cells"
    with open_trajectory(folder / "whole.h5") as file:
        assert file.status == "complete"
        assert file.result["measure"] == "mass"
        bits = -file.result["test_log_prob"] / (2 * np.log(2))
        assert file.result["test_bits_per_dim"] == pytest.approx(bits)
        assert len(density.summary(file)) == 2
        assert {*density.KIND.figures(file)} == {"columns", "dependence", "calibration"}
    assert reproduce(folder / "whole.h5").identical

    def observe(progress):
        if progress.message.startswith("fitting"):
            raise CrashError

    with pytest.raises(CrashError):
        density.run(configuration, folder / "parts.h5", observe=observe)
    resume(folder / "parts.h5")
    assert differences(folder / "whole.h5", folder / "parts.h5") == []


def test_kinds_are_honoured(folder):
    kinds = {"count": "continuous", "day": "nominal"}
    configuration = configured(folder, columns=["count", "day", "flag"], kinds=kinds)
    result = density.run(configuration, folder / "a.h5")
    assert result.brain.columns_.kinds == ("continuous", "nominal", "nominal")
    assert result.brain.kinds == kinds


def test_what_is_not_possible_is_counted(tmp_path):
    rows = ["x,y"] + [f"{'rare' if k == 17 else 'b'},{'a' if k % 2 else 'b'}" for k in range(60)]
    (tmp_path / "rare.csv").write_text("\n".join(rows) + "\n")
    said = set()
    for seed in range(6):
        configuration = configured(tmp_path, "rare.csv", brain={}, split_seed=seed)
        with density.run(configuration, tmp_path / f"{seed}.h5") and open_trajectory(
            tmp_path / f"{seed}.h5"
        ) as file:
            assert np.isfinite(file.result["test_log_prob"])
            assert np.all(np.isfinite(file.result["model_test_log_prob"]))
            said.add(int(file.result["impossible_test_rows"]))
            if file.result["impossible_test_rows"]:
                assert "without 1 rows" in density.summary(file)[-1].title
    assert said == {0, 1}


@pytest.mark.parametrize(
    ("error", "data", "brain", "message"),
    [
        (DataError, {"columns": ["count"]}, {"model": "online"},
         "column 'count' .*, but model 'online' "),
        (DataError, {"columns": ["colour"]}, {"model": "linear"},
         "column 'colour' is nominal, but model 'linear' takes numbers"),
        (ConfigurationError, {"kinds": {"colour": "ordinal"}}, {}, "strings cannot be ordinal"),
        (ConfigurationError, {"kinds": {"color": "ordinal"}}, {}, "unknown column 'color'"),
        (DataError, {"columns": ["colour", "size"]}, {}, "no column 'size'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(folder, error, data, brain, message):
    with pytest.raises(error, match=message) as caught:
        density.run(configured(folder, brain=brain, **data), folder / "no.h5")
    assert "\n" not in str(caught.value)


def test_kinds_have_one_place(folder):
    with pytest.raises(ConfigurationError, match=r"unknown key 'brain.kinds'"):
        configured(folder, brain={"kinds": {"count": "ordinal"}})
    with pytest.raises(ConfigurationError, match="'kinds' has no meaning beside 'dequantise'"):
        configured(folder, kinds={"count": "ordinal"}, dequantise=True)
    with pytest.raises(ConfigurationError, match=r"data.kinds.count"):
        configured(folder, kinds={"count": "cardinal"})


@pytest.mark.parametrize(("n_columns", "figure"), [(1, "marginals"), (2, "density")])
def test_named_numbers_are_drawn_as_numbers(tmp_path, n_columns, figure):
    values = np.random.default_rng(0).standard_normal((50, n_columns))
    names = "vw"[:n_columns]
    np.savetxt(tmp_path / "v.csv", values, delimiter=",", header=",".join(names), comments="")
    density.run(configured(tmp_path, "v.csv"), tmp_path / "v.h5")
    with open_trajectory(tmp_path / "v.h5") as file:
        assert len(density.summary(file)) == 1
        assert figure in density.KIND.figures(file)
