"""Whether resolvers are at rest: they wait for no server, and have read what came, so that time may jump.

A resolver is not done when it has answered. BIND renews a record near its end after it has given it away, and most
look up addresses of name servers for later. What comes in after a jump is dated after the jump; and what came in before
it, but was not read, is too. So before each jump no query may be without its response, by what the taps tell. What has
been read is known from a question to the resolver: programs read their sockets in the order in which something came,
so one that has answered a later question has read what came before it. And when that answer has come through the tap,
all that was before it has too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.observe.message import Message
from lab.observe.selection import Predicate
from lab.topology.model import Topology

_PATIENCE = 1.0  # seconds, real, for a response; links of the lab take less, and time-outs of resolvers are about that


class Resting:
    """What resolvers wait for, from what is `more` to be seen of them (`lab.observe.observation.Following.more`)."""

    def __init__(self, topology: Topology, more: Callable[[list[Predicate]], list[Message]]) -> None:
        self._more = more
        self._resolvers = {node.name for node in topology.resolvers}
        self._servers = self._resolvers | {node.name for node in topology.servers}
        # Of the same question it is the last query that is waited for: who asks again has given the one before up.
        self._waiting: dict[tuple[str, str, str], tuple[str, float]] = {}  # resolver, name, type -> server, since
        self._silent: set[tuple[str, str]] = set()  # resolver and server: it has left a query without response
        self._last: dict[str, float] = {}  # resolver -> time of the last message between it and a server
        self._looked: dict[str, float] = {}  # resolver -> time of a question that it has answered since
        self._expected: list[Predicate] = []  # its answers, which the taps have not told yet

    def looked(self, resolver: str, at: float, *, answered: bool) -> None:
        """A resolver was asked for the servers of the root at `at`, seconds since 1970, and has answered, or cannot."""
        self._looked[resolver] = at
        if answered and resolver in self._resolvers:
            self._expected.append(lambda message: _is_answer(message, resolver, at))

    def look(self) -> bool:
        """Look at what has been on the wire, up to those answers; whether no resolver waits for a server."""
        now, (until, self._expected) = time.monotonic(), (self._expected, [])
        for message in self._more(until):
            self._take(message, now)
        for key, (server, since) in list(self._waiting.items()):
            if now - since > _PATIENCE or (key[0], server) in self._silent:
                self._silent.add((key[0], server))
                del self._waiting[key]
        return not self._waiting

    def unread(self) -> list[str]:
        """The resolvers that may not have read everything that has come, as of the last look."""
        return [resolver for resolver, last in self._last.items() if last >= self._looked.get(resolver, 0.0)]

    def _take(self, message: Message, now: float) -> None:
        asker, asked = (message.sender, message.receiver) if message.is_query else (message.receiver, message.sender)
        if message.tap != asker or asker not in self._resolvers or asked not in self._servers:
            return
        self._last[asker] = message.time
        if message.is_query:
            self._waiting[asker, message.qname, message.type] = asked, now
        else:
            self._waiting.pop((asker, message.qname, message.type), None)
            self._silent.discard((asker, asked))


def _is_answer(message: Message, resolver: str, at: float) -> bool:
    """Whether it is a resolver's answer to a question for the servers of the root that was asked at `at`."""
    return (
        message.tap == message.sender == resolver and message.time >= at and message.is_response and message.is_priming
    )
