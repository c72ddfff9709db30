"""Examples that come with the package, configurations, sweeps and notebooks: found and copied."""

from __future__ import annotations

import csv
import difflib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neurolp.errors import ConfigurationError, OutputError
from neurolp.storage.provenance import data_files

CONFIGURATION, SWEEP, NOTEBOOK = "configuration", "sweep", "notebook"

SECONDS = "seconds.csv"  # of a processor, by name; written by benchmarks/examples.py
_EXTRA = re.compile(r"neurolp\[(\w+)\]")


@dataclass(frozen=True)
class Example:
    """An example: its name, what it is, and what it needs.

    Parameters
    ----------
    name : str
        Such as ``"digits"``, ``"sweeps/recurrence"`` or ``"first_brain.ipynb"``.
    kind : str
        "configuration", "sweep" or "notebook".
    path : Path
        The file.
    title : str
        One line.
    seconds : float or None
        Processor time that it took when it was measured, kernels compiled before; seconds.
    extra : str
        The optional dependency that it needs, as in ``neurolp[spikes]``, or "".
    """

    name: str
    kind: str
    path: Path
    title: str
    seconds: float | None
    extra: str

    def files(self) -> Iterator[tuple[Path, Path]]:
        """Every file that it consists of, and the place of a copy below the folder of copies."""
        root = examples_root()
        if self.kind == NOTEBOOK:
            yield self.path, Path(self.path.name)
            text = self.path.read_text(encoding="utf-8")
            for path in sorted((root / "simulations").iterdir()):
                if path.is_file() and path.suffix != ".toml" and path.name in text:
                    yield path, Path(path.name)
            return
        yield self.path, Path(self.name + ".toml")
        for _, path in _parts(self.path):
            yield path, Path(os.path.relpath(path, root / "simulations"))


def examples_root() -> Path:
    """The folder with ``simulations`` and ``notebooks``: in the package, or its clone.

    Raises
    ------
    ConfigurationError
        If the package was installed without them.
    """
    package = Path(__file__).resolve().parent.parent
    for root in (package / "examples", package.parent):
        if (root / "simulations" / SECONDS).is_file():
            return root
    raise ConfigurationError(f"no examples: neither in {package / 'examples'} nor beside {package}")


@cache
def examples() -> dict[str, Example]:
    """All examples by name: configurations, then sweeps, then notebooks."""
    root = examples_root()
    with (root / "simulations" / SECONDS).open(newline="", encoding="utf-8") as stream:
        seconds = {row["name"]: float(row["seconds"]) for row in csv.DictReader(stream)}
    found = {}
    places = (
        (CONFIGURATION, "simulations", "*.toml", ""),
        (SWEEP, "simulations/sweeps", "*.toml", "sweeps/"),
        (NOTEBOOK, "notebooks", "*.ipynb", ""),
    )
    for kind, folder, pattern, prefix in places:
        for path in sorted((root / folder).glob(pattern)):
            name = path.name if kind == NOTEBOOK else prefix + path.stem
            text = path.read_text(encoding="utf-8")
            further = [p.read_text(encoding="utf-8") for key, p in _parts(path) if key == "base"]
            extra = _EXTRA.search("".join([text, *further]))
            found[name] = Example(
                name,
                kind,
                path,
                _title_of(path, text),
                seconds.get(name),
                extra.group(1) if extra else "",
            )
    return found


def _title_of(path: Path, text: str) -> str:
    """The title of a configuration, the first heading of a notebook."""
    if path.suffix == ".toml":
        return str(tomllib.loads(text)["title"])
    first: str = "".join(json.loads(text)["cells"][0]["source"])
    return first.splitlines()[0].lstrip("# ")


def _parts(path: Path) -> Iterator[tuple[str, Path]]:
    """Key and path of the files that a configuration or a sweep names, those of its base too."""
    if path.suffix != ".toml":
        return
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    if isinstance(raw.get("base"), str):
        base = (path.parent / raw["base"]).resolve()
        yield "base", base
        yield from _parts(base)
    for key, file in data_files(raw):
        yield key, (path.parent / file).resolve()


def find_example(name: str, kind: str | None = None) -> Example | None:
    """The example of this name, of a ``kind`` or of any; a sweep also without its ``sweeps/``."""
    for candidate in (name, f"sweeps/{name}"):
        example = examples().get(candidate)
        if example is not None and kind in (None, example.kind):
            return example
    return None


def nearest_example(name: str, kind: str | None = None) -> str:
    """The name of the example, of a ``kind`` or of any, that is most like ``name``."""
    names = [e.name for e in examples().values() if kind in (None, e.kind)]
    like = {candidate: _likeness(name, candidate) for candidate in names}
    return max(names, key=lambda candidate: like[candidate])


def _likeness(name: str, candidate: str) -> float:
    short = candidate.removeprefix("sweeps/")
    return max(difflib.SequenceMatcher(None, name, c).ratio() for c in (candidate, short))


def copy_example(example: Example, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Copy an example with the files it names into ``folder``; returns the copies.

    Raises
    ------
    OutputError
        If one of them exists already and ``overwrite`` is false (nothing is copied then), or cannot
        be written.
    """
    pairs = [(source, folder / place) for source, place in example.files()]
    for _, copy in pairs:
        if copy.exists() and not overwrite:
            raise OutputError(f"{copy}: exists already; --force replaces it")
    try:
        for source, copy in pairs:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    except OSError as error:
        raise OutputError(
            f"{error.filename}: cannot write the example, {error.strerror}"
        ) from error
    return [copy for _, copy in pairs]
