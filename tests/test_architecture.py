"""Imports point downwards only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "neurolp"

# A module may import from layers below its own, and from its own layer.
LAYERS = [
    {"neurolp.__main__"},
    {
        "neurolp.cli",
        "neurolp.exits",
        "neurolp.terminal",
        "neurolp",
    },  # the package itself only names the public
    {"neurolp.sweep"},
    {"neurolp.experiments", "neurolp.reproduction"},
    {
        "neurolp.config",
        "neurolp.schema",
        "neurolp.experiment_schema",
        "neurolp.plotting",
        "neurolp.experiment_plotting",
        "neurolp.stream_plotting",
        "neurolp.stream_schema",
        "neurolp.stream_scores",
    },
    {
        "neurolp.stream_checkpoints",
        "neurolp.stream_divergence",
        "neurolp.stream_simulation",
        "neurolp.stream_recording",
        "neurolp.stream_contents",
        "neurolp.stream_windows",
        "neurolp.stream_schedule",
    },
    {
        "neurolp.estimators",
        "neurolp.stream_brain",
        "neurolp.streams",
        "neurolp.data",
        "neurolp.baselines",
    },
    {
        "neurolp.archive",
        "neurolp.conditional",
        "neurolp.simulation",
        "neurolp.parameters",
        "neurolp.auditing",
        "neurolp.pupils",
        "neurolp.training",
    },
    {
        "neurolp.packing",
        "neurolp.form_packing",
        "neurolp.density_packing",
        "neurolp.stream_packing",
    },
    {"neurolp.brain", "neurolp.differentiation", "neurolp.trajectory"},
    {
        "neurolp.kernels",
        "neurolp.principle",
        "neurolp.losses",
        "neurolp.provenance",
        "neurolp.quadrature",
        "neurolp.problems",
        "neurolp.problems_1d",
        "neurolp.problems_conditional",
        "neurolp.errors",
        "neurolp.keeping",
        "neurolp.defects",
    },
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module):
    for k, layer in enumerate(LAYERS):
        if module in layer or ".".join(module.split(".")[:2]) in layer - {"neurolp"}:
            return k
    raise AssertionError(f"{module} has no layer: add it to LAYERS")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "neurolp":  # from neurolp import archive
                yield from (f"neurolp.{alias.name}" for alias in node.names if alias.name.islower())
            else:
                yield node.module


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path):
    module = name_of(path)
    for imported in imports_of(path):
        if imported.split(".")[0] == "neurolp":
            assert layer_of(imported) >= layer_of(module), f"{module} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_kernels_import_numpy_and_numba_only_and_files_know_no_models(path):
    module, imported = name_of(path), set(imports_of(path))
    if module.startswith("neurolp.kernels") and module != "neurolp.kernels._jit":
        allowed = {"__future__", "collections.abc", "math", "typing", "numpy", "numpy.typing",
                   "numba", "neurolp.kernels._jit"}  # fmt: skip
        shared = {name for name in imported if name.startswith("neurolp.kernels.stream_")}
        assert imported - shared <= allowed
    if module.startswith("neurolp.trajectory"):
        assert not any(name.startswith("neurolp.brain") for name in imported)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 400
