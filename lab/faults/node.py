"""Faults of whole nodes: thin over the verbs of NodeHandle, with a guard that outlives this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    from lab.topology.model import Node

_PROBES = 3
_PATIENCE = 0.3  # seconds


@dataclass(frozen=True, kw_only=True)
class NodeKind(Kind):
    """A fault of a whole node."""

    verb: Literal["stop", "kill", "pause"]  # of NodeHandle
    words: str  # what happens to the node: "is frozen"
    state: str  # that the node is in afterwards, as NodeHandle says

    @property
    def level(self) -> str:
        """A whole node."""
        return "node"

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """The same at each of the nodes."""
        return together([NodePlan(self, node, values, options) for node in nodes])


class NodePlan(Plan):
    """A fault of one node."""

    kind: NodeKind

    def __init__(self, kind: NodeKind, node: Node, values: Values, options: Options) -> None:
        self.kind, self.nodes, self.values, self.options = kind, (node,), values, options

    @property
    def node(self) -> Node:
        """The node."""
        return self.nodes[0]

    def does(self) -> str:
        """What would happen to it."""
        return f"{self.node.name} {self.kind.words}"

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return NodeFault(lab, self)


class NodeFault(Fault):
    """A node that is stopped, killed or paused."""

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
        kind, node = self.plan.kind, self._lab.node(self.plan.node.name)
        if (state := node.state) != "running":
            raise NoEffect(f"{node.name} is {state} already; `dnslab start {node.name}` starts it")
        self.before = self._observe()
        self._guard = Guard(self._lab.name, node.name, self.plan.options.lasts)
        getattr(node, kind.verb)()
        self.after, state = self._observe(), node.state
        silent = self.after is None or self.after.answered == 0
        got = state if self.after is None else f"{state}; {self.after}"
        self.verdict = Verdict(kind.state, got, bites=state == kind.state and silent)
        if not self.verdict.bites:
            raise NoEffect(f"{kind.name} of {node.name} has no effect: asked for {kind.state}, got {got}")

    def heal(self) -> None:
        """Let the node run, and wait until it answers."""
        if self._guard is not None:
            self._lab.node(self.plan.node.name).heal()
            self._guard.dismiss()
            self._guard = None

    def _observe(self) -> Observation | None:
        """What a host sees of the node; None of a host, which nobody can ask."""
        if self.plan.node.role is Role.HOST:
            return None
        ends = pair(self._lab.topology, self.plan.node, (), ("in",))
        with probing(self._lab, ends.asker) as prober:
            slow = links.patience(self._lab.topology, [ends.answerer.name])
            return probe(prober, ends.answerer, _PROBES, "udp", _PATIENCE + slow)
