"""reject: every packet is refused aloud: ICMP port unreachable for UDP, a reset for TCP."""

from __future__ import annotations

from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence
from lab.faults.values import Values


def _judge(_values: Values, evidence: Evidence) -> Verdict:
    state = evidence.state
    got = f"{state.acted} of {state.matched} packets refused; {evidence.after}"
    bites = state.matched == state.acted > 0 and not evidence.after.answered and evidence.after.refused > 0
    return Verdict("all refused", got, bites)


FAULT = LinkKind(
    name="reject",
    summary="Every packet is refused aloud: ICMP port unreachable for UDP, a reset for TCP.",
    parameters=(),
    effect=lambda _values: {"kind": "reject"},
    words=lambda _values: "is refused: ICMP port unreachable for UDP, a reset for TCP",
    judge=_judge,
    example="reject gtld-1 --transport tcp",
    probes=lambda _values: 3,
)
