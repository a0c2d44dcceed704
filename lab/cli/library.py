"""run with several experiments, or all that come with dnslab: one after the other, or some at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lab.cli.options import LAB_VARIABLE
from lab.cli.output import OUTCOMES, emit, nearby, plain, progress, say
from lab.errors import EnvironmentProblem

if TYPE_CHECKING:
    from lab.experiments.loading import Source
    from lab.experiments.run import Run
    from lab.experiments.schema import Experiment

ALL = "all"
"""In place of experiments: all that come with dnslab."""

_VIRTUAL = 170.0  # look-ups a second, in virtual time

_FAILED = "failed"  # it could not go on, so there is no outcome
_STYLES = {_FAILED: "bold red", **{str(outcome): style for outcome, style in OUTCOMES.items()}}  # the worst first


def run_several(experiments: Sequence[str], folder: Path, *, quick: bool, jobs: int = 1, **how: Any) -> None:
    """Run them, on labs of their own; a line for each that is over, and the exit code of the worst.

    `jobs`: so many at a time, in processes of their own. One that cannot go on does not keep the others from it; the
    exit code then is that of `EnvironmentProblem`.
    """
    from lab.experiments.journal import EXIT_CODES
    from lab.experiments.loading import load, names

    begun = time.monotonic()
    sources = [load(name) for name in (names() if ALL in experiments else dict.fromkeys(experiments))]
    chosen = _by_lab(sources, quick=quick)
    running = _one_by_one if jobs == 1 else _at_once
    found: list[Run] = []
    for run in running(chosen, folder, jobs=jobs, quick=quick, **how):
        found.append(run)
        _tell(run)
    counts = Counter(map(_outcome, found))
    outcomes = [one for one in _STYLES if counts[one]]
    worst, told = outcomes[0], ", ".join(f"{counts[one]} {one}" for one in outcomes)
    took = time.monotonic() - begun
    emit(
        [{"run": str(one.folder), **one.journal.to_json()} for one in found],
        lambda: say(f"[{_STYLES[worst]}]{worst}[/]: {told} in {took / 60:.1f} min; {plain(nearby(folder))}"),
    )
    codes = {_FAILED: EnvironmentProblem.exit_code, **{str(one): code for one, code in EXIT_CODES.items()}}
    if code := codes[worst]:
        sys.stdout.flush()
        raise typer.Exit(code)


Groups = Sequence[Sequence["Source"]]
"""Experiments that declare the same lab, and so can use one after the other."""


def _by_lab(sources: Sequence[Source], *, quick: bool) -> Groups:
    """In groups, those first that take longest: what is left at the end is short."""
    groups: dict[tuple[str, bool], list[Source]] = defaultdict(list)
    for source in sources:
        groups[str(source.tree["lab"]), _is_alone(source)].append(source)
    return sorted(groups.values(), key=lambda group: -sum(_seconds(source, quick=quick) for source in group))


def _one_after_the_other(chosen: Groups) -> Sequence[Groups]:
    """What may run at a time, and what before it: what is to be alone has the machine while it is idle."""
    alone = [group for group in chosen if _is_alone(group[0])]
    return [*([group] for group in alone), [group for group in chosen if group not in alone]]


def _one_by_one(chosen: Groups, folder: Path, *, jobs: int, quick: bool, **how: Any) -> Iterator[Run]:
    from lab.experiments.run import LATEST, Run
    from lab.experiments.runner import Labs, run
    from lab.report import write

    sources = [source for group in chosen for source in group]
    with closing(Labs()) as labs:
        for number, source in enumerate(sources, 1):
            with progress(f"{source.name}, {number} of {len(sources)}: running, Ctrl-C heals and ends it") as report:
                try:
                    found = run(source, labs=labs, quick=quick, folder=folder, report=report, **how)
                except EnvironmentProblem:  # its journal has it; the lab may be the reason
                    labs.close()
                    found = Run.load(folder / source.name / LATEST)
            write(found.folder)
            yield found


def _at_once(chosen: Groups, folder: Path, *, jobs: int, quick: bool, **how: Any) -> Iterator[Run]:
    from lab.experiments.run import LATEST, Run

    children: list[subprocess.Popen[str]] = []
    options = [f"--{key}={value}" for key, value in how.items() if value is not None] + ["--quick"] * quick

    def run(group: Sequence[Source]) -> list[Run]:
        names = [source.name for source in group]
        files = [source.file for source in group]  # one of one's own may be called as one that comes with dnslab
        command = [sys.executable, "-m", "lab.cli", "run", *files, f"--runs={folder}", *options]
        # A session of its own: at Ctrl-C it is told once, by us, and has its time to heal.
        child = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != LAB_VARIABLE},
        )
        children.append(child)
        _, said = child.communicate()
        if child.returncode not in (0, 1, 2, EnvironmentProblem.exit_code):
            raise EnvironmentProblem(f"{', '.join(names)}: {said.strip() or f'ended with {child.returncode}'}")
        return [Run.load(folder / name / LATEST) for name in names]

    pool = ThreadPoolExecutor(jobs, thread_name_prefix="dnslab run")
    try:
        count = sum(map(len, chosen))
        with progress(f"{count} experiments, {jobs} labs at a time; Ctrl-C heals and ends them"):
            for together in _one_after_the_other(chosen):
                for done in as_completed([pool.submit(run, group) for group in together]):
                    yield from done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        pool.shutdown(wait=True)


def _seconds(source: Source, *, quick: bool) -> float:
    """How long it takes, roughly."""
    return sum(_of_trial(cell.experiment) * cell.experiment.repeats for cell in source.cells(quick=quick))


def _of_trial(trial: Experiment) -> float:
    if trial.time == "real":
        return trial.seconds
    work = trial.workload
    lookups = trial.seconds * (work.rate or 0.0)
    turns = lookups / (work.clients or 1)  # those of a round are in flight together
    # Time-outs are real. Who says how long one is expects some, and half of them is about what was seen.
    return lookups / _VIRTUAL + turns * (work.timeout or 0.0) / 2


def _is_alone(source: Source) -> bool:
    return source.tree.get("alone") is True


def _outcome(run: Run) -> str:
    return _FAILED if run.journal.problem else run.outcome


def _tell(run: Run) -> None:
    outcome, journal = _outcome(run), run.journal
    seconds = (datetime.fromisoformat(journal.ended) - datetime.fromisoformat(journal.started)).total_seconds()
    say(f"[{_STYLES[outcome]}]{outcome}[/] {plain(journal.name)}, {seconds:.0f} s: {plain(journal.why)}")
