"""The language of a lab file, as Pydantic models. What each key means is documented in docs/lab-file.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dns.exception
import dns.name
import dns.ttl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lab import units
from lab.topology.model import Condition

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_TTL = 2**31 - 1  # RFC 2181 section 8

_HOST_LABEL = re.compile(rb"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")

Clock = Literal["lab", "host"]


def _ttl(value: Any) -> Any:
    """A TTL as a number of seconds, or as in a zone file: `2d`, `1h30m`."""
    seconds = value
    if not isinstance(value, int) or isinstance(value, bool):
        try:
            seconds = dns.ttl.from_text(str(value))
        except dns.exception.DNSException:
            what = "nothing" if value is None else repr(value)
            raise ValueError(f"{what} is not a TTL; write seconds (3600) or units (1h, 2d)") from None
    if not 0 <= seconds <= MAX_TTL:
        raise ValueError(f"TTL {value} is out of range; it must be 0 to {MAX_TTL} seconds (RFC 2181 section 8)")
    return seconds


def _host_name(text: str) -> str:
    try:
        name = dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise ValueError(f"{text!r} is not a domain name: {error}") from None
    if name == dns.name.root:
        raise ValueError("the root is not the name of a node; write one like ns1.example.com")
    if not all(_HOST_LABEL.fullmatch(label) for label in name.labels[:-1]):
        raise ValueError(f"{text!r} is not a host name: letters, digits and hyphens (RFC 1123 section 2.1)")
    return text


def _text(value: Any) -> Any:
    return "" if value is None else value


def _quantity(read: Callable[[Any], Any]) -> BeforeValidator:
    """Checked by a reader of `lab.units`, and kept as it was written."""

    def check(value: Any) -> str:
        read(value)
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)

    return BeforeValidator(check)


def _selector(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value


Whole = Annotated[int, Field(strict=True)]  # neither `true` nor a text of digits
Ttl = Annotated[int, BeforeValidator(_ttl)]
HostName = Annotated[str, AfterValidator(_host_name)]
Text = Annotated[str, BeforeValidator(_text)]
LABEL = r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$"  # of labs and nodes: a label of a host name, short enough for Docker
Label = Annotated[str, Field(pattern=LABEL)]


class Strict(BaseModel):
    """No unknown keys: a typo is an error, not a silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(Strict):
    """Preferred subnets; others are taken when these are in use."""

    ipv4: IPv4Network | None = None
    ipv6: IPv6Network | None = None


class Zone(Strict):
    """One zone: who serves it and what people wrote into it."""

    servers: tuple[str, ...] = ()
    records: Text = ""
    records_from: str | None = None
    ttl: Ttl | None = None
    ns_ttl: Ttl | None = None
    delegation_ttl: Ttl | None = None
    negative_ttl: Ttl | None = None
    serial: Annotated[Whole, Field(ge=0, lt=2**32)] = 1


class Member(Strict):
    """What all nodes have in common."""

    name: HostName | None = None
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


class Program(Member):
    """A node that runs a server program; `knot` alone is short for `{program: knot}`."""

    program: str
    clock: Clock | None = None
    config: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"program": value} if isinstance(value, str) else value


class Server(Program):
    """An authoritative server; a recursive one also finds out what it is not authoritative for."""

    recursive: bool = False


class Resolver(Program):
    """A local (recursive) resolver."""


class Host(Member):
    """A machine that asks; `resolvers` in the order of its resolv.conf."""

    resolvers: tuple[str, ...] = Field(min_length=1)


class Gateway(Member):
    """The door for a person's own `dig`, on the loopback of the machine."""

    port: Annotated[Whole, Field(ge=1, le=65535)] = 5300
    resolvers: tuple[str, ...] = ()


