"""blackhole: every packet vanishes without a word; the node runs and knows nothing of it."""

from __future__ import annotations

from lab.faults.link import LinkKind
from lab.faults.measuring import judge_lost

FAULT = LinkKind(
    name="blackhole",
    summary="Every packet vanishes without a word; the node runs and knows nothing of it.",
    parameters=(),
    effect=lambda _values: {"kind": "drop"},
    words=lambda _values: "is lost, without a word to anybody",
    judge=lambda _values, evidence: judge_lost(evidence, "all lost"),
    example="blackhole gtld-1 --to resolver-1",
    probes=lambda _values: 3,
    patience=lambda _values: 0.1,
)
