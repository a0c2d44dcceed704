"""change-record: an RRset has other data."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text
from lab.topology.edits import written

FAULT = ZoneKind(
    name="change-record",
    summary="An RRset has other data, as after a typo or a move of a server; also that of a delegation, or glue.",
    parameters=(
        Parameter("record", "which stands in place of the RRset; its TTL is kept", "as in a zone file", text),
        ZONE,
    ),
    words=lambda values: f"the RRset becomes {' '.join(values['record'].split())}",
    asks=lambda zone, values: written(zone, values["record"]),
    example='change-record example-1 --param record="www A 192.0.2.99"',
)
