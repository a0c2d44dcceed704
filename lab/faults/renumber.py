"""renumber: a name server has the address of another node, which from now on is asked in its place."""

from __future__ import annotations

from types import MappingProxyType

import dns.name

from lab.faults.values import Parameter, Values
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, server_name, text
from lab.topology.lookup import ADDRESSES
from lab.topology.model import Topology, Zone


def _resolve(topology: Topology, values: Values) -> Values:
    """With the name of the server in the DNS, and the addresses of the node."""
    node = topology.node(values["like"])
    server, (ipv4, ipv6) = server_name(topology, "renumber", values["server"]), node.addresses
    return MappingProxyType({**values, "server": server, "like": node.name, "ipv4": ipv4, "ipv6": ipv6})


def _asks(zone: Zone, values: Values) -> tuple[dns.name.Name, str]:
    owner = dns.name.from_text(values["server"])
    present = {record.type for record in zone.records if record.owner == owner}
    return owner, next((kind for kind in ADDRESSES if kind in present), ADDRESSES[0])


FAULT = ZoneKind(
    name="renumber",
    summary="A name server has the addresses of another node, in its own zone or as glue; the old one still answers.",
    parameters=(
        Parameter("server", "the name server that moves", "node, or domain name", text),
        Parameter("like", "which has the new addresses", "node", text),
        ZONE,
    ),
    words=lambda values: f"{values['server']} has the addresses of {values['like']}",
    asks=_asks,
    resolve=_resolve,
    example="renumber com --param server=example-1 --param like=example-2",
)
