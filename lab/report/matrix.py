"""Runs over many parameters as tables: one parameter across, the others down, a number in each cell."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.experiments.journal import Estimate, Finding, Journal, Outcome, Trial
from lab.experiments.quantities import as_number
from lab.experiments.telling import number
from lab.report.plots.comparison import varied

_MOST = 6  # tables


@dataclass(frozen=True)
class Cell:
    """One trial in a table."""

    trial: int
    outcome: Outcome
    text: str
    heat: float | None  # 0 to 1 over the table, for its shade; None: no number


@dataclass(frozen=True)
class Matrix:
    """One measured number of all trials."""

    title: str
    row: str  # names of the parameters down
    column: str  # name of the parameter across
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[tuple[Cell, ...], ...], ...]  # row, column, repeat


def matrices(journal: Journal) -> list[Matrix]:
    """A table for each measurement; without measurements for each expectation; none for a single trial."""
    trials = journal.trials
    if len(trials) < 2:
        return []
    found: dict[str, Callable[[Trial], Estimate | None]] = {}
    for name in dict.fromkeys(name for trial in trials for name in trial.measurements):
        found[name] = lambda trial, name=name: trial.measurements.get(name)  # type: ignore[misc]
    if not found:
        for left in dict.fromkeys(_left(finding) for trial in trials for finding in trial.findings):
            found[left] = lambda trial, left=left: next(  # type: ignore[misc]
                (finding.measured for finding in trial.findings if _left(finding) == left), None
            )
    if not found:
        found["outcome"] = lambda _: None
    return [_matrix(trials, title, value) for title, value in list(found.items())[:_MOST]]


def _left(finding: Finding) -> str:
    """What an expectation measures, without what it is compared with, which may depend on parameters."""
    return finding.text.removesuffix(finding.asked).rstrip() or finding.text


def _matrix(trials: Sequence[Trial], title: str, value: Callable[[Trial], Estimate | None]) -> Matrix:
    names = varied(trials)
    # Across goes the parameter with most values; of equals one of numbers, for they have an order.
    column = max(
        names, key=lambda name: (len(names[name]), all(as_number(one) is not None for one in names[name])), default=""
    )
    others = [name for name in names if name != column]
    columns = names.get(column, [""])
    values = {trial.number: one for trial in trials if (one := value(trial)) is not None}
    finite = [one.value for one in values.values() if math.isfinite(one.value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if values and all(one.unit == "share" for one in values.values()):
        low, high = 0.0, 1.0
    table: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for trial in trials:
        one = values.get(trial.number)
        row = ", ".join(str(trial.parameters.get(name)) for name in others) or "all trials"
        heat = (one.value - low) / ((high - low) or 1) if one is not None and math.isfinite(one.value) else None
        text = trial.outcome if one is None else number(one.value, one.unit)
        table[row, str(trial.parameters.get(column, ""))].append(Cell(trial.number, trial.outcome, text, heat))
    rows = list(dict.fromkeys(row for row, _ in table))
    return Matrix(
        title, ", ".join(others), column or "trial", tuple(rows), tuple(columns),
        tuple(tuple(tuple(table[row, one]) for one in columns) for row in rows),
    )  # fmt: skip
