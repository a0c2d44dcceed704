"""The language of a lab file, as Pydantic models. What each key means is documented in docs/lab-file.md."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal

import dns.exception
import dns.name
import dns.ttl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
            raise ValueError(f"{value!r} is not a TTL; write seconds (3600) or units (1h, 2d)") from None
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
    serial: Annotated[int, Field(ge=0, lt=2**32)] = 1


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

    port: Annotated[int, Field(ge=1, le=65535)] = 5300
    resolvers: tuple[str, ...] = ()


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

    @property
    def members(self) -> dict[str, Member]:
        """All nodes by name, in the order servers, resolvers, hosts, gateway."""
        nodes: dict[str, Member] = {**self.servers, **self.resolvers, **self.hosts}
        if self.gateway is not None:
            nodes[GATEWAY] = self.gateway
        return nodes


GATEWAY = "gateway"  # node name of the gateway; a lab has at most one
