"""Whether a lab that is up is the one that an experiment declares: else its numbers are those of something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import BadInput
from lab.experiments.labsource import declaration
from lab.experiments.schema import LabSource
from lab.topology.addressing import Subnets
from lab.topology.derive import derive
from lab.topology.model import Condition, Link, Node, Record, Role, Topology, Zone, spoken

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab

_TOLD = 6  # differences


def check_likeness(lab: RunningLab, source: LabSource, folder: Path) -> None:
    """Raise `BadInput` that says in what a lab differs from the one that `source` means.

    Its name and its subnets may be others, and it may have a gateway or none; `folder` is what the path of a lab file
    is relative to.
    """
    found = lab.topology
    declared = derive(declaration(source, folder), Subnets(found.ipv4, found.ipv6))
    different = list(differences(declared, found))
    if not different:
        return
    told = [f"  {one}" for one in different[:_TOLD]]
    if len(different) > _TOLD:
        told.append(f"  and {len(different) - _TOLD} more")
    kind, mend = source.name, "without --lab it runs on a lab of its own"
    if source.records:
        kind += ", with records of its own"
    else:
        what = file if (file := folder / source.name).is_file() else source.name
        mend += f"; `dnslab up {what} --name {lab.name}` makes this one what is declared"
    raise BadInput("\n".join([f"lab {lab.name} is not the one that is declared ({kind}):", *told, mend]))


def differences(declared: Topology, found: Topology) -> Iterator[str]:
    """In what a lab differs from the one declared, a line each; both on the same subnets."""
    nodes, others = _nodes(declared), _nodes(found)
    yield from _missing_and_more("node", nodes, others)
    for name in (name for name in nodes if name in others):
        yield from _node(nodes[name], others[name])
    zones, served = ({spoken(name): zone for name, zone in one.zones.items()} for one in (declared, found))
    yield from _missing_and_more("zone", zones, served)
    for label in (label for label in zones if label in served):
        yield from _zone(zones[label], served[label])
    yield from _missing_and_more("link", _links(declared), _links(found))


def _nodes(topology: Topology) -> dict[str, Node]:
    return {node.name: node for node in topology.nodes.values() if node.role is not Role.GATEWAY}


def _node(declared: Node, found: Node) -> Iterator[str]:
    for what, wanted, there in (
        ("runs", declared.program, found.program),
        ("is", declared.role.value, found.role.value),
        ("is called", declared.hostname, found.hostname),
        ("uses", declared.resolvers, found.resolvers),
        ("has the clock", _clock(declared), _clock(found)),
        ("recurses", declared.recursive, found.recursive),
        ("has in its configuration", declared.extra_config, found.extra_config),
    ):
        if wanted != there:
            yield f"node {declared.name} {what} {_said(there)}; declared: {_said(wanted)}"


def _clock(node: Node) -> str:
    return "of the lab" if node.on_lab_clock else "of the machine"


def _zone(declared: Zone, found: Zone) -> Iterator[str]:
    if declared.servers != found.servers:
        yield f"zone {declared.label} is served by {_said(found.servers)}; declared: {_said(declared.servers)}"
    wanted, there = Counter(map(_record, declared.records)), Counter(map(_record, found.records))
    for record in (wanted - there).elements():
        yield f"zone {declared.label} lacks {record}"
    for record in (there - wanted).elements():
        yield f"zone {declared.label} has {record}, which is not declared"


def _record(record: Record) -> str:
    return f"{spoken(record.owner)} {record.ttl} {record.type} {record.data}"


def _links(topology: Topology) -> list[str]:
    nodes = _nodes(topology)
    return [_link(link) for link in topology.links if all(end in nodes for end in link.ends)]


def _link(link: Link) -> str:
    usual, ends = vars(Condition()), f" {'-' if link.both_ways else '>'} ".join(link.ends)
    return (
        f"{ends} ({', '.join(f'{key} {value}' for key, value in vars(link.condition).items() if value != usual[key])})"
    )


def _missing_and_more(what: str, declared: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    there, wanted = set(found), set(declared)
    yield from (f"{what} {name} is missing" for name in declared if name not in there)
    yield from (f"{what} {name} is not declared" for name in found if name not in wanted)


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nobody"
    return str(value).strip() or "nothing"
