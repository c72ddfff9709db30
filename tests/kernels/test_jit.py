"""How kernels are compiled: Numba's private interfaces, and machines where nothing can be cached."""

import pickle
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from neurolp.kernels import _jit

caching = pytest.importorskip("numba.core.caching")
needs_jit = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="needs the compiler")


def double(x):
    return 2.0 * x


@pytest.fixture
def unsaid():
    _jit._say_once.cache_clear()


@needs_jit
def test_what_is_cached_depends_on_all_kernels():
    """A kernel calls kernels in other files, at whose sources Numba does not look."""
    stamp = _jit.kernel(double)._cache._cache_file._source_stamp
    assert stamp[1] == _jit._SOURCES


@needs_jit
@pytest.mark.parametrize(
    "index", [b"cneurolp.kernels._jit\nRenamed\n.", b"cno_such_module\nX\n.", b""]
)
def test_an_index_that_cannot_be_read_is_written_anew(monkeypatch, tmp_path, index):
    """As after a type of an argument was renamed: Numba unpickles it before it looks at the stamp."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    kernel = _jit.kernel(double)
    file = kernel._cache._cache_file
    Path(file._index_path).write_bytes(pickle.dumps(file._version) + index)
    assert kernel(1.5) == 3.0
    again = _jit.kernel(double)
    assert again(1.5) == 3.0
    assert sum(again.stats.cache_hits.values()) == 1


@needs_jit
def test_without_a_folder_kernels_are_compiled_and_it_is_said_once(unsaid, monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.warns(RuntimeWarning, match="no folder .* can be written") as warned:
        kernels = [_jit.kernel(double), _jit.vector_kernel(double), _jit.kernel(double)]
    assert len(warned) == 1
    assert [k(1.5) for k in kernels] == [3.0, 3.0, 3.0]


@needs_jit
def test_other_versions_of_numba_may_lack_what_is_private(unsaid, monkeypatch):
    compile_ = numba.njit

    def without_nrt(**options):
        if "_nrt" in options:
            raise KeyError("Unrecognized options: {'_nrt'}")
        return compile_(**options)

    monkeypatch.setattr(numba, "njit", without_nrt)
    assert _jit.vector_kernel(double)(1.5) == 3.0
    monkeypatch.setattr(caching.FunctionCache, "_cache_file", property(), raising=False)
    with pytest.warns(RuntimeWarning, match="their cache is not where"):
        assert _jit.vector_kernel(double)(1.5) == 3.0


RUN = """
import sys, numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
sys.argv = ["neurolp", "run", "small.toml", "--quiet"]
from neurolp.cli.app import main
main()
"""


@needs_jit
def test_the_command_line_runs_where_nothing_can_be_cached(tmp_path):
    """As with read-only site-packages and no home: one line on standard error, no traceback."""
    (tmp_path / "small.toml").write_text(
        'experiment = "univariate"\nproblems = ["uniform"]\nsizes = [10]\nn_seeds = 1\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("neurolp: kernels are compiled in every process")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "small.h5").is_file()


def test_compiled_or_not_the_result_is_the_same():
    assert np.isclose(_jit.kernel(double)(0.25), double(0.25))
