"""What is in a report, of files of all sorts and of sweeps; what is refused."""

import re
import sys
import tomllib

import h5py
import numpy as np
import pytest

import neurolp
from neurolp import ConfigurationError, DataError, FormatError, NeurolpError, OutputError
from neurolp.config.load import read_toml
from neurolp.report.contents import contents_of
from neurolp.runs import figures
from neurolp.sweep.state import DIVERGED, RUNNING, JobState, write_state
from tests.processes import assert_one_line, neurolp_command
from tests.report.pages import DENSITY, STREAM, broken_off, ran
from tests.sweep.quick import fake_sweep


def page_of(path, folder, **settings):
    return neurolp.report(path, folder / "page.html", overwrite=True, **settings).read_text()


def text_of(page):
    """What of a page is read, without pictures and programs."""
    body = page[page.index("<body>") :]
    body = re.sub(r"<script.*?</script>|<svg.*?</svg>", "", body, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@pytest.fixture(scope="module")
def density(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("density"), DENSITY)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("stream"), STREAM)


def test_a_report_says_all_of_a_table(density, tmp_path):
    page = page_of(density, tmp_path)
    read = text_of(page)
    assert "<h1>Rings &amp; &lt;others&gt;</h1>" in page
    with neurolp.open_trajectory(density) as file:
        for name, log_prob in zip(file.result["model"], file.result["model_test_log_prob"], strict=True):  # fmt: skip
            assert f"{name} {log_prob:.2f}" in read  # beside the peers'
        drawn = figures(file)
        assert page.count("<figcaption>") == page.count('<svg role="img"') == len(drawn) > 3
        for figure in drawn.values():
            assert f"<figcaption>{figure.caption}</figcaption>" in page
        assert f"Seed {file.provenance['seed']}" in read
        configuration = file.configuration
    assert "An invertible network learned" in read
    assert "6 slices were learned" in read
    assert "two_moons (built in), 2 columns." in read
    assert "brain.max_slices 6" in read
    assert "brain.patience" not in re.search(r"Settings that are.*?</table>", page, re.S)[0]
    assert "neurolp reproduce run.h5" in read
    assert "arXiv:2311.13341" in read
    assert re.search(r"SHA-256 of run.h5 [0-9a-f]{64}", read)
    # The configuration in the page is that of the run.
    toml = re.search(r'<summary>.*?<pre tabindex="0">(.*?)</pre>', page, re.S)[1]
    toml = toml.replace("&#34;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")  # fmt: skip
    assert tomllib.loads(toml)["brain"]["max_slices"] == 6
    (tmp_path / "again.toml").write_text(toml)
    assert read_toml(tmp_path / "again.toml")["title"] == configuration["title"]
    again = neurolp.read_configuration(tmp_path / "again.toml").model_dump(mode="json")
    assert again == configuration


def test_a_report_says_all_of_a_stream(stream, tmp_path):
    page = page_of(stream, tmp_path)
    read = text_of(page)
    assert "a recurrent network of 3 hidden nodes" in read
    assert "ar2 (built in), 600 steps, 1 sensor: value." in read
    assert "i.i.d. baseline" in read
    assert "entropy rate" in read
    assert page.count('class="has-charts"') >= 2


def test_the_page_needs_no_network_and_is_small(tmp_path):
    digits = {"data": {"name": "digits", "dequantise": True}, "brain": {"max_slices": 2}, "compare": False}  # fmt: skip
    page = page_of(ran(tmp_path, digits), tmp_path)
    assert len(page.encode()) < 6e6
    written = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', written)
    assert "@import" not in written
    identifiers = re.findall(r'\bid="([^"]*)"', written)
    assert len(identifiers) == len(set(identifiers)) > 50


def test_an_experiment_and_a_fitted_estimator_have_reports(tmp_path):
    principle = {"experiment": "principle", "seed": 1, "n_steps": 100, "n_runs": 2, "n_samples": 100}  # fmt: skip
    read = text_of(page_of(ran(tmp_path, principle), tmp_path))
    assert "Learners estimated the probabilities of the symbols of a source" in read
    X = np.random.default_rng(0).standard_normal((200, 2))
    neurolp.TriangularDensity(random_state=0).fit(X).save(tmp_path / "fitted.h5")
    read = text_of(page_of(tmp_path / "fitted.h5", tmp_path))
    assert "There are no pictures" in read
    assert "neurolp reproduce" not in read


