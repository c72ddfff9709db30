"""The page of a report: HTML with everything in it, by a Jinja template."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurolp.errors import ConfigurationError, OutputError
from neurolp.storage.atomic import check_writable, same_file, write_whole

if TYPE_CHECKING:
    from neurolp.report.contents import Contents

_HINT = (
    "The buttons above a chart zoom, move and save it; point at a curve, or touch it, for values."
)


def report(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a report of a file, or of the folder of a sweep, and return the path of the page.

    The page is one file of HTML and needs no network: what was run and on what, scores beside those
    of other models, every figure with its caption, settings, provenance, how to reproduce and cite.

    Parameters
    ----------
    path : path
        A trajectory file, also of a run that is not finished, or the folder of a sweep.
    output : path, optional
        The page; by default ``NAME-report.html`` in the current folder.
    overwrite : bool
        Whether a file at ``output`` is replaced.

    Raises
    ------
    ConfigurationError
        If the extra ``report`` is not installed.
    DataError, FormatError
        If there is no such file or sweep, or it cannot be read.
    OutputError
        If the page cannot be written, or exists and ``overwrite`` is false.
    """
    source = Path(path)
    name = source.resolve().stem if not source.is_dir() else source.resolve().name
    target = check_writable(output or f"{name}-report.html", overwrite=overwrite)
    if same_file(source, target):
        raise OutputError(f"{target}: cannot write the report, it is the file to report on")
    try:
        import bokeh  # noqa: F401  # all parts of the extra are asked for before the work starts
        import jinja2  # noqa: F401
        import tomli_w  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"a report needs {error.name}, which is not installed: pip install 'neurolp[report]'"
        ) from error
    page = rendered(_contents(source))
    try:
        write_whole(target, page.encode())
    except OSError as error:
        raise OutputError(f"{target}: cannot write the report, {error.strerror}") from error
    return target


def _contents(source: Path) -> Contents:
    from neurolp.report.contents import contents_of
    from neurolp.report.sweeps import contents_of_sweep
    from neurolp.storage.reader import open_trajectory
    from neurolp.storage.segments import SUFFIX

    if source.is_dir() and source.suffix != SUFFIX:
        return contents_of_sweep(source)
    with open_trajectory(source) as file:
        return contents_of(file)


def rendered(contents: Contents) -> str:
    """The page as text."""
    from bokeh.embed import components
    from bokeh.resources import Resources
    from jinja2 import Environment
    from markupsafe import Markup

    from neurolp.report.charts import charts
    from neurolp.report.pictures import picture

    models: dict[str, Any] = {}
    panels: list[list[tuple[str, str]]] = []
    for number, captioned in enumerate(contents.figures):
        of_figure = charts(captioned.figure)
        names = [f"chart_{number}_{k}" for k in range(len(of_figure))]
        models |= {name: chart.model for name, chart in zip(names, of_figure, strict=True)}
        panels.append([(name, chart.title) for name, chart in zip(names, of_figure, strict=True)])
    script, divisions = components(models) if models else ("", {})
    figures = [
        {
            "name": captioned.name.replace("_", " "),
            "caption": captioned.caption,
            "svg": Markup(picture(captioned, number)),
            "charts": [(title, Markup(divisions[name])) for name, title in chosen],
        }
        for number, (captioned, chosen) in enumerate(zip(contents.figures, panels, strict=True))
    ]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_part("page.html")).render(
        report=contents,
        figures=figures,
        hint=_HINT if models else "",
        style=Markup(_part("page.css")),
        library=Markup(Resources("inline", components=["bokeh"]).render_js()) if models else "",
        script=Markup(script),
        is_number=is_number,
    )


def is_number(cell: str) -> bool:
    """Whether a cell of a table is read as a number, and goes to the right."""
    return cell[:1].isdigit() or (cell[:1] in ("+", "-") and cell[1:2].isdigit())


def _part(name: str) -> str:
    return files("neurolp.report").joinpath(name).read_text(encoding="utf-8")
