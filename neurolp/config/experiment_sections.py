"""Keys of the experiments, with defaults and ranges."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from neurolp.config.sections import FilePath, RunConfiguration, Section, Seed
from neurolp.data.problems_1d import PROBLEMS
from neurolp.data.tables import DATA_NAMES
from neurolp.evaluation.dynamics import least_steps


class PrincipleConfiguration(RunConfiguration):
    """``experiment = "principle"``: learning the probabilities of symbols; losses as densities."""

    experiment: Literal["principle"]
    probabilities: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=[0.4, 0.3, 0.15, 0.1, 0.05], min_length=2
    )
    n_steps: int = Field(default=10_000, ge=10)
    n_runs: PositiveInt = 20
    rate: PositiveFloat = 0.5
    n_samples: int = Field(default=10_000, ge=10)
    threshold: PositiveFloat = 1.345
    level: float = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _a_distribution(self) -> Self:
        if abs(math.fsum(self.probabilities) - 1) > 1e-9:
            raise ValueError(
                f"'probabilities' must sum to 1, but sum to {math.fsum(self.probabilities):.9g}"
            )
        return self


GENERAL_DATA = (
    "digits",
    "wine",
    "breast_cancer",
    "iris",
    "diabetes",
    "two_moons",
    "checkerboard",
    "gamma",
)


class GeneralPurposeConfiguration(RunConfiguration):
    """``experiment = "general_purpose"``: one estimator with its defaults on many tables."""

    experiment: Literal["general_purpose"]
    estimator: Literal["brain", "triangular"] = "brain"
    data: list[Literal[DATA_NAMES]] | None = None  # type: ignore[valid-type]  # names are values
    files: list[FilePath] = Field(default_factory=list)
    split_seed: Seed = 0
    max_rows: int = Field(default=2000, ge=10)


class UnivariateConfiguration(RunConfiguration):
    """``experiment = "univariate"``: densities of one variable whose truth is known."""

    experiment: Literal["univariate"]
    problems: list[Literal[tuple(PROBLEMS)]] = Field(  # type: ignore[valid-type]  # names are values
        default=["trimodal", "uniform", "gamma"], min_length=1
    )
    sizes: list[Annotated[int, Field(ge=10)]] = Field(default=[50, 200, 1000], min_length=1)
    n_seeds: PositiveInt = 3


class TableSection(Section):
    """``[table]``: a table of one's own; see ``neurolp.data.supervised``."""

    file: FilePath
    target: NonNegativeInt | str
    dataset: str | None = None
    columns: list[NonNegativeInt | str] | None = None
    task: Literal["regression", "classification"] | None = None


class SupervisedConfiguration(RunConfiguration):
    """``experiment = "supervised"``: p(target | conditions) by regression and classification."""

    experiment: Literal["supervised"]
    problems: list[Literal["bimodal", "diabetes", "digits"]] | None = None
    table: TableSection | None = None
    n_points: int = Field(default=1000, ge=50)
    split_seed: Seed = 0
    max_rows: int = Field(default=10_000, ge=20)


class CapacitySection(Section):
    """``[capacity]``: memory capacity of random networks against their spectral radius."""

    n_hidden: PositiveInt = 100
    spectral_radius: list[NonNegativeFloat] = Field(
        default=[0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4, 1.8], min_length=1
    )
    strength: PositiveFloat = 0.1
    n_seeds: PositiveInt = 5
    n_steps: PositiveInt = 4000


class FreeRunSection(Section):
    """``[free_run]``: brains that learn the Mackey-Glass equation, and then run by themselves."""

    n_hidden: PositiveInt = 500
    spectral_radius: NonNegativeFloat = 1.2
    strength: PositiveFloat = 0.4
    delay: Annotated[int, Field(ge=1, le=10_000)] = 17
    n_train: Annotated[int, Field(ge=200)] = 3000
    n_runs: PositiveInt = 20
    n_steps: Annotated[int, Field(ge=2)] = 300


class ReservoirConfiguration(RunConfiguration):
    """``experiment = "reservoir"``: memory capacity, and free runs of a chaotic equation."""

    experiment: Literal["reservoir"]
    capacity: CapacitySection = CapacitySection()
    free_run: FreeRunSection = FreeRunSection()

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        least = least_steps(self.capacity.n_hidden)
        if self.capacity.n_steps < least:
            raise ValueError(
                f"'capacity.n_steps' must be at least {least} for {self.capacity.n_hidden} nodes, "
                f"but is {self.capacity.n_steps}"
            )
        return self
