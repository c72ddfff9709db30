"""Python blocks of the pages run, in order, page by page, in an empty folder.

What a block needs and a reader does not is in an HTML comment before it,
``<!-- invisible-code-block: python .. -->``, which runs with the blocks and is not shown.
"""

import re
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
VISIBLE = re.compile(r"^ *```python$", re.MULTILINE)
HIDDEN = re.compile(r"^<!-- invisible-code-block: python$", re.MULTILINE)


def with_blocks(pages):
    """The pages that have Python blocks."""
    return [page for page in pages if VISIBLE.search(page.read_text())]


def test_pages_are_found():
    names = {page.name for page in with_blocks(PAGES)}
    assert names >= {"differentiation.md", "format.md", "streams.md", "sweeps.md", "tables.md"}


@pytest.mark.parametrize("page", with_blocks(PAGES), ids=lambda page: page.name)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    document = Document.parse(str(page), PythonCodeBlockParser(), encoding="utf-8")
    blocks = list(document.examples())
    assert len(blocks) == len(VISIBLE.findall(text)) + len(HIDDEN.findall(text))
    for block in blocks:
        block.evaluate()


def test_a_block_that_fails_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- invisible-code-block: python\nx = 1\n-->\n\n```python\nassert x == 2\n```\n"
    )
    document = Document.parse(str(page), PythonCodeBlockParser())
    first, second = document.examples()
    first.evaluate()
    with pytest.raises(AssertionError):
        second.evaluate()
