"""run all: every experiment that comes with dnslab, one after the other."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lab.cli.output import OUTCOMES, emit, nearby, plain, progress, say

if TYPE_CHECKING:
    from lab.experiments.loading import Source
    from lab.experiments.run import Run

ALL = "all"
"""In place of an experiment: all that come with dnslab."""

_LONGEST = 60.0  # seconds, real, of all phases of all trials of one experiment in the quick set


def run_all(folder: Path, *, quick: bool, **how: Any) -> None:
    """Run them, on labs of their own; a line for each as it ends, and the exit code of the worst.

    `quick`: those whose quick run is one; the others are left out, and named.
    """
    from lab.experiments.journal import EXIT_CODES, worst
    from lab.experiments.loading import load, names
    from lab.experiments.runner import Labs, run
    from lab.report import write

    begun = time.monotonic()
    found: list[Run] = []
    sources = [load(name) for name in names()]
    left_out = [source.name for source in sources if quick and not _is_quick(source)]
    chosen = [source for source in sources if source.name not in left_out]
    chosen.sort(key=lambda source: str(source.tree["lab"]))  # one lab serves all that are on the same
    with Labs() as labs:
        for number, source in enumerate(chosen, 1):
            started = time.monotonic()
            with progress(f"{source.name}, {number} of {len(chosen)}: running, Ctrl-C heals and ends it") as report:
                found.append(run(source, labs=labs, quick=quick, folder=folder, report=report, **how))
            write(found[-1].folder)
            _tell(found[-1], time.monotonic() - started)
    outcome = worst(one.outcome for one in found)
    counts = Counter(one.outcome for one in found)
    told = ", ".join(f"{counts[one]} {one}" for one in OUTCOMES if counts[one])
    took = time.monotonic() - begun
    if left_out:
        say(f"[dim]left out, as their quick run is longer than {_LONGEST:g} s or none: {', '.join(left_out)}[/]")
    emit(
        [{"run": str(one.folder), **one.journal.to_json()} for one in found],
        lambda: say(f"[{OUTCOMES[outcome]}]{outcome}[/]: {told} in {took / 60:.1f} min; {plain(nearby(folder))}"),
    )
    if EXIT_CODES[outcome]:
        sys.stdout.flush()
        raise typer.Exit(EXIT_CODES[outcome])


def _is_quick(source: Source) -> bool:
    """Whether there is a quick run, and what it waits for in real time is soon over."""
    if not source.has_quick:
        return False
    trials = [cell.experiment for cell in source.cells(quick=True)]
    return sum(trial.seconds * trial.repeats for trial in trials if trial.time == "real") <= _LONGEST


def _tell(run: Run, seconds: float) -> None:
    outcome, name = run.outcome, plain(run.journal.name)
    say(f"[{OUTCOMES[outcome]}]{outcome}[/] {name}, {seconds:.0f} s: {plain(run.journal.why)}")
