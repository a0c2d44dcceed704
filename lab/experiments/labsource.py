"""The lab an experiment declares: one that comes with dnslab or a file, with records of its own if need be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import labs
from lab.errors import BadInput
from lab.experiments.schema import LabSource
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from lab.topology.declaration import Declaration


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