def test_an_interrupted_run_says_so(tmp_path):
    record = STREAM["record"] | {"checkpoint_seconds": 0.0}
    cut = broken_off(tmp_path, STREAM | {"record": record}, 200)
    for path in (cut, tmp_path / "cut.h5.run"):
        read = text_of(page_of(path, tmp_path))
        assert "Attention. This run was interrupted before its end." in read
        assert "neurolp resume cut.h5" in read
    assert "<svg" in page_of(cut, tmp_path)


def test_a_diverged_run_says_so(tmp_path):
    rows = 1e-60 * np.random.default_rng(0).standard_normal(400)
    rows[237] = 1e100
    np.save(tmp_path / "far.npy", rows)
    wild = {"stream": {"file": str(tmp_path / "far.npy")}, "brain": {"experts": False}}
    with pytest.raises(NeurolpError):
        neurolp.run(wild, tmp_path / "wild.h5")
    read = text_of(page_of(tmp_path / "wild.h5", tmp_path))
    assert re.search(r"Attention\. This run diverged: .* in step 237", read)
    assert "reproduce wild.h5" not in read


def test_a_run_that_goes_on_has_a_report(tmp_path):
    record = STREAM["record"] | {"checkpoint_seconds": 0.0}
    seen = []

    def observe(progress):
        if progress.time > 200 and not seen:
            with neurolp.open_trajectory(tmp_path / "on.h5") as file:
                seen.append(contents_of(file))

    neurolp.run(STREAM | {"record": record}, tmp_path / "on.h5", observe=observe).close()
    assert seen[0].status == "running"
    assert "still going on" in seen[0].notices[0].text
    assert not any("resume" in step.code or "reproduce" in step.code for step in seen[0].steps)


# --- sweeps ---------------------------------------------------------------------------------------


def test_a_sweep_has_means_pictures_and_failures(tmp_path):
    grid = [{"brain.n_hidden": n} for n in (1, 10, 100)]
    folder = fake_sweep(tmp_path / "s", grid, {"brain.n_hidden": "grid"}, 3, lambda s: 1.0)
    failed = JobState(DIVERGED, 1, reason="diverged", message="step 7 diverged")
    write_state(folder / "jobs" / "000200", failed)
    # A job's file tells the settings of all.
    ran(folder / "jobs" / "000000", STREAM, "result.h5")
    page = page_of(folder, tmp_path)
    read = text_of(page)
    assert "One configuration 9 times, with some keys changed: 8 done, 1 diverged." in read
    assert "Varied (grid) brain.n_hidden: 1, 10, 100" in read
    assert "1 3 1.1 0.1" in read  # setting, jobs, mean, standard deviation
    assert "100 2 1.15 0.07071" in read
    assert "000200 diverged diverged step 7 diverged" in read
    assert "1 jobs failed or diverged, and are in no mean and no picture." in read
    assert "brain.n_hidden varied" in read
    assert "neurolp reproduce s/jobs/000000/result.h5" in read
    assert page.count("<figcaption>") == 1
    write_state(folder / "jobs" / "000100", JobState(RUNNING, 1))
    assert "This sweep was stopped before its end; 1 jobs were not run." in text_of(
        page_of(folder, tmp_path)
    )


# --- refusals -------------------------------------------------------------------------------------


def test_the_command(density, tmp_path):
    done = neurolp_command("report", density, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "run-report.html\n"), done.stderr
    first = (tmp_path / "run-report.html").read_bytes()
    assert_one_line(neurolp_command("report", density, cwd=tmp_path), 73, "exists already")
    forced = neurolp_command("report", density, "--force", "-q", cwd=tmp_path)
    assert (forced.returncode, forced.stdout) == (0, "")
    assert len((tmp_path / "run-report.html").read_bytes()) == len(first)
    other = neurolp_command("report", density, "-o", "other.html", cwd=tmp_path)
    assert other.stdout == "other.html\n"
    (tmp_path / "note.txt").write_text("hello")
    nothing = neurolp_command("report", "note.txt", cwd=tmp_path)
    assert_one_line(nothing, 65, "note.txt: not a readable HDF5 file")
    assert_one_line(neurolp_command("report", "gone.h5", cwd=tmp_path), 65, "no such file")


def test_what_cannot_be_reported_is_refused(density, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no sweep in it"):
        neurolp.report(tmp_path)
    with pytest.raises(OutputError, match="its folder does not exist"):
        neurolp.report(density, tmp_path / "no" / "page.html")
    with pytest.raises(OutputError, match="the file to report on"):
        neurolp.report(density, density, overwrite=True)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(FormatError, match="an HDF5 file, but not"):
        neurolp.report(tmp_path / "other.h5", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match=r"jinja2.*pip install 'neurolp\[report\]'"):
        neurolp.report(density, tmp_path / "page.html")
