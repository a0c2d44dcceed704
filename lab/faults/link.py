"""Faults on links: a rule in a node's conditioner, measured by probe queries and by the rule's counters."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from lab.agent.conditions import Direction, Rule, State
from lab.agent.protocol import Transport
from lab.errors import BadInput, NoEffect
from lab.faults.fault import Fault
from lab.faults.kind import Kind, Verdict
from lab.faults.measuring import Evidence, Observation, Pair, checksum_errors, observe, pair, pairs
from lab.faults.plan import DIRECTIONS, OPTIONS, TRANSPORTS, Options, Plan
from lab.faults.several import together
from lab.faults.values import Values, show_time
from lab.topology import links

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.topology.model import Node

_HEALTHY_PROBES = 5
_HEALTHY_PATIENCE = 0.5  # seconds
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class RuleKind(Kind):
    """A fault that the conditioner of a node does; `effect` raises nothing but `BadInput`."""

    effect: Callable[[Values], Mapping[str, Any]]  # what the conditioner is told: see lab.agent.effects and rewrites
    words: Callable[[Values], str]  # what happens to a packet or message: "comes 80 ms later"
    direction: Literal["in", "out", "both"] = "in"  # when none is asked for

    @property
    def level(self) -> str:
        """The packets of a link."""
        return "link"

    @property
    def options(self) -> Sequence[str]:
        """All of them."""
        return OPTIONS


@dataclass(frozen=True, kw_only=True)
class LinkKind(RuleKind):
    """A fault on the packets of a link; `judge` raises nothing but `BadInput`."""

    judge: Callable[[Values, Evidence], Verdict]
    probes: Callable[[Values], int] = lambda _values: 5  # queries that show whether it bites
    patience: Callable[[Values], float] = lambda _values: 0.5  # seconds to wait for their answers
    padding: Callable[[Values], int] | None = None  # octets that the queries are made larger by, if that matters
    checksums: bool = False  # whether the receiver is asked for the wrong ones it has met
    every_peer: bool = False  # measured to each peer, not to one

    @property
    def level(self) -> str:
        """The packets of a link."""
        return "link"

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """A rule at each of the nodes. Raises `BadInput` when parameters contradict each other."""
        self.effect(values)  # tells contradictions before anything is done
        return together([LinkPlan(self, node, values, options) for node in nodes])


class LinkPlan(Plan):
    """A fault on the links of one node. Raises `BadInput` when the node is its own peer."""

    kind: RuleKind

    def __init__(self, kind: RuleKind, node: Node, values: Values, options: Options) -> None:
        if node in options.to:
            raise BadInput(f"a link has two ends: {node.name} is not its own peer")
        self.kind, self.nodes, self.values, self.options = kind, (node,), values, options
        self.direction = options.direction or kind.direction

    @property
    def node(self) -> Node:
        """The node whose links they are."""
        return self.nodes[0]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions, seen from the node."""
        return DIRECTIONS[self.direction]

    @property
    def transports(self) -> tuple[Transport, ...]:
        """The transports."""
        return TRANSPORTS[self.options.transport]

    def does(self) -> str:
        """What would happen to which packets."""
        return self.does_at(self.node.name)

    def does_at(self, who: str) -> str:
        """What would happen to which packets, with other words for the node."""
        peers = " or ".join(peer.name for peer in self.options.to) or "anybody"
        ways = {
            "in": f"that arrives at {who} from {peers}",
            "out": f"that {who} sends to {peers}",
            "both": f"between {who} and {peers}, either way,",
        }
        protocol = "UDP and TCP" if self.options.transport == "both" else self.options.transport.upper()
        return f"Every {protocol} packet {ways[self.direction]} {self.kind.words(self.values)}"

    def details(self) -> dict[str, Any]:
        """Peers, direction, transport and seed."""
        return {
            "to": [peer.name for peer in self.options.to],
            "direction": self.direction,
            "transport": self.options.transport,
            "seed": self.options.seed,
        }

    def rule(self) -> Rule:
        """What the conditioner is told."""
        # Two faults with one seed are not to lose the same packets in step.
        what = f"{self.node.name} {self.kind.name} {self.direction} {self.options.transport}"
        return Rule(
            f"{self.kind.name}-{os.getpid()}-{next(_numbers)}",
            self.kind.effect(self.values),
            self.directions,
            self.transports,
            tuple(address for peer in self.options.to for address in peer.addresses),
            crc32(f"{self.options.seed} {what}".encode()),
            self.options.lasts,
            self.about(),
        )

    def prepare(self, lab: RunningLab) -> None:
        """Start the conditioner of the node."""
        lab.links.prepare(self.node.name)

    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""
        return LinkFault(lab, self)


