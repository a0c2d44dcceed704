"""From a declaration to the whole lab: addresses, NS sets, delegations, glue, reverse zones, root hints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network

import dns.name
import dns.reversename
from dns.name import Name, root

from lab.topology import declaration as declared
from lab.topology.addressing import Subnets, assign, preferred_subnets
from lab.topology.links import links
from lab.topology.model import Node, Origin, Record, Role, Topology, Zone, ancestors
from lab.topology.records import Written, read_records

# SOA timers as RFC 1912 section 2.2 advises; secondaries use them, resolvers do not.
_REFRESH, _RETRY, _EXPIRE = 7200, 900, 1209600
_HINT_TTL = 3600000  # as in the root hints file that IANA publishes
_PLACE = {origin: place for place, origin in enumerate(Origin)}


def derive(declaration: declared.Declaration, subnets: Subnets | None = None) -> Topology:
    """All that follows from `declaration` on `subnets` (default: those it prefers).

    The declaration must have passed `lab.topology.loading`, which names what cannot be.
    """
    subnets = subnets or preferred_subnets(declaration)
    nodes = _nodes(declaration, subnets)
    plans = _plans(declaration, subnets)
    zones = {name: _zone(plan, nodes) for name, plan in plans.items()}
    served: dict[str, list[Name]] = {node: [] for node in nodes}
    for zone in zones.values():
        for server in zone.servers:
            served[server].append(zone.name)
    for server in declaration.servers:
        nodes[server] = _with_zones(nodes[server], tuple(served[server]))
    for name in [*declaration.servers, *declaration.resolvers]:
        nodes[name] = replace(nodes[name], forwards=_forwards(nodes[name], plans, declaration))
    topology = Topology(declaration.lab, subnets.ipv4, subnets.ipv6, nodes, zones, _hints(zones[root], nodes))
    return replace(topology, links=links(declaration, topology)) if declaration.links else topology


@dataclass(frozen=True)
class _Plan:
    """A zone before its records: who serves it, its TTLs, and what people wrote."""

    name: Name
    servers: tuple[str, ...]
    ttl: int
    ns_ttl: int
    delegation_ttl: int
    negative_ttl: int
    serial: int
    written: tuple[Record, ...] = ()
    cuts: list[_Plan] = field(default_factory=list)  # the zones delegated from this one


def zone_names(declaration: declared.Declaration) -> dict[str, Name]:
    """The declared zones as names, by the key they are declared with."""
    return {key: dns.name.from_text(key) for key in declaration.zones}


def server_name(declaration: declared.Declaration, node: str) -> Name:
    """The name of a server in the DNS: as declared, else the node's name in the highest zone it serves."""
    if (given := declaration.servers[node].name) is not None:
        return dns.name.from_text(given)
    names = zone_names(declaration)
    served = [names[key] for key, zone in declaration.zones.items() if node in zone.servers]
    highest = min(served, key=len, default=root)
    return dns.name.from_text(node, dns.name.from_text("root-servers.net") if highest == root else highest)


def _nodes(declaration: declared.Declaration, subnets: Subnets) -> dict[str, Node]:
    addresses = assign(declaration, subnets)
    nodes: dict[str, Node] = {}
    for key, member in declaration.members.items():
        ipv4, ipv6 = addresses[key]
        hostname = dns.name.from_text(member.name) if member.name else None
        node = Node(key, Role.HOST, None, ipv4, ipv6, hostname)
        if isinstance(member, declared.Program):
            is_server = isinstance(member, declared.Server)
            recursive = isinstance(member, declared.Server) and member.recursive
            clock = member.clock or ("host" if is_server and not recursive else "lab")
            node = replace(
                node,
                role=Role.AUTHORITY if is_server else Role.RESOLVER,
                program=member.program,
                hostname=server_name(declaration, key) if is_server else hostname,
                on_lab_clock=(declaration.clock, clock) == ("lab", "lab"),
                extra_config=member.config,
                recursive=recursive,
            )
        elif isinstance(member, declared.Host):
            node = replace(node, resolvers=member.resolvers)
        elif isinstance(member, declared.Gateway):
            resolvers = member.resolvers or tuple(declaration.resolvers)
            node = replace(node, role=Role.GATEWAY, resolvers=resolvers, port=member.port)
        nodes[key] = node
    return nodes


def _with_zones(node: Node, zones: tuple[Name, ...]) -> Node:
    highest = min(len(zone) for zone in zones)
    return replace(node, zones=zones, role={1: Role.ROOT, 2: Role.TLD}.get(highest, Role.AUTHORITY))


def _forwards(
    node: Node, plans: Mapping[Name, _Plan], declaration: declared.Declaration
) -> tuple[tuple[Name, tuple[str, ...]], ...]:
    """The zones whose servers `node` asks for the answer itself (RD set) because they are recursive.

    A resolver looks at the root; a recursive server at the zones that it delegates to others.
    """
    cuts = [cut for name in node.zones for cut in plans[name].cuts if node.name not in cut.servers]
    below = [plans[root]] if node.role is Role.RESOLVER else cuts if node.recursive else []
    recursive = {name for name, server in declaration.servers.items() if server.recursive}
    return tuple((plan.name, plan.servers) for plan in below if recursive.issuperset(plan.servers))


