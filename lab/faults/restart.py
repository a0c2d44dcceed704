"""restart: a node's program is stopped and started; what it had in memory, a cache for one, is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import NoEffect
from lab.faults.fault import Fault
from lab.faults.guard import Guard
from lab.faults.kind import Verdict
from lab.faults.node import NodeKind, NodePlan, observe, running

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab

_AT_MOST = 60.0  # seconds until it runs again, whatever happens to us


@dataclass(frozen=True, kw_only=True)
class RestartKind(NodeKind):
    """A fault that is over when the node answers again."""

    @property
    def is_event(self) -> bool:
        """Nothing is left to be healed."""
        return True

    def fault(self, lab: RunningLab, made: NodePlan) -> Fault:
        """The fault that was planned, not begun."""
        return Restart(lab, made)


class Restart(Fault):
    """A node that was restarted."""

    plan: NodePlan

    @property
    def active(self) -> bool:
        """No: it is over when it has been injected."""
        return False

    def begin(self) -> None:
        """Restart the node, and see that a new life has begun in which it answers."""
        kind, node = self.plan.kind, running(self._lab, self.plan.node)
        self.before, life = observe(self._lab, self.plan.node), node.life
        guard, start = Guard(self._lab.name, "revive", node.name, _AT_MOST), time.monotonic()
        try:
            kind.does(node)
            took = time.monotonic() - start
        finally:
            node.heal()
            guard.dismiss()
        self.after = observe(self._lab, self.plan.node)
        answers = self.after is None or self.after.answered > 0
        got = f"{'answers' if answers else 'runs'} again after {took:.2f} s"
        self.verdict = Verdict("a new life", got, bites=answers and node.life not in ("", life))
        if not self.verdict.bites:
            raise NoEffect(f"{kind.name} of {node.name} has no effect: asked for {self.asked}, got {got}")

    def heal(self) -> None:
        """There is nothing to heal."""


FAULT = RestartKind(
    name="restart",
    summary="The program is stopped and started; what it had in memory, a cache for one, is gone. Over at once.",
    does=lambda node: node.restart(),
    words=lambda _values: "is restarted; what its program had in memory is gone",
    state="running",
    example="restart resolver-1",
)
