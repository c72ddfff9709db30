"""Commands about configuration files: validate."""

from __future__ import annotations

from neurolp.cli import exit_codes
from neurolp.cli.options import ConfigArgument, SetOption, check_exists, refuse


def validate(config: ConfigArgument, settings: SetOption = None) -> None:
    """Check a configuration file without running it."""
    with exit_codes.one_line_errors():
        check_exists(config)
        from neurolp.config.load import read_toml
        from neurolp.runs.kinds import read_configuration

        if "sweep" in read_toml(config):
            from neurolp.sweep.design import read_sweep

            if settings:
                refuse("--set changes a run, and has no meaning for a sweep")
            print(f"{config}: valid, {len(read_sweep(config).jobs)} jobs")
        else:
            read_configuration(config, settings or [])
            print(f"{config}: valid")
