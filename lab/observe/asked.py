"""A query and what came of it, seen from one end of its link: by whoever asked where that one was watched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lab.agent.protocol import Transport
from lab.observe.exchange import Exchange, pair
from lab.observe.message import Message, TransportEvent

Ending = Literal["answered", "refused", "silence"]
"""How an exchange ended: by a response, by ICMP or a TCP reset, or not at all."""


@dataclass(frozen=True)
class Asked(Exchange):
    """An exchange with what a story says of it."""

    refused: float | None = None  # when ICMP or a reset said that nobody takes it; seconds since 1970

    @property
    def client(self) -> str:
        """The node that asked."""
        return self.query.sender

    @property
    def server(self) -> str:
        """The node that was asked."""
        return self.query.receiver

    @property
    def name(self) -> str:
        """The name asked for: lower case, without the final dot."""
        return self.query.qname

    @property
    def type(self) -> str:
        """The type asked for."""
        return self.query.type

    @property
    def transport(self) -> Transport:
        """UDP or TCP."""
        return self.query.transport

    @property
    def sent(self) -> float:
        """When the query was seen; seconds since 1970."""
        return self.query.time

    @property
    def ended(self) -> float | None:
        """When the response was seen, or the refusal; seconds since 1970. None: neither came."""
        return self.refused if self.response is None else self.response.time

    @property
    def ending(self) -> Ending:
        """How it ended."""
        if self.response is not None:
            return "answered"
        return "silence" if self.refused is None else "refused"

    @property
    def messages(self) -> tuple[Message, ...]:
        """The query, and the response if one came."""
        return (self.query,) if self.response is None else (self.query, self.response)


def asked(messages: Iterable[Message], events: Iterable[TransportEvent] = ()) -> list[Asked]:
    """The exchanges that messages make up, in the order in which they began.

    One whose ends were both watched is told once, from the end of who asked: its times are what that one waited.
    """
    ordered = sorted(messages, key=lambda message: message.time)
    taps = {message.tap for message in ordered}
    refusals = [event for event in events if event.kind in ("unreachable", "reset")]
    found, _ = pair(ordered)
    return [
        Asked(exchange.query, exchange.response, None if exchange.response else _refusal(exchange.query, refusals))
        for exchange in found
        if exchange.query.tap == exchange.query.sender or exchange.query.sender not in taps
    ]


def _refusal(query: Message, refusals: Iterable[TransportEvent]) -> float | None:
    """When this very packet, or its connection, was refused."""
    ends = {(query.source, query.source_port), (query.destination, query.destination_port)}
    for event in refusals:
        both = {(event.source, event.source_port), (event.destination, event.destination_port)}
        if event.time >= query.time and event.transport == query.transport and both == ends:
            return event.time
    return None
