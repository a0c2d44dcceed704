"""Faults of whole nodes: thin over the verbs of NodeHandle, with a guard that outlives this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import NoEffect
from lab.faults.fault import Fault
from lab.faults.guard import Guard
from lab.faults.kind import Kind, Verdict
from lab.faults.measuring import Observation, pair, probe, probing
from lab.faults.plan import Options, Plan
from lab.faults.several import together
from lab.faults.values import Values
from lab.topology import links
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.runtime.node import NodeHandle
    from lab.topology.model import Node

_PROBES = 3
_PATIENCE = 0.3  # seconds


@dataclass(frozen=True, kw_only=True)
class NodeKind(Kind):
    """A fault of a whole node."""

    does: Callable[[NodeHandle], object]  # what is done to the node
    words: Callable[[Values], str]  # what happens to it: "is frozen"
    state: str  # that the node is in afterwards, as NodeHandle says
    lasts: Callable[[Values], float] = lambda _values: math.inf  # seconds after which it ends by its nature
    asked: Callable[[Values], str] | None = None  # in words, where that is more than the state

    @property
    def level(self) -> str:
        """A whole node."""
        return "node"

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """The same at each of the nodes."""
        return together([NodePlan(self, node, values, options) for node in nodes])

    def fault(self, lab: RunningLab, made: NodePlan) -> Fault:
        """The fault that was planned, not begun."""
        return NodeFault(lab, made)


class NodePlan(Plan):
    """A fault of one node."""

    kind: NodeKind

    def __init__(self, kind: NodeKind, node: Node, values: Values, options: Options) -> None:
        self.kind, self.nodes, self.values, self.options = kind, (node,), values, options

    @property
    def node(self) -> Node:
        """The node."""
        return self.nodes[0]

    @property
    def lasts(self) -> float:
        """Seconds after which it heals by itself."""
        return min(self.options.lasts, self.kind.lasts(self.values))

    def does(self) -> str:
        """What would happen to it."""
        return f"{self.node.name} {self.kind.words(self.values)}"

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return self.kind.fault(lab, self)


class NodeFault(Fault):
    """A node that something is done to, which leaves it in a state that can be seen."""

    plan: NodePlan

    def __init__(self, lab: RunningLab, made: NodePlan) -> None:
        super().__init__(lab, made)
        self._guard: Guard | None = None

    @property
    def active(self) -> bool:
        """Whether the node is still in the state the fault left it in."""
        return self._guard is not None and self._lab.node(self.plan.node.name).state == self.plan.kind.state

    def begin(self) -> None:
        """Ask the node, break it, ask again."""
        kind, node = self.plan.kind, running(self._lab, self.plan.node)
        self.before = observe(self._lab, self.plan.node)
        self._guard = Guard(self._lab.name, "revive", node.name, self.plan.lasts)
        kind.does(node)
        if self.plan.lasts < self.plan.options.lasts:  # counted from when it was done, not from before
            first, self._guard = self._guard, Guard(self._lab.name, "revive", node.name, self.plan.lasts)
            first.dismiss()
        state = node.state  # before it may have ended by its nature
        self.after = observe(self._lab, self.plan.node)
        silent = self.after is None or self.after.answered == 0
        got = state if self.after is None else f"{state}; {self.after}"
        asked = kind.state if kind.asked is None else kind.asked(self.plan.values)
        self.verdict = Verdict(asked, got, bites=state == kind.state and silent)
        if not self.verdict.bites:
            raise NoEffect(f"{kind.name} of {node.name} has no effect: asked for {asked}, got {got}")

    def heal(self) -> None:
        """Let the node run, and wait until it answers."""
        if self._guard is not None:
            self._lab.node(self.plan.node.name).heal()
            self._guard.dismiss()
            self._guard = None


def running(lab: RunningLab, node: Node) -> NodeHandle:
    """The node, which runs. Raises `NoEffect` when something has been done to it before."""
    handle = lab.node(node.name)
    if (state := handle.state) != "running":
        raise NoEffect(f"{node.name} is {state} already; `dnslab start {node.name}` starts it")
    return handle


def observe(lab: RunningLab, node: Node) -> Observation | None:
    """What a host sees of the node; None of a host, which nobody can ask."""
    if node.role is Role.HOST:
        return None
    ends = pair(lab.topology, node, (), ("in",))
    with probing(lab, ends.asker) as prober:
        slow = links.patience(lab.topology, [ends.answerer.name])
        return probe(prober, ends.answerer, _PROBES, "udp", _PATIENCE + slow)
