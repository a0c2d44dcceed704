"""reorder: a share of the packets is held back, so that later ones overtake them."""

from __future__ import annotations

from lab.faults.link import LinkKind
from lab.faults.measuring import judge_share, probes_for_share
from lab.faults.values import Parameter, share, show_share, show_time, time

FAULT = LinkKind(
    name="reorder",
    summary="A share of the packets is held back, so that later ones overtake them.",
    parameters=(
        Parameter("share", "of the packets that are held back", "share: above 0, to 100%", share()),
        Parameter("hold", "how long", "time: 0.1ms to 10s", time(1e-4, 10), 0.02),
    ),
    effect=lambda values: {"kind": "hold", "share": values["share"], "hold": values["hold"]},
    words=lambda values: f"is held back {show_time(values['hold'])} with probability {show_share(values['share'])}",
    judge=lambda values, evidence: judge_share(evidence, values["share"], "held back"),
    example="reorder gtld-1 --param share=25% --param hold=30ms",
    probes=lambda values: probes_for_share(values["share"]),
    patience=lambda values: 1.0 + 4 * values["hold"],
)
