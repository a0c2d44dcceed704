"""What every format says of a run, in words: headings, faults, where it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.experiments.history import FaultWindow, History
from lab.experiments.journal import Journal, Trial
from lab.experiments.run import Run


@dataclass(frozen=True)
class Seen:
    """A trial with what happened in it; a run that was cut short may lack the history."""

    trial: Trial
    history: History

    @property
    def faults(self) -> list[FaultWindow]:
        """The faults by when they began."""
        return sorted(self.history.faults, key=lambda fault: fault.began)


def seen(run: Run) -> list[Seen]:
    """The trials of a run. Raises `BadInput` when its history cannot be read."""
    found = {history.trial: history for history in run.histories}
    return [Seen(trial, found.get(trial.number, History(trial.number, watched=False))) for trial in run.journal.trials]


def heading(journal: Journal) -> str:
    """What the run is called, for people."""
    return journal.title or journal.name


def words_of(trial: Trial) -> str:
    """The parameters of a trial, and which repeat it is."""
    words = [f"{name} = {value}" for name, value in trial.parameters.items()]
    return ", ".join([*words, *([f"repeat {trial.repeat}"] if trial.repeat > 1 else [])]) or f"trial {trial.number}"


def fault_words(fault: FaultWindow) -> str:
    """One fault: what it was, and what was measured of it."""
    measured = f"asked: {fault.asked}, got: {fault.got}" if fault.asked or fault.got else "nothing was measured"
    return f"{fault.words} {measured}" + (f"; {fault.problem}" if fault.problem else "")


def when(journal: Journal) -> str:
    """The day, the hour and how long it took; the text as it is where that is no date."""
    try:
        started = datetime.fromisoformat(journal.started)
        ended = datetime.fromisoformat(journal.ended) if journal.ended else None
    except ValueError:
        return journal.started
    took = f", took {_took((ended - started).total_seconds())}" if ended is not None else ""
    return f"{started.day} {started:%B %Y, %H:%M} {started.tzname() or ''}".rstrip() + took


def _took(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def environment(journal: Journal) -> list[tuple[str, str]]:
    """Where it ran, as names and values; what is nested is told as `images knot`."""
    return [
        *_flat(journal.environment),
        ("lab", ", ".join(lab.source for lab in journal.labs) or "none"),
        ("experiment", journal.source),
        ("seed", str(journal.seed)),
        ("quick", "yes" if journal.quick else "no"),
        ("confidence of intervals", f"{journal.confidence * 100:g} %"),
    ]


def _flat(found: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        where = f"{before} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, where)
        elif name == "memory" and isinstance(value, int):
            rows.append((where, f"{value / 2**30:.1f} GiB"))
        else:
            rows.append((where, str(value)))
    return rows
