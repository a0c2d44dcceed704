"""Correctness: every answer is fresh, cached with a possible TTL, stale within the stated limit, or wrong.

Wrong is never acceptable, in no experiment and at no share. An answer is held against what the zones say. The TTL of
one from the cache is held against when the resolver can have learnt it: a record that is given with `ttl` left of
`whole` was fetched `whole - ttl` seconds ago, and at that moment a server of its zone must have answered.

That a server was asked makes no answer fresh: with a client response timer (RFC 8767 section 5) a resolver asks, waits
in vain and gives what it still has. Fresh is what a server told before the answer was given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.experiments.checks.attribution import SLACK, fetched
from lab.experiments.checks.measure import LOOKUP_OPTIONS, TIERS, Case, Measure, Options, phase_of
from lab.experiments.history import GAP, RR, SUCCESS, Lookup, Truth
from lab.experiments.journal import Estimate

Kind = Literal["fresh", "cached", "stale", "wrong", "unanswered", "unknown"]
KINDS: tuple[Kind, ...] = ("fresh", "cached", "stale", "wrong", "unanswered", "unknown")
"""In order: from the servers, for this question; from the cache; from the cache after its TTL; wrong; no NOERROR or
NXDOMAIN came back, which is a failure and no lie; and nobody knows what would be right."""

_STALE = {3, 19}  # Stale Answer, Stale NXDOMAIN Answer (RFC 8914 sections 4.4 and 4.20)
_STALE_TTL = 30  # seconds: what RFC 8767 section 4 recommends as the TTL of a stale answer
_TICK = 1.5  # seconds: TTLs count whole ones, and programs differ in when they tick


@dataclass(frozen=True)
class Judged:
    """One look-up, judged; `why` says what is wrong with a wrong one."""

    lookup: Lookup
    kind: Kind
    why: str = ""


def judge(case: Case, lookups: Sequence[Lookup]) -> list[Judged]:
    """Judge look-ups of a trial."""
    fetches, replies = _fetches(case), _replies(case)
    return [_judge(case, one, fetches, replies) for one in lookups]


def told(judged: Judged) -> str:
    """A wrong answer in words."""
    one = judged.lookup
    return f"{one.name} {one.type} at {one.intended:.3f} s from {one.server}: {judged.why}"


Fetches = dict[tuple[str, str], list[float]]  # resolver and zone -> when its servers gave answers, in order
Replies = dict[
    tuple[str, str], list[float]
]  # resolver and name -> when it was told what there is of the name, in order


def _fetches(case: Case) -> Fetches:
    """When servers gave answers.

    In virtual time one that came in after the look-up was over may have been read by the resolver only when the clock
    had jumped on, for whichever resolver: it was then learnt at the time of the next look-up, and may be of either. The
    clock waits for that, but not for ever (`OVERTAKEN`).
    """
    found: Fetches = defaultdict(list)
    sent, ended = _jumps(case.history.sorted_lookups)
    for message in case.history.sorted_messages:
        if not message.is_query and message.status in SUCCESS and message.server in case.nodes:
            times = [message.time, *_after(message.time, sent, ended)]
            for zone in case.nodes[message.server].zones:
                found[message.resolver, zone] += times
    for times in found.values():
        times.sort()
    return found


def _replies(case: Case) -> Replies:
    """When a resolver was told what there is of a name: no referral, and no failure."""
    found: Replies = defaultdict(list)
    for message in case.history.sorted_messages:
        if not message.is_query and message.status in SUCCESS and (message.answers or message.authoritative):
            found[message.resolver, message.name.lower()].append(message.time)
    return found


def _jumps(lookups: Sequence[Lookup]) -> tuple[list[float], list[float]]:
    """When look-ups in virtual time were sent, and when they were over; none of those in real."""
    jumped = sorted((one.sent, one.ended) for one in lookups if one.since == "sent" and one.sent is not None)
    return [sent for sent, _ in jumped], [ended for _, ended in jumped]


def _after(time: float, sent: Sequence[float], ended: Sequence[float]) -> list[float]:
    """The time of the next look-up, if the one before was over by then."""
    following = bisect_right(sent, time)
    is_late = following < len(sent) and (following == 0 or ended[following - 1] < time)
    return [sent[following]] if is_late else []


def _judge(case: Case, one: Lookup, fetches: Fetches, replies: Replies) -> Judged:
    if one.status not in SUCCESS:
        return Judged(one, "unanswered")
    truths = _valid(case, one)
    if not truths:
        return Judged(one, "unknown")
    own_ttl = _may_have_a_ttl_of_its_own(case, one, replies)
    complaints = [_contradiction(one, truth, own_ttl=own_ttl) for truth in truths]
    if all(complaints):
        return Judged(one, "wrong", complaints[-1])
    truth = next(truth for truth, complaint in zip(truths, complaints, strict=True) if not complaint)
    return _aged(case, one, truth, fetches, replies)


def _valid(case: Case, one: Lookup) -> list[Truth]:
    """What was true when the answer can have been fetched: from its TTL and the limit of staleness before, to now."""
    truths = case.history.truth(one.name, one.type)
    found = []
    for truth in truths:
        lives = max((record.ttl for record in truth.answer), default=truth.negative_ttl or 0)
        # Several of the same moment are all true: those of servers that do not agree.
        until = min((other.since for other in truths if other.since > truth.since), default=float("inf"))
        if truth.since <= one.ended and until >= one.intended - lives - case.stale:
            found.append(truth)
    return found


def _may_have_a_ttl_of_its_own(case: Case, one: Lookup, replies: Replies) -> bool:
    """Whether an answer may be stale and so have a TTL that is the resolver's, longer even than the zone's."""
    if not case.stale:
        return False
    if _says_stale(one):
        return True
    is_short = all(record.ttl <= _STALE_TTL for record in one.answer)
    return is_short and case.history.watched and case.role(one.server) not in TIERS and not _told_in_time(one, replies)


def _says_stale(one: Lookup) -> bool:
    return not _STALE.isdisjoint(one.ede)


def _contradiction(one: Lookup, truth: Truth, *, own_ttl: bool) -> str:
    """How an answer contradicts the zones; empty when it does not."""
    if one.status != truth.status:
        return f"{one.status}, and the zones say {truth.status}"
    got, right = set(map(_key, one.answer)), set(map(_key, truth.answer))
    if got != right:
        extra, missing = sorted(got - right), sorted(right - got)
        parts = [f"{' '.join(extra[0])} is not in the zones"] if extra else []
        parts += [f"{' '.join(missing[0])} is missing"] if missing else []
        return "; ".join(parts)
    if own_ttl:
        return ""
    whole = _whole(truth)
    for record in one.answer:
        if record.ttl > whole[_key(record)]:
            return f"TTL {record.ttl} of {record.owner} {record.type}, and the zone says {whole[_key(record)]}"
    if one.negative_ttl is not None and truth.negative_ttl is not None and one.negative_ttl > truth.negative_ttl:
        return f"negative TTL {one.negative_ttl}, and the zone says {truth.negative_ttl}"
    return ""


def _aged(case: Case, one: Lookup, truth: Truth, fetches: Fetches, replies: Replies) -> Judged:
    """Fresh, cached or stale, of an answer that says what the zones say; wrong, when its age cannot be."""
    whole = _whole(truth)
    if case.role(one.server) in TIERS:
        return Judged(one, "fresh")  # who is asked is the authority, and has no cache
    untouched = all(record.ttl == whole[_key(record)] for record in one.answer)
    if not case.history.watched or one.server in _unseen(case):
        return Judged(one, "fresh" if untouched else "cached")
    says_stale = _says_stale(one)
    # A reply may have been missed on a busy machine: of an answer with its whole TTL nothing says that it is old.
    is_asked = case.attribution.state(one) in ("miss", "shared")
    if is_asked and not says_stale and (untouched or _told_in_time(one, replies)):
        return Judged(one, "fresh")
    kind: Kind = "stale" if says_stale and case.stale else "cached"
    for record in one.answer:
        found, why = _cached(case, one, record, whole[_key(record)], fetches, replies)
        if found == "wrong":
            return Judged(one, found, why)
        kind = "stale" if found == "stale" else kind
    return Judged(one, kind)


def _told_in_time(one: Lookup, replies: Replies) -> bool:
    """Whether the resolver was told of the name, or of one that its aliases lead to, between question and answer."""
    begun = one.intended if one.sent is None else one.sent
    names = {one.name.lower(), *(record.owner for record in one.answer)}
    return any(fetched(replies.get((one.server, name), []), begun - SLACK, one.ended + SLACK) for name in names)


def _unseen(case: Case) -> set[str]:
    """The nodes that were not watched for a while, as when they are restarted: what they asked then is not known."""
    return {mark.text.split()[0] for mark in case.history.marks if mark.what == GAP and mark.time >= 0}


def _cached(case: Case, one: Lookup, record: RR, whole: int, fetches: Fetches, replies: Replies) -> tuple[Kind, str]:
    """A record from the cache: cached, stale, or wrong with the reason."""
    times = fetches.get((one.server, case.zone_of(record.owner)), [])
    cap = case.nodes[one.server].max_ttl if one.server in case.nodes else None
    kept = whole if cap is None else min(whole, cap)
    age = kept - record.ttl
    asked = one.intended if one.sent is None else one.sent
    # The resolver wrote the TTL at some moment between the question and the end; a busy machine sees that late.
    is_possible = age < 0 or fetched(times, asked - age - _TICK, one.ended - age + _TICK)
    if is_possible and record.ttl <= whole:
        return "cached", ""
    what = f"{record.owner} {record.type}"
    last = _last(times, one.ended)
    if last is None:
        return "wrong", f"{what} came from the cache, and no server of its zone had been asked"
    # What it had when it was asked. A server that is silent about this name may have told of others since.
    known = (_last(times, asked), _last(replies.get((one.server, record.owner), []), asked))
    if case.stale and any(-_TICK <= asked - time - kept <= case.stale for time in known if time is not None):
        return "stale", ""
    expired = asked - last - kept
    if record.ttl > whole:
        return "wrong", f"TTL {record.ttl} of {what}, and the zone says {whole}"
    if expired <= _TICK:
        return "wrong", f"TTL {record.ttl} of {what}: no server of its zone had answered {age} s before"
    return "wrong", f"{what} was given {expired:.0f} s after its TTL had run out"


def _last(times: Sequence[float], until: float) -> float | None:
    """The last of `times`, in order, that is not after `until`."""
    place = bisect_right(times, until)
    return times[place - 1] if place else None


def _key(record: RR) -> tuple[str, str, str]:
    return record.owner, record.type, record.data


def _whole(truth: Truth) -> dict[tuple[str, str, str], int]:
    """The TTL of each record in its zone."""
    return {_key(record): record.ttl for record in truth.answer}


def _count(wanted: Kind) -> Callable[[Case, Sequence[str], Options], Estimate]:
    def compute(case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        found = Counter(one.kind for one in judge(case, case.lookups(phase_of(arguments, 0), options)))
        return Estimate.exact(found[wanted], "look-ups", sum(found.values()))

    return compute


_SUMMARIES: dict[Kind, str] = {
    "fresh": "answers that a server gave for the question, in time",
    "cached": "answers from the cache with a possible TTL",
    "stale": "answers from the cache after their TTL, within the limit `stale`",
    "wrong": "answers that contradict the zones, or have a TTL that cannot be",
}
MEASURES = tuple(
    Measure(kind, summary, ("phase",), _count(kind), LOOKUP_OPTIONS) for kind, summary in _SUMMARIES.items()
)
