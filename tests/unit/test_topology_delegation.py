"""Delegations and glue: whoever knows only the root hints reaches every record of every lab that is accepted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

import dns.name
import dns.reversename
import dns.zone
import pytest
from dns.name import Name, root
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from lab.topology.declaration import Declaration
from lab.topology.derive import derive
from lab.topology.loading import loads
from lab.topology.model import Origin, Record, Topology, Zone, ancestors
from lab.topology.problems import DeclarationError
from lab.topology.zonefile import zone_text

PROGRAMS = {"knot": ("authority",), "unbound": ("resolver",)}


def examples(number: int) -> settings:
    """The same labs at every run, however slow the machine."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# Labs by chance.

_LABELS = st.sampled_from(["a", "b", "c", "d.e"])  # "d.e" makes an empty non-terminal
_DATA = {
    "A": "192.0.2.{n}",
    "AAAA": "2001:db8::{n}",
    "TXT": '"text ; {n}"',
    "MX": "{n} mail",
    "CNAME": "alias-of-{n}",
    "TYPE65280": "\\# 1 {n:02x}",
}


@st.composite
def lab_files(draw: Callable[..., object]) -> str:
    """The text of a lab: a random tree of zones, servers with names anywhere in it, random records."""
    zones: dict[str, list[str]] = {".": []}
    for _ in range(draw(st.integers(1, 9))):
        parent = draw(st.sampled_from([zone for zone in zones if zone.count(".") < 5]))
        zones.setdefault(_below(draw(_LABELS), parent), [])
    servers: dict[str, str | None] = {}
    for number in range(draw(st.integers(1, 7))):
        home = draw(st.sampled_from([None, *zones]))
        infix = draw(st.sampled_from(["", "in."]))
        servers[f"s{number}"] = None if home is None else _below(f"{infix}ns{number}".removeprefix("in."), home)
        if home is not None and infix:
            servers[f"s{number}"] = _below(f"ns{number}.in", home)
    for mine in zones.values():
        mine += draw(st.lists(st.sampled_from(sorted(servers)), min_size=1, max_size=3, unique=True))
    for server in servers:
        if not any(server in mine for mine in zones.values()):
            zones[draw(st.sampled_from(sorted(zones)))].append(server)
    lines = ["lab: chance", "zones:"]
    for zone, mine in zones.items():
        lines += [f"  {zone}:", f"    servers: [{', '.join(mine)}]", "    records: |", "      ; by chance"]
        lines += [f"      {record}" for record in draw(_records(zone, [other for other in zones if other != zone]))]
    lines += ["servers:"]
    for server, name in servers.items():
        lines.append(f"  {server}: {{program: knot{f', name: {name}' if name else ''}}}")
    lines += ["resolvers:", "  r: {program: unbound, name: resolver.lab}", "hosts:", "  h: {resolvers: [r]}"]
    return "\n".join(lines) + "\n"


@st.composite
def _records(draw: Callable[..., object], zone: str, others: Sequence[str]) -> list[str]:
    written: dict[str, list[str]] = defaultdict(list)
    apex = dns.name.from_text(zone)
    cuts = [name for name in map(dns.name.from_text, others) if name.is_subdomain(apex)]
    for _ in range(draw(st.integers(0, 4))):
        owner = draw(st.sampled_from(["@", "www", "mail", "x.y", "*.wild", "_sip._tcp"]))
        kind = draw(st.sampled_from(sorted(_DATA)))
        if any(dns.name.from_text(owner, apex).is_subdomain(cut) for cut in cuts):
            continue
        if (kind == "CNAME" and (owner == "@" or written[owner])) or "CNAME" in written[owner]:
            continue
        written[owner].append(kind)
    return [
        f"{owner} {60 * len(kind)} {kind} {_DATA[kind].format(n=n)}"
        for owner, kinds in written.items()
        for n, kind in enumerate(kinds, 1)
    ]


def _below(label: str, parent: str) -> str:
    return label if parent == "." else f"{label}.{parent}"


