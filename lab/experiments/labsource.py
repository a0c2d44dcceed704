"""The lab an experiment declares: one that comes with dnslab or a file, with records of its own if need be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import labs
from lab.errors import BadInput
from lab.experiments.schema import LabSource
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.topology.declaration import Declaration, Link


def declaration(source: LabSource, folder: Path) -> Declaration:
    """The lab file that `source` means, a path being relative to `folder`. Raises `BadInput`."""
    beside = folder / source.name
    found = labs.load(str(beside) if beside.suffix in (".yaml", ".yml") and beside.is_file() else source.name)
    if not source.records:
        return found
    zones = dict(found.zones)
    for zone, records in source.records.items():
        if zone not in zones:
            raise BadInput(f"lab {found.lab} has no zone {zone!r}{did_you_mean(zone, zones)}")
        zones[zone] = zones[zone].model_copy(update={"records": f"{zones[zone].records.rstrip()}\n{records}"})
    changed = found.model_copy(update={"zones": zones})
    if problems := labs.problems(changed):
        raise BadInput("; ".join(f"{problem.place}: {problem.text}" for problem in problems))
    return changed


def closed(declared: Declaration) -> Declaration:
    """The lab without its gateway and that one's links: a port of the machine is for the labs that people are in."""
    from lab.topology.declaration import GATEWAY

    others = (_without(link, GATEWAY) for link in declared.links)
    links = tuple(link for link in others if all(link.ends))
    return declared.model_copy(update={"gateway": None, "links": links})


def _without(link: Link, node: str) -> Link:
    def others(end: Sequence[str] | None) -> tuple[str, ...] | None:
        return None if end is None else tuple(one for one in end if one != node)

    between = None if link.between is None else tuple(others(end) or () for end in link.between)
    return link.model_copy(update={"between": between, "from_": others(link.from_), "to": others(link.to)})
