"""A run as a page: one file with everything in it, that loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput
from lab.experiments import telling
from lab.experiments.journal import Estimate, Finding, Journal, Trial
from lab.experiments.run import Run
from lab.report import plots, view
from lab.report.environment import environment
from lab.report.look import MARKS, PALETTE
from lab.report.matrix import matrices
from lab.report.plots.comparison import published
from lab.report.view import Seen

if TYPE_CHECKING:
    from jinja2 import Template

MOST_DRAWN = 12
"""Trials with plots, unless one is asked for; the others have their tables."""
_POINTS, _POINTS_OF_ONE = 12_000, 3_000  # marks of all scatters together, and of one
_CORRECTNESS = {
    "fresh": "fresh", "cached": "from the cache", "stale": "stale", "wrong": "wrong", "unanswered": "not answered"
}  # fmt: skip


@dataclass(frozen=True)
class _Shown:
    """A trial as the page tells it."""

    trial: Trial
    words: str
    rows: list[tuple[str, Finding]]
    faults: list[Any]
    correctness: list[tuple[str, str, int, float]]
    measurements: list[tuple[str, Estimate, float | None, float | None]]
    drawings: list[plots.Drawing]
    drawn: bool
    empty: bool  # nothing was asked
    quiet: bool  # and no resolver asked a server, as far as was watched


def render(run: Run, *, trial: int | None = None) -> str:
    """The page of a run. `trial`: draw the plots of this one only. Raises `BadInput`."""
    journal, found = run.journal, view.seen(run)
    if trial is not None and trial not in {one.trial.number for one in found}:
        known = f"1 to {len(found)}" if found else "none"
        raise BadInput(f"no trial {trial} in {run.folder} (trials: {known})")
    missing = plots.missing()
    drawn = set() if missing else _drawn(found, trial)
    return _template().render(
        journal=journal,
        heading=view.heading(journal),
        when=view.when(journal),
        marks=MARKS,
        counts={outcome: sum(one.outcome == outcome for one in journal.trials) for outcome in MARKS},
        trials=[_shown(journal, one, one.trial.number in drawn, len(drawn)) for one in found],
        matrices=matrices(journal),
        drawings=[] if missing else _of_run(journal, found),
        missing=missing,
        undrawn=len(found) - len(drawn),
        nodes=[node for lab in journal.labs for node in lab.nodes],
        broken=_broken(found),
        published=[*_published(journal)],
        environment=environment(run),
        palette=PALETTE,
        style=_file("style.css"),
        script=_file("report.js"),
    )


def _drawn(found: list[Seen], only: int | None) -> set[int]:
    """Numbers of the trials to draw: one, or as many as a page can carry, those that did not hold before others."""
    if only is not None:
        return {only}
    ordered = sorted(found, key=lambda one: one.trial.outcome == "held")
    return {one.trial.number for one in ordered[:MOST_DRAWN]}


def _shown(journal: Journal, one: Seen, drawn: bool, many: int) -> _Shown:
    trial, drawings = one.trial, []
    if drawn:
        case = plots.Case(journal, ((trial, one.history),), min(_POINTS_OF_ONE, _POINTS // many))
        drawings = [
            plots.draw(plot, case, f"t{trial.number}-{plot.name}") for plot in plots.of_trial() if plot.has(case)
        ]
    total = sum(trial.correctness.values())
    return _Shown(
        trial,
        view.words_of(trial),
        [*(("gate", finding) for finding in trial.gate), *(("", finding) for finding in trial.findings)],
        one.faults,
        [
            (kind, _CORRECTNESS.get(kind, kind), n, n / (total or 1))
            for kind, n in trial.correctness.items()
            if n or kind == "wrong"
        ],
        [
            (name, estimate, trial.predictions.get(name), published(journal, name))
            for name, estimate in trial.measurements.items()
        ],
        drawings,
        drawn,
        not one.history.sorted_lookups,
        one.history.watched and not any(message.is_query for message in one.history.messages()),
    )


def _of_run(journal: Journal, found: list[Seen]) -> list[plots.Drawing]:
    if not found:
        return []
    case = plots.Case(journal, tuple((one.trial, one.history) for one in found))
    return [plots.draw(plot, case, f"run-{plot.name}") for plot in plots.of_run(case) if plot.has(case)]


def _broken(found: list[Seen]) -> dict[str, str]:
    """Node -> the faults it had, for the table of nodes."""
    names: dict[str, dict[str, None]] = {}
    for fault in (fault for one in found for fault in one.faults):
        names.setdefault(fault.node, {})[fault.fault if fault.bit else f"{fault.fault} (no effect)"] = None
    return {node: ", ".join(kinds) for node, kinds in names.items()}


def _published(journal: Journal) -> Iterator[tuple[str, str, str]]:
    """What others have measured: what, how much, and where that is written."""
    for name, value in (journal.experiment.get("published") or {}).items():
        if isinstance(value, Mapping):
            yield str(name), str(value.get("value", "")), str(value.get("source", ""))
        else:
            yield str(name), str(value), ""


def _file(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not at import: it costs 40 ms

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["number"] = telling.number
    templates.filters["interval"] = _interval
    templates.filters["data"] = _data
    return templates.get_template("report.html.j2")


def _interval(found: Estimate) -> str:
    """Ends of an interval and the number of samples; empty for what was counted."""
    parts = []
    if not found.is_exact:
        parts.append(f"{telling.number(found.low, found.unit)} to {telling.number(found.high, found.unit)}")
    if found.samples is not None and found.unit not in ("queries", "look-ups"):
        parts.append(f"n = {found.samples}")
    return ", ".join(parts)


def _data(value: object) -> str:
    """JSON that can stand in a script element: no text in it can end that (HTML, section 4.12.1.3)."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
