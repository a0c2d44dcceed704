"""add-record: an RRset has records more, or is there though it was not."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text
from lab.topology.edits import addition

FAULT = ZoneKind(
    name="add-record",
    summary="A record more is in the zone: an address nobody answers at, a name that was not to be there.",
    parameters=(
        Parameter("record", "that is added; its TTL is that of the RRset, if there is one", "as in a zone file", text),
        ZONE,
    ),
    words=lambda values: f"there is one more: {' '.join(values['record'].split())}",
    asks=lambda zone, values: addition(zone, values["record"]),
    example='add-record example.com --param record="www A 192.0.2.99"',
)
