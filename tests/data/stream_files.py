"""Helpers of tests of streams from files."""

import numpy as np

from neurolp.stream.sensors import check_rows

NAN = np.nan


def written(path, content):
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="")
    else:
        path.write_bytes(content)
    return path


def everything(stream, size=3):
    rows = np.concatenate(list(stream.blocks(size)))
    assert rows.shape == (stream.n_steps, stream.n_columns)
    np.testing.assert_array_equal(check_rows(rows, stream.sensors), rows)
    np.testing.assert_array_equal(stream.read(stream.n_steps), rows)
    for start in (1, stream.n_steps - 1):
        np.testing.assert_array_equal(stream.read(stream.n_steps, start), rows[start:])
    return rows
