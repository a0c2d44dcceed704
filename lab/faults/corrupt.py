"""corrupt: bits of a share of the packets are flipped; the receiver's checksum finds that out and drops them."""

from __future__ import annotations

from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence, judge_share, probes_for_share
from lab.faults.values import Parameter, Values, share, show_share, whole


def _judge(values: Values, evidence: Evidence) -> Verdict:
    verdict, errors = judge_share(evidence, values["share"], "damaged"), evidence.checksum_errors
    seen = errors > 0 or evidence.state.acted == 0
    return Verdict(verdict.asked, f"{verdict.got}; {errors} wrong checksums at the receiver", verdict.bites and seen)


def _words(values: Values) -> str:
    bits = "a bit" if values["bits"] == 1 else f"{values['bits']} bits"
    return f"has {bits} flipped with probability {show_share(values['share'])}"


FAULT = LinkKind(
    name="corrupt",
    summary="Bits of a share of the packets are flipped; the receiver's checksum finds out and drops them.",
    parameters=(
        Parameter("share", "of the packets that are damaged", "share: above 0, to 100%", share()),
        Parameter(
            "bits", "flipped in each of them, anywhere behind the ports", "whole number: 1 to 64", whole(1, 64), 1
        ),
    ),
    effect=lambda values: {"kind": "damage", "share": values["share"], "bits": values["bits"]},
    words=_words,
    judge=_judge,
    example="corrupt gtld-1 --param share=20%",
    probes=lambda values: probes_for_share(values["share"]),
    patience=lambda _values: 0.25,
    checksums=True,
)
