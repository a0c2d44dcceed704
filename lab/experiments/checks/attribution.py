"""Which upstream queries a resolver sent for which look-up; what is left over it sent of its own accord.

A hit is a look-up for which nothing was sent: it is proved by what did not happen, and not by a short latency. With
one look-up at a time, as in virtual time, there is nothing to confuse. When several are in progress a query belongs to
the one it has the name of, or an ancestor of the name (RFC 9156, query name minimisation); else, as with the addresses
of name servers, to the one for which a query was sent last.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.experiments.history import History, Lookup, Message

State = Literal["hit", "miss", "shared"]
"""Where an answer came from: the cache; the servers; or the servers, by what was sent for the same earlier question."""

SLACK = 0.001  # seconds between the clock of the prober and the time stamps of the wire


@dataclass
class Attribution:
    """The result: `sent` by number of the look-up, in order of time; `background`: for no look-up."""

    sent: dict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    background: list[Message] = field(default_factory=list)
    shared: set[int] = field(default_factory=set)

    def state(self, lookup: Lookup) -> State | None:
        """Where the answer came from; None when the resolver said nothing and asked nobody: it had not been reached."""
        if self.sent.get(lookup.n):
            return "miss"
        if lookup.n in self.shared:
            return "shared"
        return "hit" if lookup.answered else None


def attribute(history: History) -> Attribution:
    """Attribute every upstream query of a trial."""
    found = Attribution()
    queries: dict[str, list[Message]] = defaultdict(list)
    lookups: dict[str, list[Lookup]] = defaultdict(list)
    for message in history.sorted_messages:
        if message.is_query:
            queries[message.sender].append(message)
    for one in sorted(history.all_lookups, key=lambda one: one.sent if one.sent is not None else one.intended):
        if one.sent is not None:
            for resolver in one.asked or (one.server,):
                lookups[resolver].append(one)
    for resolver, sent in queries.items():
        _attribute(sent, lookups[resolver], found)
    for ones in lookups.values():
        found.shared.update(_shared(ones, found))
    return found


def _attribute(queries: Sequence[Message], lookups: Sequence[Lookup], found: Attribution) -> None:
    """`queries` of one resolver by time, `lookups` it was asked by time of sending."""
    begun = 0
    active: list[Lookup] = []
    last: dict[int, float] = {}  # when the last query was sent for a look-up
    for query in queries:
        while begun < len(lookups) and (lookups[begun].sent or 0.0) <= query.time + SLACK:
            active.append(lookups[begun])
            begun += 1
        active = [one for one in active if one.ended >= query.time - SLACK]
        owner = _owner(query, active, last)
        if owner is None:
            found.background.append(query)
        else:
            found.sent[owner.n].append(query)
            last[owner.n] = query.time


def _owner(query: Message, active: Sequence[Lookup], last: dict[int, float]) -> Lookup | None:
    name = query.name.lower()
    named = [one for one in active if one.name.lower() == name]
    if named:
        same_type = [one for one in named if one.type == query.type]
        return (same_type or named)[0]  # the earliest: the others wait for what it has begun
    if len(active) == 1:
        return active[0]
    if name == ".":  # priming: the resolver's own (RFC 8109)
        return None
    if below := [one for one in active if one.name.lower().endswith(f".{name}")]:
        return below[0]
    begun = [one for one in active if one.n in last]
    return max(begun, key=lambda one: last[one.n], default=None)


def _shared(lookups: Sequence[Lookup], found: Attribution) -> Iterable[int]:
    """Those that were sent while the servers were being asked the same question for another."""
    asked: dict[tuple[str, str], list[Lookup]] = defaultdict(list)
    for one in lookups:
        if found.sent.get(one.n):
            asked[one.name.lower(), one.type].append(one)
    for ones in asked.values():
        ones.sort(key=lambda one: one.sent or 0.0)
    starts = {key: [one.sent or 0.0 for one in ones] for key, ones in asked.items()}
    for one in lookups:
        key = one.name.lower(), one.type
        if found.sent.get(one.n) or key not in asked or one.sent is None:
            continue
        before = bisect_right(starts[key], one.sent)
        # Only the last of those begun earlier can still be in progress, but for time-outs: look at a few.
        if any(other.ended > one.sent for other in asked[key][max(0, before - 8) : before]):
            yield one.n


def fetched(times: Sequence[float], first: float, last: float) -> bool:
    """Whether one of `times`, in order, lies between two moments."""
    place = bisect_left(times, first)
    return place < len(times) and times[place] <= last
