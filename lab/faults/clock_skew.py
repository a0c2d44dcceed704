"""clock-skew: the wall clock of a node is not that of the others; its timers stay right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lab.errors import BadInput, EnvironmentProblem, NoEffect
from lab.faults.fault import Fault
from lab.faults.guard import Guard
from lab.faults.kind import Verdict
from lab.faults.plan import Options, Plan
from lab.faults.several import together
from lab.faults.values import Parameter, Values, show_time, time
from lab.faults.written import WrittenFault, WrittenKind
from lab.runtime import ledger
from lab.runtime.clock import SKEW
from lab.software import program as software

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.runtime.ledger import Entry
    from lab.topology.model import Node

_MOST = 365 * 86400.0  # seconds
_RESTARTS = 60.0  # seconds at the most
_NOW = "date +%s.%N"


@dataclass(frozen=True)
class Off:
    """How far a node's program is off the machine's time; it was read between two looks at the latter, seconds."""

    least: float
    most: float

    def to_json(self) -> dict[str, float]:
        """The bounds, seconds."""
        return {"least_s": round(self.least, 3), "most_s": round(self.most, 3)}

    def __str__(self) -> str:
        middle = (self.least + self.most) / 2
        return f"{middle:+.3f} s off the machine's clock"


@dataclass(frozen=True, kw_only=True)
class ClockKind(WrittenKind):
    """A fault of a clock."""

    @property
    def level(self) -> str:
        """A clock."""
        return "clock"

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """The same at each of the nodes. Raises `BadInput` when one of them is not on the lab's clock."""
        for node in nodes:
            if node.program is None:
                raise BadInput(f"{self.name}: {node.name} is a {node.role.value} and runs no server program")
            if not node.on_lab_clock:
                raise BadInput(
                    f"{self.name}: {node.name} is on the clock of the machine, which is never moved; write"
                    f" `{{program: {node.program}, clock: lab}}` for it in the lab file"
                )
        return together([ClockPlan(self, node, values, options) for node in nodes])

    def undo(self, lab: RunningLab, entry: Entry) -> None:
        """Move the clocks back by as much, whatever else has moved them meanwhile."""
        [node] = entry.nodes
        if node in lab.nodes and lab.nodes[node].node.on_lab_clock:
            # Struck as soon as the clock is right: who came after a death in between would move it a second time.
            move(lab, node, -entry.data[SKEW], lambda: lab.ledger.strike(entry.id))


class ClockPlan(Plan):
    """A skew of one node's clock."""

    kind: ClockKind

    def __init__(self, kind: ClockKind, node: Node, values: Values, options: Options) -> None:
        self.kind, self.nodes, self.values, self.options = kind, (node,), values, options

    @property
    def step(self) -> float:
        """Seconds ahead of the others; behind them if negative."""
        return float(self.values["by"])

    def does(self) -> str:
        """What would be done, and what healing does: one of the two restarts the node."""
        node, much = self.nodes[0].name, show_time(abs(self.step))
        if self.step > 0:
            healing = "healing puts it back and restarts the node, as time never goes back on a running program"
            return f"The wall clock of {node} jumps {much} ahead of the lab's; {healing}"
        why = "time never goes back on a running program"
        return f"{node} is restarted with its wall clock {much} behind the lab's, as {why}; healing needs no restart"

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return ClockFault(lab, self)


class ClockFault(WrittenFault):
    """A node whose wall clock is skewed."""

    plan: ClockPlan

    def begin(self) -> None:
        """Read the node's clock as its program does, move it, read it again."""
        made, lab = self.plan, self._lab
        node = made.nodes[0].name
        if (state := lab.nodes[node].state) != "running":
            raise EnvironmentProblem(f"{node} is {state}: its clock can be read only while it runs")
        with lab.ledger.held():
            before = self.before = read(lab, node)
            entry = ledger.entry(made.kind.name, (node,), made.describe(), {SKEW: made.step}, made.lasts)
            self.write(entry)
            move(lab, node, made.step)
            after = self.after = read(lab, node)
        least, most = after.least - before.most, after.most - before.least
        got = f"{(least + most) / 2:+.3f} s: {before} before, {after} now"
        self.verdict = Verdict(f"{made.step:+g} s", got, bites=least <= made.step <= most)
        if not self.verdict.bites:
            raise NoEffect(f"{made.kind.name} of {node} has no effect: asked for {self.asked}, got {got}")


def move(lab: RunningLab, node: str, step: float, moved: Callable[[], None] = lambda: None) -> None:
    """Move a node's clock by `step` seconds; if that is backward its program is stopped for it, if it runs."""
    handle, by = lab.nodes[node], timedelta(seconds=step)
    if step > 0 or handle.state not in ("running", "paused"):
        lab.clock.skew(node, by)
        moved()
        return
    guard = Guard(lab.name, "revive", node, _RESTARTS)
    try:
        handle.stop()
        lab.clock.skew(node, by)
        moved()
    finally:
        handle.start()
        guard.dismiss()


def read(lab: RunningLab, node: str) -> Off:
    """How far a node's program is off, by a program that is on the same clock beside it."""
    handle = lab.nodes[node]
    handle.close()  # the shell may be one of a former life of the node
    line = f"{_NOW}; ({software.on_its_clock(handle.node, _NOW)}); {_NOW}"
    first, own, last = (float(text) for text in handle.run(line).split())
    return Off(own - last, own - first)


def _step(value: Any) -> float:
    said = str(value.total_seconds()) + "s" if isinstance(value, timedelta) else str(value).strip()
    size = time(0.001, _MOST)(said.lstrip("+-"))
    return -size if said.startswith("-") else size


FAULT = ClockKind(
    name="clock-skew",
    summary="The wall clock of a node jumps ahead of the others, or falls behind them; its timers stay right.",
    parameters=(Parameter("by", "how far; behind with a minus", "time with a sign: up to 8760h", _step),),
    example="clock-skew resolver-1 --param by=+10m",
)
