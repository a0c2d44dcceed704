"""A zone as text in master file format (RFC 1035 section 5), laid out for reading."""

from __future__ import annotations

from itertools import groupby

from lab.topology.model import Origin, Record, Zone

_HEADINGS = {
    Origin.APEX: "Authority: the zone's start and its name servers",
    Origin.NODE: "Nodes of the lab",
    Origin.DECLARED: "Records of the lab file",
    Origin.DELEGATION: "Delegations",
    Origin.GLUE: "Glue: addresses of name servers below the delegations",
}


def zone_text(zone: Zone) -> str:
    """The zone file of `zone`; owner names are relative to `$ORIGIN`, names in the data absolute."""
    lines = [f"; Zone {zone.label}, served by {', '.join(zone.servers)}. Rendered by dnslab from the lab file."]
    lines.append(f"$ORIGIN {zone.name.to_text()}")
    for origin, group in groupby(zone.records, key=lambda record: record.origin):
        lines += ["", f"; {_HEADINGS[origin]}"]
        lines += [_line(record, zone) for record in group]
    return "\n".join(lines) + "\n"


def hints_text(hints: tuple[Record, ...]) -> str:
    """The root hints: where a resolver starts before it knows anything (RFC 8109)."""
    lines = ["; Root hints. Rendered by dnslab from the lab file."]
    lines += [f"{record.owner.to_text():<24} {record.ttl:>7} IN {record.type:<6} {record.data}" for record in hints]
    return "\n".join(lines) + "\n"


def _line(record: Record, zone: Zone) -> str:
    owner = record.owner.relativize(zone.name).to_text()
    return f"{owner:<24} {record.ttl:>7} IN {record.type:<6} {record.data}"