@st.composite
def tangles(draw: Callable[..., object]) -> str:
    """Zones under two parents, each served from names in the others: many of these labs nobody could resolve."""
    chance = Random(draw(st.integers(0, 2**32)))  # evenly, where Hypothesis would prefer what is simple
    zones = [f"{label}.{parent}" for label in "abc" for parent in ("com", "org")][: chance.randint(2, 5)]
    lines = ["lab: tangle", "zones:", "  .: {servers: [top]}", "  com: {servers: [top]}", "  org: {servers: [top]}"]
    servers = ["  top: knot"]
    for number, zone in enumerate(zones):
        strangers = [other for other in zones if other[-3:] != zone[-3:]]  # the parent has no glue for names there
        homes = [chance.choice(strangers if chance.random() < 0.6 else zones) for _ in range(chance.choice([1, 2]))]
        names = [f"s{number}-{place}" for place in range(len(homes))]
        lines += [f"  {zone}: {{servers: [{', '.join(names)}]}}"]
        servers += [
            f"  {name}: {{program: knot, name: {name}.{home}}}" for name, home in zip(names, homes, strict=True)
        ]
    return "\n".join([*lines, "servers:", *servers, "resolvers: {r: unbound}", "hosts: {h: {resolvers: [r]}}", ""])


@st.composite
def topologies(draw: Callable[..., object]) -> Topology:
    """Derived labs; those with delegations that cannot be followed are left out."""
    try:
        return derive(loads(draw(lab_files()), PROGRAMS))
    except DeclarationError:
        assume(False)
        raise


# Two zones that hang on each other, and a third that hangs on them.

CIRCLE = """\
lab: circle
zones:
  .: {servers: [root]}
  com: {servers: [tld]}
  org: {servers: [tld]}
  a.com: {servers: [one]}
  b.org: {servers: [two]}
  c.com: {servers: [three]}
servers:
  root: knot
  tld: knot
  one: {program: knot, name: ns.b.org}
  two: {program: knot, name: ns.a.com}
  three: {program: knot, name: ns3.b.org}
hosts:
  host: {resolvers: [resolver]}
resolvers:
  resolver: unbound
"""


# A resolver of a page: RFC 1034 section 5.3.3 without cache, on a lab that is only data.


@dataclass(frozen=True)
class Referral:
    cut: Name
    servers: tuple[Name, ...]
    glue: dict[Name, tuple[str, ...]]


@dataclass
class Internet:
    """Answers as the servers of a lab would (RFC 1034 section 4.3.2), from nothing but their zones."""

    topology: Topology
    data: dict[Name, dict[Name, dict[str, set[str]]]] = field(default_factory=dict)  # zone -> owner -> type -> data

    def __post_init__(self) -> None:
        for zone in self.topology.zones.values():
            owners = self.data.setdefault(zone.name, defaultdict(lambda: defaultdict(set)))
            for record in zone.records:
                owners[record.owner][record.type].add(record.data)

    def ask(self, address: str, name: Name, kind: str) -> Referral | set[str] | None:
        """A referral, or the data with authority; None from a server that has nothing to do with `name`."""
        served = self.topology.node(address).zones
        zone = next((above for above in ancestors(name) if above in served), None)
        if zone is None:
            return None
        owners = self.data[zone]
        path = [above for above in ancestors(name) if above != zone and above.is_subdomain(zone)]
        for above in reversed(path):
            if above in owners and "NS" in owners[above]:
                servers = tuple(map(dns.name.from_text, sorted(owners[above]["NS"])))
                glue = {ns: tuple(sorted(owners[ns]["A"])) for ns in servers if ns in owners and "A" in owners[ns]}
                return Referral(above, servers, glue)
        return owners[name][kind] if name in owners else set()


@dataclass
class Walker:
    """Resolves from the hints alone. `pick` chooses among the servers of a zone: all must lead to the answer."""

    internet: Internet
    pick: int
    known: dict[Name, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, name: Name, kind: str, looking_for: frozenset[Name] = frozenset()) -> set[str] | None:
        addresses = sorted(record.data for record in self.internet.topology.hints if record.type == "A")
        cut = root
        while True:
            reply = self.internet.ask(addresses[self.pick % len(addresses)], name, kind)
            assert reply is not None, f"lame: asked for {name} at {cut}"
            if not isinstance(reply, Referral):
                return reply
            assert len(reply.cut) > len(cut), f"{name}: a referral from {cut} to {reply.cut} leads nowhere"
            cut = reply.cut
            addresses = [a for server in reply.servers for a in self._addresses(server, reply, looking_for)]
            if not addresses:
                return None

    def _addresses(self, server: Name, reply: Referral, looking_for: frozenset[Name]) -> tuple[str, ...]:
        if server in reply.glue:
            return reply.glue[server]
        assert not server.is_subdomain(reply.cut), f"{server} is below the cut and has no glue"
        if server in looking_for:
            return ()  # a circle: nothing to be had this way
        if server not in self.known:
            found = self.resolve(server, "A", looking_for | {server})
            if not found:
                return ()
            self.known[server] = tuple(sorted(found))
        return self.known[server]


