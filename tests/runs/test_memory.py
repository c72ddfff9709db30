"""The memory that a run may use."""

import os

import pytest

from neurolp.runs.memory import memory_limit

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def machine(root, groups, **files):
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys" / "fs" / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, PHYSICAL),
        ("0::/\n", {"memory_DOT_max": "max\n"}, PHYSICAL),
        ("0::/\n", {"memory_DOT_max": "1000000\n"}, 1e6),
        ("0::/slurm/job/step\n", {"slurm__job__memory_DOT_max": "5000", "slurm__memory_DOT_max": "9000"}, 5e3),
        ("0::/gone\n", {"memory_DOT_max": "7000"}, 7e3),
        ("4:cpu,cpuacct:/x\n3:memory:/docker/a\n", {"memory__docker__a__memory_DOT_limit_in_bytes": "4000"}, 4e3),
        ("3:memory:/docker/a\n", {"memory__memory_DOT_limit_in_bytes": "9223372036854771712"}, PHYSICAL),
    ],
)  # fmt: skip
def test_the_least_limit_counts(tmp_path, groups, files, expected):
    assert memory_limit(machine(tmp_path, groups, **files)) == expected


def test_of_this_machine():
    assert 0 < memory_limit() <= PHYSICAL
