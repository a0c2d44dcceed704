"""One fault at several nodes at once: injected, measured and healed at each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.faults.fault import Fault, Seen
from lab.faults.kind import Verdict
from lab.faults.measuring import Observation
from lab.faults.plan import Plan
from lab.runtime.parallel import each

if TYPE_CHECKING:
    from lab.agent.conditions import State
    from lab.runtime.lab import RunningLab


def together(plans: Sequence[Plan]) -> Plan:
    """Plans of one kind as one."""
    return plans[0] if len(plans) == 1 else SeveralPlan(plans)


class SeveralPlan(Plan):
    """The same at several nodes."""

    def __init__(self, parts: Sequence[Plan]) -> None:
        self.parts = tuple(parts)
        self.kind, self.values, self.options = parts[0].kind, parts[0].values, parts[0].options
        self.nodes = tuple(node for part in parts for node in part.nodes)

    def does(self) -> str:
        """What would be done, in words."""
        any_of = f"any of {', '.join(node.name for node in self.nodes)}"
        alike = {part.does_at(any_of) for part in self.parts}
        return alike.pop() if len(alike) == 1 else "; ".join(part.does() for part in self.parts)

    def details(self) -> dict[str, Any]:
        """The options of each of them."""
        return self.parts[0].details()

    def prepare(self, lab: RunningLab) -> None:
        """Start what it works with, at all nodes at once."""
        each(lambda part: part.prepare(lab), self.parts)

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return SeveralFault(lab, self)


class SeveralFault(Fault):
    """A fault at several nodes; it bites when it bites at each."""

    def __init__(self, lab: RunningLab, made: SeveralPlan) -> None:
        super().__init__(lab, made)
        self.parts = tuple(part.fault(lab) for part in made.parts)

    @property
    def active(self) -> bool:
        """Whether it is active anywhere."""
        return any(part.active for part in self.parts)

    @property
    def states(self) -> Mapping[str, State]:
        """The counters of all its rules on links, by node."""
        return {node: state for part in self.parts for node, state in part.states.items()}

    def begin(self) -> None:
        """Inject and measure at all nodes at once."""
        each(lambda part: part.begin(), self.parts)
        nodes = [part.plan.nodes[0].name for part in self.parts]
        got = "; ".join(f"{node}: {part.got}" for node, part in zip(nodes, self.parts, strict=True))
        self.verdict = Verdict(self.parts[0].asked, got, all(part.verdict.bites for part in self.parts))
        self.before = _sum([part.before for part in self.parts])
        self.after = _sum([part.after for part in self.parts])

    def heal(self) -> None:
        """Undo it everywhere; what went wrong at one node is told when the others are healed."""
        problems = [problem for problem in each(_healed, self.parts) if problem is not None]
        if problems:
            raise problems[0]


def _sum(seen: Sequence[Seen | None]) -> Observation | None:
    return Observation.sum([one for one in seen if isinstance(one, Observation)])


def _healed(fault: Fault) -> LabError | None:
    try:
        fault.heal()
    except LabError as error:
        return error
    return None