def authoritative(topology: Topology) -> dict[tuple[Name, str], set[str]]:
    """Everything that some zone says with authority: all but delegations and glue."""
    data: dict[tuple[Name, str], set[str]] = defaultdict(set)
    for zone in topology.zones.values():
        for record in zone.records:
            if record.origin not in (Origin.DELEGATION, Origin.GLUE):
                data[record.owner, record.type].add(record.data)
    return data


@examples(25)
@given(topologies())
def test_every_record_is_reached_from_the_root_hints(topology: Topology) -> None:
    _reaches_everything(topology)


def _reaches_everything(topology: Topology) -> None:
    internet = Internet(topology)
    for pick in (0, -1):
        walker = Walker(internet, pick)
        for (name, kind), data in authoritative(topology).items():
            assert walker.resolve(name, kind) == data, f"{name} {kind}"


def test_a_lab_is_refused_if_and_only_if_a_zone_is_beyond_reach() -> None:
    seen: Counter[str] = Counter()

    @examples(40)
    @given(tangles())
    @example(CIRCLE)
    def walk(text: str) -> None:
        try:
            topology = derive(loads(text, PROGRAMS))
        except DeclarationError as refused:
            seen["refused"] += 1
            _is_a_circle(text, refused)
        else:
            seen["accepted"] += 1
            _reaches_everything(topology)

    walk()
    assert seen["accepted"] >= 5, seen
    assert seen["refused"] >= 5, seen


def _is_a_circle(text: str, refused: DeclarationError) -> None:
    """The refused zones are beyond reach indeed, and nothing else is wrong with the lab."""
    walker = Walker(Internet(derive(Declaration.model_validate(YAML(typ="safe").load(text)))), 0)
    for line, problem in refused.problems:
        assert "cannot be followed" in problem.text
        assert text.splitlines()[line - 1].startswith(f"  {problem.path[1]}: ")
        assert walker.resolve(dns.name.from_text(str(problem.path[1])), "SOA") is None


def test_zones_that_hang_on_each_other_are_refused_once_and_by_name() -> None:
    with pytest.raises(DeclarationError) as caught:
        loads(CIRCLE, PROGRAMS)
    [(line, problem)] = caught.value.problems
    assert line == 6
    assert "a.com -> b.org -> a.com" in problem.text
    assert "server named inside its parent zone" in problem.text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("b.org: {servers: [two]}", "b.org: {servers: [two, tld]}", id="a second way in"),
        pytest.param("name: ns.a.com", "name: ns.org", id="a server in the parent zone"),
        pytest.param("name: ns.a.com", "name: ns.x.b.org", id="a server in the zone itself"),
        pytest.param("b.org", "b.com", id="siblings, for which the parent has glue"),
    ],
)
def test_one_way_in_breaks_the_circle(old: str, new: str) -> None:
    topology = derive(loads(CIRCLE.replace(old, new), PROGRAMS))
    assert Walker(Internet(topology), 0).resolve(dns.name.from_text("c.com"), "SOA")


# What holds in every lab.


def parent_of(topology: Topology, zone: Zone) -> Zone:
    return topology.enclosing_zone(zone.name.parent())


def rrset(zone: Zone, owner: Name, kind: str) -> set[str]:
    return {record.data for record in zone.records if (record.owner, record.type) == (owner, kind)}


@examples(10)
@given(topologies())
def test_parent_and_child_agree_on_the_name_servers(topology: Topology) -> None:
    for zone in topology.zones.values():
        expected = {topology.nodes[server].hostname.to_text() for server in zone.servers}
        assert rrset(zone, zone.name, "NS") == expected
        if zone.name != root:
            assert rrset(parent_of(topology, zone), zone.name, "NS") == expected


@examples(10)
@given(topologies())
def test_glue_is_right_and_in_bailiwick(topology: Topology) -> None:
    truth = authoritative(topology)
    for zone in topology.zones.values():
        glue = [record for record in zone.records if record.origin is Origin.GLUE]
        assert {record.owner for record in glue} == {
            name
            for child in topology.zones.values()
            if child.name != root and parent_of(topology, child) == zone
            for name in map(dns.name.from_text, rrset(zone, child.name, "NS"))
            if name.is_subdomain(zone.name) and topology.enclosing_zone(name) != zone
        }
        for record in glue:
            assert {r.data for r in glue if (r.owner, r.type) == (record.owner, record.type)} == truth[
                record.owner, record.type
            ]


