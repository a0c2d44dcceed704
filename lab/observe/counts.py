"""Messages counted: what clients asked, what was asked upstream for it, what came of it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.observe.exchange import Exchange, pair
from lab.observe.message import Message
from lab.observe.selection import seen_once, spoken
from lab.topology.model import Topology


@dataclass(frozen=True)
class Counts:
    """What was counted in an interval, at resolvers that were watched.

    *Upstream* is what resolvers ask to answer their clients. Queries for the root's servers (`. NS`, RFC 8109) are told
    apart: a resolver sends them by itself. A response in which TC is set is one of those that came, under its RCODE.
    """

    seconds: float  # from the first message to the last
    clients: int  # queries that clients sent to resolvers
    answered: int  # those among them that got a response
    hits: int  # those among the answered for which nothing was asked upstream
    upstream: int  # queries that resolvers sent, priming apart
    priming: int
    by_server: Mapping[str, int] = field(default_factory=dict)  # upstream: node, or address of none -> queries
    by_tier: Mapping[str, int] = field(default_factory=dict)  # upstream: role of the node -> queries
    by_name: Mapping[str, int] = field(default_factory=dict)  # upstream: name as `Message.qname` -> queries
    by_type: Mapping[str, int] = field(default_factory=dict)  # upstream: type -> queries
    rcodes: Mapping[str, int] = field(default_factory=dict)  # of the responses to clients
    upstream_rcodes: Mapping[str, int] = field(default_factory=dict)  # of the responses to resolvers, priming apart

    @property
    def hit_ratio(self) -> float | None:
        """Share of the answered client queries that needed nothing from upstream; None without any."""
        return self.hits / self.answered if self.answered else None

    @property
    def amplification(self) -> float | None:
        """Upstream queries per client query; None without any of those."""
        return self.upstream / self.clients if self.clients else None

    def to_json(self) -> dict[str, Any]:
        """The fields and the two ratios, as plain data."""
        ratios = {"hit_ratio": self.hit_ratio, "amplification": self.amplification}
        return {**{name: dict(v) if isinstance(v, Mapping) else v for name, v in vars(self).items()}, **ratios}


def count(messages: Iterable[Message], topology: Topology, tapped: Collection[str]) -> Counts:
    """Count messages, in order of time, that were seen at the nodes `tapped`."""
    messages = list(messages)
    resolvers = {node.name for node in topology.resolvers}
    once = seen_once(messages, tapped)
    sent = [message for message in once if message.is_query and message.sender in resolvers]
    asked = [message for message in sent if not message.is_priming]
    received = [m for m in once if m.is_response and m.receiver in resolvers and not m.is_priming]
    exchanges, _ = pair(m for m in messages if _with_clients(m, resolvers))
    answered = [exchange for exchange in exchanges if exchange.response is not None]
    roles = {node.name: node.role.value for node in topology.nodes.values()}
    return Counts(
        seconds=messages[-1].time - messages[0].time if messages else 0.0,
        clients=len(exchanges),
        answered=len(answered),
        hits=sum(_hits(answered, asked)),
        upstream=len(asked),
        priming=len(sent) - len(asked),
        by_server=_tally(message.receiver for message in asked),
        by_tier=_tally(roles.get(message.receiver, "none") for message in asked),
        by_name=_tally(message.qname for message in asked),
        by_type=_tally(message.type for message in asked),
        rcodes=_tally(exchange.response.rcode for exchange in answered if exchange.response is not None),
        upstream_rcodes=_tally(message.rcode for message in received),
    )


def _with_clients(message: Message, resolvers: Collection[str]) -> bool:
    """Whether it is between a resolver that is watched and one of its clients."""
    return message.tap in resolvers and message.tap == (message.receiver if message.is_query else message.sender)


def _hits(answered: Iterable[Exchange], upstream: Iterable[Message]) -> Iterator[bool]:
    """For each exchange with a client, whether its resolver asked nobody for it.

    Asked for it is what was asked between query and response for the name, one above it (QNAME minimisation, RFC 9156)
    or one that the answer's aliases lead to. What was asked for other clients in this time has other names; a client
    that asks for the same name as another one at the same time waits for the same answer, which is no hit either.
    """
    times: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for message in upstream:
        times[message.sender, message.qname].append(message.time)
    for exchange in answered:
        query, response = exchange.query, exchange.response
        assert response is not None

        def asked(name: str, query: Message = query, until: float = response.time) -> bool:
            found = times.get((query.receiver, name), [])
            at = bisect_left(found, query.time)
            return at < len(found) and found[at] <= until

        yield not (
            any(asked(name) for name in _and_above(query.qname))
            # Parsed only if there may be an alias: it takes longer than all the rest.
            or (response.counts[1] > 1 and any(asked(name) for name in _names(response)))
        )


def _and_above(name: str) -> Iterator[str]:
    """A name and those above it, but for the root."""
    while name and name != ".":
        yield name
        _, _, name = name.partition(".")


def _names(response: Message) -> set[str]:
    """The names that the answer's aliases lead over, and those above them."""
    return {above for record in response.answer for above in _and_above(spoken(record.name))}


def _tally(items: Iterable[str]) -> dict[str, int]:
    """How often each item is there, the most frequent first."""
    return dict(Counter(items).most_common())
