"""Amplification: how many queries the servers get for one of a client's."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments.checks.measure import ANY, Case, Measure, Options, phase_of
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured


def _amplification(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    phase = phase_of(arguments, 0)
    lookups = case.lookups(phase, options)
    if not lookups:
        raise Unmeasured(f"there are no look-ups in {phase}")
    return Estimate.exact(len(case.upstream(ANY, phase, options)) / len(lookups), "queries a look-up", len(lookups))


MEASURES = (
    Measure(
        "amplification",
        "queries sent to servers for each look-up",
        ("phase",),
        _amplification,
        {"resolver": "node that was asked, and asks"},
    ),
)
