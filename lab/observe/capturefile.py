"""A file for Wireshark with the packets of a lab: each watched node is an interface, and addresses have names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from ipaddress import IPv4Interface, IPv6Interface
from typing import IO

from lab.agent.frames import Frame
from lab.observe import pcapng
from lab.topology.model import Node, Topology

_FILTER = "UDP and TCP port 53 with all fragments of UDP and TCP, ICMP destination unreachable"


class CaptureFile:
    """A pcapng file that is written from its beginning on; packets come in order of time."""

    def __init__(self, file: IO[bytes], topology: Topology, nodes: Iterable[str]) -> None:
        self._file = file
        self._numbers = {name: number for number, name in enumerate(nodes)}
        self.packets = dict.fromkeys(self._numbers, 0)
        """Packets of each node that are in the file."""
        known = {address: node.name for node in topology.nodes.values() for address in node.addresses}
        interfaces = [_interface(topology.nodes[name], topology) for name in self._numbers]
        file.write(pcapng.section(f"dnslab {version('dnslab')}") + pcapng.names(known) + b"".join(interfaces))

    def write(self, node: str, frame: Frame) -> None:
        """Add a packet that was seen at a node."""
        self._file.write(pcapng.packet(self._numbers[node], *frame))
        self.packets[node] += 1

    def finish(self, node: str, began: int, ended: int, dropped: int) -> None:
        """Say of a node how many packets it had, and lost; times in nanoseconds since 1970."""
        self._file.write(pcapng.statistics(self._numbers[node], began, ended, self.packets[node], dropped))


def _interface(node: Node, topology: Topology) -> bytes:
    addresses = (
        IPv4Interface((node.ipv4, topology.ipv4.prefixlen)),
        IPv6Interface((node.ipv6, topology.ipv6.prefixlen)),
    )
    description = f"{node.role.value} {node.name} of lab {topology.lab}"
    return pcapng.interface(
        node.name, f"{description} ({node.program})" if node.program else description, addresses, _FILTER
    )
