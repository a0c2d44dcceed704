"""Whether resolvers are at rest: they wait for no server, and have read what came, so that time may jump.

A resolver is not done when it has answered. BIND renews a record near its end after it has given it away, and most
look up addresses of name servers for later. What comes in after a jump is dated after the jump; and what came in before
it, but was not read, is too. So before each jump the taps are asked whether a query is without its response. What has
been read is known from a question to the resolver: programs read their sockets in the order in which something came,
so one that has answered a later question has read what came before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.observe.message import Message
from lab.topology.model import Topology

_PATIENCE = 1.0  # seconds, real, for a response; links of the lab take less, and time-outs of resolvers are about that


class Resting:
    """What resolvers wait for, from what is `more` to be seen of them (`Observation.follow`)."""

    def __init__(self, topology: Topology, more: Callable[[], list[Message]]) -> None:
        self._more = more
        self._resolvers = {node.name for node in topology.resolvers}
        self._servers = self._resolvers | {node.name for node in topology.servers}
        # Of the same question it is the last query that is waited for: who asks again has given the one before up.
        self._waiting: dict[tuple[str, str, str], tuple[str, float]] = {}  # resolver, name, type -> server, since
        self._silent: set[tuple[str, str]] = set()  # resolver and server: it has left a query without response
        self._last: dict[str, float] = {}  # resolver -> time of the last message between it and a server
        self._looked: dict[str, float] = {}  # resolver -> time of a question that it has answered since

    def looked(self, resolver: str, at: float) -> None:
        """A resolver has been asked something at `at`, seconds since 1970, and has answered, or cannot."""
        self._looked[resolver] = at

    def look(self) -> bool:
        """Look at what has been on the wire up to now; whether no resolver waits for a server."""
        now = time.monotonic()
        for message in self._more():
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
