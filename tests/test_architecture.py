"""The house: its rooms, imports that point downwards only, no circles, short modules."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "neurolp"

# From the ground floor up: a room imports from itself and from rooms before it in this list.
ROOMS = [
    "errors",
    "progress",
    "registry",
    "arrays",
    "kernels",
    "brain",
    "stream",
    "differentiation",
    "storage",
    "data",
    "mixed",
    "evaluation",
    "simulation",
    "estimators",
    "paper",
    "exchange",
    "config",
    "plotting",
    "runs",
    "sweep",
    "report",
    "cli",
    "__main__",
]
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(module):
    """Modules of the package that ``module`` imports, wherever in the file: lazily too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in MODULES else str(node.module))
    return found & set(MODULES)


def external_imports_of(module):
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def room_of(module):
    return module.split(".")[1]


def test_every_module_has_a_room():
    rooms = {room_of(module) for module in MODULES if module != "neurolp"}
    assert rooms == set(ROOMS)
    assert len(list(PACKAGE.glob("*.py"))) <= 10


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"neurolp"}))
def test_imports_point_downwards(module):
    for imported in imports_of(module):
        assert imported != "neurolp", f"{module} imports the public names, which are above all"
        assert ROOMS.index(room_of(imported)) <= ROOMS.index(room_of(module)), (
            f"{module} imports {imported}"
        )


def circles():
    """Sets of modules that import each other, by Tarjan's algorithm."""
    graph = {module: imports_of(module) - {module} for module in MODULES}
    index, low, stack, found = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def test_no_circles():
    assert circles() == KNOWN_CIRCLES


# To be opened: each is a list of modules that import each other.
KNOWN_CIRCLES: list[list[str]] = []


# Kernels that other kernels call; what is cached is good as long as none of all kernels changes.
SHARED_KERNELS = tuple(
    f"neurolp.kernels.{name}"
    for name in ("exponential", "fused", "logistic", "stream", "tree_growing")
)


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("neurolp.kernels.")])
def test_kernels_import_numpy_and_numba_only(module):
    """And the name of the type of arrays."""
    if module != "neurolp.kernels._jit":
        allowed = {"__future__", "collections.abc", "math", "typing", "numpy", "numpy.typing",
                   "numba", "neurolp.arrays", "neurolp.kernels._jit"}  # fmt: skip
        imported = external_imports_of(module)
        shared = {name for name in imported if name.startswith(SHARED_KERNELS)}
        assert imported - shared <= allowed


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("neurolp.storage")])
def test_storage_knows_arrays_and_no_models(module):
    assert {room_of(m) for m in imports_of(module)} <= {"storage", "arrays", "errors"}


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module):
    assert len(MODULES[module].read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_modules_that_the_documentation_names_exist(page):
    named = set(re.findall(r"`([\w/]+\.py)`", page.read_text()))
    assert not {
        path for path in named if not ((ROOT / path).exists() or (ROOT / "neurolp" / path).exists())
    }
