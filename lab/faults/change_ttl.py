"""change-ttl: an RRset has another TTL."""

from __future__ import annotations

from lab.faults.values import Parameter
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, text, ttl
from lab.topology.edits import rrset

FAULT = ZoneKind(
    name="change-ttl",
    summary="An RRset has another TTL: what resolvers learn from now on is kept longer, or shorter.",
    parameters=(
        Parameter("rrset", "which RRset, as 'www A'", "owner name and type", text),
        Parameter("ttl", "its TTL from now on", "seconds, or 1h, 2d: 0 to 2147483647", ttl),
        ZONE,
    ),
    words=lambda values: f"the TTL of {values['rrset']} is {values['ttl']} s",
    asks=lambda zone, values: rrset(zone, values["rrset"]),
    example='change-ttl example-1 --param rrset="www A" --param ttl=5',
)
