"""Records changed for one test, through the faults of zone data: published at all servers of the zone, and undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import dns.exception
import dns.name
import dns.rdatatype

from lab.errors import BadInput
from lab.topology.model import Zone, ancestors

if TYPE_CHECKING:
    from lab.faults.fault import Fault
    from lab.lab import Lab


class ZoneChanges:
    """Changes of records of a lab; `inject` breaks something for the time of a test, as `Lab.fault` does.

    Resolvers go on saying what they have cached, as in the real world: `lab.flush()` for those that have. The records
    of one RRset have one TTL: that of the RRset, or of the zone's SOA for a new one, unless it is given.
    """

    def __init__(self, lab: Lab, inject: Callable[..., Fault]) -> None:
        self._lab, self._inject = lab, inject

    def __repr__(self) -> str:
        return f"<records of lab {self._lab.name}>"

    def set(self, name: str, type: str, *data: str, ttl: int | None = None) -> Fault:
        """Make the RRset `name` `type` be `data`, whatever there was. Raises `BadInput`, `NoEffect`."""
        zone = self._zone(name)
        there = any((record.owner, record.type) == (_name(name), _type(type)) for record in zone.records)
        return self._publish("change-record" if there else "add-record", zone, record=_records(name, type, data, ttl))

    def add(self, name: str, type: str, *data: str, ttl: int | None = None) -> Fault:
        """Add records; the name may be new. Raises `BadInput`, `NoEffect`."""
        return self._publish("add-record", self._zone(name), record=_records(name, type, data, ttl))

    def remove(self, name: str, type: str) -> Fault:
        """Remove the RRset `name` `type`. Raises `BadInput`, `NoEffect`."""
        return self._publish("remove-record", self._zone(name), rrset=f"{_name(name)} {_type(type)}")

    def set_ttl(self, name: str, type: str, ttl: int) -> Fault:
        """Give the RRset `name` `type` another TTL, seconds. Raises `BadInput`, `NoEffect`."""
        return self._publish("change-ttl", self._zone(name), rrset=f"{_name(name)} {_type(type)}", ttl=ttl)

    def _publish(self, kind: str, zone: Zone, **values: object) -> Fault:
        return self._inject(kind, list(zone.servers), zone=zone.label, **values)

    def _zone(self, name: str) -> Zone:
        """The deepest zone that the name is in."""
        zones = self._lab.topology.zones
        return next(zones[above] for above in ancestors(_name(name)) if above in zones)


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException as error:
        raise BadInput(f"{text!r} is not a domain name: {error}") from None


def _type(text: str) -> str:
    try:
        return dns.rdatatype.to_text(dns.rdatatype.from_text(text))
    except dns.exception.DNSException:
        raise BadInput(f"{text!r} is no type of records (A, AAAA, MX, TXT ...)") from None


def _records(name: str, type: str, data: tuple[str, ...], ttl: int | None) -> str:
    if not data:
        raise BadInput(f"{name} {type}: what it is to be is missing, as in ({name!r}, {type!r}, '192.0.2.99')")
    stated = "" if ttl is None else f" {ttl}"
    return "\n".join(f"{_name(name)}{stated} {_type(type)} {one}" for one in data)
