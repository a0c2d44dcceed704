"""What a server with authority answers from a zone (RFC 1034 section 4.3.2): what to compare real answers with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import dns.name
from dns.name import Name

from lab.topology.model import Record, Zone, ancestors

ADDRESSES = ("A", "AAAA")

_WILDCARD = dns.name.Name([b"*"])


@dataclass(frozen=True)
class Found:
    """What a zone says to a question; records without their origin."""

    exists: bool  # else NXDOMAIN
    authoritative: bool  # AA; else a referral
    records: frozenset[Record]  # of the question's own name; of a referral the NS of the child
    glue: frozenset[Record]  # addresses that the zone can give with a referral
    needed: frozenset[Record]  # those of them below the child: without them the referral leads nowhere (RFC 9471)


def look_up(zone: Zone, name: Name, kind: str) -> Found:
    """What `zone` says of `name` and type `kind`; of an alias, the alias."""
    # The highest cut counts: below it the zone says nothing with authority.
    cuts = cuts_of(zone)
    cut = next((above for above in reversed(list(ancestors(name))) if above in cuts), None)
    if cut is not None:
        referral = _of(zone, cut, ("NS",))
        targets = {record.data for record in referral}
        glue = [record for record in zone.records if record.type in ADDRESSES and record.owner.to_text() in targets]
        return Found(True, False, referral, bare(glue), bare(one for one in glue if one.owner.is_subdomain(cut)))
    source = _source(zone, name)
    records = frozenset(replace(record, owner=name) for record in _of(zone, source or name, (kind, "CNAME")))
    return Found(source is not None, True, records, frozenset(), frozenset())


def cuts_of(zone: Zone) -> set[Name]:
    """Where a zone delegates."""
    return {record.owner for record in zone.records if record.type == "NS" and record.owner != zone.name}


def bare(records: Iterable[Record]) -> frozenset[Record]:
    """Records as they are on the wire: where they come from is not said there."""
    return frozenset(Record(record.owner, record.ttl, record.type, record.data) for record in records)


def _source(zone: Zone, name: Name) -> Name | None:
    """Whose records answer for `name`: its own, or the wildcard's below its closest encloser (RFC 4592)."""
    for above in ancestors(name):
        if any(record.owner.is_subdomain(above) for record in zone.records):
            wildcard = _WILDCARD.concatenate(above)
            there = above == name or any(record.owner == wildcard for record in zone.records)
            return (name if above == name else wildcard) if there else None
    return None


def _of(zone: Zone, name: Name, kinds: tuple[str, ...]) -> frozenset[Record]:
    return bare(record for record in zone.records if record.owner == name and record.type in kinds)
