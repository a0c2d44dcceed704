"""blackhole: every packet vanishes without a word; the node runs and knows nothing of it."""

from __future__ import annotations

from lab.faults.kind import Verdict
from lab.faults.link import LinkKind
from lab.faults.measuring import Evidence
from lab.faults.values import Values


def _judge(_values: Values, evidence: Evidence) -> Verdict:
    state = evidence.state
    got = f"{state.acted} of {state.matched} packets lost; {evidence.after}"
    return Verdict("all lost", got, state.matched == state.acted > 0 and not evidence.after.answered)


FAULT = LinkKind(
    name="blackhole",
    summary="Every packet vanishes without a word; the node runs and knows nothing of it.",
    parameters=(),
    effect=lambda _values: {"kind": "drop"},
    words=lambda _values: "is lost, without a word to anybody",
    judge=_judge,
    example="blackhole gtld-1 --to resolver-1",
    probes=lambda _values: 3,
    patience=lambda _values: 0.1,
)
