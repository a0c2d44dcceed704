"""remove-record: an RRset is gone."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text
from lab.topology.edits import removable

FAULT = ZoneKind(
    name="remove-record",
    summary="An RRset is gone: the name does not exist any more, or not with this type.",
    parameters=(Parameter("rrset", "which RRset, as 'www A'", "owner name and type", text), ZONE),
    words=lambda values: f"there is no {values['rrset']}",
    asks=lambda zone, values: removable(zone, values["rrset"]),
    example='remove-record example.com --param rrset="www A"',
)
