"""Faults on links: a rule in a node's conditioner, measured by probe queries and by the rule's counters."""

from __future__ import annotations

from lab.agent.conditions import State
from lab.agent.protocol import Transport
from lab.errors import NoEffect
from lab.faults.fault import Fault, Plan
from lab.faults.kind import Evidence, LinkKind
from lab.faults.measuring import pair, probe, probing
from lab.runtime.lab import RunningLab

_HEALTHY_PROBES = 5
_HEALTHY_PATIENCE = 0.5  # seconds


class LinkFault(Fault):
    """A fault on the links of one node."""

    def __init__(self, lab: RunningLab, made: Plan) -> None:
        super().__init__(lab, made)
        self._rule = made.rule()
        self._last: State | None = None

    @property
    def active(self) -> bool:
        """Whether the rule is in force, or will be when the node runs again."""
        return self._last is None and self._lab.links.lives(self.plan.node.name, self._rule.id)

    @property
    def state(self) -> State | None:
        """The rule with its counters, also after healing; None when the node is stopped, or the rule ended by itself.

        Counted from after the measurement, and from anew when the node was restarted.
        """
        return self._last or self._lab.links.state(self.plan.node.name, self._rule.id)

    def begin(self) -> None:
        """Measure, put the rule in force, measure again."""
        made, node = self.plan, self.plan.node
        assert isinstance(made.kind, LinkKind)
        transport: Transport = made.transports[0]
        ends = pair(self._lab, node, made.peers, made.directions)
        with probing(self._lab, ends.asker) as prober:
            self.before = probe(prober, ends.answerer, _HEALTHY_PROBES, transport, _HEALTHY_PATIENCE)
            self._lab.links.add(node.name, self._rule)
            patience = made.kind.patience(made.values)
            self.after = probe(prober, ends.answerer, made.kind.probes(made.values), transport, patience)
        state = self._lab.links.state(node.name, self._rule.id)
        if state is None:
            raise NoEffect(f"{made.kind.name} at {node.name} ended while it was measured: {node.name} has stopped")
        crossings = len(made.directions) * (2 if transport == "tcp" else 1)
        self.verdict = made.kind.judge(made.values, Evidence(self.before, self.after, state, crossings))
        if not self.verdict.bites:
            asked = f"{ends.asker.name} asked {ends.answerer.name} over {transport}"
            raise NoEffect(
                f"{made.kind.name} at {node.name} has no effect: asked for {self.asked}, got {self.got} ({asked}; "
                f"before: {self.before}); is another fault in the way? `dnslab faults` lists them"
            )
        # What follows is to depend on the seed alone, and not on how many packets the probes took.
        self._lab.links.restart(node.name, self._rule.id)

    def heal(self) -> None:
        """Take the rule out; what it had done stays in `state`."""
        if self._last is None:
            self._last = self._lab.links.remove(self.plan.node.name, self._rule.id)
