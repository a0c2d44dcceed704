"""The derived lab: every node with its addresses, every zone with all its records.

A `Topology` is what the rest of the program works from. It is made by `lab.topology.derive` from a declaration and
never changed; two equal declarations on equal subnets give equal topologies, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dns.name import Name, root

from lab.errors import BadInput
from lab.topology.suggest import did_you_mean


class Role(str, Enum):
    """What a node is in the name system. A server has the highest tier among the zones it serves."""

    ROOT = "root"
    TLD = "tld"
    AUTHORITY = "authority"
    RESOLVER = "resolver"
    HOST = "host"
    GATEWAY = "gateway"

    @property
    def is_server(self) -> bool:
        """Whether nodes of this role serve zones with authority."""
        return self in (Role.ROOT, Role.TLD, Role.AUTHORITY)


class Origin(str, Enum):
    """Why a record stands in a zone."""

    APEX = "apex"  # SOA and the zone's own NS RRset
    DECLARED = "declared"  # written in the lab file
    NODE = "node"  # address of a node of the lab, or its reverse name
    DELEGATION = "delegation"  # NS of a child zone (RFC 1034 section 4.2.1)
    GLUE = "glue"  # address of a child's name server, below the cut (RFC 9471)


@dataclass(frozen=True)
class Record:
    """One resource record; names in `data` are absolute, `ttl` in seconds."""

    owner: Name
    ttl: int
    type: str
    data: str
    origin: Origin = Origin.DECLARED


@dataclass(frozen=True)
class Zone:
    """One zone as its servers serve it: SOA first, then the rest in a fixed order."""

    name: Name
    servers: tuple[str, ...]  # node names
    records: tuple[Record, ...]

    @property
    def file(self) -> str:
        """Name of its zone file; `+` is in no zone's name and keeps `root.` and RFC 2317 zones (0/25...) apart."""
        if self.name == root:
            return "root.zone"
        return f"{'+root' if self.label == 'root' else self.label.replace('/', '+')}.zone"

    @property
    def label(self) -> str:
        """The zone as people write it: `.` for the root, else without the final dot."""
        return spoken(self.name)


@dataclass(frozen=True)
class Node:
    """One container of the lab."""

    name: str
    role: Role
    program: str | None  # server program; None for hosts and the gateway
    ipv4: IPv4Address
    ipv6: IPv6Address
    hostname: Name | None = None  # its name in the DNS
    zones: tuple[Name, ...] = ()  # of a server
    recursive: bool = False  # of a server: it finds out for others what it is not authoritative for
    forwards: tuple[tuple[Name, tuple[str, ...]], ...] = ()  # zones, and the servers it asks for them recursively
    resolvers: tuple[str, ...] = ()  # node names, in the order of its resolv.conf; of a host or the gateway
    on_lab_clock: bool = False
    extra_config: str = ""  # lines the declaration adds to the program's configuration
    port: int | None = None  # of the gateway: the port on the loopback of the machine

    @property
    def addresses(self) -> tuple[str, str]:
        """IPv4 and IPv6 address as text."""
        return str(self.ipv4), str(self.ipv6)

    @property
    def caches(self) -> bool:
        """Whether it remembers what others told it: a resolver does, and a recursive server."""
        return self.role is Role.RESOLVER or self.recursive


@dataclass(frozen=True)
class Condition:
    """What packets meet on a declared link; times in seconds, as `lab.agent.effects` understands them."""

    latency: float = 0.0  # of a round trip where the link is declared both ways
    jitter: float = 0.0
    distribution: str = "constant"
    reorder: bool = True  # whether packets overtake each other
    loss: float = 0.0  # share of the packets, each way
    rate: float | None = None  # bits a second, each way
    queue: float = 0.0  # octets that wait in front of it

    @property
    def least(self) -> float:
        """The shortest delay that can be drawn, seconds."""
        bounded = self.distribution in ("constant", "uniform")
        return self.latency - self.jitter if bounded else 0.0


