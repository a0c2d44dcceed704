"""remove-delegation: a parent zone no longer knows its child; its glue goes with it."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text
from lab.topology.edits import delegation

FAULT = ZoneKind(
    name="remove-delegation",
    summary="A parent zone no longer knows its child: the child and all below it do not exist there.",
    parameters=(Parameter("child", "the zone that is no longer delegated", "domain name", text), ZONE),
    words=lambda values: f"the delegation of {values['child']} is gone, and the glue that only it needs",
    asks=lambda zone, values: (delegation(zone, values["child"]), "NS"),
    example="remove-delegation gtld-1 --param child=example.com",
)
