"""The keys of a sweep's configuration, with defaults and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from neurolp.config.sections import Section, Seed, Text

Values = Annotated[list[Any], Field(min_length=1)]


class DrawSection(Section):
    """One key of ``[sweep.random]``: between ``low`` and ``high``, or a ``choice``."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choice: Values | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choice is not None:
            if {"low", "high", "log", "integer"} & self.model_fields_set:
                raise ValueError("'choice' needs no other key")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs 'low' and 'high', or 'choice'")
        if not self.low < self.high:
            raise ValueError(f"'low' must be below 'high', but they are {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"'low' must be positive where 'log' is true, but is {self.low}")
        if self.integer and (self.low % 1 or self.high % 1):
            raise ValueError("'low' and 'high' must be integers where 'integer' is true")
        return self

    def named(self, drawn: Any) -> Any:
        """The value of a draw; of a ``choice`` its position was drawn."""
        return drawn if self.choice is None else self.choice[drawn]


class SearchSection(Section):
    """``[sweep.search]``: draws that search for the least, or the largest, of a result."""

    minimise: Text | None = None
    maximise: Text | None = None
    round: PositiveInt = 8

    @property
    def result(self) -> str:
        """The column of the table that is optimised."""
        return self.minimise or self.maximise or ""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.minimise) == bool(self.maximise):
            raise ValueError("needs exactly one of 'minimise' and 'maximise'")
        if "test" in self.result:
            raise ValueError(
                f"nothing may be chosen by test data, but '{self.result}' is of these; "
                "'validation_surprise' is not"
            )
        return self


class SweepSection(Section):
    """``[sweep]``: what is varied; keys of ``grid``, ``lists`` and ``random`` are dotted."""

    grid: dict[str, Values] = Field(default_factory=dict)
    lists: dict[str, Values] = Field(default_factory=dict)
    random: dict[str, Any] = Field(default_factory=dict)
    n_draws: PositiveInt | None = None
    search: SearchSection | None = None
    replicates: PositiveInt | None = None
    seed: Seed = 0
    seeds: list[str] = Field(default=["seed"], min_length=1)

    @field_validator("grid", "lists", mode="before")
    @classmethod
    def _dotted(cls, value: Any) -> Any:
        """``brain.n_hidden`` without quotes is a table in a table in TOML."""
        return flattened(value, lambda v: not isinstance(v, dict))

    @field_validator("random", mode="before")
    @classmethod
    def _dotted_draws(cls, value: Any) -> Any:
        whole = flattened(value, lambda v: not (isinstance(v, dict) and _only_tables(v)))
        for key, draw in whole.items() if isinstance(whole, dict) else ():
            if not isinstance(draw, dict):
                raise ValueError(f"'{key}' must be a table such as {{low = 0, high = 1}}")
        return whole

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        lengths = {key: len(values) for key, values in self.lists.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"'lists' must be equally long, but have lengths {lengths}")
        if bool(self.random) != (self.n_draws is not None):
            raise ValueError("'random' and 'n_draws' need each other")
        if self.search is not None and (self.grid or self.lists or not self.random):
            raise ValueError("'search' needs 'random', and neither 'grid' nor 'lists'")
        swept = [*self.grid, *self.lists, *self.random]
        twice = sorted({key for key in swept if swept.count(key) > 1})
        if twice:
            raise ValueError(f"'{twice[0]}' is varied twice")
        if self.replicates is not None:
            both = [key for key in self.seeds if key in swept]
            if both:
                raise ValueError(f"'{both[0]}' is varied already, by 'replicates'")
        for key, values in self.grid.items():
            again = next((v for k, v in enumerate(values) if v in values[:k]), None)
            if again is not None:
                raise ValueError(f"'{key}' has {again!r} twice")
        return self


class SweepConfiguration(Section):
    """The configuration of a sweep."""

    title: Text = ""
    base: str | dict[str, Any]
    sweep: SweepSection = SweepSection()


def flattened(value: Any, is_leaf: Any, prefix: str = "") -> Any:
    """Nested tables as one table with dotted keys; anything else unchanged."""
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, inner in value.items():
        if is_leaf(inner):
            out[f"{prefix}{key}"] = inner
        else:
            out |= flattened(inner, is_leaf, f"{prefix}{key}.")
    return out


def _only_tables(value: dict[str, Any]) -> bool:
    return bool(value) and all(isinstance(v, dict) for v in value.values())