def _plans(declaration: declared.Declaration, subnets: Subnets) -> dict[Name, _Plan]:
    plans: dict[Name, _Plan] = {}
    for key, name in zone_names(declaration).items():
        zone = declaration.zones[key]
        ttl = declaration.ttl if zone.ttl is None else zone.ttl
        plans[name] = _Plan(
            name,
            zone.servers,
            ttl,
            declaration.ns_ttl if zone.ns_ttl is None else zone.ns_ttl,
            declaration.delegation_ttl if zone.delegation_ttl is None else zone.delegation_ttl,
            declaration.negative_ttl if zone.negative_ttl is None else zone.negative_ttl,
            zone.serial,
            tuple(entry.record for entry in read_records(zone.records, name, ttl) if isinstance(entry, Written)),
        )
    # In the Internet the servers of in-addr.arpa and ip6.arpa stand between; here the root delegates the lab's own
    # reverse zones and serves them itself, unless the lab file declares them.
    for name in reverse_zones(subnets):
        if name not in plans:
            top = plans[root]
            plans[name] = replace(top, name=name, ttl=declaration.ttl, written=(), cuts=[])
    for name, plan in plans.items():
        if name != root:
            plans[next(above for above in ancestors(name.parent()) if above in plans)].cuts.append(plan)
    return plans


def reverse_zones(subnets: Subnets) -> tuple[Name, Name]:
    """The zones of the subnets' reverse names (RFC 1035 section 3.5, RFC 3596 section 2.5), at an octet or nibble."""
    return _reverse_zone(subnets.ipv4, 8), _reverse_zone(subnets.ipv6, 4)


def _reverse_zone(network: IPv4Network | IPv6Network, bits: int) -> Name:
    full = dns.reversename.from_address(str(network.network_address))
    return Name(full.labels[(network.max_prefixlen - network.prefixlen + bits - 1) // bits :])


def _zone(plan: _Plan, nodes: Mapping[str, Node]) -> Zone:
    def holds(name: Name) -> bool:
        """Whether `name` is in this zone, not in one delegated from it."""
        return name.is_subdomain(plan.name) and not any(name.is_subdomain(cut.name) for cut in plan.cuts)

    records = [*_apex(plan, nodes)]
    for node in nodes.values():
        ttl = plan.ns_ttl if node.role.is_server else plan.ttl
        if node.hostname is not None and holds(node.hostname):
            records += _addresses(node, node.hostname, ttl, Origin.NODE)
        for address in node.addresses:
            reverse = dns.reversename.from_address(address)
            if node.hostname is not None and holds(reverse):
                records.append(Record(reverse, ttl, "PTR", node.hostname.to_text(), Origin.NODE))
    records += plan.written
    targets = {dns.name.from_text(record.data) for record in plan.written if record.type == "NS"}
    for cut in plan.cuts:
        for server in cut.servers:
            name = _hostname(nodes[server])
            targets.add(name)
            records.append(Record(cut.name, plan.delegation_ttl, "NS", name.to_text(), Origin.DELEGATION))
    for node in nodes.values():
        # Glue where a referral would otherwise lead nowhere, and for siblings below this zone too (RFC 9471
        # section 2.2 and 2.3); a name server outside this zone gets none: its address is not ours to give.
        below = node.hostname
        if below is not None and below in targets and below.is_subdomain(plan.name) and not holds(below):
            records += _addresses(node, below, plan.delegation_ttl, Origin.GLUE)
    apex, rest = records[0], records[1:]
    return Zone(plan.name, plan.servers, (apex, *_in_order(rest)))


def _in_order(records: Iterable[Record]) -> list[Record]:
    # Declared records keep the order people wrote them in; a stable sort does the rest.
    return sorted(dict.fromkeys(records), key=lambda record: _PLACE[record.origin])


def _apex(plan: _Plan, nodes: Mapping[str, Node]) -> Iterator[Record]:
    primary = _hostname(nodes[plan.servers[0]])
    contact = dns.name.from_text("hostmaster", plan.name)
    timers = f"{plan.serial} {_REFRESH} {_RETRY} {_EXPIRE} {plan.negative_ttl}"
    # Negative answers live for the smaller of the SOA's own TTL and its last field (RFC 2308 section 5): the first
    # must not be what limits the second.
    ttl = max(plan.ttl, plan.negative_ttl)
    yield Record(plan.name, ttl, "SOA", f"{primary.to_text()} {contact.to_text()} {timers}", Origin.APEX)
    for server in plan.servers:
        yield Record(plan.name, plan.ns_ttl, "NS", _hostname(nodes[server]).to_text(), Origin.APEX)


def _addresses(node: Node, name: Name, ttl: int, origin: Origin) -> list[Record]:
    return [
        Record(name, ttl, "A", str(node.ipv4), origin),
        Record(name, ttl, "AAAA", str(node.ipv6), origin),
    ]


def _hints(zone: Zone, nodes: Mapping[str, Node]) -> tuple[Record, ...]:
    hints: list[Record] = []
    for server in zone.servers:
        name = _hostname(nodes[server])
        hints.append(Record(root, _HINT_TTL, "NS", name.to_text(), Origin.APEX))
        hints += _addresses(nodes[server], name, _HINT_TTL, Origin.GLUE)
    return tuple(hints)


def _hostname(node: Node) -> Name:
    if node.hostname is None:  # every server has one; a checked declaration cannot come here
        raise AssertionError(f"server {node.name} has no name in the DNS")
    return node.hostname
