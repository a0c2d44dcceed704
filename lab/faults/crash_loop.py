"""crash-loop: a node's program is killed and started again, over and over, as a supervisor does with a broken one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity

from lab.errors import NoEffect
from lab.faults.fault import Fault
from lab.faults.guard import Task
from lab.faults.kind import Verdict
from lab.faults.node import NodeKind, NodePlan, observe, running
from lab.faults.values import Parameter, show_time
from lab.faults.values import time as time_value
from lab.faults.written import WrittenFault, WrittenKind
from lab.runtime import ledger

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.runtime.ledger import Entry

_FIRST = 30.0  # seconds until the first crash is over, on a busy machine


@dataclass(frozen=True, kw_only=True)
class CrashLoopKind(NodeKind, WrittenKind):
    """A node that crashes again and again; its guard does it."""

    def fault(self, lab: RunningLab, made: NodePlan) -> Fault:
        """The fault that was planned, not begun."""
        return CrashLoop(lab, made)

    def undo(self, lab: RunningLab, entry: Entry) -> None:
        """See that the node runs and answers; its guard finds no entry any more and ends."""
        for node in entry.nodes:
            if node in lab.nodes and not lab.nodes[node].heal():
                lab.nodes[node].wait()  # it may have been started a moment ago


class CrashLoop(WrittenFault):
    """A node that crashes again and again; `crashes` says how often so far."""

    plan: NodePlan
    task: Task = "crash"

    @property
    def crashes(self) -> int:
        """Crashes so far, that the guard has told."""
        return self.guard.crashes if self.guard is not None else 0

    def begin(self) -> None:
        """Let the guard begin, and see the first crash."""
        made, kind, node = self.plan, self.plan.kind, running(self._lab, self.plan.node)
        self.before, life, period = observe(self._lab, made.node), node.life, float(made.values["period"])
        start = time.monotonic()
        with self._lab.ledger.held():
            entry = ledger.entry(kind.name, (node.name,), made.describe(), {}, made.lasts, state="exited")
            self.write(entry, every=period)
        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda crashed: not crashed),
            wait=tenacity.wait_fixed(0.02),
            stop=tenacity.stop_after_delay(_FIRST),
            retry_error_callback=lambda _state: False,
        )
        came_back = waiting(lambda: self.crashes > 0 and node.life not in ("", life))
        took = time.monotonic() - start
        got = f"crashed and started again in the first {took:.1f} s" if came_back else f"{self.crashes} crashes"
        self.verdict = Verdict(f"a crash {show_time(period)} after each start", got, bites=came_back)
        if not self.verdict.bites:
            raise NoEffect(f"{kind.name} of {node.name} has no effect: asked for {self.asked}, got {got}")


def crasher(lab: str, id: str) -> Callable[[], bool]:
    """For the guard: crash the node of an entry and print a line; False when the entry is gone."""
    from lab.faults.guard import heal
    from lab.runtime.containers import crash
    from lab.runtime.engine import connect
    from lab.runtime.ledger import Ledger

    api = connect().api
    there = Ledger(api, lab)

    def act() -> bool:
        with there.held():
            found = next((entry for entry in there.entries() if entry.id == id), None)
            if found is None:
                return False
            [node] = found.nodes
            if crash(api, lab, node):
                heal(lab, node)
                print("crashed", flush=True)  # noqa: T201 - to the owner
        return True

    return act


FAULT = CrashLoopKind(
    name="crash-loop",
    summary="The program is killed (SIGKILL) and started again, over and over, as a supervisor does.",
    parameters=(
        Parameter("period", "from a start to the next crash", "time: 0.5s to 1h", time_value(0.5, 3600.0), 5.0),
    ),
    does=lambda node: node.kill(),
    words=lambda values: f"crashes {show_time(values['period'])} after each start and is started again at once",
    state="running",
    example="crash-loop gtld-1 --param period=3s",
)
