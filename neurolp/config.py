"""Simulation configurations: TOML -> validated settings, or one line that says what is wrong."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from neurolp.errors import ConfigurationError
from neurolp.schema import VERSIONS, Configuration, FileSection, tag_of


def read_configuration(path: str | os.PathLike[str], settings: Sequence[str] = ()) -> Configuration:
    """Read and validate a TOML file, after applying ``settings`` such as ``"brain.gain=false"``.

    Paths in the file are relative to the file.

    Raises
    ------
    ConfigurationError
        One line that names the file, the key, what was wanted and what came.
    """
    source = Path(path)
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{source}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{source}: not valid TOML: {error}") from error
    for setting in settings:
        _apply(raw, setting)
    try:
        configuration = Configuration.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {_first_fault(error)}") from error
    return _absolute(configuration, source.parent)


def _apply(raw: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set {setting}: wanted key=value, e.g. brain.max_slices=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    *sections, last = key.strip().split(".")
    where = raw
    for section in sections:
        where = where.setdefault(section, {})
        if not isinstance(where, dict):
            raise ConfigurationError(f"--set {setting}: '{section}' is not a section")
    where[last] = value


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = list(fault["loc"])
    # Pydantic puts the version of a section that it tried behind its name ..
    version = where.pop(1) if where and where[0] in VERSIONS and len(where) > 1 else None
    # .. and the members of other unions anywhere.
    key = ".".join(str(part) for part in where if not _is_union_member(str(part)))
    key = key or "connectivity"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        section = key.rpartition(".")[0]
        keys = [k for k in _all_keys(version) if k.rpartition(".")[0] == section]
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)
        return f"unknown key '{key}', the nearest valid key is '{near[0]}'{more}"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag, versions = VERSIONS[key]
        names = tuple(tag_of(section, tag) for section in versions)
        if not isinstance(fault["input"], dict):
            return f"key '{key}' must be a section, but is {fault['input']!r}{more}"
        if tag not in fault["input"]:
            return f"key '{key}.{tag}' is missing, it must be one of {names}{more}"
        return f"key '{key}.{tag}' must be one of {names}, but is {fault['input'][tag]!r}{more}"
    if fault["type"] == "missing":
        return f"key '{key}' is missing{more}"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    whole = isinstance(fault["input"], dict | BaseModel)
    came = "" if whole else f", but is {fault['input']!r}"
    return f"key '{key}': {message}{came}{more}"


def _is_union_member(part: str) -> bool:
    return "[" in part or part in ("bool", "int", "str", "constrained-int")


def _all_keys(version: Any = None) -> list[str]:
    """Every key of a configuration; of sections in versions those of one version, or of all."""
    keys = []
    for name, info in Configuration.model_fields.items():
        tag, sections = VERSIONS.get(name, ("", (info.annotation,)))
        for section in sections:
            if not (isinstance(section, type) and issubclass(section, BaseModel)):
                continue
            if version is None or not tag or tag_of(section, tag) == version:
                keys += [f"{name}.{key}" for key in section.model_fields]
        keys.append(name)
    return keys


def _absolute(configuration: Configuration, folder: Path) -> Configuration:
    data, connectivity = configuration.data, configuration.connectivity
    if data.file is not None:
        data = data.model_copy(update={"file": (folder / data.file).resolve()})
    if isinstance(connectivity, FileSection):
        path = (folder / connectivity.file).resolve()
        connectivity = connectivity.model_copy(update={"file": path})
    return configuration.model_copy(update={"data": data, "connectivity": connectivity})
