"""How good the instrument was: the latest calibration of the machine that a run was on."""

from __future__ import annotations

from pathlib import Path

from lab.errors import BadInput
from lab.experiments import journal as journals
from lab.experiments import telling
from lab.experiments.journal import Journal, Trial
from lab.experiments.run import LATEST, Run
from lab.report.view import when, words_of

NAME = "calibration"
"""The experiment that calibrates."""

_SHOWN = ("late_p25", "late_p75", "added")  # of its measurements
_MACHINE = ("kernel", "machine", "cpus", "memory")  # what has to be equal for it to be the same one


def cited(run: Run) -> str:
    """The newest calibration beside this run that had begun before it ended, in a line; or that there is none."""
    ones = [one for one in map(_read, _folders(run)) if one is not None and _counts(one, run.journal)]
    if not ones:
        return f"none on this machine; `dnslab run {NAME}` makes one"
    latest = max(ones, key=lambda one: one.started)
    trials = [f"{words_of(trial)}: {figures}" for trial in latest.trials if (figures := _figures(trial))]
    return "; ".join([f"{latest.outcome}, {when(latest)}", *trials])


def _folders(run: Run) -> list[Path]:
    runs = run.folder.resolve().parent.parent
    return [one for one in sorted((runs / NAME).glob("*")) if one.is_dir() and one.name != LATEST]


def _read(folder: Path) -> Journal | None:
    try:
        return journals.read(folder)
    except BadInput:
        return None  # of another version, or killed before it had one: no calibration


def _counts(one: Journal, of: Journal) -> bool:
    """Whether it was on the same machine, with trials that ended, and not after the fact."""
    same = all(one.environment.get(name) == of.environment.get(name) for name in _MACHINE)
    return same and bool(one.trials) and (not of.ended or one.started <= of.ended)


def _figures(trial: Trial) -> str:
    found = [(name, trial.measurements[name]) for name in _SHOWN if name in trial.measurements]
    return ", ".join(f"{name} {telling.number(one.value, one.unit)}" for name, one in found)
