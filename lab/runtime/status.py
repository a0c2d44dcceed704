"""How the nodes of a lab are: what Docker says of them, and whether they answer."""

from __future__ import annotations

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from lab.runtime import links
from lab.runtime.containers import Container
from lab.runtime.engine import CONNECTIONS
from lab.runtime.images import VERSION
from lab.runtime.lab import RunningLab
from lab.runtime.parallel import WORKERS, each
from lab.runtime.readiness import checks
from lab.topology.model import Node, spoken

HEALTHY = "ok"
_WAITING = CONNECTIONS - WORKERS - 2  # connections that can wait for statistics while others work
_ALIVE = ("running", "paused")  # states in which a container has processes


@dataclass(frozen=True)
class LinkStatus:
    """A declared link, seen from the node where its rules stand."""

    to: str
    direction: str  # as of a fault at this node: "in", "out", or "both" for a round trip
    words: str  # "30ms", "80ms one way, 1% loss"
    on: bool  # whether the node's conditioner runs


@dataclass(frozen=True)
class NodeStatus:
    """One node; `uptime` in seconds, `memory` in octets (resident, without the page cache), None when not running."""

    node: str
    role: str
    program: str
    version: str
    name: str  # in the DNS
    ipv4: str
    ipv6: str
    health: str  # "ok", else what is wrong
    uptime: float | None
    memory: int | None
    zones: tuple[str, ...]
    clock: str  # "lab" or "host"
    links: tuple[LinkStatus, ...] = ()  # declared ones whose rules stand here

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def status(lab: RunningLab) -> list[NodeStatus]:
    """Every node of `lab`, in the order of declaration."""
    found = lab.containers()
    with _Memory(lab, found.values()) as memory:
        inspected = dict(zip(found, each(lambda container: _inspect(lab, container), found.values()), strict=True))
        answering = _answering(lab, found)
        resident = memory.octets()
    linked = _links(lab) if lab.topology.links else {}

    def one(node: Node) -> NodeStatus:
        container = found.get(node.name)
        known = inspected.get(node.name, _Inspection())
        return NodeStatus(
            node.name,
            node.role.value,
            node.program or "",
            known.version,
            spoken(node.hostname) if node.hostname else "",
            *node.addresses,
            _health(node, container, answering),
            known.uptime,
            resident.get(node.name),
            tuple(zone.label for zone in lab.topology.zones_of(node)),
            "lab" if node.on_lab_clock else "host",
            linked.get(node.name, ()),
        )

    return [one(node) for node in lab.topology.nodes.values()]


def _links(lab: RunningLab) -> dict[str, tuple[LinkStatus, ...]]:
    on = lab.links.helpers()
    found: dict[str, list[LinkStatus]] = {}
    for link in lab.topology.links:
        at, peer, way = links.place(link, lab.topology)
        described = links.words(link.condition, both_ways=link.both_ways)
        found.setdefault(at.name, []).append(LinkStatus(peer.name, way, described, at.name in on))
    return {node: tuple(entries) for node, entries in found.items()}


class _Memory:
    """Asks for the memory of all containers at once: Docker answers each only at the next tick of a second."""

    def __init__(self, lab: RunningLab, found: Collection[Container]) -> None:
        self._api = lab.api
        self._pool = ThreadPoolExecutor(_WAITING, thread_name_prefix="dnslab")
        self._asked = {
            container.node: self._pool.submit(self._resident, container.id)
            for container in found
            if container.state in _ALIVE
        }

    def octets(self) -> dict[str, int | None]:
        """Resident memory by node."""
        return {node: asked.result() for node, asked in self._asked.items()}

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _resident(self, container: str) -> int | None:
        from docker.errors import APIError

        try:
            statistics = self._api.stats(container, stream=False, one_shot=True)
        except APIError:
            return None  # it ended a moment ago
        counted = statistics.get("memory_stats", {}).get("stats", {})
        resident: int | None = counted.get("anon", counted.get("total_rss"))  # cgroup v2, cgroup v1
        return resident


@dataclass(frozen=True)
class _Inspection:
    version: str = ""
    uptime: float | None = None


def _inspect(lab: RunningLab, container: Container) -> _Inspection:
    package = container.labels.get(VERSION, "")  # a container inherits the labels of its image
    version = package.split(" ", 1)[-1]
    if container.state not in _ALIVE:
        return _Inspection(version)
    started = lab.api.inspect_container(container.id)["State"]["StartedAt"]
    return _Inspection(version, max(0.0, (datetime.now(timezone.utc) - _time(started)).total_seconds()))


def _time(text: str) -> datetime:
    """Docker's RFC 3339 with nine decimals; Python before 3.11 reads six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z?$|Z$", r"\1", text)).replace(tzinfo=timezone.utc)


def _answering(lab: RunningLab, found: dict[str, Container]) -> dict[str, bool]:
    """Whether each node that runs gives the answers of a healthy one; empty when there is nobody to ask from."""
    if not any(found.get(host.name) and found[host.name].running for host in lab.topology.hosts[:1]):
        return {}
    asked = [node for node in lab.topology.nodes.values() if node.name in found and found[node.name].running]
    wanted = checks(lab.topology, asked, resolution=False)
    results = lab.prober().ask([check.query for check in wanted], window=256)
    passed: dict[str, bool] = {}
    for check, result in zip(wanted, results, strict=True):
        passed[check.node] = passed.get(check.node, True) and check.passed(result)
    return passed


def _health(node: Node, container: Container | None, answering: dict[str, bool]) -> str:
    if container is None:
        return "missing"
    if not container.running:
        return "stopped" if container.state == "exited" else container.state
    return HEALTHY if answering.get(node.name, True) else "no answer"
