"""What a report says: of one file, whatever kind of run it is the record of."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from neurolp.errors import FormatError
from neurolp.plotting.captioned import CaptionedFigure
from neurolp.progress import format_duration
from neurolp.runs.kinds import SummaryTable, is_runnable, kind_of
from neurolp.storage.classes import class_of
from neurolp.storage.provenance import digest_of, version_of
from neurolp.storage.reader import Trajectory

_LONGEST = 200  # characters of a setting or of provenance


@dataclass(frozen=True)
class Notice:
    """Something the reader has to know first; ``grave`` if results must not be trusted as usual."""

    text: str
    grave: bool = False


@dataclass(frozen=True)
class Step:
    """Something to be done again: what it does, and the command or the lines of Python."""

    what: str
    code: str


@dataclass
class Contents:
    """What a report says, in the order of its sections.

    ``settings`` are the keys that are not at their defaults, ``configuration`` is all of them as
    TOML; of what was made in Python ``settings`` are parameters, and there is no ``configuration``.
    """

    title: str
    status: str
    facts: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    tables: list[SummaryTable] = field(default_factory=list)
    figures: Sequence[CaptionedFigure] = ()
    settings: dict[str, str] = field(default_factory=dict)
    configuration: str = ""
    provenance: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The version of neurolp that made the results, or of this one where that is not known."""
        return self.provenance.get("neurolp", version_of("neurolp"))

    @property
    def year(self) -> str:
        """The year of the results; empty where it is not known."""
        return self.facts.get("When", "")[:4]


def contents_of(file: Trajectory) -> Contents:
    """What the report of an open file says; of an unfinished run, as far as it has come.

    Raises
    ------
    FormatError
        If its kind of run is not installed.
    """
    kind = kind_of(file)
    out = Contents(file.title or file.path.stem, file.status)
    out.facts = dict(kind.about(file)) | _facts(file)
    out.notices = _notices(file)
    out.tables = list(kind.summary(file))
    try:
        out.figures = list(kind.figures(file).values())
    except FormatError as error:  # as of an estimator that was saved without a record of learning
        out.notices.append(Notice(f"There are no pictures. {error}."))
    if is_runnable(file.configuration):
        out.settings = changed_settings(file)
        out.configuration = as_toml(file.configuration)
    else:
        out.settings = changed_parameters(file)
    out.provenance = provenance_of(file)
    if file.path.is_file():
        out.provenance[f"SHA-256 of {file.path.name}"] = digest_of(file.path)
    out.steps = _steps(file, out.version)
    return out


def changed_settings(file: Trajectory) -> dict[str, str]:
    """The keys of a configuration that are not at their defaults, dotted, as text."""
    configuration = kind_of(file).configuration.model_validate(file.configuration)
    changed = configuration.model_dump(mode="json", exclude_defaults=True)
    return {key: _short(json.dumps(value)) for key, value in dotted(changed)}


def changed_parameters(file: Trajectory) -> dict[str, str]:
    """The parameters of a brain from Python that are not at the defaults of its class, as text."""
    parameters = file.configuration.get("brain", {})
    if not parameters:
        return {}
    known = inspect.signature(class_of(file.attributes("estimator")["class"])).parameters
    changed = {
        name: value
        for name, value in parameters.items()
        if name not in known or _json(value) != _json(known[name].default)
    }
    return {name: _short(_json(value)) for name, value in changed.items()}


def dotted(configuration: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a configuration with sections."""
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_toml(configuration: Mapping[str, Any]) -> str:
    """A configuration as the text of a file that ``neurolp run`` reads."""
    return tomli_w.dumps(_known(configuration))


def provenance_of(file: Trajectory) -> dict[str, str]:
    """Versions, machine, command, seed and digests of the data, by what they are called."""
    about = dict(file.provenance)
    digests = json.loads(about.pop("files_sha256", "{}"))
    out = {_NAMES.get(name, name): about.pop(name) for name in _NAMES if name in about}
    versions = {key.removeprefix("version_"): about[key] for key in about if "version_" in key}
    rest = {key: value for key, value in about.items() if "version_" not in key}
    out |= versions | rest
    out |= {f"SHA-256 of the data, key {key}": digest for key, digest in digests.items()}
    return {name: _short(str(value)) for name, value in out.items()}


_NAMES = {
    "version_neurolp": "neurolp",
    "command": "Command",
    "seed": "Seed",
    "python": "Python",
    "platform": "Platform",
    "processors": "Processors",
}


def _facts(file: Trajectory) -> dict[str, str]:
    """When, how long, and from which file."""
    out = {}
    if "created" in file.provenance:
        out["When"] = str(file.provenance["created"]).replace("T", " ").replace("+00:00", " UTC")
    groups = (file.result, file.experiment, file.attributes("checkpoint"))
    seconds = next((group["seconds"] for group in groups if "seconds" in group), None)
    if seconds is not None:
        out["How long"] = format_duration(float(seconds))
    return out | {"File": file.path.name}


def _notices(file: Trajectory) -> list[Notice]:
    """Whether the run came to its end, and if not, what the report shows."""
    saved = "The report shows what was saved until then."
    if file.status == "diverged":
        why = str(file.result.get("message", "a number was no longer finite")).rstrip(".")
        text = f"This run diverged: {why}. The report shows what happened before."
        return [Notice(text, grave=True)]
    if file.status == "unfinished":
        text = f"This run was interrupted before its end. {saved} Scores may still be missing."
        return [Notice(text, grave=True)]
    if file.status == "running":
        return [Notice(f"This run is still going on. {saved}")]
    return []


def _steps(file: Trajectory, version: str) -> list[Step]:
    """How to continue, check, repeat and read."""
    name = file.path.name
    out = []
    if file.status == "unfinished":
        out.append(Step("Continue the run to its end", f"neurolp resume {name}"))
    elif is_runnable(file.configuration) and file.status == "complete":
        what = "Run it again and compare all numbers, bit by bit"
        out.append(Step(what, f"neurolp reproduce {name}"))
    if is_runnable(file.configuration):
        what = "Run it without the file: save the configuration above as run.toml"
        out.append(Step(what, f"pip install neurolp=={version}\nneurolp run run.toml"))
    out.append(Step("Check that the file is undamaged", f"neurolp verify {name}"))
    what = "Read the numbers in Python"
    return [*out, Step(what, f'import neurolp\n\nfile = neurolp.open_trajectory("{name}")')]


def _known(values: Any) -> Any:
    """The same without what is None: TOML has no such value, and it is the default."""
    if isinstance(values, Mapping):
        return {key: _known(value) for key, value in values.items() if value is not None}
    return values


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} .."


def name_of(path: Path) -> str:
    """What a file or a folder is called, also where the path is ``.``."""
    return path.resolve().name
