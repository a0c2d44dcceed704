"""wrong-delegation: a parent zone sends resolvers to a server that is not authoritative for the child, or to nobody."""

from __future__ import annotations

from types import MappingProxyType

from lab.faults.values import Parameter, Values
from lab.faults.zone import ZoneKind
from lab.faults.zonevalues import ZONE, server_name, text
from lab.topology.edits import delegation
from lab.topology.model import Topology


def _resolve(topology: Topology, values: Values) -> Values:
    """With the name of the server in the DNS, where a node was named."""
    return MappingProxyType({**values, "server": server_name(topology, "wrong-delegation", values["server"])})


FAULT = ZoneKind(
    name="wrong-delegation",
    summary="A parent zone sends resolvers to a wrong server for its child: one that is lame, or is not there.",
    parameters=(
        Parameter("child", "the zone that is delegated", "domain name", text),
        Parameter("server", "its only name server from now on", "node, or domain name", text),
        ZONE,
    ),
    words=lambda values: f"{values['child']} is delegated to {values['server']} and nobody else",
    asks=lambda zone, values: (delegation(zone, values["child"]), "NS"),
    resolve=_resolve,
    example="wrong-delegation gtld-1 --param child=example.com --param server=enterprise-1",
)
