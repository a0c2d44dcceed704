"""What resolvers and servers say to each other, from the taps, as records of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lab.experiments.history import GAP, Mark, Message

if TYPE_CHECKING:
    from lab.observe.message import Message as Seen
    from lab.observe.observation import Observation
    from lab.topology.model import Topology

UNSEEN = "unseen"
"""What a mark says when packets were lost on the way to us."""


def messages(seen: Observation, topology: Topology, time: Callable[[float], float]) -> Iterator[Message]:
    """The messages between resolvers and servers; `time` makes experiment time of the wall clock."""
    resolvers = {node.name for node in topology.resolvers}
    servers = {node.name for node in topology.servers}
    for message in seen.messages:
        asker, asked = (message.sender, message.receiver) if message.is_query else (message.receiver, message.sender)
        if asker in resolvers and asked in servers | resolvers and message.tap == asker:
            yield _message(message, time(message.time))


def complaints(seen: Observation, time: Callable[[float], float], now: float) -> Iterator[Mark]:
    """What was not seen, though it may have been there."""
    for tap, count in seen.dropped.items():
        if count:
            yield Mark(
                now, UNSEEN, f"{count} packets at {tap} were lost on the way to us: what is absent proves nothing"
            )
    for gap in seen.gaps:
        until = "the end" if gap.until is None else f"{time(gap.until):.3f} s"
        yield Mark(time(gap.since), GAP, f"{gap.tap} was not watched until {until}: {gap.why}")


def _message(message: Seen, time: float) -> Message:
    status = None
    if not message.is_query:
        import dns.rcode

        status = dns.rcode.to_text(dns.rcode.Rcode.make(message.wire[3] & 0xF)) if message.size > 3 else "MALFORMED"
    return Message(
        time,
        message.sender,
        message.receiver,
        message.transport,
        message.name.lower(),  # some resolvers send it in random letter case
        message.type,
        message.is_query,
        message.id,
        status,
        message.size,
        authoritative=message.aa,
        answers=message.counts[1],
    )