class LinkFault(Fault):
    """A fault on the links of one node."""

    plan: LinkPlan

    def __init__(self, lab: RunningLab, made: LinkPlan) -> None:
        super().__init__(lab, made)
        self._node = made.node.name
        self._rule = made.rule()
        self._last: State | None = None

    @property
    def active(self) -> bool:
        """Whether the rule is in force, or will be when the node runs again."""
        return self._last is None and self._lab.links.lives(self._node, self._rule.id)

    @property
    def state(self) -> State | None:
        """The rule with its counters, also after healing; None when the node is stopped, or the rule ended by itself.

        Counted from after the measurement, and from anew when the node was restarted.
        """
        return self._last or self._lab.links.state(self._node, self._rule.id)

    @property
    def states(self) -> Mapping[str, State]:
        """`state` by node; empty while there is none."""
        state = self.state
        return {self._node: state} if state else {}

    def begin(self) -> None:
        """Measure, put the rule in force, measure again."""
        made, kind, node = self.plan, self.plan.kind, self._node
        assert isinstance(kind, LinkKind)
        transport: Transport = made.transports[0]
        ends = self._ends(kind)
        receivers = {end.name for found in ends for end in (found.asker, found.answerer)} if kind.checksums else set()
        padding = kind.padding(made.values) if kind.padding else 0
        slow = links.patience(self._lab.topology, [node])
        declared = links.least_delay(self._lab.topology, ends[0].asker.name, ends[0].answerer.name)
        declared *= 2 if transport == "tcp" else 1  # there is a round trip for the handshake

        def observed(count: int, patience: float) -> Observation:
            return observe(self._lab, ends, count, transport, patience + slow, padding)

        self.before = observed(1 if kind.every_peer else _HEALTHY_PROBES, _HEALTHY_PATIENCE)
        errors = checksum_errors(self._lab, receivers)
        self._lab.links.add(node, self._rule)
        self.after = observed(kind.probes(made.values), kind.patience(made.values))
        errors = checksum_errors(self._lab, receivers) - errors
        state = self._lab.links.state(node, self._rule.id)
        if state is None:
            over = not self._lab.links.lives(node, self._rule.id)
            why = f"its {show_time(self._rule.lasts)} were over" if over else f"{node} has stopped"
            raise NoEffect(f"{kind.name} at {node} ended while it was measured: {why}")
        crossings = len(made.directions) * (2 if transport == "tcp" else 1)
        evidence = Evidence(self.before, self.after, state, crossings, declared, errors, transport)
        self.verdict = kind.judge(made.values, evidence)
        if not self.verdict.bites:
            asked = f"{ends[0].asker.name} asked {ends[0].answerer.name} over {transport}"
            raise NoEffect(
                f"{kind.name} at {node} has no effect: asked for {self.asked}, got {self.got} ({asked}; "
                f"before: {self.before}); is another fault in the way? `dnslab faults` lists them"
            )
        # What follows is to depend on the seed alone, not on how many packets the probes took; and its time begins now.
        self._lab.links.restart(node, self._rule.id)

    def _ends(self, kind: LinkKind) -> list[Pair]:
        """Who asks whom, to measure it."""
        made, topology = self.plan, self._lab.topology
        if kind.every_peer:
            return pairs(made.node, made.options.to)
        query_tells = kind.padding is not None
        return [pair(topology, made.node, made.options.to, made.directions, query_tells=query_tells, any_answer=True)]

    def heal(self) -> None:
        """Take the rule out; what it had done stays in `state`."""
        if self._last is None:
            self._last = self._lab.links.remove(self._node, self._rule.id)
