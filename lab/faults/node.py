"""Faults of whole nodes: thin over the verbs of NodeHandle, with a guard that outlives this process."""

from __future__ import annotations

from lab.errors import NoEffect
from lab.faults.fault import Fault, Plan
from lab.faults.guard import Guard
from lab.faults.kind import NodeKind, Observation, Verdict
from lab.faults.measuring import pair, probe, probing
from lab.runtime.lab import RunningLab
from lab.topology.model import Role

_PROBES = 3
_PATIENCE = 0.3  # seconds


class NodeFault(Fault):
    """A node that is stopped, killed or paused."""

    def __init__(self, lab: RunningLab, made: Plan) -> None:
        super().__init__(lab, made)
        self._guard: Guard | None = None

    @property
    def active(self) -> bool:
        """Whether the node is still in the state the fault left it in."""
        assert isinstance(self.plan.kind, NodeKind)
        return self._guard is not None and self._lab.node(self.plan.node.name).state == self.plan.kind.state

    def begin(self) -> None:
        """Ask the node, break it, ask again."""
        kind, node = self.plan.kind, self._lab.node(self.plan.node.name)
        assert isinstance(kind, NodeKind)
        if (state := node.state) != "running":
            raise NoEffect(f"{node.name} is {state} already; `dnslab start {node.name}` starts it")
        self.before = self._observe()
        self._guard = Guard(self._lab.name, node.name, self.plan.lasts)
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
        ends = pair(self._lab, self.plan.node, (), ("in",))
        with probing(self._lab, ends.asker) as prober:
            return probe(prober, ends.answerer, _PROBES, "udp", _PATIENCE)
