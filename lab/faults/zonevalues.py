"""Values of faults of zone data: names, records, TTLs."""

from __future__ import annotations

from typing import Any

import dns.name

from lab.errors import BadInput
from lab.faults.values import Parameter
from lab.topology.model import Topology, spoken


def text(value: Any) -> str:
    """A reader of texts that are not empty: names, records."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it is text, and not empty")
    return value.strip()


def ttl(value: Any) -> int:
    """A reader of TTLs, as in a zone file: seconds, or `1h30m`; 0 to 2^31-1 (RFC 2181 section 8)."""
    import dns.exception
    import dns.ttl

    said = str(value).strip()
    try:
        seconds = int(said) if said.lstrip("-").isdecimal() else dns.ttl.from_text(said)
    except dns.exception.DNSException:
        raise ValueError("a TTL is written in seconds (30), or with units (1h, 2d)") from None
    if not 0 <= seconds < 2**31:
        raise ValueError(f"it goes from 0 to {2**31 - 1} (RFC 2181 section 8)")
    return seconds


def server_name(topology: Topology, fault: str, server: str) -> str:
    """The name in the DNS of a server that a person means: a node, or that name itself. Raises `BadInput`."""
    try:
        hostname = topology.node(server).hostname
    except BadInput:
        # A name with a dot in it that no node has: it leads nowhere, which may be what is wanted.
        if "." not in server.strip("."):
            raise
        hostname = dns.name.from_text(server)
    if hostname is None:
        raise BadInput(f"{fault}: {server} has no name in the DNS; `name:` in the lab file gives it one")
    return spoken(hostname)


ZONE = Parameter("zone", "which zone, where the servers have several that could be meant", "domain name", text, None)
