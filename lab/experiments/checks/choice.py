"""Choice: which server a resolver prefers, and which of several addresses a client is given first."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments import statistics
from lab.experiments.checks.measure import ANY, LOOKUP_OPTIONS, MESSAGE_OPTIONS, Case, Measure, Options, phase_of
from lab.experiments.journal import Estimate


def _server_share(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    zones = set(case.nodes[arguments[0]].zones) if arguments[0] in case.nodes else set()
    rivals = {name for name, node in case.nodes.items() if zones & set(node.zones)} | {arguments[0]}
    asked = [message for message in case.upstream(ANY, phase_of(arguments, 1), options) if message.server in rivals]
    return statistics.share(sum(message.server == arguments[0] for message in asked), len(asked), case.confidence)


def _first(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
    firsts = [
        next((record.data for record in one.answer if record.type == one.type), None)
        for one in case.lookups(phase_of(arguments, 1), options)
        if one.succeeded
    ]
    return statistics.share(sum(data == arguments[0] for data in firsts), len(firsts), case.confidence)


MEASURES = (
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
