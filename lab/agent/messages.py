"""Rules about DNS messages: which they match, and what becomes of a message that several of them match.

The same for a datagram in the queue (:mod:`.datagrams`) and for a message on a TCP connection (:mod:`.proxy`).
"""

import json
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from random import Random
from typing import Any, Final, Protocol
from zlib import crc32

from .conditions import Direction, Rule
from .protocol import ProtocolError, Transport
from .rewrites import ORDER, Handling, Rewrite, rewrite
from .wire import Asked, Unreadable, asked

PORT: Final = 53
_FIELDS: Final = {"message", "name", "under", "types", "share", "every"}


class Match:
    """Which messages a rule is about.

    ``message``: "response" or "query". ``name``: of the question, in lower case, with its dot at the end; ``*`` stands
    for any characters, dots included, ``?`` for one. ``under``: that name and all below it. ``types``: numbers, of the
    question. What is left out matches everything.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        if unknown := set(spec) - _FIELDS:
            raise ProtocolError(f"match has no {sorted(unknown)[0]!r}")
        kind = spec.get("message")
        _require(kind in ("response", "query"), 'match: message: "response" or "query"')
        self._response = kind == "response"
        self._types = frozenset(spec.get("types", ()))
        _require(all(type(number) is int for number in self._types), "match: types: numbers")
        name, under = spec.get("name"), spec.get("under")
        _require(name is None or isinstance(name, str), "match: name: some text")
        _require(under is None or isinstance(under, str), "match: under: some text")
        self._name = None if name is None else _pattern(name)
        self._under = None if under is None else _labels(under)

    def __call__(self, asked: Asked) -> bool:
        """Tell whether a message is meant."""
        if asked.response is not self._response or (self._types and asked.type not in self._types):
            return False
        if self._name is None and self._under is None:
            return True
        if asked.labels is None:
            return False
        if self._under is not None and asked.labels[len(asked.labels) - len(self._under) :] != self._under:
            return False
        return self._name is None or self._name.fullmatch(b".".join(asked.labels) + b".") is not None


class Chance:
    """Which of the messages that match are acted on: all, a share drawn at random, or each n-th."""

    def __init__(self, spec: Mapping[str, Any], seed: int) -> None:
        self._share: float | None = spec.get("share")
        self._every: int | None = spec.get("every")
        self._count = 0
        _require(self._share is None or self._every is None, "match: share or every, not both")
        _require(self._share is None or 0 < self._share <= 1, "match: a share is above 0, to 1")
        _require(self._every is None or (type(self._every) is int and self._every >= 1), "match: every: at least 1")
        self._random = Random(seed).random

    def __call__(self) -> bool:
        """Decide about the next message."""
        if self._every is not None:
            self._count += 1
            return self._count % self._every == 0
        return self._share is None or self._random() < self._share


class MessageRule:
    """The part of a rule in force that meets messages."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen = self.matched = self.acted = 0
        # Two rules of equal place that are not equal have an order of their own, whatever their ids.
        own = {"match": dict(rule.match), "effect": dict(rule.effect), "peers": sorted(rule.peers), "seed": rule.seed}
        self.place = (ORDER.get(str(rule.effect.get("kind")), 0), json.dumps(own, sort_keys=True))
        self._peers = frozenset(ip_address(peer).packed for peer in rule.peers)
        self._directions, self._transports = frozenset(rule.directions), frozenset(rule.transports)
        try:
            self._match = Match(rule.match)
            self.restart()
        except TypeError as error:
            raise ProtocolError(f"match: {error}") from error

    def restart(self) -> None:
        """Put the counters to 0, and chance back to the seed."""
        self.seen = self.matched = self.acted = 0
        # Which messages are chosen must not depend on what is drawn for their content.
        self._chance = Chance(self.rule.match, crc32(b"chance %d" % self.rule.seed))
        self._rewrite: Rewrite = rewrite(self.rule.effect, self.rule.seed)

    def meets(self, asked: Asked, direction: Direction, transport: Transport, peer: bytes) -> bool:
        """Count a message, and tell whether it is to be acted on."""
        self.seen += 1
        if (
            direction not in self._directions
            or transport not in self._transports
            or (self._peers and peer not in self._peers)
            or not self._match(asked)
        ):
            return False
        self.matched += 1
        return self._chance()

    def apply(self, message: Handling, asked: Asked) -> None:
        """Act on a message that this rule meets."""
        try:
            self.acted += self._rewrite.apply(message, asked)
        except Unreadable:
            return  # it passes as it is: a fault in messages is about messages


class Owned(Protocol):
    """A rule in force, as far as it concerns messages."""

    messages: MessageRule | None


class Messages:
    """The rules about messages of a node, in the order in which they act."""

    def __init__(self) -> None:
        self._rules: list[MessageRule] = []

    def settle(self, rules: Iterable[Owned]) -> None:
        """From now on these are in force."""
        self._rules = sorted((rule.messages for rule in rules if rule.messages), key=lambda rule: rule.place)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def handle(self, wire: bytes, direction: Direction, transport: Transport, peer: bytes) -> Handling | None:
        """Decide what becomes of a message; None: nothing, it passes.

        Every rule decides by the message as it came whether it meets it; then those that do act in turn.
        """
        read = asked(wire)
        if read is None:
            return None
        meeting = [rule for rule in self._rules if rule.meets(read, direction, transport, peer)]
        if not meeting:
            return None
        message = Handling(wire, udp=transport == "udp")
        for rule in meeting:
            rule.apply(message, read)
        return message

    def wants_stream(self, *, arriving: bool, peer: bytes) -> bool:
        """Tell whether the messages of a TCP connection may concern a rule.

        `arriving`: the connection is one to the node's port 53, and not one of the node to another's; `peer`: who is
        at the other end.
        """
        return any(
            (not rule.rule.peers or peer in rule._peers)
            and any(arriving is connections_arrive(rule.rule, direction) for direction in rule.rule.directions)
            for rule in self._rules
            if "tcp" in rule.rule.transports
        )


def connections_arrive(rule: Rule, direction: Direction) -> bool:
    """Tell on which connections the messages are: those that arrive at the node, or those that it opens."""
    return (rule.match.get("message") == "response") is (direction == "out")


def _pattern(name: str) -> "re.Pattern[bytes]":
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in name.lower())
    return re.compile("".join(parts).encode(), re.DOTALL)


def _labels(name: str) -> tuple[bytes, ...]:
    return tuple(label for label in name.lower().encode().split(b".") if label)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(text)
