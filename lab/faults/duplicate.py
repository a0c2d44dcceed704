"""duplicate: a share of the packets arrives twice."""

from __future__ import annotations

from lab.faults.link import LinkKind
from lab.faults.measuring import judge_share, probes_for_share
from lab.faults.values import Parameter, share, show_share

FAULT = LinkKind(
    name="duplicate",
    summary="A share of the packets arrives twice.",
    parameters=(Parameter("share", "of the packets that come twice", "share: above 0, to 100%", share()),),
    effect=lambda values: {"kind": "duplicate", "share": values["share"]},
    words=lambda values: f"comes twice with probability {show_share(values['share'])}",
    judge=lambda values, evidence: judge_share(evidence, values["share"], "doubled"),
    example="duplicate gtld-1 --param share=50%",
    probes=lambda values: probes_for_share(values["share"]),
)
