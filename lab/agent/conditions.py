"""What the orchestrator and the conditioner of a node say to each other: one JSON object a line, both ways.

================================================== ====================================================================
request                                            reply
================================================== ====================================================================
``{"op":"add","id":1,"rule":{..}}``                ``{"id":1,"added":"RULE"}``, once packets go through the rule
``{"op":"remove","id":2,"rules":["RULE",..]}``     ``{"id":2,"removed":[STATE,..]}``, once no packet does any more;
                                                   without ``rules``: all there are, whoever added them
``{"op":"restart","id":3,"rule":"RULE"}``          ``{"id":3,"restarted":"RULE"}``: counters at 0, chance and time
                                                   left as at first
``{"op":"declare","id":4,"rules":[{..},..]}``      ``{"id":4,"declared":N}``: these rules hold for as long as the node
                                                   lives; those declared before that are not among them are gone
``{"op":"list","id":5}``                           ``{"id":5,"rules":[STATE,..],"links":[STATE,..]}``: those that were
                                                   added, and those that were declared
anything else                                      ``{"error":"text","id":6}``
================================================== ====================================================================

Unasked, to the owner of a rule: ``{"ended":STATE,"why":"deadline"}`` or ``"healed"`` (somebody else removed it). A rule
lives as long as the connection it was added on; one that was declared has no owner and no end, and ``remove`` leaves
it. STATE is the rule with its counters: :class:`State`.

Only the standard library is used, so that both sides can import this module at no cost.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from ipaddress import ip_address
from typing import Any, Final, Literal

from .protocol import ProtocolError, Transport

Direction = Literal["in", "out"]
"""Seen from the node: "in" is what arrives at it, "out" is what it sends."""

MAX_LASTS: Final = 86400.0
"""The longest a rule may last, seconds: one that is forgotten must not be found a week later."""


@dataclass(frozen=True)
class Rule:
    """Which packets of a node meet with what. Raises ProtocolError on values out of range."""

    id: str
    """Chosen by the owner; unlike any other rule's in the lab."""
    effect: Mapping[str, Any]
    """Its ``kind``, and the fields of that class in :mod:`.effects`; with a match of that class in :mod:`.rewrites`."""
    directions: tuple[Direction, ...]
    transports: tuple[Transport, ...] = ("udp", "tcp")
    peers: tuple[str, ...] = ()
    """IPv4 and IPv6 addresses of who is at the other end; empty: whoever it is."""
    seed: int = 0
    lasts: float = 3600.0
    """Seconds after which the conditioner removes it by itself; of no meaning for one that is declared."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """For people; handed back as it came."""
    match: Mapping[str, Any] = field(default_factory=dict)
    """Of a rule about DNS messages: which ones, see :class:`.messages.Match`; empty: the rule is about packets."""

    def __post_init__(self) -> None:
        _check(isinstance(self.id, str) and bool(self.id), "id: some text")
        _check(_some_of(self.directions, ("in", "out")), 'directions: "in", "out" or both')
        _check(_some_of(self.transports, ("udp", "tcp")), 'transports: "udp", "tcp" or both')
        _check(isinstance(self.match, Mapping), "match: an object")
        _check(type(self.seed) is int, "seed: a whole number")
        _check(0 < self.lasts <= MAX_LASTS, f"lasts {self.lasts}: above 0, to {MAX_LASTS:.0f} seconds")
        try:
            for peer in self.peers:
                ip_address(peer)
        except ValueError as error:
            raise ProtocolError(f"peers: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, obj: object) -> "Rule":
        """Return the rule; raises ProtocolError on a field that is missing, unknown or of the wrong kind."""
        if not isinstance(obj, dict):
            raise ProtocolError("a rule is an object")
        lists = {name: tuple(obj[name]) for name in ("directions", "transports", "peers") if name in obj}
        try:
            return cls(**{**obj, **lists})
        except TypeError as error:
            raise ProtocolError(f"not a rule: {error}") from error


@dataclass(frozen=True)
class State:
    """A rule and what it has done so far, in packets; a rule about messages counts messages."""

    rule: Rule
    seen: int
    """Those of the node that came past, this rule's or another's."""
    matched: int
    """Those of its directions, transports, peers and match."""
    acted: int
    """Those it did something to."""
    left: float | None
    """Seconds until it ends by itself; None if it does not."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        own = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {**own, "rule": self.rule.to_json()}

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> "State":
        """Return the state; raises ProtocolError if a field is missing or unknown."""
        try:
            return cls(**{**obj, "rule": Rule.from_json(obj.get("rule"))})
        except TypeError as error:
            raise ProtocolError(f"not a state: {error}") from error


def _some_of(values: tuple[str, ...], allowed: tuple[str, ...]) -> bool:
    return bool(values) and len(set(values)) == len(values) and set(values) <= set(allowed)


def _check(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(text)
