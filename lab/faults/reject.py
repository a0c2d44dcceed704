"""reject: every packet is refused aloud: ICMP port unreachable for UDP, a reset for TCP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import BadInput
from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence, pair
from lab.faults.plan import DIRECTIONS
from lab.faults.values import Values

if TYPE_CHECKING:
    from lab.faults.plan import Options, Plan
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, kw_only=True)
class RejectKind(LinkKind):
    """A fault that who asks is told of, and so one that queries have to meet."""

    def at(self, topology: Topology, target: str | Sequence[str], values: Values, options: Options) -> Plan:
        """A rule at each of the nodes. Raises `BadInput` when it would meet nothing but answers."""
        made = super().at(topology, target, values, options)
        for node in made.nodes:
            self._must_meet_queries(topology, node, options)
        return made

    def _must_meet_queries(self, topology: Topology, node: Node, options: Options) -> None:
        """A server whose answer is refused does not care, and who waits for it sees silence."""
        direction = options.direction or self.direction
        ends = pair(topology, node, options.to, DIRECTIONS[direction], any_answer=True)
        if direction == "in" and ends.asker is node:
            raise BadInput(
                f"{self.name}: what {node.name} is sent by {ends.answerer.name} are answers, and nobody notices that"
                f" one is refused; say `direction` out or both, and the queries of {node.name} are"
            )
        if direction == "out" and ends.answerer is node:
            raise BadInput(
                f"{self.name}: what {node.name} sends to {ends.asker.name} are answers, and nobody notices that"
                f" one is refused; say `direction` in or both, or with `to` a server that {node.name} asks"
            )


def _judge(_values: Values, evidence: Evidence) -> Verdict:
    state = evidence.state
    got = f"{state.acted} of {state.matched} packets refused; {evidence.after}"
    # Linux sends a host one ICMP error a second (icmp_ratelimit): where others are refused too, they may have had it.
    # Over TCP more packets than probes are no others: who is not told sends its SYN again.
    others = evidence.transport == "udp" and state.matched > evidence.after.asked
    told = evidence.after.refused > 0 or others
    bites = state.matched == state.acted > 0 and not evidence.after.answered and told
    return Verdict("all refused", got, bites)


FAULT = RejectKind(
    name="reject",
    summary="Every packet is refused aloud: ICMP port unreachable for UDP, a reset for TCP.",
    parameters=(),
    effect=lambda _values: {"kind": "reject"},
    words=lambda _values: "is refused: ICMP port unreachable for UDP, a reset for TCP",
    judge=_judge,
    example="reject gtld-1 --transport tcp",
    probes=lambda _values: 3,
)
