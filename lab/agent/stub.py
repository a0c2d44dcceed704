"""One query, asked the way a stub resolver asks it (resolv.conf(5), as implemented in the GNU C library)."""

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from .exchange import Ending, Endpoint, Exchange, TcpExchange, UdpExchange, endpoint, is_exhaustion
from .loop import Loop
from .message import query_message
from .protocol import Attempt, AttemptOutcome, Outcome, Query, Result, Transport

_SERVFAIL, _NOTIMP, _REFUSED = 2, 4, 5
_NEXT_SERVER: Final = frozenset({_SERVFAIL, _NOTIMP, _REFUSED})
# A query that nobody answered well tells of the attempt that got furthest, the last one if there are several.
_RANK: Final = {"unreachable": 0, "timeout": 1, "malformed": 2, "answer": 3}


class Lookup:
    """A query under way: asks one server after the other, and then calls `done` once with the result.

    The next server is asked upon a time-out, if one is unreachable, and upon SERVFAIL, NOTIMP and REFUSED, for as many
    rounds as the query has attempts. If no server did better, the last real answer is the result. Unlike in glibc the
    time-out is the same in every round.

    Raises ValueError, for people, if the query can't be asked: bad name, unknown type, unreadable address. Only
    :meth:`start` sends anything, and it can call `done` at once.
    """

    __slots__ = (
        "_attempts",
        "_best",
        "_current",
        "_done",
        "_epoch",
        "_exchange",
        "_loop",
        "_message",
        "_n",
        "_query",
        "_targets",
    )

    def __init__(self, loop: Loop, n: int, query: Query, epoch: float, done: Callable[[Result], None]) -> None:
        self._loop = loop
        self._n = n
        self._query = query
        self._epoch = epoch
        self._done = done
        self._message = query_message(query)
        servers = [endpoint(server, query.port) for server in query.servers]
        self._targets: deque[tuple[Endpoint, Transport]] = deque(
            (server, query.transport) for _ in range(query.attempts) for server in servers
        )
        self._current = self._targets[0]
        self._exchange: Exchange | None = None
        self._attempts: list[Attempt] = []
        self._best: tuple[Outcome, Attempt, bytes] | None = None

    def start(self) -> None:
        """Ask the first server."""
        self._ask_next()

    def cancel(self) -> None:
        """Give the query up: there will be no result."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    def _ask_next(self) -> None:
        while self._targets:
            self._current = to, transport = self._targets.popleft()
            kind = UdpExchange if transport == "udp" else TcpExchange
            begun = monotonic()
            try:
                self._exchange = kind(self._loop, to, self._message, self._query.timeout, self._settled)
            except OSError as error:
                if is_exhaustion(error, to.family):
                    self._record("error", begun, monotonic())
                    self._finish("error", reason=f"the prober could not open or use a socket: {error.strerror}")
                    return
                self._consider("unreachable", self._record("unreachable", begun, monotonic()))
            else:
                return
        assert self._best is not None
        outcome, attempt, wire = self._best
        self._finish(outcome, attempt, wire)

    def _settled(self, ending: Ending, when: float, wire: bytes) -> None:
        assert self._exchange is not None
        sent, self._exchange = self._exchange.sent, None
        if ending == "answer":
            rcode = wire[3] & 0xF
            if rcode in _NEXT_SERVER:
                self._consider(ending, self._record(ending, sent, when, rcode), wire)
            elif self._is_truncated(wire):
                self._record("truncated", sent, when, rcode)
                self._targets.appendleft((self._current[0], "tcp"))
            else:
                self._finish(ending, self._record(ending, sent, when, rcode), wire)
                return
        else:
            self._consider(ending, self._record(ending, sent, when), wire)
        self._ask_next()

    def _is_truncated(self, wire: bytes) -> bool:
        return bool(wire[2] & 0x02) and self._current[1] == "udp" and self._query.tcp_fallback

    def _record(self, outcome: AttemptOutcome, sent: float, when: float, rcode: int | None = None) -> Attempt:
        to, transport = self._current
        attempt = Attempt(to.server, transport, _micro(sent - self._epoch), _micro(when - sent), outcome, rcode)
        self._attempts.append(attempt)
        return attempt

    def _consider(self, outcome: Ending, attempt: Attempt, wire: bytes = b"") -> None:
        if self._best is None or _RANK[outcome] >= _RANK[self._best[0]]:
            self._best = outcome, attempt, wire

    def _finish(self, outcome: Outcome, attempt: Attempt | None = None, wire: bytes = b"", reason: str = "") -> None:
        first, last = self._attempts[0], self._attempts[-1]
        shown = attempt or last
        begin = first.sent if self._query.at is None else self._query.at
        self._done(
            Result(
                n=self._n,
                outcome=outcome,
                server=shown.server,
                transport=shown.transport,
                latency=_micro(last.sent + last.latency - begin),
                sent=first.sent,
                wire=wire,
                attempts=tuple(self._attempts),
                reason=reason,
            )
        )


def _micro(seconds: float) -> float:
    """Round to microseconds: what is below them is noise, and would be half of each line."""
    return round(seconds, 6)