@dataclass(frozen=True)
class Link:
    """A declared link between two nodes: both ways, or from the first to the second."""

    ends: tuple[str, str]
    condition: Condition
    both_ways: bool


@dataclass(frozen=True)
class Topology:
    """A whole lab."""

    lab: str
    ipv4: IPv4Network
    ipv6: IPv6Network
    nodes: Mapping[str, Node]
    zones: Mapping[Name, Zone]
    hints: tuple[Record, ...]  # NS of the root and the addresses of its servers (RFC 8109)
    links: tuple[Link, ...] = ()  # those declared; all others are as fast as the machine

    def of_role(self, *roles: Role) -> tuple[Node, ...]:
        """Nodes that have one of the roles, in order of declaration."""
        return tuple(node for node in self.nodes.values() if node.role in roles)

    @property
    def servers(self) -> tuple[Node, ...]:
        """All authoritative servers, root first."""
        return self.of_role(Role.ROOT, Role.TLD, Role.AUTHORITY)

    @property
    def resolvers(self) -> tuple[Node, ...]:
        """All local resolvers."""
        return self.of_role(Role.RESOLVER)

    @property
    def hosts(self) -> tuple[Node, ...]:
        """All hosts; queries are sent from them."""
        return self.of_role(Role.HOST)

    def node(self, name: str) -> Node:
        """The node called `name`, which may also be its name in the DNS or one of its addresses.

        Raises `BadInput` that names the nearest node when there is none.
        """
        if name in self.nodes:
            return self.nodes[name]
        wanted = name.lower().rstrip(".")
        for node in self.nodes.values():
            known = {node.name.lower(), *node.addresses}
            if node.hostname is not None:
                known.add(spoken(node.hostname))
            if wanted in known:
                return node
        raise BadInput(
            f"no node {name!r} in lab {self.lab}{did_you_mean(name, self.nodes)} (nodes: {', '.join(self.nodes)})"
        )

    def select(self, wanted: str | Sequence[str]) -> tuple[Node, ...]:
        """The nodes that are meant, at least one, each once.

        A node as in `node`; a role (`tld`: all its nodes); a zone (`example.com`: all its servers); or several of
        these, in a list or with commas between. What is both is the node. Raises `BadInput`.
        """
        texts = [wanted] if isinstance(wanted, str) else wanted
        words = [word.strip() for text in texts for word in text.split(",")]
        found = [node for word in words for node in self._meant(word)]
        if not found:
            raise BadInput(f"which node of lab {self.lab}? (nodes: {', '.join(self.nodes)})")
        return tuple(dict.fromkeys(found))

    def _meant(self, word: str) -> tuple[Node, ...]:
        try:
            return (self.node(word),)
        except BadInput:
            role = next((role for role in Role if role.value == word), None)
            nodes = self.of_role(role) if role else self._servers_of(word)
            if not nodes:
                raise
            return nodes

    def _servers_of(self, zone: str) -> tuple[Node, ...]:
        served = (entry.servers for entry in self.zones.values() if entry.label == (zone.lower().rstrip(".") or "."))
        return tuple(self.nodes[server] for servers in served for server in servers)

    def links_between(self, one: str, other: str) -> tuple[Link, ...]:
        """The declared links between two nodes: one, or one each way, or none."""
        return tuple(link for link in self.links if set(link.ends) == {one, other})

    def zones_of(self, node: Node) -> tuple[Zone, ...]:
        """The zones a server serves."""
        return tuple(self.zones[name] for name in node.zones)

    def enclosing_zone(self, name: Name) -> Zone:
        """The zone that holds `name` with authority: the deepest one at or above it."""
        return self.zones[next(ancestor for ancestor in ancestors(name) if ancestor in self.zones)]


def ancestors(name: Name) -> Iterator[Name]:
    """`name` itself, its parent, and so on up to the root."""
    yield name
    while name != root:
        name = name.parent()
        yield name


def spoken(name: Name) -> str:
    """A name as people write it: lower case, without the final dot; `.` for the root."""
    return "." if name == root else name.to_text(omit_final_dot=True).lower()
