"""The reference of the site names every public name, and nothing that is not there."""

import importlib
import re

import pytest

import neurolp
from tests.processes import ROOT

NAMES = re.findall(
    r"^   (neurolp[\w.]*)$", (ROOT / "docs" / "reference.rst").read_text(), re.MULTILINE
)


def test_every_public_name_is_in_the_reference():
    public = {name for name in neurolp.__all__ if not name.startswith("_")}
    missing = public - {name.removeprefix("neurolp.") for name in NAMES}
    # A module that is public is there with its own name or with those of its parts.
    assert {m for m in missing if not any(n.startswith(f"neurolp.{m}.") for n in NAMES)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_reference_exists(name):
    module, _, last = name.rpartition(".")
    if not hasattr(importlib.import_module(module), last):
        importlib.import_module(name)


def test_no_name_stands_twice():
    assert len(NAMES) == len(set(NAMES))