@examples(10)
@given(topologies())
def test_every_zone_is_well_formed(topology: Topology) -> None:
    for zone in topology.zones.values():
        assert [record.type for record in zone.records].index("SOA") == 0
        assert [record.type for record in zone.records].count("SOA") == 1
        for record in zone.records:
            assert record.owner.is_subdomain(zone.name)
            if topology.enclosing_zone(record.owner) != zone:
                delegates = record.type == "NS" and record.owner in topology.zones
                assert delegates or record.origin is Origin.GLUE
        ttls: dict[tuple[Name, str], set[int]] = defaultdict(set)
        for record in zone.records:
            ttls[record.owner, record.type].add(record.ttl)
        assert all(len(one) == 1 for one in ttls.values()), "RFC 2181 section 5.2"


@examples(10)
@given(topologies())
def test_zone_files_say_exactly_the_records(topology: Topology) -> None:
    for zone in topology.zones.values():
        parsed = dns.zone.from_text(zone_text(zone), origin=zone.name, relativize=False, check_origin=True)
        found = Counter(
            (name, rdataset.ttl, dns.rdatatype.to_text(rdataset.rdtype), rdata.to_text())
            for name, rdataset in parsed.iterate_rdatasets()
            for rdata in rdataset
        )
        assert found == Counter((r.owner, r.ttl, r.type, r.data) for r in zone.records)


@examples(10)
@given(topologies())
def test_addresses_and_reverse_names_agree(topology: Topology) -> None:
    addresses = [ip_address(address) for node in topology.nodes.values() for address in node.addresses]
    assert len(addresses) == len(set(addresses))
    assert all(address in (topology.ipv4 if address.version == 4 else topology.ipv6) for address in addresses)
    truth = authoritative(topology)
    pointers = {owner: data for (owner, kind), data in truth.items() if kind == "PTR"}
    assert pointers == {
        dns.reversename.from_address(address): {node.hostname.to_text()}
        for node in topology.nodes.values()
        if node.hostname is not None
        for address in node.addresses
    }
    for owner, data in pointers.items():
        address = dns.reversename.to_address(owner)
        assert address in truth[dns.name.from_text(*data), "AAAA" if ":" in address else "A"]


@examples(8)
@given(lab_files())
def test_the_same_text_gives_the_same_lab(text: str) -> None:
    try:
        first, second = (derive(loads(text, PROGRAMS)) for _ in range(2))
    except DeclarationError:
        assume(False)
    assert first == second
    assert [*map(zone_text, first.zones.values())] == [*map(zone_text, second.zones.values())]


@examples(8)
@given(lab_files())
def test_a_server_added_at_the_end_moves_nobody(text: str) -> None:
    longer = text.replace("resolvers:\n", "  last: {program: knot, name: last.lab}\nresolvers:\n", 1)
    longer = longer.replace("    servers: [", "    servers: [last, ", 1)
    try:
        before, after = (derive(loads(each, PROGRAMS)) for each in (text, longer))
    except DeclarationError:
        assume(False)
    moved = {name for name, node in before.nodes.items() if node.addresses != after.nodes[name].addresses}
    assert not moved
    assert after.nodes["last"].addresses not in [node.addresses for node in before.nodes.values()]


# What a person can write by hand about delegation.

BY_HAND = """\
lab: by-hand
zones:
  .: {servers: [root]}
  com:
    servers: [tld]
    records: |
      lame NS ns.elsewhere.com.
servers:
  root: knot
  tld: {program: knot, name: ns.elsewhere.com}
resolvers: {r: unbound}
hosts: {h: {resolvers: [r]}}
"""


def test_a_lame_delegation_can_be_written() -> None:
    com = derive(loads(BY_HAND, PROGRAMS)).zones[dns.name.from_text("com")]
    lame = Record(dns.name.from_text("lame.com"), 3600, "NS", "ns.elsewhere.com.", Origin.DECLARED)
    assert lame in com.records
    assert rrset(com, dns.name.from_text("ns.elsewhere.com"), "A")


def test_reverse_zones_can_be_declared() -> None:
    text = BY_HAND.replace(
        "zones:\n", "network: {ipv4: 10.1.2.0/24}\nzones:\n  2.1.10.in-addr.arpa: {servers: [tld]}\n"
    )
    topology = derive(loads(text, PROGRAMS))
    zone = topology.zones[dns.name.from_text("2.1.10.in-addr.arpa")]
    assert zone.servers == ("tld",)
    assert rrset(zone, dns.name.from_text("12", zone.name), "PTR") == {"ns.elsewhere.com."}
