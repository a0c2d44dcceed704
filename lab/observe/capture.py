"""The packets of some nodes in a file for Wireshark."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterable
from importlib.metadata import version
from ipaddress import IPv4Interface, IPv6Interface
from types import TracebackType
from typing import IO, TYPE_CHECKING

from lab.agent.frames import Frame, decode
from lab.observe import pcapng
from lab.observe.watching import Gap, Watching
from lab.topology.model import Node, Topology

if TYPE_CHECKING:
    from typing_extensions import Self

    from lab.runtime.lab import RunningLab

_FILTER = "UDP and TCP port 53 with all fragments of UDP and TCP, ICMP destination unreachable"


class Capture:
    """Packets of the watched nodes (default: the resolvers), written to `file` as pcapng in order of time.

    A context manager: all packets from the beginning of the block to its end are in the file. Each node is an interface
    of the file, so that a packet between two of them is there twice. What has been seen is written by `flush`, and at
    the end.
    """

    def __init__(self, lab: RunningLab, file: IO[bytes], nodes: Iterable[str] = ()) -> None:
        self._file, self._topology = file, lab.topology
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, int, int, Frame]] = []  # a heap: time, order of arrival, interface, frame
        self._arrivals = 0
        self._watching = Watching(lab, nodes, self._arrived, lambda _node: None)
        self._numbers = {name: number for number, name in enumerate(self._watching.nodes)}
        self.packets = dict.fromkeys(self._watching.nodes, 0)
        """Packets of each node that are in the file."""
        self._began = 0

    def start(self) -> Self:
        """Begin; when this returns, every packet from here on will be in the file. Raises `EnvironmentProblem`."""
        self._file.write(pcapng.section(f"dnslab {version('dnslab')}"))
        nodes = [self._topology.nodes[name] for name in self._watching.nodes]
        known = {address: node.name for node in self._topology.nodes.values() for address in node.addresses}
        self._file.write(pcapng.names(known) + b"".join(_interface(node, self._topology) for node in nodes))
        self._began = time.time_ns()
        self._watching.start()
        return self

    def flush(self) -> None:
        """Write what has been on the wire up to now."""
        until = time.time_ns()
        self._watching.sync()
        self._write(until)

    def stop(self) -> None:
        """End: write what is left, and how many packets each node had and lost."""
        if self._watching.closed.is_set():
            return
        self._watching.stop()
        ended = time.time_ns()
        self._write(None)
        for name, dropped in self.dropped.items():
            self._file.write(pcapng.statistics(self._numbers[name], self._began, ended, self.packets[name], dropped))
        self._file.flush()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def dropped(self) -> dict[str, int]:
        """How many packets of each node were lost."""
        return self._watching.dropped

    @property
    def gaps(self) -> list[Gap]:
        """When a node was not watched, though it should have been: it was stopped, or its tap."""
        return self._watching.gaps

    def _arrived(self, node: str, frames: bytes) -> None:
        with self._lock:
            for frame in decode(frames):
                self._arrivals += 1
                heapq.heappush(self._waiting, (frame.time, self._arrivals, self._numbers[node], frame))

    def _write(self, until: int | None) -> None:
        """Write the packets before a time; those after may yet be preceded by packets of other nodes."""
        nodes = self._watching.nodes
        with self._lock:
            while self._waiting and (until is None or self._waiting[0][0] < until):
                _, _, number, frame = heapq.heappop(self._waiting)
                self._file.write(pcapng.packet(number, *frame))
                self.packets[nodes[number]] += 1
        self._file.flush()


def _interface(node: Node, topology: Topology) -> bytes:
    addresses = (
        IPv4Interface((node.ipv4, topology.ipv4.prefixlen)),
        IPv6Interface((node.ipv6, topology.ipv6.prefixlen)),
    )
    description = f"{node.role.value} {node.name} of lab {topology.lab}"
    return pcapng.interface(
        node.name, f"{description} ({node.program})" if node.program else description, addresses, _FILTER
    )
