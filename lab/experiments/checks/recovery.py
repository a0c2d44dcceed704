"""Recovery: how long after the last fault was healed users still feel it, and have old answers."""

from __future__ import annotations

from collections.abc import Sequence

from lab.experiments.checks.measure import LOOKUP_OPTIONS, Case, Measure, Options
from lab.experiments.history import Lookup
from lab.experiments.journal import Estimate
from lab.experiments.statistics import Unmeasured

STEADY = 20
"""How many look-ups in a row have to be served for the service to be held to have recovered."""


_TICK = 1.5  # seconds: TTLs count whole ones, and programs differ in when they tick


def _healed(case: Case) -> float:
    """When the last fault was healed."""
    healed = [fault.healed for fault in case.history.faults if fault.healed is not None]
    if not healed:
        raise Unmeasured("no fault was healed")
    return max(healed)


def _recovery_time(case: Case, _arguments: Sequence[str], options: Options) -> Estimate:
    since = _healed(case)
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


def _refresh_time(case: Case, _arguments: Sequence[str], options: Options) -> Estimate:
    since = before = _healed(case)
    after = [one for one in case.lookups(options=options) if one.intended >= since]
    if not after:
        raise Unmeasured("nothing was asked after the healing")
    case.must_be_watched()
    given = [
        message for message in case.messages() if not message.is_query and message.answers and message.time >= since
    ]
    for one in after:
        learnt = _learnt(case, one)
        if learnt is not None and any(
            (message.receiver, message.type) == (one.server, one.type)
            and message.name.lower() in {record.owner for record in one.answer}
            and learnt - _TICK <= message.time <= one.ended
            for message in given
        ):
            return Estimate(one.intended - since, before - since, one.intended - since, len(after), "s")
        before = one.intended
    return Estimate.exact(float("inf"), "s", len(after))


def _learnt(case: Case, one: Lookup) -> float | None:
    """When the resolver learnt the oldest record of an answer, if what is left of its TTL says so: that of a stale one
    does not (RFC 8767 section 4). None without an answer."""
    if not one.succeeded or not one.answer:
        return None
    truths = case.history.truth(one.name, one.type)
    whole = {(record.owner, record.type, record.data): record.ttl for truth in truths for record in truth.answer}
    limit = case.nodes[one.server].max_ttl if one.server in case.nodes else None
    left = [(record.ttl, whole.get((record.owner, record.type, record.data), record.ttl)) for record in one.answer]
    return min(one.ended - (min(ttl, limit or ttl) - now) for now, ttl in left)


MEASURES = (
    Measure(
        "recovery_time",
        f"seconds from when the last fault was healed to the first of {STEADY} look-ups in a row that were served",
        (),
        _recovery_time,
        LOOKUP_OPTIONS,
    ),
    Measure(
        "refresh_time",
        "seconds from when the last fault was healed to the first answer that a server gave after it, by wire and TTL",
        (),
        _refresh_time,
        LOOKUP_OPTIONS,
    ),
)
