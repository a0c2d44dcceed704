"""Availability: how many look-ups were served, and how the others ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.experiments import statistics
from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.history import Load, Lookup
from lab.experiments.journal import Estimate

Test = Callable[[Lookup], bool]
Tally = Callable[[Load], int]


def _share(test: Test) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        found = case.lookups(phase_of(arguments, 0), options)
        return statistics.share(sum(map(test, found)), len(found), case.confidence)

    return compute


def _count(test: Test) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        found = case.lookups(phase_of(arguments, 0), options)
        return Estimate.exact(sum(map(test, found)), "look-ups", len(found))

    return compute


def _status(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    found = case.lookups(phase_of(arguments, 1), options)
    return statistics.share(sum(one.status == arguments[0] for one in found), len(found), case.confidence)


def _within(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    limit, found = float(arguments[0]), case.lookups(phase_of(arguments, 1), options)
    return statistics.share(sum(one.succeeded and one.latency <= limit for one in found), len(found), case.confidence)


def _ede(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    found = case.lookups(phase_of(arguments, 1), options)
    return statistics.share(sum(int(arguments[0]) in one.ede for one in found), len(found), case.confidence)


def _share_of_loads(tally: Tally) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], _options: Options) -> Estimate:
        loads = case.history.loads(phase_of(arguments, 0))
        return statistics.share(sum(map(tally, loads)), sum(load.sent for load in loads), case.confidence)

    return compute


def _count_of_loads(tally: Tally) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], _options: Options) -> Estimate:
        loads = case.history.loads(phase_of(arguments, 0))
        return Estimate.exact(sum(map(tally, loads)), "look-ups", sum(load.sent for load in loads))

    return compute


def _status_of_loads(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    status, *rest = arguments
    return _share_of_loads(lambda load: load.statuses.get(status, 0))(case, rest, options)


MEASURES = (
    Measure(
        "success",
        "share of look-ups that were served: NOERROR or NXDOMAIN came back",
        ("phase",),
        _share(lambda one: one.succeeded),
        LOOKUP_OPTIONS,
        _share_of_loads(lambda load: load.served),
    ),
    Measure(
        "within",
        "share of look-ups that were served within a time, as in within(5s, all)",
        ("time", "phase"),
        _within,
        LOOKUP_OPTIONS,
    ),
    Measure(
        "failures",
        "look-ups that were not served",
        ("phase",),
        _count(lambda one: not one.succeeded),
        LOOKUP_OPTIONS,
        _count_of_loads(lambda load: load.sent - load.served),
    ),
    Measure(
        "share",
        "share of look-ups that ended with a status: NOERROR, SERVFAIL, TIMEOUT, UNREACHABLE, ...",
        ("status", "phase"),
        _status,
        LOOKUP_OPTIONS,
        _status_of_loads,
    ),
    Measure(
        "count",
        "look-ups",
        ("phase",),
        _count(lambda _one: True),
        LOOKUP_OPTIONS,
        _count_of_loads(lambda load: load.sent),
    ),
    Measure(
        "ede",
        "share of look-ups whose answer has an extended error (RFC 8914), as in ede(3, all): stale",
        ("code", "phase"),
        _ede,
        LOOKUP_OPTIONS,
    ),
)
