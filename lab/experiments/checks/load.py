"""Load: what resolvers ask of the servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lab.experiments.checks.measure import ANY, MESSAGE_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured


def _upstream(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    return Estimate.exact(len(case.upstream(arguments[0], phase_of(arguments, 1), options)), "queries")


def _load(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    phase = phase_of(arguments, 1)
    if (seconds := case.phase(phase).duration) <= 0:
        raise Unmeasured(f"the phase {phase} took no time")
    return Estimate.exact(len(case.upstream(arguments[0], phase, options)) / seconds, "per s")


def _busiest(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    counts = Counter(message.server for message in case.upstream(ANY, phase_of(arguments, 0), options))
    return Estimate.exact(max(counts.values(), default=0), "queries")


MEASURES = (
    Measure(
        "upstream",
        "queries that resolvers sent to a node, a tier (root, tld, authority) or `any`",
        ("target", "phase"),
        _upstream,
        MESSAGE_OPTIONS,
    ),
    Measure(
        "load",
        "the same a second of experiment time",
        ("target", "phase"),
        _load,
        MESSAGE_OPTIONS,
    ),
    Measure("busiest", "queries at the server that got most of them", ("phase",), _busiest, MESSAGE_OPTIONS),
)
