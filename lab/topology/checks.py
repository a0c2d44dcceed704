"""What cannot be a lab although every key is right: each check yields the problems it finds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import dns.exception
import dns.name
import dns.reversename
from dns.name import Name, root

from lab.topology import links
from lab.topology.addressing import assign, preferred_subnets, room_for
from lab.topology.declaration import GATEWAY, Declaration, Member, Program, Server
from lab.topology.derive import derive, reverse_zones, server_name, zone_names
from lab.topology.model import Record, ancestors, spoken
from lab.topology.problems import Path, Problem
from lab.topology.records import Unreadable, Written, read_records
from lab.topology.suggest import did_you_mean

_ZONE_LABEL = re.compile(rb"[A-Za-z0-9_/-]+")  # it is written into configurations and names a file

Programs = Mapping[str, Collection[str]]  # program name -> "authority", "recursive authority", "resolver"


def check(declaration: Declaration, programs: Programs) -> list[Problem]:
    """Every problem of `declaration`; deeper checks wait until the names and references they need are sound."""
    problems = [*_zone_names(declaration), *_references(declaration)]
    if not problems:
        subnets = [*_subnets(declaration)]
        pointers = set() if subnets else _pointers(declaration)
        problems = [*_members(declaration), *subnets, *_records(declaration, pointers), *_delegations(declaration)]
        if not subnets:
            problems += _addresses(declaration)
        if declaration.links and not problems:
            problems += links.problems(declaration, derive(declaration.model_copy(update={"links": ()})))
    return [*problems, *_programs(declaration, programs)]


def _zone_names(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[Name, str] = {}
    for key in declaration.zones:
        try:
            name = dns.name.from_text(key)
        except dns.exception.DNSException as error:
            yield Problem(("zones", key), f"not a domain name: {error}")
            continue
        if not all(_ZONE_LABEL.fullmatch(label) for label in name.labels[:-1]):
            yield Problem(("zones", key), "not the name of a zone here: letters, digits, `-`, `_` and `/` (RFC 2317)")
        if name in seen:
            yield Problem(("zones", key), f"the same zone as {seen[name]!r} above; keep one")
        seen[name] = key
    if root not in seen:
        yield Problem(("zones",), "no root zone; add one, as in `.: {servers: [root]}`")


def _references(declaration: Declaration) -> Iterator[Problem]:
    for key, zone in declaration.zones.items():
        where: Path = ("zones", key)
        if not zone.servers:
            servers = ", ".join(declaration.servers)
            yield Problem(where, f"zone without a server; add `servers: [...]` with some of: {servers}")
        yield from _known((*where, "servers"), zone.servers, declaration.servers, "server")
        known = [server for server in zone.servers if server in declaration.servers]
        recursive = [server for server in known if declaration.servers[server].recursive]
        if recursive and recursive != known:
            others = ", ".join(server for server in known if server not in recursive)
            yield Problem(
                (*where, "servers"),
                f"{', '.join(recursive)} is recursive and {others} is not; whoever asks for the zone cannot know whom"
                " it will get: make all of them `recursive: true`, or none",
            )
    used = {server for zone in declaration.zones.values() for server in zone.servers}
    for key in declaration.servers:
        if key not in used:
            yield Problem(("servers", key), "server without a zone; name it in the `servers` of a zone, or remove it")
    for key, host in declaration.hosts.items():
        yield from _known(("hosts", key, "resolvers"), host.resolvers, declaration.resolvers, "resolver")
    if declaration.gateway is not None:
        where = (GATEWAY, "resolvers")
        yield from _known(where, declaration.gateway.resolvers, declaration.resolvers, "resolver")
        if not declaration.resolvers:
            yield Problem((GATEWAY,), "a gateway forwards to a resolver, and this lab has none")
    groups: dict[str, Collection[str]] = {
        "servers": declaration.servers,
        "resolvers": declaration.resolvers,
        "hosts": declaration.hosts,
    }
    owner: dict[str, str] = {GATEWAY: "gateway"}
    for group, nodes in groups.items():
        for node in nodes:
            if node in owner:
                yield Problem((group, node), f"there is a node {node!r} under {owner[node]!r} too; rename one")
            owner[node] = group


def _known(where: Path, given: tuple[str, ...], known: Collection[str], kind: str) -> Iterator[Problem]:
    for place, name in enumerate(given):
        if name not in known:
            hint = did_you_mean(name, known) or f"; declared {kind}s: {', '.join(known) or 'none'}"
            yield Problem((*where, place), f"no {kind} {name!r}{hint}")
        elif name in given[:place]:
            yield Problem((*where, place), f"{name!r} is named twice; keep one")


def _programs(declaration: Declaration, programs: Programs) -> Iterator[Problem]:
    groups: tuple[tuple[str, Mapping[str, Program]], ...] = (
        ("servers", declaration.servers),
        ("resolvers", declaration.resolvers),
    )
    for group, nodes in groups:
        for node, member in nodes.items():
            duty = "resolver"
            if isinstance(member, Server):
                duty = "recursive authority" if member.recursive else "authority"
            able = [name for name, duties in programs.items() if duty in duties]
            if member.program in able:
                continue
            article = "an" if duty == "authority" else "a"
            wrong = "unknown program" if member.program not in programs else f"this program can't be {article} {duty}:"
            hint = did_you_mean(member.program, able)
            yield Problem((group, node, "program"), f"{wrong} {member.program!r}{hint} ({duty}: {', '.join(able)})")


def _members(declaration: Declaration) -> Iterator[Problem]:
    """Names of nodes are unique; every name lies in a zone of the lab, since the root is one."""
    seen: dict[Name, str] = {}
    for path, node, member in _paths(declaration):
        if node in declaration.servers:
            name = server_name(declaration, node)
        elif member.name is not None:
            name = dns.name.from_text(member.name)
        else:
            continue
        if name in seen:
            yield Problem((*path, "name"), f"{spoken(name)} is the name of {seen[name]!r} too; rename one")
        seen[name] = node


def _subnets(declaration: Declaration) -> Iterator[Problem]:
    subnets = preferred_subnets(declaration)
    wanted, room = len(declaration.members), room_for(subnets.ipv4)
    if wanted > room:
        yield Problem(
            ("network", "ipv4"),
            f"subnet too small: {subnets.ipv4} has room for {room} nodes and the lab has {wanted};"
            f" a /{32 - (wanted + 2).bit_length()} is large enough",
        )
    if subnets.ipv4.prefixlen < 16:
        yield Problem(("network", "ipv4"), f"subnet too large: {subnets.ipv4}; a /16 holds every lab")
    if subnets.ipv6.prefixlen != 64:
        size = "small" if subnets.ipv6.prefixlen > 64 else "large"
        yield Problem(("network", "ipv6"), f"subnet too {size}: {subnets.ipv6}; write a /64 (RFC 4291 section 2.5.1)")
    for path, _, member in _paths(declaration):
        families: tuple[tuple[str, IPv4Address | IPv6Address | None, IPv4Network | IPv6Network], ...] = (
            ("ipv4", member.ipv4, subnets.ipv4),
            ("ipv6", member.ipv6, subnets.ipv6),
        )
        for key, address, network in families:
            if address is None:
                continue
            if address not in network:
                yield Problem((*path, key), f"{address} is not in the lab's subnet {network}")
            elif int(address) - int(network.network_address) < 2 or address == subnets.ipv4.broadcast_address:
                yield Problem((*path, key), f"{address} is taken by the network itself (first two and last address)")


def _addresses(declaration: Declaration) -> Iterator[Problem]:
    seen: dict[object, str] = {}
    assigned = assign(declaration, preferred_subnets(declaration))
    declared_first = sorted(_paths(declaration), key=lambda entry: entry[2].ipv4 is None and entry[2].ipv6 is None)
    for path, node, member in declared_first:
        for key, address in zip(("ipv4", "ipv6"), assigned[node], strict=True):
            if address in seen:
                where = (*path, key) if getattr(member, key) is not None else path
                yield Problem(where, f"duplicate address: {address} is that of {seen[address]!r} too")
                break  # the IPv6 address follows the IPv4 address
            seen[address] = node


def _pointers(declaration: Declaration) -> set[Name]:
    """The reverse names of the nodes that have a name."""
    assigned = assign(declaration, preferred_subnets(declaration))
    named = {*declaration.servers, *(node for node, member in declaration.members.items() if member.name)}
    return {dns.reversename.from_address(str(address)) for node in named for address in assigned[node]}


def _records(declaration: Declaration, pointers: Set[Name]) -> Iterator[Problem]:
    names = zone_names(declaration)
    delegated = {*names.values(), *reverse_zones(preferred_subnets(declaration))} - {root}
    servers = {server_name(declaration, node) for node in declaration.servers}
    nodes = {*servers, *(dns.name.from_text(m.name) for m in declaration.members.values() if m.name)}
    for key, name in names.items():
        zone = declaration.zones[key]
        path: Path = ("zones", key, "records")
        entries = read_records(zone.records, name, declaration.ttl if zone.ttl is None else zone.ttl)
        written = [entry.record for entry in entries if isinstance(entry, Written)]
        by_hand = {record.owner for record in written if record.type == "NS"} - {name}
        inside = _Inside(name, delegated - {name}, by_hand, servers, nodes, pointers)
        inside.types.update({node: {"A"} for node in nodes} | {name: {"SOA", "NS"}})
        for entry in entries:
            if isinstance(entry, Unreadable):
                yield Problem(path, entry.reason, entry.line)
                continue
            for text in _record(entry.record, inside):
                yield Problem(path, text, entry.line)


@dataclass(frozen=True)
class _Inside:
    """One zone as its records see it."""

    zone: Name
    delegated: Set[Name]  # all other zones of the lab
    by_hand: Set[Name]  # owners of NS records that somebody wrote
    servers: Set[Name]
    nodes: Set[Name]
    pointers: Set[Name]
    types: dict[Name, set[str]] = field(default_factory=dict)  # what is there, with the records before
    ttls: dict[tuple[Name, str], int] = field(default_factory=dict)


def _record(record: Record, inside: _Inside) -> Iterator[str]:
    """What is wrong with one record, given those before it."""
    zone, owner = inside.zone, spoken(record.owner)
    if not record.owner.is_subdomain(zone):
        yield f"{owner} is outside the zone {spoken(zone)}; a name with a final dot is absolute, others are relative"
        return
    within = [above for above in ancestors(record.owner) if above != zone and above.is_subdomain(zone)]
    cut = next((above for above in within if above in inside.delegated), None)
    if cut is not None:
        yield f"{owner} belongs into the zone {spoken(cut)}, which is delegated to servers of its own; write it there"
        return
    if record.type == "SOA" or (record.type == "NS" and record.owner == zone):
        yield f"the {record.type} of a zone is derived from its `servers`; remove the record"
        return
    if record.type in ("A", "AAAA") and record.owner in inside.nodes:
        yield f"{owner} is a node of the lab and its addresses are derived; remove the record"
        return
    if record.type == "PTR" and record.owner in inside.pointers:
        yield f"{owner} is the address of a node of the lab and its PTR is derived; remove the record"
        return
    cut = next((above for above in within if above in inside.by_hand), None)
    if cut is not None and (cut != record.owner or record.type not in ("NS", "DS")):
        yield f"{owner} {record.type} is hidden by the delegation of {spoken(cut)} written here; remove one of the two"
        return
    if record.type == "NS" and dns.name.from_text(record.data) not in inside.servers:
        names = [spoken(server) for server in inside.servers]
        hint = did_you_mean(spoken(dns.name.from_text(record.data)), sorted(names))
        yield f"delegation to nobody: no server of the lab is called {record.data}{hint}"
    before = inside.types.setdefault(record.owner, set())
    if (record.type == "CNAME" and before) or "CNAME" in before:
        others = ", ".join(sorted((before | {record.type}) - {"CNAME"})) or "another CNAME"
        yield f"{owner} has a CNAME beside other data ({others}); an alias has nothing else (RFC 2181 section 10.1)"
    before.add(record.type)
    ttl = inside.ttls.setdefault((record.owner, record.type), record.ttl)
    if ttl != record.ttl:
        both = f"TTLs {ttl} and {record.ttl}"
        yield f"the records of {owner} {record.type} have {both}; one RRset has one TTL (RFC 2181 section 5.2)"


def _delegations(declaration: Declaration) -> Iterator[Problem]:
    """Zones that nobody can reach: their servers are found only through each other, and no parent has glue."""
    names = zone_names(declaration)
    servers = {
        name: [server_name(declaration, server) for server in declaration.zones[key].servers]
        for key, name in names.items()
    }
    parent = {name: _enclosing(name.parent(), servers) for name in servers if name != root}
    reached = {root}

    def before(zone: Name) -> Name | None:
        """The zone that has to be reached before `zone` can be, if one is missing (RFC 1034 section 5.3.3)."""
        if parent[zone] not in reached:
            return parent[zone]
        ways = [_enclosing(server, servers) for server in servers[zone] if not server.is_subdomain(parent[zone])]
        glueless = len(ways) == len(servers[zone])
        return ways[0] if glueless and reached.isdisjoint(ways) else None

    while more := {zone for zone in servers.keys() - reached if before(zone) is None}:
        reached |= more
    told: set[Name] = set()
    for key, zone in names.items():
        walk: list[Name] = []
        step: Name | None = zone
        while step is not None and step not in reached and step not in walk:
            walk.append(step)
            step = before(step)
        if not walk or zone != step or told & set(walk):
            continue  # reached, or told at a zone of the circle
        told.update(walk)
        circle = " -> ".join(spoken(name) for name in [*walk, zone])
        yield Problem(
            ("zones", key, "servers"),
            f"a delegation that cannot be followed: the way to the servers of each zone leads through the next,"
            f" and no parent has glue: {circle}; give one of them a server named inside its parent zone",
        )


def _enclosing(name: Name, zones: Collection[Name]) -> Name:
    return next(above for above in ancestors(name) if above in zones)


def _paths(declaration: Declaration) -> Iterator[tuple[Path, str, Member]]:
    for group in ("servers", "resolvers", "hosts"):
        for node, member in getattr(declaration, group).items():
            yield (group, node), node, member
    if declaration.gateway is not None:
        yield (GATEWAY,), GATEWAY, declaration.gateway
