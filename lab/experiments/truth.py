"""What the zones of a lab say about a question: the answer that a resolver has to find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.name import Name

from lab.experiments.history import RR, Truth
from lab.topology.model import Origin, Record, Topology, Zone

if TYPE_CHECKING:
    from lab.runtime.ledger import Entry

_MOST_ALIASES = 16  # resolvers follow fewer
_NAMED = ("NS", "CNAME", "DNAME", "PTR", "MX", "SRV", "SOA")  # types with names in their data: case means nothing there


class Zones:
    """The zones of a lab, to be asked."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._owners: dict[Name, dict[Name, list[Record]]] = {}

    def truth(self, name: str, type: str) -> Truth:
        """What a full resolution finds: aliases are followed, wildcards expanded (RFC 1034 section 4.3.2, RFC 4592)."""
        asked = dns.name.from_text(name)
        owner, answer, seen = asked, list[RR](), set[Name]()
        while True:
            seen.add(owner)
            zone = self._topology.enclosing_zone(owner)
            records = self._at(zone, owner)
            if records is None:
                return self._negative(asked, type, "NXDOMAIN", answer, zone)
            found = [record for record in records if type in (record.type, "ANY")]
            alias = next((record for record in records if record.type == "CNAME"), None)
            if found or alias is None:
                answer += [rr(owner.to_text(), record.ttl, record.type, record.data) for record in found]
                if found:
                    return Truth(asked.to_text().lower(), type, "NOERROR", tuple(answer))
                return self._negative(asked, type, "NOERROR", answer, zone)
            answer.append(rr(owner.to_text(), alias.ttl, "CNAME", alias.data))
            owner = dns.name.from_text(alias.data)
            if owner in seen or len(seen) > _MOST_ALIASES:
                return Truth(asked.to_text().lower(), type, "SERVFAIL", tuple(answer))

    def _negative(self, asked: Name, type: str, status: str, answer: list[RR], zone: Zone) -> Truth:
        soa = zone.records[0]
        ttl = min(soa.ttl, int(soa.data.split()[-1]))  # RFC 2308 section 5
        return Truth(asked.to_text().lower(), type, status, tuple(answer), ttl)

    def _at(self, zone: Zone, owner: Name) -> list[Record] | None:
        """The zone's own records of a name, from a wildcard if need be; None if there is no such name."""
        owners = self._index(zone)
        if owner in owners:
            return owners[owner]
        encloser = owner.parent()
        while encloser not in owners:
            encloser = encloser.parent()
        return owners.get(dns.name.from_text("*", encloser))

    def _index(self, zone: Zone) -> dict[Name, list[Record]]:
        if zone.name not in self._owners:
            owners: dict[Name, list[Record]] = {zone.name: []}
            for record in zone.records:
                if record.origin in (Origin.DELEGATION, Origin.GLUE):
                    continue  # not this zone's to answer
                above = record.owner
                while above not in owners:  # names between it and the apex exist, if empty (RFC 4592 section 2.2.2)
                    owners[above] = []
                    above = above.parent()
                owners[record.owner].append(record)
            self._owners[zone.name] = owners
        return self._owners[zone.name]


def truths(
    topology: Topology, questions: Iterable[tuple[str, str]], since: float = float("-inf"), edits: Sequence[Entry] = ()
) -> list[Truth]:
    """What is true of each question from experiment time `since` on, with the edits of zones that the ledger has.

    Once each, unless servers of one zone do not agree: what any of them says is true then.
    """
    served = [Zones(one) for one in _versions(topology, edits)]
    asked = dict.fromkeys(questions)
    found = [replace(zones.truth(name, type), since=since) for zones in served for name, type in asked]
    return list(dict.fromkeys(found))


def _versions(topology: Topology, edits: Sequence[Entry]) -> list[Topology]:
    """The lab's zones as they are served; more than one when the servers of a zone do not agree."""
    from lab.runtime import zonedata

    edited = {zone.name: zone for entry in edits if (zone := zonedata.zone_of(topology, entry)) is not None}
    versions = [
        list(dict.fromkeys(zonedata.served(topology, topology.nodes[server], zone, edits) for server in zone.servers))
        for zone in edited.values()
    ]
    changed = [[one for one in zones if one is not None] for zones in zip_longest(*versions)] or [[]]
    return [replace(topology, zones={**topology.zones, **{zone.name: zone for zone in zones}}) for zones in changed]


def rr(owner: str, ttl: int, type: str, data: str) -> RR:
    """A record in the one spelling in which records are compared."""
    return RR(owner.lower(), ttl, type, _spelling(type, data))


@lru_cache(maxsize=65536)
def _spelling(type: str, data: str) -> str:
    try:
        found = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(type), data)
        text = found.to_text()
        return text.lower() if type in _NAMED else text
    except (dns.exception.DNSException, ValueError):
        return data
