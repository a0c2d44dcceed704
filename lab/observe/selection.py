"""Which messages are meant: by who sent them, who got them, and what they ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from typing import TypedDict

from lab.agent.protocol import Transport
from lab.errors import BadInput
from lab.observe.message import Message
from lab.topology.model import Role, Topology

Who = str | Collection[str]
"""A node by its name, its name in the DNS or its address; a role ("root", "tld", "authority", "resolver", "host",
"gateway"), which stands for all nodes that have it; an address that is no node's; or several of these."""

Predicate = Callable[[Message], bool]


class Wanted(TypedDict, total=False):
    """Which messages are wanted; what is left out does not matter."""

    sender: Who
    to: Who  # who receives it
    name: str | None  # asked for; case and final dot do not matter
    type: str | None
    transport: Transport | None
    tap: str | None  # node at which it was seen; without, a message seen at both its ends counts once
    since: float | None  # seconds since 1970, as in `Message.time`
    until: float | None


def selector(topology: Topology, **wanted: object) -> Predicate:
    """A test whether a message is one of those in `wanted`, as in `Wanted`. Raises `BadInput` for one that is none."""
    tests: list[Predicate] = []
    for field, value in wanted.items():
        if value is not None:
            tests.append(_test(topology, field, value))
    return lambda message: all(test(message) for test in tests)


def members(topology: Topology, who: Who) -> frozenset[str]:
    """Whom `who` stands for: node names, and addresses that are no node's. Raises `BadInput`."""
    if not isinstance(who, str):
        return frozenset().union(*(members(topology, one) for one in who))
    if who not in topology.nodes and who in set(Role):
        return frozenset(node.name for node in topology.of_role(Role(who)))
    try:
        return frozenset((topology.node(who).name,))
    except BadInput:
        try:
            return frozenset((str(ip_address(who)),))
        except ValueError:
            pass
        raise


def seen_once(messages: Iterable[Message], tapped: Collection[str]) -> list[Message]:
    """Each message once: where its sender was watched, as it was seen there."""
    return [message for message in messages if message.tap == message.sender or message.sender not in tapped]


def spoken(name: str) -> str:
    """A name as `Message.qname` has it: lower case, without the final dot."""
    return name.lower() if name == "." else name.lower().removesuffix(".")


def _test(topology: Topology, field: str, value: object) -> Predicate:
    if field == "sender":
        senders = members(topology, value)  # type: ignore[arg-type]
        return lambda message: message.sender in senders
    if field == "to":
        receivers = members(topology, value)  # type: ignore[arg-type]
        return lambda message: message.receiver in receivers
    if field == "name":
        name = spoken(str(value))
        return lambda message: message.qname == name
    if field == "type":
        type = str(value).upper()
        return lambda message: message.type == type
    if field == "transport":
        return lambda message: message.transport == value
    if field == "tap":
        tap = topology.node(str(value)).name
        return lambda message: message.tap == tap
    if field == "since":
        return lambda message: message.time >= value  # type: ignore[operator]
    if field == "until":
        return lambda message: message.time < value  # type: ignore[operator]
    raise BadInput(f"messages have no {field!r} to select by (there is: {', '.join(Wanted.__annotations__)})")
