"""Addresses: from the subnet and the order of declaration, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.topology.addressing import Subnets, candidate_subnets, preferred_subnets
from lab.topology.declaration import Declaration
from lab.topology.derive import derive, reverse_zones
from lab.topology.loading import loads

PROGRAMS = {"knot": ("authority",), "unbound": ("resolver",)}


def declaration(network: str = "{}", servers: int = 2, explicit: str = "", lab: str = "addresses") -> Declaration:
    names = [f"s{number}" for number in range(servers)]
    nodes = "\n".join(f"  {name}: {{program: knot{explicit if name == 's1' else ''}}}" for name in names)
    return loads(
        f"lab: {lab}\nnetwork: {network}\nzones:\n  .: {{servers: [{', '.join(names)}]}}\nservers:\n{nodes}\n"
        "resolvers: {r1: unbound, r2: unbound}\nhosts: {h: {resolvers: [r1, r2]}}\ngateway: {}\n",
        PROGRAMS,
    )


def test_each_role_has_a_range_of_its_own() -> None:
    topology = derive(declaration('{ipv4: 10.53.0.0/24, ipv6: "fd53::/64"}'))
    assert {node.name: node.addresses for node in topology.nodes.values()} == {
        "s0": ("10.53.0.11", "fd53::11"),
        "s1": ("10.53.0.12", "fd53::12"),
        "r1": ("10.53.0.193", "fd53::193"),
        "r2": ("10.53.0.194", "fd53::194"),
        "h": ("10.53.0.225", "fd53::225"),
        "gateway": ("10.53.0.254", "fd53::254"),
    }


def test_a_declared_address_is_not_given_to_another_node() -> None:
    topology = derive(declaration('{ipv4: 10.53.0.0/24, ipv6: "fd53::/64"}', 3, ", ipv4: 10.53.0.11"))
    assert [topology.nodes[name].addresses[0][-2:] for name in ("s0", "s1", "s2")] == ["12", "11", "13"]


@pytest.mark.parametrize("servers", [1, 9])
def test_a_small_subnet_is_filled_from_the_front(servers: int) -> None:
    topology = derive(declaration("{ipv4: 10.1.1.0/28}", servers))
    last = [int(node.ipv4) & 15 for node in topology.nodes.values()]
    assert last == list(range(2, 2 + servers + 4))


def test_the_preferred_subnet_comes_from_the_name_of_the_lab() -> None:
    one, again, other = (preferred_subnets(declaration(lab=name)) for name in ("one", "one", "other"))
    assert one == again != other
    assert one.ipv4.subnet_of(IPv4Network("10.53.0.0/16"))


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "expected"),
    [
        ("10.53.0.0/24", "fd53::/64", ("0.53.10.in-addr.arpa.", "0.0.0.0.0.0.0.0.0.0.0.0.3.5.d.f.ip6.arpa.")),
        ("10.53.0.0/16", "fd53::/64", ("53.10.in-addr.arpa.", "0.0.0.0.0.0.0.0.0.0.0.0.3.5.d.f.ip6.arpa.")),
        ("10.53.16.0/20", "fd53:0:0:1::/64", ("53.10.in-addr.arpa.", "1.0.0.0.0.0.0.0.0.0.0.0.3.5.d.f.ip6.arpa.")),
        ("10.53.0.128/25", "fd53::/64", ("0.53.10.in-addr.arpa.", "0.0.0.0.0.0.0.0.0.0.0.0.3.5.d.f.ip6.arpa.")),
    ],
)
def test_reverse_zones_begin_at_an_octet_or_nibble(ipv4: str, ipv6: str, expected: tuple[str, str]) -> None:
    names = reverse_zones(Subnets(IPv4Network(ipv4), IPv6Network(ipv6)))
    assert tuple(name.to_text() for name in names) == expected


@st.composite
def networks(draw: st.DrawFn) -> tuple[IPv4Network, IPv6Network]:
    prefix = draw(st.integers(16, 28))
    base = draw(st.sampled_from(["10.53.0.0", "10.64.0.0", "10.100.0.0", "172.20.0.0", "192.168.1.0"]))
    offset = draw(st.integers(0, 255)) << 8
    ipv4 = IPv4Network((int(IPv4Address(base)) + offset, prefix), strict=False)
    ipv6 = IPv6Network((int(IPv6Address("fd53::")) + (draw(st.integers(0, 255)) << 64), 64))
    return ipv4, ipv6


@settings(max_examples=15, derandomize=True, deadline=None, database=None)
@given(networks(), st.integers(3, 12))
def test_other_subnets_never_overlap_and_keep_declared_places(
    network: tuple[IPv4Network, IPv6Network], place: int
) -> None:
    ipv4, ipv6 = network
    explicit = f", ipv4: {ipv4[place]}, ipv6: '{ipv6[0x1_0000 + place]}'"
    declared = declaration(f'{{ipv4: {ipv4}, ipv6: "{ipv6}"}}', explicit=explicit)
    first, *others = candidates = list(candidate_subnets(declared))
    assert (first.ipv4, first.ipv6) == network
    assert len(others) >= 60
    for other in others:
        assert not other.ipv4.overlaps(ipv4)
        assert not other.ipv6.overlaps(ipv6)
        assert (other.ipv4.prefixlen, other.ipv6.prefixlen) == (ipv4.prefixlen, 64)
        assert other.ipv4.subnet_of(IPv4Network("10.0.0.0/8"))
    for one, two in combinations(candidates[:16], 2):
        assert not one.ipv4.overlaps(two.ipv4)
        assert not one.ipv6.overlaps(two.ipv6)
    for subnets in (first, others[0], others[-1]):
        nodes = derive(declared, subnets).nodes
        assert nodes["s1"].ipv4 == subnets.ipv4[place]
        assert nodes["s1"].ipv6 == subnets.ipv6[0x1_0000 + place]
        assert all(node.ipv4 in subnets.ipv4 and node.ipv6 in subnets.ipv6 for node in nodes.values())
        assert len({address for node in nodes.values() for address in node.addresses}) == 2 * len(nodes)


def test_no_two_of_all_candidates_are_the_same() -> None:
    for network in ("{}", "{ipv4: 10.64.16.0/20}", "{ipv4: 10.53.0.16/28}", "{ipv4: 10.70.0.0/16}"):
        candidates = list(candidate_subnets(declaration(network)))
        assert len({c.ipv4 for c in candidates}) == len({c.ipv6 for c in candidates}) == len(candidates)
