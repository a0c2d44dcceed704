"""Which node has which address: from the subnet and the order of declaration, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from zlib import crc32

from lab.topology.declaration import GATEWAY, Declaration

_FIRST_SERVER = 11  # below it: the bridge's own address, and room for hand-written ones
_LARGE = IPv4Network("10.64.0.0/10")  # other subnets larger than a /24 are cut from here
_ROOMY = 128  # subnets from this size on keep servers, resolvers and hosts in ranges of their own


@dataclass(frozen=True)
class Subnets:
    """The IPv4 and the IPv6 subnet of one lab."""

    ipv4: IPv4Network
    ipv6: IPv6Network


def preferred_subnets(declaration: Declaration) -> Subnets:
    """Those declared; else 10.53.N.0/24 and fd53:0:0:N::/64 with N from the lab's name, the same every time."""
    by_name = _numbered(50 + crc32(declaration.lab.encode()) % 200)
    return Subnets(declaration.network.ipv4 or by_name.ipv4, declaration.network.ipv6 or by_name.ipv6)


def candidate_subnets(declaration: Declaration) -> Iterator[Subnets]:
    """The preferred subnets, then others of the same size for when those are taken; no two of them overlap."""
    first = preferred_subnets(declaration)
    yield first
    prefix = first.ipv4.prefixlen
    large = _LARGE.subnets(new_prefix=prefix) if prefix < 24 else ()
    small = (IPv4Network((_numbered(number).ipv4.network_address, max(prefix, 24))) for number in range(256))
    for number, ipv4 in zip(range(256), large or small, strict=False):
        ipv6 = _numbered(number).ipv6
        if not (ipv4.overlaps(first.ipv4) or ipv6.overlaps(first.ipv6)):
            yield Subnets(ipv4, ipv6)


def assign(declaration: Declaration, subnets: Subnets) -> dict[str, tuple[IPv4Address, IPv6Address]]:
    """The addresses of every node.

    In a subnet with room (/25 or larger) servers count up from .11, resolvers from three quarters of the subnet, hosts
    from seven eighths, the gateway is last: who adds a server at the end moves nobody. The IPv6 address ends in the
    decimal digits of the IPv4 offset: 10.53.0.11 and fd53::11. A declared address keeps its place in the subnet when
    another subnet had to be taken.
    """
    preferred = preferred_subnets(declaration)
    offsets = _offsets(declaration, preferred.ipv4)
    assigned = {}
    for node, member in declaration.members.items():
        interface = int(str(offsets[node]), 16)
        if member.ipv6 is not None:
            interface = int(member.ipv6) - int(preferred.ipv6.network_address)
        assigned[node] = (subnets.ipv4[offsets[node]], subnets.ipv6[interface])
    return assigned


def room_for(network: IPv4Network) -> int:
    """How many nodes fit: all but network, broadcast and the bridge's own address."""
    return max(0, network.num_addresses - 3)


def _numbered(number: int) -> Subnets:
    return Subnets(IPv4Network(f"10.53.{number}.0/24"), IPv6Network(f"fd53:0:0:{number}::/64"))


def _offsets(declaration: Declaration, network: IPv4Network) -> dict[str, int]:
    size = min(network.num_addresses, 1 << 16)
    offsets = {
        node: int(member.ipv4) - int(network.network_address)
        for node, member in declaration.members.items()
        if member.ipv4 is not None
    }
    taken = set(offsets.values())
    groups = (
        (tuple(declaration.servers), range(_FIRST_SERVER, size * 3 // 4)),
        (tuple(declaration.resolvers), range(size * 3 // 4 + 1, size * 7 // 8)),
        (tuple(declaration.hosts), range(size * 7 // 8 + 1, size - 2)),
        ((GATEWAY,) if declaration.gateway else (), range(size - 2, size - 1)),
    )
    roomy = size >= _ROOMY and all(len(nodes) <= len(set(places) - taken) for nodes, places in groups)
    anywhere = iter([offset for offset in range(2, size - 1) if offset not in taken])
    for nodes, places in groups:
        free = iter([offset for offset in places if offset not in taken]) if roomy else anywhere
        offsets.update({node: next(free) for node in nodes if node not in offsets})
    return offsets
