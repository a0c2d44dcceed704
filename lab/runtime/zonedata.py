"""The zone data that servers serve: as the lab file says, with the edits that the ledger has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import dns.name

from lab.errors import EnvironmentProblem
from lab.runtime import containers
from lab.runtime.ledger import Entry
from lab.software import program as software
from lab.topology.edits import Edit, edited
from lab.topology.model import Node, Topology, Zone
from lab.topology.zonefile import zone_text

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab

_ZONE, _EDIT, _VALUES = "zone", "edit", "values"


def data(zone: Zone, edit: Edit) -> dict[str, object]:
    """An edit as it is written into the ledger."""
    name, values = edit
    return {_ZONE: zone.name.to_text(), _EDIT: name, _VALUES: dict(values)}


def zone_of(topology: Topology, entry: Entry) -> Zone | None:
    """The zone that an entry edits, as declared; None of an entry that is about something else."""
    return topology.zones.get(dns.name.from_text(entry.data[_ZONE])) if _ZONE in entry.data else None


def served(topology: Topology, node: Node, zone: Zone, entries: Iterable[Entry]) -> Zone:
    """`zone` as `node` is to serve it."""
    here = [entry for entry in entries if node.name in entry.nodes and zone_of(topology, entry) is zone]
    return edited(zone, [(entry.data[_EDIT], entry.data[_VALUES]) for entry in here])


def files(topology: Topology, node: Node, entries: Iterable[Entry]) -> Mapping[str, str]:
    """The zone files of a server that differ from the lab file: path relative to its folder -> text."""
    entries = list(entries)
    zones = [(zone, served(topology, node, zone, entries)) for zone in topology.zones_of(node)]
    return {software.zone_path(now): zone_text(now) for zone, now in zones if now != zone}


def publish(lab: RunningLab, node: Node, zone: Zone) -> None:
    """Write `zone` into its file at `node`, and make the program read it, if it runs.

    Returns when the program has accepted the command; it may be a moment before it serves the zone. Raises
    `EnvironmentProblem`, for one when the node is paused and cannot be told.
    """
    from docker.errors import APIError

    writer = lab.topology.hosts[0].name
    container, path = lab.nodes[writer].container, f"{node.name}/{software.zone_path(zone)}"
    try:
        # Not asked of the prober, which takes a moment to start: a guard has none to lose.
        ahead = containers.clocks(lab.api, container).get(node.name, 0) / 1e9 if node.on_lab_clock else 0.0
        containers.put_files(lab.api, container, {path: zone_text(zone).encode()}, ahead)
    except APIError as error:
        raise EnvironmentProblem(f"Docker did not write {path} through {writer}: {error.explanation}") from None
    handle = lab.nodes[node.name]
    if (state := handle.state) == "running":
        handle.close()  # the shell may be one of a former life of the node
        handle.control("reload")
    elif state == "paused":
        raise EnvironmentProblem(
            f"{node.name} is paused and cannot be told that its zone file has changed; `dnslab unpause {node.name}`"
        )
