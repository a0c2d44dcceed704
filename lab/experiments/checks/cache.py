"""The cache: what was answered without asking anybody, proved by what was not sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.experiments import statistics
from lab.experiments.checks.attribution import State
from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.history import Lookup
from lab.experiments.journal import Estimate


def _states(case: Case, arguments: Sequence[str], options: Options) -> list[tuple[Lookup, State]]:
    found = ((one, case.attribution.state(one)) for one in case.lookups(phase_of(arguments, 0), options))
    return [(one, state) for one, state in found if state is not None]


def _hit_ratio(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    states = _states(case, arguments, options)
    entries = [(one.server, one.name.lower(), one.type) for one, _ in states]
    return statistics.renewal_hit_ratio([state == "hit" for _, state in states], entries, case.confidence)


def _count(wanted: State) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        states = _states(case, arguments, options)
        return Estimate.exact(sum(state == wanted for _, state in states), "look-ups", len(states))

    return compute


_OPTIONS = LOOKUP_OPTIONS
MEASURES = (
    Measure("hit_ratio", "share of look-ups for which the resolver asked nobody", ("phase",), _hit_ratio, _OPTIONS),
    Measure("hits", "look-ups for which the resolver asked nobody", ("phase",), _count("hit"), _OPTIONS),
    Measure("misses", "look-ups for which the resolver asked a server", ("phase",), _count("miss"), _OPTIONS),
    Measure(
        "shared",
        "look-ups that waited for what the resolver was asking for another one already",
        ("phase",),
        _count("shared"),
        _OPTIONS,
    ),
)
