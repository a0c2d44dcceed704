"""The method: faults are injected, measured and healed at their times, and what came of each is written down."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.experiments.history import FaultWindow, Mark
from lab.experiments.recording import Recorder
from lab.experiments.timeline import Timed
from lab.runtime.parallel import each, uninterrupted

if TYPE_CHECKING:
    from lab.faults.fault import Fault
    from lab.faults.plan import Plan
    from lab.lab import Lab

LASTS = timedelta(
    hours=12
)  # after that a fault heals itself, should this process hang; when it dies it does so at once
_ZONE = "zone"  # the level of faults after which the truth is another


@dataclass
class Active:
    """A fault that was injected; times are those of the experiment."""

    timed: Timed
    plan: Plan
    fault: Fault
    began: float
    bites_from: float

    @property
    def ends(self) -> float:
        """When its own duration is over; infinite without one."""
        return float("inf") if self.timed.duration is None else self.bites_from + self.timed.duration


class Method:
    """What is broken in a trial. As a context manager it heals everything at the end, whatever has happened."""

    def __init__(
        self, lab: Lab, recorder: Recorder, now: Callable[[], float], edited: Callable[[float], None], seed: int
    ) -> None:
        """`edited` is told since when zones say something else, by a fault or its healing."""
        self._lab, self._recorder, self._now, self._edited, self._seed = lab, recorder, now, edited, seed
        self._lock = threading.Lock()
        self.active: list[Active] = []

    def prepare(self, steps: Iterable[Timed]) -> None:
        """Start what the faults among `steps` work with: no helper is to be waited for while the workload runs."""
        each(lambda timed: self._plan(timed).prepare(self._lab), [one for one in steps if one.step.fault is not None])

    def do(self, steps: Iterable[Timed]) -> None:
        """Do steps that are due at the same time, in their order; faults that follow each other are injected at once.

        Raises `NoEffect` and `EnvironmentProblem`; what did not bite is written down as well.
        """
        for is_fault, some in itertools.groupby(steps, lambda timed: timed.step.fault is not None):
            if is_fault:
                each(self._inject, some)
                continue
            for timed in some:
                self._act(timed.step.do or "", timed.node)

    def heal(self, which: Iterable[Active]) -> None:
        """Heal faults, all at once. One that cannot be healed is written down with the reason."""
        which = list(which)
        if not which:
            return
        with uninterrupted():
            each(self._heal, which)

    def __enter__(self) -> Method:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal(self.active)

    def _act(self, what: str, node: str) -> None:
        handle = self._lab.node(node)
        handle.flush() if what == "flush" else handle.restart()
        self._recorder.add(Mark(self._now(), what, f"{handle.name}: {what}"))

    def _inject(self, timed: Timed) -> None:
        from lab.faults import inject

        made, began = self._plan(timed), self._now()
        try:
            fault = inject(self._lab, made)
        except LabError as error:
            healed = self._now()  # what does not bite is healed before it is told
            self._recorder.add(_window(made, began, None, healed, healed, problem=str(error)))
            raise
        with self._lock:
            self.active.append(Active(timed, made, fault, began, self._now()))
        if made.kind.level == _ZONE:
            self._edited(began)

    def _plan(self, timed: Timed) -> Plan:
        """What a step would do; with the seed, where something is left to chance."""
        from lab.faults import kind, plan

        step = timed.step
        assert step.fault is not None
        how = {**step.how, "lasts": LASTS}
        if "seed" in kind(step.fault).options:
            how["seed"] = self._seed if step.seed is None else step.seed
        return plan(self._lab.topology, step.fault, timed.node, how)

    def _heal(self, one: Active) -> None:
        ended, problem, lasted, healed = self._now(), "", False, None
        try:
            lasted = one.fault.active
            one.fault.heal()
            healed = self._now()
            if one.plan.kind.level == _ZONE:
                self._edited(ended)
        except LabError as error:
            problem = f"it could not be healed: {error}"
        if not lasted and not problem:
            problem = "it had ended before it was to be healed"
        states = one.fault.states.values()  # of a fault on links
        matched, acted = (
            (sum(state.matched for state in states), sum(state.acted for state in states)) if states else (None, None)
        )
        window = _window(
            one.plan,
            one.began,
            one.bites_from,
            ended,
            healed,
            one.fault,
            matched,
            acted,
            lasted=lasted,
            problem=problem,
        )
        with self._lock:
            self.active.remove(one)
        self._recorder.add(window)


def told(made: Plan) -> str:
    """What a fault does, in words, without how long it may last at the most: that is for the experiment to say."""
    return f"{made.does()}."


def _window(
    made: Plan,
    began: float,
    bites_from: float | None,
    ended: float | None,
    healed: float | None,
    fault: Fault | None = None,
    matched: int | None = None,
    acted: int | None = None,
    **more: Any,
) -> FaultWindow:
    about = made.about()
    return FaultWindow(
        about["fault"],
        about["node"],
        told(made),
        began,
        bites_from,
        ended,
        healed,
        to=tuple(about.get("to", ())),
        parameters={**about["parameters"], **{key: about[key] for key in ("direction", "transport") if key in about}},
        asked=fault.asked if fault else "",
        got=fault.got if fault else "",
        before=fault.before.to_json() if fault and fault.before else None,
        after=fault.after.to_json() if fault and fault.after else None,
        matched=matched,
        acted=acted,
        **more,
    )
