"""From a sweep's configuration to its jobs: grids, lists, random draws, replicates."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurolp.config.load import read_toml, set_key, validated
from neurolp.config.sections import RunConfiguration
from neurolp.errors import ConfigurationError, DataError
from neurolp.runs.kinds import configuration_of
from neurolp.storage.provenance import digest_of
from neurolp.sweep.schema import DrawSection, SweepConfiguration, SweepSection
from neurolp.sweep.search import Rounds

LARGEST_SWEEP = 1_000_000  # jobs
_LENGTH = 20  # hexadecimal digits, 80 bits: no two of a billion jobs have the same


@dataclass(frozen=True)
class Job:
    """One run: the keys that were set, the number of its replicate, its configuration."""

    identity: str
    settings: dict[str, Any]
    replicate: int
    configuration: RunConfiguration

    def described(self) -> dict[str, Any]:
        """The entry of this job in ``sweep.json``."""
        return {
            "identity": self.identity,
            "settings": self.settings,
            "replicate": self.replicate,
            "seed": self.configuration.seed,
        }

    def __str__(self) -> str:
        named = [f"{key} = {value}" for key, value in self.settings.items()]
        return ", ".join([*named, f"seed = {self.configuration.seed}"])


@dataclass(frozen=True)
class Design:
    """The jobs of a sweep, each once; ``how`` maps every varied key to what varies it.

    Of a search, which ``rounds`` begins, the jobs of the draws so far: at first of one round.
    """

    source: str
    title: str
    how: dict[str, str]
    jobs: list[Job]
    n_repeated: int  # draws that gave a job a second time
    rounds: Callable[[], Rounds] | None = None


def read_sweep(path: Path) -> Design:
    """The design that a TOML file describes.

    Raises
    ------
    ConfigurationError
        One line that names the file, the key, what was wanted and what was given; of the sweep
        itself, its base, or any of its jobs.
    """
    return design_of(read_toml(path), str(path), path.parent)


def design_of(
    raw: dict[str, Any], source: str, folder: Path, drawn: list[dict[str, Any]] | None = None
) -> Design:
    """The design of a sweep whose keys came from ``source``; paths are relative to ``folder``.

    ``drawn`` are the draws of a search so far.
    """
    if "sweep" not in raw:
        raise ConfigurationError(f"{source}: key 'sweep' is missing: it says what is varied")
    wanted = validated(SweepConfiguration, raw, source)
    draws = {
        key: validated(DrawSection, draw, f"{source}: sweep.random.'{key}'")
        for key, draw in wanted.sweep.random.items()
    }
    base, base_folder, base_source = _base(wanted, source, folder)
    title = wanted.title or str(base.get("title", "")) or Path(source).stem
    base.pop("title", None)  # jobs are named by their settings

    n = _n_jobs(wanted.sweep)
    if n > LARGEST_SWEEP:
        raise ConfigurationError(f"{source}: describes {n:,} jobs, more than {LARGEST_SWEEP:,}")
    rounds, n_draws, seed = None, wanted.sweep.n_draws or 1, wanted.sweep.seed
    if wanted.sweep.search is not None:
        rounds = functools.partial(Rounds, wanted.sweep.search, draws, n_draws, seed, source)
        drawn = drawn or rounds().ask()
    if drawn is None:
        drawn = [
            {key: _draw(key, draw, seed, k) for key, draw in draws.items()} for k in range(n_draws)
        ]
    digest = functools.cache(_content_digest)
    jobs: dict[str, Job] = {}
    for settings, replicate, seeds in _settings(wanted.sweep, drawn):
        changed = copy.deepcopy(base)
        try:
            for key, value in (settings | seeds).items():
                set_key(changed, key, copy.deepcopy(value))
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: key '{key}': {error}") from error
        changed.setdefault("seed", seed)
        try:
            configuration = configuration_of(changed, source, (), base_folder)
        except ConfigurationError as error:
            raise _blamed(error, base, base_source, base_folder, source, settings) from error
        name = _identity(configuration, digest)
        jobs.setdefault(name, Job(name, settings, replicate, configuration))
    how = dict.fromkeys(wanted.sweep.grid, "grid") | dict.fromkeys(wanted.sweep.lists, "list")
    how |= dict.fromkeys(draws, "random")
    n_repeated = 0 if rounds else n - len(jobs)
    return Design(source, title, how, list(jobs.values()), n_repeated, rounds)


def _base(
    wanted: SweepConfiguration, source: str, folder: Path
) -> tuple[dict[str, Any], Path, str]:
    """The configuration that jobs start from, the folder of its paths, and its name in errors."""
    if isinstance(wanted.base, dict):
        return copy.deepcopy(wanted.base), folder, f"{source}: [base]"
    path = folder / wanted.base
    if not path.is_file():
        raise ConfigurationError(f"{source}: key 'base': no such file as {path}")
    return read_toml(path), path.parent, str(path)


def _n_jobs(sweep: SweepSection) -> int:
    together = len(next(iter(sweep.lists.values()), [0]))
    grid = math.prod(len(values) for values in sweep.grid.values())
    return grid * together * (sweep.n_draws or 1) * (sweep.replicates or 1)


def _settings(
    sweep: SweepSection, drawn: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], int, dict[str, int]]]:
    """Everything varied with everything else: grid x lists x draws x replicates."""
    grid = [dict(zip(sweep.grid, v, strict=True)) for v in itertools.product(*sweep.grid.values())]
    lists = [
        dict(zip(sweep.lists, v, strict=True)) for v in zip(*sweep.lists.values(), strict=True)
    ]
    for one, two, three in itertools.product(grid, lists or [{}], drawn):
        for r in range(sweep.replicates or 1):
            seeds = {} if sweep.replicates is None else dict.fromkeys(sweep.seeds, sweep.seed + r)
            yield one | two | three, r, seeds


def _draw(key: str, draw: DrawSection, seed: int, k: int) -> Any:
    """Draw number ``k`` of a key.

    It depends on nothing but the sweep's seed, the key and k: a sweep that grows keeps the jobs
    that are done.
    """
    stream = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    rng = np.random.default_rng([seed, stream, k])
    if draw.choice is not None:
        return draw.choice[int(rng.integers(len(draw.choice)))]
    low, high = float(draw.low or 0.0), float(draw.high or 0.0)
    if draw.integer:
        high += 1
    x = math.exp(rng.uniform(math.log(low), math.log(high))) if draw.log else rng.uniform(low, high)
    x = min(max(x, low), high)
    return min(int(x // 1), int(high) - 1) if draw.integer else x


def _identity(configuration: RunConfiguration, digest: Callable[[Path], str]) -> str:
    """The hash that names a job: the same for the same computation, on every machine.

    Files that are read count by their content: a job keeps its name when a data file moves, and
    gets another one when the data change. The title is not included: it changes no number.
    """

    def plain(value: Any) -> str:
        return digest(value) if isinstance(value, Path) else str(value)

    keys = configuration.model_dump(exclude={"title"})
    text = json.dumps(keys, sort_keys=True, separators=(",", ":"), default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _content_digest(path: Path) -> str:
    """The digest of a file, or of the images in a folder; DataError if it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot read the data, {error.strerror}") from error


def _blamed(
    error: ConfigurationError,
    base: dict[str, Any],
    base_source: str,
    base_folder: Path,
    source: str,
    settings: dict[str, Any],
) -> ConfigurationError:
    """The error with its cause named: the base, or the keys that were set."""
    fault = str(error).removeprefix(f"{source}: ")
    try:
        configuration_of(copy.deepcopy(base), base_source, (), base_folder)
    except ConfigurationError as of_base:
        if str(of_base).endswith(fault):
            return of_base
    named = ", ".join(f"{key} = {value!r}" for key, value in settings.items())
    return ConfigurationError(f"{source}: with {named}: {fault}")
