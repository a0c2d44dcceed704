"""Choice: which server a resolver prefers, and which of several addresses a client is given first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lab.experiments import statistics
from lab.experiments.checks.measure import ANY, LOOKUP_OPTIONS, MESSAGE_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured


def _server_share(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    zones = set(case.nodes[arguments[0]].zones) if arguments[0] in case.nodes else set()
    rivals = {name for name, node in case.nodes.items() if zones & set(node.zones)} | {arguments[0]}
    asked = [message for message in case.upstream(ANY, phase_of(arguments, 1), options) if message.server in rivals]
    return statistics.share(sum(message.server == arguments[0] for message in asked), len(asked), case.confidence)


def _firsts(case: Case, phase: str, options: Options) -> list[str | None]:
    return [
        next((record.data for record in one.answer if record.type == one.type), None)
        for one in case.lookups(phase, options)
        if one.succeeded
    ]


def _spread(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    phase = phase_of(arguments, 0)
    counts = Counter(_firsts(case, phase, options))
    given = {record.data for one in case.lookups(phase, options) for record in one.answer if record.type == one.type}
    if not given:
        raise Unmeasured(f"there is no answer with data in {phase}")
    shares = [counts[data] / counts.total() for data in given]
    return Estimate.exact(max(shares) - min(shares), "", counts.total())


def _first(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    firsts = _firsts(case, phase_of(arguments, 1), options)
    return statistics.share(sum(data == arguments[0] for data in firsts), len(firsts), case.confidence)


def _reached(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    bites = [fault.bites_from for fault in case.history.faults if fault.bites_from is not None]
    if not bites:
        raise Unmeasured("nothing was changed")
    since = max(bites)
    after = [one for one in case.lookups(options=options) if one.intended >= since and one.succeeded]
    old = [one.intended for one in after if all(record.data != arguments[0] for record in one.answer)]
    last = max(old, default=since)
    new = [one.intended for one in after if one.intended > last]
    if not new:
        return Estimate.exact(float("inf"), "s", len(after))
    first = min(new)
    return Estimate(first - since, last - since, first - since, len(after), "s")


MEASURES = (
    Measure(
        "spread",
        "share of the data that came first most often, less that of the one that did so least",
        ("phase",),
        _spread,
        LOOKUP_OPTIONS,
    ),
    Measure(
        "reached",
        "seconds from the last change until every answer has this data, as in reached('192.0.2.99')",
        ("data",),
        _reached,
        LOOKUP_OPTIONS,
    ),
    Measure(
        "server_share",
        "share of a server among the queries to it and to those that serve a zone with it",
        ("server", "phase"),
        _server_share,
        MESSAGE_OPTIONS,
    ),
    Measure(
        "first",
        "share of answers whose first record has this data, as in first('192.0.2.1', all)",
        ("data", "phase"),
        _first,
        LOOKUP_OPTIONS,
    ),
)
