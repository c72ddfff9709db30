"""Commands about configuration files: init, validate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurolp.cli import exit_codes
from neurolp.cli.options import (
    ConfigArgument,
    ForceOption,
    SetOption,
    found_configuration,
    free_name,
    refuse,
)
from neurolp.errors import OutputError
from neurolp.storage.atomic import check_writable, same_file, write_whole

if TYPE_CHECKING:
    from neurolp.config.sections import RunConfiguration

_NO_DATA = {"title", "seed", "brain", "record"}  # keys on which no data depend


def init(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A table: CSV, Parquet, NPY, NPZ or HDF5.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The file to write.", show_default="DATA.toml here"),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Rows are steps in time: learn them in their order.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Which array of an NPZ or HDF5 file."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Look at a data file, and write a configuration for it with what was found as comments."""
    with exit_codes.one_line_errors():
        path = check_writable(output or free_name(Path(f"{data.stem}.toml")), overwrite=force)
        if same_file(data, path):
            refuse(f"-o {path} is the data itself")
        from neurolp.runs.initial_configuration import initial_configuration

        text = initial_configuration(data, path, stream=stream, dataset=dataset)
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written, {error.strerror}") from error
        print(f"{path}: ready; `neurolp run {path}` learns {data}")


def validate(config: ConfigArgument, settings: SetOption = None) -> None:
    """Check a configuration file, and the data it names, without running it."""
    with exit_codes.one_line_errors():
        config = found_configuration(config, None, quiet=True)
        from neurolp.config.load import read_toml
        from neurolp.runs.kinds import read_configuration

        if "sweep" in read_toml(config):
            from neurolp.sweep.design import read_sweep

            if settings:
                refuse("--set changes a run, and has no meaning for a sweep")
            jobs = read_sweep(config).jobs
            _check_data([job.configuration for job in jobs])
            print(f"{config}: valid, {len(jobs)} jobs")
        else:
            _check_data([read_configuration(config, settings or [])])
            print(f"{config}: valid")


def _check_data(configurations: Sequence[RunConfiguration]) -> None:
    """Read the data that configurations name, each once."""
    from neurolp.runs.kinds import run_kind

    different = {}
    for configuration in configurations:
        keys = configuration.model_dump(mode="json", exclude=_NO_DATA)
        model = getattr(getattr(configuration, "brain", None), "model", None)
        different[json.dumps([keys, model])] = configuration
    for configuration in different.values():
        run_kind(configuration.experiment).check(configuration)
