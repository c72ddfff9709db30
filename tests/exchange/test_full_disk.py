"""A disk that fails while a file of another format is written: one error, nothing left over."""

import errno
import os

import pytest

from neurolp import OutputError, to_nwb, to_sonata
from tests.exchange.small_runs import ran

WRITERS = {"nwb": (to_nwb, "a.nwb"), "sonata": (to_sonata, "a")}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("full"))


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
def test_every_failing_call_is_an_error_that_leaves_nothing(
    file, to, function, tmp_path, monkeypatch
):
    write, name = WRITERS[to]
    real, calls = getattr(os, function), 0

    def count(*arguments):
        nonlocal calls
        calls += 1
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, function, count)
        write(file, tmp_path / f"whole-{name}")
    there = {path.name for path in tmp_path.iterdir()}
    tried = sorted({1, min(2, calls), max(1, calls // 3), max(1, calls // 2), calls})
    for n in tried:
        left = n

        def failing(*arguments):
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing)
            with pytest.raises(OutputError, match="No space left on device"):
                write(file, tmp_path / name)
        left_over = {path.name for path in tmp_path.iterdir()} - there
        # A folder of SONATA files is complete when its configuration is there, the last; only the
        # last synchronisation, that of the folder, comes after the file has its name.
        if to == "nwb":
            assert not left_over or (function, n) == ("fsync", calls)
            (tmp_path / name).unlink(missing_ok=True)
        elif left_over:
            assert left_over == {name}
            assert not (tmp_path / name / "circuit_config.json").exists()
            for path in (tmp_path / name).iterdir():
                path.unlink()
    assert len(tried) > 1 or (to, function) == ("nwb", "replace")
