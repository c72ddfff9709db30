"""What a report says: of the folder of a sweep."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurolp.errors import FormatError
from neurolp.progress import format_duration
from neurolp.report.contents import (
    Contents,
    Notice,
    Step,
    as_toml,
    changed_settings,
    name_of,
    provenance_of,
)
from neurolp.report.watching import GOING_ON, UNFINISHED, status_of_sweep
from neurolp.runs.kinds import SummaryTable
from neurolp.storage.reader import open_trajectory
from neurolp.sweep import plotting
from neurolp.sweep.collecting import collect
from neurolp.sweep.state import (
    DIVERGED,
    DONE,
    FAILED,
    PENDING,
    RESULT_FILE,
    RUNNING,
    SweepFolder,
    read_folder,
)

_MOST_ROWS, _MOST_VALUES, _LONGEST = 60, 12, 160


def contents_of_sweep(path: Path) -> Contents:
    """What the report of the sweep in a folder says, as far as it has come.

    Raises
    ------
    DataError, FormatError
        If there is no sweep in it, or it is damaged.
    """
    folder = read_folder(path)
    table = collect(path)
    states = table["state" if "state" not in folder.how else "job_state"]
    counts = Counter(states.tolist())
    status = status_of_sweep(path, counts)
    out = Contents(folder.title or name_of(path), status)
    out.facts = _facts(folder, table, counts)
    out.notices = _notices(status, counts)
    results = table.attrs["results"]
    shown = [name for name in results if np.isfinite(table[name]).any()]
    if shown:
        out.tables.append(_means(table, shown[0]))
        out.figures = list(plotting.figures(table, shown[0]).values())
    failed = table[states.isin([FAILED, DIVERGED])]
    if len(failed):
        out.tables.append(_failures(failed))
    done = [job for job, state in zip(table["job"], states, strict=True) if state == DONE]
    if done:
        _add_example(out, folder.job(done[0]) / RESULT_FILE, set(folder.how))
    name = name_of(path)
    out.steps.append(Step("One table of all jobs", f"neurolp collect {name}"))
    if done:
        again = f"neurolp reproduce {name}/jobs/{done[0]}/{RESULT_FILE}"
        out.steps.append(Step("Run one of the jobs again and compare all numbers", again))
    return out


def _notices(status: str, counts: Counter[str]) -> list[Notice]:
    out = []
    waiting = counts[PENDING] + counts[RUNNING]
    if status == GOING_ON:
        out.append(Notice(f"This sweep is still going on; {waiting} jobs are not done."))
    elif status == UNFINISHED:
        text = f"This sweep was stopped before its end; {waiting} jobs were not run."
        out.append(Notice(f"{text} The command that began it continues.", grave=True))
    lost = counts[FAILED] + counts[DIVERGED]
    if lost:
        text = f"{lost} jobs failed or diverged, and are in no mean and no picture."
        out.append(Notice(text, grave=True))
    return out


def _facts(folder: SweepFolder, table: pd.DataFrame, counts: Counter[str]) -> dict[str, str]:
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    out = {"What was run": f"One configuration {len(table)} times, with some keys changed: {said}."}
    for key, how in folder.how.items():
        values = list(dict.fromkeys(_text(value) for value in table[key]))
        some = ", ".join(values[:_MOST_VALUES]) + (", .." if len(values) > _MOST_VALUES else "")
        out[f"Varied ({how})"] = "; ".join(
            part for part in (out.get(f"Varied ({how})"), f"{key}: {some}") if part
        )
    seeds = table["seed" if "seed" not in folder.how else "job_seed"] if "seed" in table else []
    out["Seeds"] = ", ".join(dict.fromkeys(_text(seed) for seed in seeds[:200])) or "drawn"
    states = folder.states().values()
    began = [state.began for state in states if state.began]
    if began:
        out["When"] = min(began).replace("T", " ").replace("+00:00", " UTC")
    seconds = sum(state.seconds for state in states)
    out["How long"] = f"{format_duration(seconds)} of all jobs together"
    return out | {"Folder": name_of(folder.path)}


def _means(table: pd.DataFrame, result: str) -> SummaryTable:
    """The first result for each setting: how many jobs, their mean and standard deviation."""
    keys = [key for key in table.attrs["how"] if table[key].nunique() > 1]
    by = keys or (lambda row: "all jobs")
    groups = table.groupby(by, sort=False, dropna=False)[result]
    rows = []
    for setting, values in groups:
        finite = values[np.isfinite(values)]
        labels = setting if isinstance(setting, tuple) else (setting,)
        spread = f"{finite.std():.4g}" if len(finite) > 1 else ""
        mean = f"{finite.mean():.6g}" if len(finite) else ""
        rows.append((*(_text(label) for label in labels), str(len(finite)), mean, spread))
    title = f"{plotting.label(result)}, by what was varied"
    if len(rows) > _MOST_ROWS:
        title += f"; the first {_MOST_ROWS} of {len(rows)} settings"
    columns = (*(keys or ["jobs"]), "jobs done", "mean", "standard deviation")
    return SummaryTable(title, columns, rows[:_MOST_ROWS])


def _failures(failed: pd.DataFrame) -> SummaryTable:
    names = [name if f"job_{name}" not in failed else f"job_{name}" for name in
             ("state", "reason", "message")]  # fmt: skip
    rows = [
        (str(job), *(_text(value)[:_LONGEST] for value in row))
        for job, row in zip(failed["job"], failed[names].to_numpy(), strict=True)
    ]
    title = "Jobs that failed or diverged"
    if len(rows) > _MOST_ROWS:
        title += f", the first {_MOST_ROWS} of {len(rows)}"
    return SummaryTable(title, ("job", "state", "reason", "message"), rows[:_MOST_ROWS])


def _add_example(out: Contents, path: Path, varied: set[str]) -> None:
    """Settings and provenance of a job that is done, which are those of all, but for the keys."""
    try:
        with open_trajectory(path) as file:
            changed = changed_settings(file)
            out.configuration = as_toml(file.configuration)
            out.provenance = provenance_of(file)
    except FormatError as error:
        out.notices.append(Notice(f"There are no settings. {error}.", grave=True))
        return
    out.settings = {
        key: "varied" if key in varied else value
        for key, value in changed.items()
    }  # fmt: skip


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
