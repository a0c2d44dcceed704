"""Quantiles and means of what each look-up has a value of: latency, lateness, TTL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from lab.experiments import statistics
from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.history import Lookup
from lab.experiments.journal import Estimate


def _latency(one: Lookup) -> float:
    # A look-up without an answer took longer than any that has one: left out, an outage would look fast.
    return one.latency if one.answered else math.inf


def _lateness(one: Lookup) -> float | None:
    return None if one.sent is None else one.sent - one.intended


def _ttl(one: Lookup) -> float | None:
    return one.ttl if one.answered else None


QUANTITIES: Mapping[str, tuple[Callable[[Lookup], float | None], str]] = {
    "latency": (_latency, "s"),
    "lateness": (_lateness, "s"),
    "ttl": (_ttl, "s"),
}
"""Name -> what one look-up has of it (None: nothing), and the unit."""


def _values(case: Case, arguments: Sequence[str], options: Options) -> tuple[list[float], str]:
    value, unit = QUANTITIES[arguments[0]]
    found = map(value, case.lookups(phase_of(arguments, 1), options))
    return [one for one in found if one is not None], unit


def _quantile(fraction: float) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        values, unit = _values(case, arguments, options)
        return statistics.quantile(values, fraction, case.confidence, unit)

    return compute


def _mean(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    values, unit = _values(case, arguments, options)
    return statistics.mean(values, case.confidence, unit)


def _mean_of_loads(case: Case, arguments: Sequence[str], _options: Options) -> Estimate:
    """Of latency: the mean of all that were sent, in however many goes; without an answer it is infinite."""
    if arguments[0] != "latency":
        raise statistics.Unmeasured(f"dnsperf tells no {arguments[0]}")
    groups = [
        (load.sent - load.lost, math.inf if load.lost else load.latency or 0.0, load.deviation or 0.0)
        for load in case.history.loads(phase_of(arguments, 1))
    ]
    return statistics.mean_of_groups(groups, case.confidence, "s")


_ABOUT = "of latency (no answer: infinite), lateness (send time after the intended one) or ttl"
MEASURES = (
    *(
        Measure(
            f"p{percent}", f"percentile {_ABOUT}", ("quantity", "phase"), _quantile(percent / 100), LOOKUP_OPTIONS,
            shown="p0 ... p100",
        )
        for percent in range(101)
    ),
    Measure("median", f"median {_ABOUT}", ("quantity", "phase"), _quantile(0.5), LOOKUP_OPTIONS),
    Measure("mean", f"mean {_ABOUT}", ("quantity", "phase"), _mean, LOOKUP_OPTIONS, _mean_of_loads),
)  # fmt: skip
