"""The network of a lab: internal, dual stack, with no way out."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.lock import locked
from lab.topology.addressing import Subnets, candidate_subnets
from lab.topology.declaration import Declaration

if TYPE_CHECKING:
    from docker import APIClient


def find(api: APIClient, lab: str) -> Subnets | None:
    """The subnets of a lab's network; None when there is none."""
    for network in api.networks(filters=labels.of_lab(lab)):
        return _subnets(network)
    return None


def nobody(network: IPv6Network) -> IPv6Address:
    """An address in the subnet that no node has: the interface identifiers of nodes read as decimal digits."""
    return network[0xFFFE]


def create(api: APIClient, lab: str, declaration: Declaration) -> Subnets:
    """Create the lab's network on its preferred subnets, or on the next free ones.

    Raises `EnvironmentProblem` when none is free, or when this Docker cannot do IPv6.
    """
    from docker.errors import APIError

    # One at a time: networks created in parallel have been given overlapping subnets (hickory-dns issue 2264).
    with locked("networks"):
        taken = list(_taken(api))
        for subnets in candidate_subnets(declaration):
            if any(
                net.version == wanted.version and net.overlaps(wanted) for net in taken for wanted in _both(subnets)
            ):
                continue
            try:
                _create(api, lab, subnets)
            except APIError as error:
                if "overlaps" in str(error.explanation):
                    continue
                raise EnvironmentProblem(
                    f"Docker did not create the network of lab {lab}: {error.explanation}"
                ) from None
            return subnets
    raise EnvironmentProblem(
        "every subnet the lab could use is taken; `dnslab gc` and `docker network prune` free some"
    )


def _create(api: APIClient, lab: str, subnets: Subnets) -> None:
    from docker.types import IPAMConfig, IPAMPool

    # `internal` alone leaves three ways out. The bridge's own IPv4 address reaches services of the machine, and makes
    # a route on it: the bridge gets none. Docker before 27 filters no IPv6: the default route leads to an address
    # that nobody has. Names go out through Docker's forwarder: see `lab.runtime.spec`.
    api.create_network(
        labels.network_name(lab),
        driver="bridge",
        internal=True,
        enable_ipv6=True,
        ipam=IPAMConfig(
            pool_configs=[
                IPAMPool(subnet=str(subnets.ipv4)),
                IPAMPool(subnet=str(subnets.ipv6), aux_addresses={"DefaultGatewayIPv6": str(nobody(subnets.ipv6))}),
            ]
        ),
        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
        labels={labels.LAB: lab, labels.SUBNETS: f"{subnets.ipv4} {subnets.ipv6}"},
        check_duplicate=True,
    )


def _taken(api: APIClient) -> Iterator[IPv4Network | IPv6Network]:
    for network in api.networks():
        for pool in (network.get("IPAM") or {}).get("Config") or []:
            if pool.get("Subnet"):
                yield ip_network(pool["Subnet"], strict=False)


def _both(subnets: Subnets) -> tuple[IPv4Network, IPv6Network]:
    return subnets.ipv4, subnets.ipv6


def _subnets(network: dict[str, Any]) -> Subnets:
    ipv4, ipv6 = network["Labels"][labels.SUBNETS].split()
    return Subnets(IPv4Network(ipv4), IPv6Network(ipv6))
