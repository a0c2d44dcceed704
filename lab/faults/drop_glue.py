"""drop-glue: a parent zone names the servers of its child, and not their addresses."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text
from lab.topology.edits import delegation

FAULT = ZoneKind(
    name="drop-glue",
    summary="A parent zone names the servers of its child without their addresses: referrals lead nowhere.",
    parameters=(Parameter("child", "the zone whose servers have no address", "domain name", text), ZONE),
    words=lambda values: f"the glue for the name servers of {values['child']} is gone",
    asks=lambda zone, values: (delegation(zone, values["child"]), "NS"),
    example="drop-glue gtld-1 --param child=example.com",
)
