"""bump-serial: a zone has a higher serial, and is otherwise as before."""

from __future__ import annotations

from lab.faults.values import Parameter, whole
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE

FAULT = ZoneKind(
    name="bump-serial",
    summary="A zone has a higher serial (RFC 1982), and at some of its servers only if they are named.",
    parameters=(
        Parameter("by", "how much is added to the serial", "number: 1 to 2147483647", whole(1, 2**31 - 1), 1),
        ZONE,
    ),
    words=lambda values: f"the serial is higher by {values['by']}",
    asks=lambda zone, _values: (zone.name, "SOA"),
    example="bump-serial example-1",
)
