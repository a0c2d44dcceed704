"""oversize: packets above a size vanish, as behind a firewall that lets no fragments or no large DNS messages pass."""

from __future__ import annotations

from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence
from lab.faults.values import Parameter, Values, size


def _judge(values: Values, evidence: Evidence) -> Verdict:
    state, after = evidence.state, evidence.after
    got = f"{state.acted} packets of more than that lost; {after}"
    bites = state.acted >= after.asked and not after.answered
    return Verdict(f"lost above {values['above']:g} octets", got, bites)


FAULT = LinkKind(
    name="oversize",
    summary="Packets above a size vanish, as where no fragments or no large DNS messages get through.",
    parameters=(
        Parameter(
            "above",
            "octets of the IP packet; a DNS message over UDP has 28 less (IPv6: 48)",
            "octets: 68B to 32kB",
            size(68, 32e3),
        ),
    ),
    effect=lambda values: {"kind": "oversize", "above": values["above"]},
    words=lambda values: f"is lost if it has more than {values['above']:g} octets",
    judge=_judge,
    example="oversize gtld-1 --param above=512B",
    probes=lambda _values: 3,
    patience=lambda _values: 0.2,
    direction="out",
    padding=lambda values: int(values["above"]),
)
