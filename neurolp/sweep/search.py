"""Searches: rounds of draws that depend on earlier results, by Optuna."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurolp.errors import ConfigurationError
from neurolp.sweep.schema import DrawSection, SearchSection
from neurolp.sweep.state import DONE, JobState

if TYPE_CHECKING:
    from optuna import Trial

Settings = dict[str, Any]


class Rounds:
    """Draws of a tree-structured Parzen estimator (Bergstra et al. 2011), as Optuna has it.

    It starts anew each time and is given the results on disk again. As runs are reproducible bit
    by bit, so are the draws, and a sweep that was stopped continues.

    Raises
    ------
    ConfigurationError
        If Optuna is not installed.
    """

    def __init__(
        self,
        section: SearchSection,
        draws: dict[str, DrawSection],
        n_draws: int,
        seed: int,
        source: str,
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            needed = "pip install 'neurolp[search]'"
            raise ConfigurationError(f"{source}: 'sweep.search' needs Optuna: {needed}") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._section, self._draws, self._source = section, draws, source
        self._n_draws, self.drawn = n_draws, list[Settings]()
        self._study = optuna.create_study(
            direction="minimize" if section.minimise else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32),
        )
        self._failed = optuna.trial.TrialState.FAIL
        self._waiting: list[Trial] = []
        self._space = {key: _distribution(draw) for key, draw in draws.items()}

    @property
    def left(self) -> int:
        """Draws that are still to be made."""
        return self._n_draws - len(self.drawn)

    def ask(self) -> list[Settings]:
        """All draws so far and those of the next round."""
        n = min(self._section.round, self.left)
        self._waiting = [self._study.ask(self._space) for _ in range(n)]
        for trial in self._waiting:
            chosen = trial.params
            self.drawn.append({key: d.named(chosen[key]) for key, d in self._draws.items()})
        return self.drawn

    def tell(self, found: Sequence[tuple[Settings, JobState]]) -> None:
        """Give the settings and states of all jobs.

        The mean over the replicates of a draw counts, if all are done.
        """
        for trial, settings in zip(self._waiting, self.drawn[-len(self._waiting) :], strict=True):
            states = [state for of, state in found if of == settings]
            values = [self._value(state.result) for state in states if state.state == DONE]
            if values and len(values) == len(states) and all(map(math.isfinite, values)):
                self._study.tell(trial, float(np.mean(values)))
            else:
                self._study.tell(trial, state=self._failed)

    def best(self) -> str:
        """A line with the best draw; empty if all failed."""
        told = [t for t in self._study.get_trials(deepcopy=False) if t.values]
        if not told:
            return ""
        best = self._study.best_trial
        named = [f"{key} = {value}" for key, value in self.drawn[best.number].items()]
        return f"{self._section.result} {best.value:.6g} with {', '.join(named)}"

    def _value(self, result: dict[str, float | None]) -> float:
        name = self._section.result
        if name not in result:
            raise ConfigurationError(
                f"{self._source}: 'sweep.search' asks for the result '{name}', "
                f"but the jobs have {', '.join(result)}"
            )
        value = result[name]
        return math.nan if value is None else value


def _distribution(draw: DrawSection) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if draw.choice is not None:  # by number: Optuna knows no lists and tables
        return CategoricalDistribution(range(len(draw.choice)))
    low, high = draw.low or 0.0, draw.high or 0.0
    if draw.integer:
        return IntDistribution(int(low), int(high), log=draw.log)
    return FloatDistribution(low, high, log=draw.log)