_delay, _share, _rate, _size = units.time(0, 10), units.share(), units.rate(1e3, 1e9), units.size(0, 1e7)
Delay = Annotated[str, _quantity(_delay)]
Share = Annotated[str, _quantity(_share)]
Rate = Annotated[str, _quantity(_rate)]
Size = Annotated[str, _quantity(_size)]
YesOrNo = Annotated[str, _quantity(units.yes_or_no)]
_QUEUE = "64kB"
Selector = Annotated[tuple[str, ...], BeforeValidator(_selector), Field(min_length=1)]
"""Nodes, roles and zones: see `lab.topology.model.Topology.select`."""


class Link(Strict):
    """What the packets between some nodes meet, from `up` to `down`; in the words and units of faults."""

    between: tuple[Selector, ...] | None = None
    from_: Annotated[Selector | None, Field(alias="from")] = None
    to: Selector | None = None
    rtt: Delay | None = None
    latency: Delay | None = None
    jitter: Delay = "0ms"
    distribution: Literal["constant", "uniform", "normal", "pareto"] = "constant"
    reorder: YesOrNo = "yes"
    loss: Share | None = None
    rate: Rate | None = None
    queue: Size = _QUEUE

    @property
    def ends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who is at the one end and who at the other; for one way in its direction."""
        first, second = self.between if self.between is not None else (self.from_, self.to)
        return first or (), second or ()

    @property
    def condition(self) -> Condition:
        """What packets meet, in numbers."""
        return Condition(
            latency=_delay(self.rtt or self.latency or "0ms"),
            jitter=_delay(self.jitter),
            distribution=self.distribution,
            reorder=units.yes_or_no(self.reorder),
            loss=_share(self.loss) if self.loss is not None else 0.0,
            rate=_rate(self.rate) if self.rate is not None else None,
            queue=_size(self.queue),
        )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if problem := self._problem():
            raise ValueError(problem)
        return self

    def _problem(self) -> str:
        one_way = (self.from_ is not None, self.to is not None)
        if (self.between is not None) == any(one_way) or any(one_way) != all(one_way):
            return "a link is `between: [one, other]`, both ways, or `from: one` and `to: other`, one way"
        if self.between is not None and len(self.between) != 2:
            return (
                f"between has two ends, as in `[resolver, root]` (got {len(self.between)}); put lists inside for more"
            )
        if self.between is not None and self.latency is not None:
            return "latency is one way; between two ends say `rtt`, the time of a round trip, or use from and to"
        if self.between is None and self.rtt is not None:
            return "rtt is that of a round trip; from one to another say `latency`, or use between"
        if self.rtt is self.latency is self.loss is self.rate is None:
            return f"nothing is said of the link; add {'rtt' if self.between else 'latency'}, loss or rate"
        if self.queue != _QUEUE and self.rate is None:
            return "a queue stands in front of a rate; add rate"
        condition = self.condition
        if not condition.latency and not condition.jitter:
            return "" if condition.reorder else "packets without latency keep their order; remove reorder"
        return units.spread_problem(condition.latency, condition.jitter, condition.distribution)


class Declaration(Strict):
    """A lab file."""

    lab: Label
    network: Network = Network()
    clock: Clock = "lab"
    ttl: Ttl = 3600
    ns_ttl: Ttl = 172800
    delegation_ttl: Ttl = 172800
    negative_ttl: Ttl = 900
    zones: dict[str, Zone] = Field(min_length=1)
    servers: dict[Label, Server] = Field(min_length=1)
    resolvers: dict[Label, Resolver] = {}
    hosts: dict[Label, Host] = Field(min_length=1)
    gateway: Gateway | None = None
    links: tuple[Link, ...] = ()

    @property
    def members(self) -> dict[str, Member]:
        """All nodes by name, in the order servers, resolvers, hosts, gateway."""
        nodes: dict[str, Member] = {**self.servers, **self.resolvers, **self.hosts}
        if self.gateway is not None:
            nodes[GATEWAY] = self.gateway
        return nodes


GATEWAY = "gateway"  # node name of the gateway; a lab has at most one
