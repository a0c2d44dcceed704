"""rate: a slow link with a queue in front of it; what finds the queue full is dropped."""

from __future__ import annotations

from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence
from lab.faults.values import Parameter, Values, rate, show_rate, size

_QUERY = 45 * 8  # bits of the smallest probe: IPv4 and UDP headers, a DNS header and the question of the root


def _judge(values: Values, evidence: Evidence) -> Verdict:
    after, least = evidence.after, evidence.crossings * _QUERY / values["rate"]
    got = f"{evidence.state.acted} of {evidence.state.matched} packets queued; {after}"
    bites = evidence.state.acted > 0 and (after.least is None or after.least - evidence.declared >= 0.9 * least)
    return Verdict(show_rate(values["rate"]), got, bites)


FAULT = LinkKind(
    name="rate",
    summary="A slow link with a queue in front of it; what finds the queue full is dropped.",
    parameters=(
        Parameter("rate", "of the link, IP packets", "bits a second: 1kbit to 1gbit", rate(1e3, 1e9)),
        Parameter("queue", "that packets wait in", "octets: 0B to 10MB", size(0, 1e7), 64e3),
    ),
    effect=lambda values: {"kind": "rate", "rate": values["rate"], "queue": values["queue"]},
    words=lambda values: (
        f"goes over a link of {show_rate(values['rate'])}/s behind a queue of {values['queue']:g} octets"
    ),
    judge=_judge,
    example="rate gtld-1 --param rate=64kbit",
    patience=lambda values: 1.0 + 5 * 1500 * 8 / values["rate"],
)
