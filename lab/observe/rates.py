"""What each node does a second, for people who look on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from lab.observe.exchange import Exchange, pair
from lab.observe.message import Message
from lab.observe.selection import seen_once

_PATIENCE = 30.0  # seconds that a query waits for its response
_WAITING = 10_000  # queries that may wait


@dataclass(frozen=True)
class Rates:
    """The messages of one node in an interval, as far as they passed a node that is watched."""

    received: int = 0  # queries that it got
    sent: int = 0  # queries that it sent
    rcodes: Mapping[str, int] = field(default_factory=dict)  # of the responses that it gave
    truncated: int = 0  # responses among these in which TC is set
    latency: float | None = None  # seconds from a query to the response that it gave, median; as seen at the tap

    def to_json(self, seconds: float) -> dict[str, Any]:
        """As plain data, a second, of an interval of so many; the latency in milliseconds."""
        return {
            "queries_per_second": round(self.received / seconds, 1),
            "sent_per_second": round(self.sent / seconds, 1),
            "rcodes_per_second": {rcode: round(number / seconds, 1) for rcode, number in self.rcodes.items()},
            "truncated_per_second": round(self.truncated / seconds, 1),
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 3),
        }


class Meter:
    """Rates of one interval after the other.

    A response that comes in a later interval than its query gives its latency there. Otherwise no latency would be told
    of just those that take long.
    """

    def __init__(self) -> None:
        self._waiting: list[Message] = []  # queries of earlier intervals

    def read(self, messages: Iterable[Message], tapped: Collection[str]) -> dict[str, Rates]:
        """Of the next interval: the rates of every node, and address that is none, that sent or got a message in it.

        `messages` are in order of time.
        """
        messages = list(messages)
        exchanges, _ = pair([*self._waiting, *messages])
        if messages:
            since = messages[-1].time - _PATIENCE
            waiting = [one.query for one in exchanges if one.response is None and one.query.time >= since]
            self._waiting = waiting[-_WAITING:]
        return _rates(messages, exchanges, tapped)


def _rates(messages: list[Message], exchanges: Iterable[Exchange], tapped: Collection[str]) -> dict[str, Rates]:
    received: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    truncated: Counter[str] = Counter()
    rcodes: dict[str, Counter[str]] = {}
    for message in seen_once(messages, tapped):
        if message.is_query:
            received[message.receiver] += 1
            sent[message.sender] += 1
        else:
            rcodes.setdefault(message.sender, Counter())[message.rcode] += 1
            truncated[message.sender] += message.tc
    latencies: dict[str, list[float]] = {}
    for exchange in exchanges:
        if exchange.rtt is not None:
            latencies.setdefault(exchange.query.receiver, []).append(exchange.rtt)
    return {
        name: Rates(
            received[name],
            sent[name],
            dict(rcodes.get(name, Counter()).most_common()),
            truncated[name],
            median(latencies[name]) if name in latencies else None,
        )
        for name in dict.fromkeys((*received, *sent, *rcodes))
    }
