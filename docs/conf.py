"""Settings of the documentation site: python -m sphinx -W -b html docs docs/_build/html."""

import re
import shutil
from pathlib import Path

import matplotlib as mpl
from sphinx.application import Sphinx
from sphinx_gallery.sorting import ExplicitOrder

import neurolp

mpl.use("Agg")

HERE = Path(__file__).parent
# Copies, made at each build: Sphinx reads nothing outside its folder.
NOTEBOOKS = HERE / "notebooks"
OF_THE_ROOT = {
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "code_of_conduct": "CODE_OF_CONDUCT.md",
}

project = "neurolp"
author = "the authors of neurolp"
project_copyright = "2026, the authors of neurolp"
version = release = neurolp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "_templates",
    "gallery",
    "examples/*.ipynb",
    "examples/**/*.ipynb",
    "sg_execution_times.rst",
]
templates_path = ["_templates"]
nitpicky = True
# What attributes of the paper's estimators are aliases of.
nitpick_ignore = [
    ("py:class", "neurolp.paper.bounded.BoundedForm"),
    ("py:class", "neurolp.paper.linear.LinearForm"),
]
default_role = "code"  # single backticks in docstrings are code
html_show_sourcelink = False
# The settings of the gallery hold objects, which cannot be pickled: that is all it warns of.
suppress_warnings = ["config.cache"]

# Pages and notebooks.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # executed again where their code has changed
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

# Reference.
autosummary_generate = True
autodoc_typehints = "none"  # types are in the docstrings, in words
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "neurolp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_theme_options = {
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
_NO_SIDEBAR = (
    "index",
    "which",
    "faq",
    "examples/plot_how_it_works",
    "changelog",
    "contributing",
    "code_of_conduct",
)
html_sidebars: dict[str, list[str]] = {page: [] for page in _NO_SIDEBAR}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"/plot_",
    "subsection_order": ExplicitOrder(
        ["gallery/" + name for name in ("tables", "streams", "networks", "runs")]
    ),
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "show_memory": False,
    "ignore_repr_types": r"matplotlib|dict|list|tuple",
    "min_reported_time": 1,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("neurolp",),
    "matplotlib_animations": False,
}


def copy_notebooks(app: Sphinx, config: object) -> None:
    """Copy the notebooks to where Sphinx finds them."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    NOTEBOOKS.mkdir()
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(path, NOTEBOOKS)


def move_links(app: Sphinx, name: str, source: list[str]) -> None:
    """Make links between pages and notebooks, as they are in the repository, those of the site."""
    if name in OF_THE_ROOT:
        source[0] = (HERE.parent / OF_THE_ROOT[name]).read_text(encoding="utf-8")
        for page, file in OF_THE_ROOT.items():
            source[0] = source[0].replace(f"]({file})", f"]({page}.md)")
        source[0] = source[0].replace("](docs/", "](").replace("](neurolp/", "](../neurolp/")
    elif name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def escape(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make names_ and |x| of docstrings, which are plain text, not markup of reStructuredText."""
    for i, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+_?)", line)
        parts[::2] = [
            re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"([|*])(?!$| )", r"\\\1", x))
            for x in parts[::2]
        ]
        lines[i] = "".join(parts)


def keep_ours(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out what classes inherit from other packages."""
    function = getattr(obj, "fget", obj)
    module = getattr(function, "__module__", None) or "neurolp"
    return None if str(module).startswith("neurolp") else True


def setup(app: Sphinx) -> None:
    """Connect the functions above to the build."""
    app.connect("config-inited", copy_notebooks)
    app.connect("source-read", move_links)
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("autodoc-skip-member", keep_ours)
