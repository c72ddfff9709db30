"""From the text of a TOML file to validated settings, or to one line with the fault."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from neurolp.config.sections import Section, sections_in, tag_of
from neurolp.errors import ConfigurationError

Configuration = TypeVar("Configuration", bound=Section)

_LARGEST = 2**20  # bytes of a file
_DEEPEST = 20
_LONGEST = 200  # characters of a value in a message


def read_toml(source: Path) -> dict[str, Any]:
    """The tables of a TOML file; errors as of :func:`validated`."""
    try:
        with source.open("rb") as file:
            encoded = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{source}: {error.strerror}") from error
    if len(encoded) > _LARGEST:
        raise ConfigurationError(f"{source}: too large for a configuration, over 1 MB")
    try:
        return tomllib.loads(encoded.decode())
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source}: not a text file, so not valid TOML") from error
    except ValueError as error:  # TOMLDecodeError, an integer of 5,000 digits
        raise ConfigurationError(f"{source}: not valid TOML: {_short(str(error))}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{source}: not valid TOML: nested too deeply") from error


def apply_settings(settings: Sequence[str], raw: dict[str, Any], source: str) -> None:
    """Set keys as in ``"brain.log_scale=false"``; what cannot be stored in a file is refused."""
    for setting in settings:
        _set_one(raw, setting)
    _check_plain(raw, source)


def validated(
    kind: type[Configuration], raw: Any, source: str, folder: Path | None = None
) -> Configuration:
    """The section of type ``kind`` that the keys ``raw`` from ``source`` describe.

    Paths are relative to ``folder``.

    Raises
    ------
    ConfigurationError
        One line that names the source, the key, what was wanted and what was given.
    """
    try:
        return kind.model_validate(raw, context=folder)
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {_first_fault(error, kind)}") from error


def set_key(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key such as ``"brain.log_scale"``; sections that are missing are added.

    Raises
    ------
    ConfigurationError
        If a part of it is not a section.
    """
    *sections, last = key.split(".")
    for section in sections:
        raw = raw.setdefault(section, {})
        if not isinstance(raw, dict):
            raise ConfigurationError(f"'{section}' is not a section")
    raw[last] = value


def _check_plain(raw: dict[str, Any], source: str) -> None:
    """Raise ConfigurationError for integers beyond 64 bits and for sections nested too deeply."""
    waiting: list[tuple[str, Any, int]] = [(key, value, 1) for key, value in raw.items()]
    while waiting:
        key, value, depth = waiting.pop()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigurationError(
                f"{source}: key '{_short(key)}': input should be less than 2^63"
            )
        if depth > _DEEPEST:
            raise ConfigurationError(f"{source}: key '{_short(key)}': nested too deeply")
        if isinstance(value, dict):
            waiting += [(f"{key}.{inner}", member, depth + 1) for inner, member in value.items()]
        elif isinstance(value, list):
            waiting += [(key, member, depth + 1) for member in value]


def _set_one(raw: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(
            f"--set {_short(setting)}: wanted key=value, e.g. brain.max_slices=50"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()  # a bare word is a string
    try:
        set_key(raw, key.strip(), value)
    except ConfigurationError as error:
        raise ConfigurationError(f"--set {_short(setting)}: {error}") from error


def _first_fault(error: ValidationError, kind: type[Section]) -> str:
    """One line that describes the first fault pydantic found in a section of type ``kind``."""
    # An unknown section or key comes first: it may be what another is missing for.
    fault = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden" or len(e["loc"]) > 1)
    where, versions = list(fault["loc"]), kind.versions()
    # Pydantic inserts the version of a section behind its name, and types of other unions anywhere.
    version = where.pop(1) if where and where[0] in versions and len(where) > 1 else None
    key = _short(".".join(str(part) for part in where if not _is_union_member(str(part))))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return _described(fault, key, version, kind) + more


def _described(fault: Any, key: str, version: Any, kind: type[Section]) -> str:
    given = fault["input"]
    if fault["type"] == "extra_forbidden":
        section = key.rpartition(".")[0]
        keys = [k for k in all_keys(kind, version) if k.rpartition(".")[0] == section]
        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)
        hint = f", the nearest valid key is '{near[0]}'" if near else ""
        return f"unknown key '{key}'{hint}"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found") and isinstance(given, dict):
        tag, sections = kind.versions()[key]
        names = tuple(tag_of(section, tag) for section in sections)
        if tag in given:
            return f"key '{key}.{tag}' must be one of {names}, but is {shown_value(given[tag])}"
        return f"key '{key}.{tag}' is missing, it must be one of {names}"
    if fault["type"] in ("union_tag_not_found", "model_type"):
        return f"key '{key}' must be a section, but is {shown_value(given)}"
    if fault["type"] == "missing":
        return f"key '{key}' is missing"
    message = _short(fault["msg"].removeprefix("Value error, "))
    message = message[0].lower() + message[1:]
    if not isinstance(given, dict | BaseModel):
        message += f", but is {shown_value(given)}"
    return f"key '{key}': {message}" if key else message


def _short(text: str) -> str:
    """``text`` on one line, cut after ``_LONGEST`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def shown_value(value: Any) -> str:
    """A value for an error message, cut if it is long."""
    try:
        return _short(repr(value))
    except (ValueError, RecursionError):  # an integer of 5,000 digits, lists in lists in lists
        return f"a very large {type(value).__name__}"


def _is_union_member(part: str) -> bool:
    return "[" in part or part in ("bool", "int", "str", "constrained-int")


def all_keys(kind: type[Section], version: Any = None) -> list[str]:
    """Every key of a configuration; of sections in versions those of one version, or of all."""
    keys, versions = [], kind.versions()
    for name, info in kind.model_fields.items():
        tag, sections = versions.get(name, ("", sections_in(info.annotation)))
        for section in sections:
            if version is None or not tag or tag_of(section, tag) == version:
                keys += [f"{name}.{key}" for key in section.model_fields]
        keys.append(name)
    return keys
