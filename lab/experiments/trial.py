"""One trial: the gate, the method, healing in any case, and the state of the lab afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, NoEffect
from lab.experiments import watching
from lab.experiments.checks import Case
from lab.experiments.generated import GeneratedLoad
from lab.experiments.history import SUCCESS, History, Mark, Phase
from lab.experiments.journal import NodeRecord
from lab.experiments.method import Active, Method
from lab.experiments.pace import Pace
from lab.experiments.realtime import RealTime
from lab.experiments.recording import Recorder
from lab.experiments.schema import Experiment
from lab.experiments.timeline import Timed, timed
from lab.experiments.truth import truths
from lab.experiments.verdict import INTERRUPTED, PROBLEM, case_of, condition_holds, gate, is_met, names
from lab.experiments.virtual import VirtualTime
from lab.experiments.workload import distinct
from lab.observe.observation import Observation
from lab.runtime.events import Event, Report
from lab.runtime.parallel import each, uninterrupted
from lab.runtime.readiness import checks, wait_ready

if TYPE_CHECKING:
    from lab.lab import Lab

_TELL = 0.5  # seconds between two words of progress
_LOOK = 0.5  # seconds between two looks at a condition
_HEALTHY = 15.0  # seconds after healing for every node to answer
_PACES: Mapping[tuple[str, str], type[Pace]] = {
    ("prober", "real"): RealTime,
    ("prober", "virtual"): VirtualTime,
    ("dnsperf", "real"): GeneratedLoad,
}


@dataclass
class Conductor:
    """Runs one trial on a lab on which nothing is broken."""

    lab: Lab
    experiment: Experiment
    parameters: Mapping[str, Any]
    nodes: Mapping[str, NodeRecord]
    seed: int
    recorder: Recorder
    report: Report

    def __post_init__(self) -> None:
        self._seen = Observation(self.lab, prompt=self.experiment.time == "virtual")  # where each jump waits for it
        pace = _PACES[self.experiment.workload.tool, self.experiment.time]
        self._pace = pace(self.lab, self.experiment, self.seed, self.recorder, self._seen)
        self._known = names(self.experiment, self.parameters, Case(self.recorder.history, self.nodes))
        self._done: list[Phase] = []
        self._told = self._looked = 0.0

    def run(self) -> None:
        """Run the trial. Everything it finds out is in the recorder afterwards, also when it raises.

        Raises `NoEffect` when a fault does not bite, `EnvironmentProblem` when the trial cannot go on, and
        `KeyboardInterrupt`; everything has been healed by then.
        """
        started = False
        # Under the load of dnsperf the messages would be too many to keep.
        with self._seen if self.recorder.history.watched else nullcontext(self._seen) as seen:
            try:
                self._prepare_cache()
                with self._pace:
                    if self.experiment.cache == "warm":
                        self._pace.warm()
                    self._write_truths(distinct(self.experiment.workload))
                    steps = timed(self.experiment)
                    with Method(self.lab, self.recorder, lambda: self._pace.now, self._edited, self.seed) as method:
                        method.prepare(steps)
                        self._pace.start()
                        started = True
                        self._phases(steps, method, seen)
            except KeyboardInterrupt:
                self._mark(INTERRUPTED, "it was interrupted", started)
                raise
            except NoEffect:
                raise  # the record of the fault says so
            except LabError as error:
                self._mark(PROBLEM, str(error), started)
                raise
            finally:
                with uninterrupted():
                    if self.experiment.workload.names.unique is not None:  # not known before they are asked
                        self._write_truths((one.name, one.type) for one in self.recorder.so_far())
                    self._check_health(started)
                    self._write_messages(seen, started)

    # Before

    def _prepare_cache(self) -> None:
        if self.experiment.cache == "cold":
            self.report(Event("cache", "resolvers are restarted"))
            each(lambda handle: handle.restart(), self.lab.resolvers)
        self.lab.flush()

    def _write_truths(self, questions: Iterable[tuple[str, str]], since: float = float("-inf")) -> None:
        """What is right of each question, from experiment time `since` on."""
        for truth in truths(self.lab.topology, questions, since, self.lab.ledger.entries()):
            self.recorder.add(truth)

    def _edited(self, since: float) -> None:
        """Zones say something else from `since` on."""
        self._write_truths(distinct(self.experiment.workload), since)

    # The phases

    def _phases(self, steps: Sequence[Timed], method: Method, seen: Observation) -> None:
        end = 0.0
        for index, (name, length) in enumerate(self.experiment.phases.items()):
            over = [one for one in method.active if one.timed.end_phase <= index]
            due = [one for one in steps if one.start.phase == index]
            now = [one for one in due if one.start.after <= 0]
            method.heal(over)
            method.do(now)
            # Between phases that nothing separates there is no gap, whatever the time it takes to come here.
            start = max(end, self._pace.now) if over or now else end
            wanted = start + length.at_rate(self.experiment.workload.rate or 1.0)
            end = self._phase(Phase(name, start, wanted), [one for one in due if one not in now], method)
            self._done.append(Phase(name, start, end))
            self.recorder.add(self._done[-1])
            if index == 0 and self.experiment.steady_state and not self._gate(end, seen):
                return
        self._pace.settle(end)

    def _phase(self, phase: Phase, later: list[Timed], method: Method) -> float:
        """Go through a phase, with the steps that are due in it; when it ended."""
        while True:
            ends = [one.ends for one in method.active]
            due = min([phase.end, *(phase.start + one.start.after for one in later), *ends])
            stopped = self._pace.run_until(due, lambda: self._look(phase, method))
            if stopped:
                end = self._pace.now
                method.heal(self._finished(phase, method))
                return end
            if due >= phase.end:
                return phase.end
            method.heal([one for one in method.active if one.ends <= due])
            method.do([one for one in later if phase.start + one.start.after <= due])
            later = [one for one in later if phase.start + one.start.after > due]

    def _look(self, phase: Phase, method: Method) -> bool:
        """Say how far we are; whether a fault has lasted as long as it was to."""
        now = time.monotonic()
        if now - self._told >= _TELL:
            self._told = now
            self._tell(phase)
        if now - self._looked < _LOOK:
            return False
        self._looked = now
        return bool(self._finished(phase, method))

    def _finished(self, phase: Phase, method: Method) -> list[Active]:
        """The faults whose condition holds."""
        waiting = [one for one in method.active if one.timed.condition is not None]
        if not waiting:
            return []
        so_far = self._so_far(Phase(phase.name, phase.start, self._pace.now))
        return [one for one in waiting if condition_holds(one.timed.condition or "", so_far, self._known)]

    def _so_far(self, *current: Phase) -> Case:
        """What is known while the trial goes on: look-ups, without the messages behind them."""
        history = History(watched=False, phases=[*self._done, *current], all_lookups=self.recorder.so_far())
        return case_of(self.experiment, history, self.nodes)

    def _gate(self, end: float, seen: Observation) -> bool:
        """Whether the steady state holds; nothing is broken when it does not."""
        self._pace.settle(end)
        history = self._so_far().history
        history.watched, history.all_loads = self.recorder.history.watched, self.recorder.history.all_loads
        history.all_messages = list(watching.messages(seen, self.lab.topology, self._pace.at_wall))
        findings = gate(self.experiment, case_of(self.experiment, history, self.nodes), self._known)
        met = is_met(findings)
        self._mark("gate", "met" if met else "not met", started=True)
        return met

    # After

    def _check_health(self, started: bool) -> None:
        """Whether the lab is as it was: every node answers, and nothing is broken."""
        from lab.faults.active import active

        try:
            broken = active(self.lab)
            wanted = checks(self.lab.topology, self.lab.topology.nodes.values(), resolution=False)
            if not broken:
                wait_ready(self.lab.prober(), wanted, lambda: None, _HEALTHY)
            text = "; ".join(entry.words for entry in broken)
        except LabError as error:
            text = str(error)
        if text:
            self._mark(PROBLEM, f"after healing the lab is not as it was: {text}", started)
        else:
            self._mark("health", "after healing every node answers, and nothing is broken", started)

    def _write_messages(self, seen: Observation, started: bool) -> None:
        if not started:
            return
        for message in watching.messages(seen, self.lab.topology, self._pace.at_wall):
            self.recorder.add(message)
        for mark in watching.complaints(seen, self._pace.at_wall, self._pace.now):
            self.recorder.add(mark)

    def _mark(self, what: str, text: str, started: bool) -> None:
        self.recorder.add(Mark(self._pace.now if started else 0.0, what, text))

    def _tell(self, phase: Phase) -> None:
        done, whole = self._pace.now - phase.start, phase.duration
        statuses = self.recorder.statuses
        count, served = statuses.total(), sum(statuses[status] for status in SUCCESS)
        share = f", {served / count * 100:.3g}% served" if count else ""
        left = max(0.0, whole - done)
        text = f"{_spoken(left)} left; {count} look-ups{share}"
        self.report(Event(phase.name, text, step=round(min(done, whole)), total=max(1, round(whole))))


def _spoken(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
