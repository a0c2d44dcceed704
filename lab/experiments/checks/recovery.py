"""Recovery: how long after the last fault was healed users still feel it."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured

STEADY = 20
"""How many look-ups in a row have to be served for the service to be held to have recovered."""


def _recovery_time(case: Case, _arguments: Sequence[str], options: Options) -> Estimate:
    healed = [fault.healed for fault in case.history.faults if fault.healed is not None]
    if not healed:
        raise Unmeasured("no fault was healed")
    since = max(healed)
    after = [one for one in case.lookups(options=options) if one.intended >= since]
    if len(after) < STEADY:
        raise Unmeasured(f"{len(after)} look-ups after the healing; {STEADY} that are served in a row are needed")
    run = 0
    for place, one in enumerate(after):
        run = run + 1 if one.succeeded else 0
        if run == STEADY:
            first = place - STEADY + 1
            failed = after[first - 1].intended - since if first else 0.0
            value = after[first].intended - since if first else 0.0
            return Estimate(value, failed, value, len(after), "s")
    if all(one.succeeded for one in after[-run:]) and run:
        raise Unmeasured(f"only {run} look-ups followed the last failure; {STEADY} that are served in a row are needed")
    return Estimate.exact(float("inf"), "s", len(after))


MEASURES = (
    Measure(
        "recovery_time",
        f"seconds from when the last fault was healed to the first of {STEADY} look-ups in a row that were served",
        (),
        _recovery_time,
        LOOKUP_OPTIONS,
    ),
)
