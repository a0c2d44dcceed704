"""Faults that are written down: an entry in the lab's ledger says what they are and how they are undone.

So they are seen, and healed, by any process: `dnslab faults`, `dnslab heal`, `lab.reset`, and the guard that outlives
their owner. Who undoes one holds the ledger, undoes it and strikes the entry; whoever comes second finds none.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import tenacity

from lab.errors import BadInput, LabError
from lab.faults.fault import Fault
from lab.faults.guard import Guard, Task
from lab.faults.kind import Kind, kind
from lab.faults.plan import Plan

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.runtime.ledger import Entry


class WrittenKind(Kind):
    """A fault that is undone from its entry."""

    @abstractmethod
    def undo(self, lab: RunningLab, entry: Entry) -> None:
        """Make all as it was without this entry, which is still there; the ledger is held.

        Raises `EnvironmentProblem` when that cannot be done now; then the entry stays.
        """


class WrittenFault(Fault):
    """A fault with an entry in the ledger, and a guard."""

    task: Task = "undo"

    def __init__(self, lab: RunningLab, made: Plan) -> None:
        super().__init__(lab, made)
        self.entry: Entry | None = None
        self.guard: Guard | None = None

    @property
    def active(self) -> bool:
        """Whether the entry is there."""
        return self.entry is not None and self._lab.ledger.has(self.entry.id)

    def write(self, entry: Entry, every: float = 0.0) -> None:
        """Write the entry, guarded from before it is there; the ledger is held."""
        self.entry = entry
        self.guard = Guard(self._lab.name, self.task, entry.id, self.plan.lasts, every)
        self._lab.ledger.write(entry)

    def heal(self) -> None:
        """Undo it, unless somebody else has."""
        if self.entry is not None:
            undo(self._lab, self.entry.id)
        if self.guard is not None:
            self.guard.dismiss()


def undo(lab: RunningLab, id: str) -> bool:
    """Undo one entry; whether it was there. Raises `EnvironmentProblem`."""
    with lab.ledger.held():
        entry = next((entry for entry in lab.ledger.entries() if entry.id == id), None)
        if entry is None:
            return False
        undoing = kind(entry.fault)
        if isinstance(undoing, WrittenKind):
            undoing.undo(lab, entry)
        lab.ledger.strike(id)
        return True


def undo_somehow(lab: str, id: str, *, tries_for: float, pause: float) -> None:
    """Undo one entry, patiently, from a process that has nothing else to do; a lab that is gone is fine."""
    from lab.runtime.lab import RunningLab

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(LabError) & tenacity.retry_if_not_exception_type(BadInput),
        wait=tenacity.wait_fixed(pause),
        stop=tenacity.stop_after_delay(tries_for),
        reraise=True,
    )
    def attempt() -> None:
        with RunningLab.attach(lab) as here:
            undo(here, id)

    try:
        attempt()
    except BadInput:
        return  # the lab is down, and its ledger with it
    except LabError as error:
        raise SystemExit(f"dnslab: a fault of lab {lab} could not be healed: {error}") from None
