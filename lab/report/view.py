"""What every format says of a run, in words: headings, faults, times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
