"""Edits of zone data: from a zone to the zone that an operator's mistake makes of it. Pure, and applied in any number.

An edit is a name in `EDITS` and its values as plain data. It says what is changed, not what the zone is afterwards: so
edits of one zone combine, and what is left when one of them is taken back is the zone with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import dns.exception
import dns.name
from dns.name import Name

from lab.errors import BadInput
from lab.topology.lookup import ADDRESSES, cuts_of
from lab.topology.model import Record, Zone, spoken
from lab.topology.records import Unreadable, read_records
from lab.topology.suggest import did_you_mean

Edit = tuple[str, Mapping[str, Any]]
"""A name in `EDITS`, and the values it takes: text and whole numbers."""

RRset = tuple[Name, str]
"""Owner name and type."""

_SERIALS = 2**32


def edited(zone: Zone, edits: Iterable[Edit]) -> Zone:
    """`zone` after `edits`, in this order. One that no longer finds what it is about changes nothing."""
    for name, values in edits:
        with suppress(BadInput):
            zone = edit(zone, name, values)
    return zone


def edit(zone: Zone, name: str, values: Mapping[str, Any]) -> Zone:
    """`zone` after one edit. Raises `BadInput` when the zone has not what it is about, or would stay as it is."""
    after = EDITS[name](zone, values)
    if after == zone:
        raise BadInput(f"{name} would change nothing: zone {zone.label} is like that already")
    return after


def remove_delegation(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """Without the NS RRset of `child`, and without the glue that no other delegation needs."""
    child = delegation(zone, values["child"])
    left = [record for record in zone.records if (record.owner, record.type) != (child, "NS")]
    needed = {record.data for record in left if record.type == "NS"}
    gone = {record.data for record in zone.records if (record.owner, record.type) == (child, "NS")} - needed
    return _with(zone, [record for record in left if not _is_glue(zone, record, gone)])


def wrong_delegation(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With `server` as the only name server of `child`; glue stays as it is."""
    child = delegation(zone, values["child"])
    return _replace(zone, (child, "NS"), [_name(values["server"], dns.name.root).to_text()])


def drop_glue(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """Without the addresses of the name servers of `child`."""
    child = delegation(zone, values["child"])
    servers = {record.data for record in zone.records if (record.owner, record.type) == (child, "NS")}
    left = [record for record in zone.records if not _is_glue(zone, record, servers)]
    if len(left) == len(zone.records):
        names = ", ".join(sorted(server.rstrip(".") for server in servers))
        raise BadInput(f"zone {zone.label} has no glue for {spoken(child)}, served by {names}")
    return _with(zone, left)


def change_record(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With the data of `record`, as in a zone file, instead of the whole RRset; its TTL stays unless one is given."""
    present = written(zone, values["record"])
    ttl = next(record.ttl for record in zone.records if (record.owner, record.type) == present)
    records = _read(zone, values["record"], ttl)  # once more: now it is known which TTL stands for none
    return _replace(zone, present, [record.data for record in records], records[0].ttl)


def add_record(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With `record`, as in a zone file, besides what is there; records of one RRset have one TTL (RFC 2181 5.2)."""
    owner, kind = addition(zone, values["record"])
    present = [record for record in zone.records if (record.owner, record.type) == (owner, kind)]
    records = _read(zone, values["record"], present[0].ttl if present else zone.records[0].ttl)
    known = {record.data for record in present}
    data = [*(record.data for record in present), *(record.data for record in records if record.data not in known)]
    if present:
        return _replace(zone, (owner, kind), data, records[0].ttl)
    return _with(zone, [*zone.records, *records])


def remove_record(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """Without the RRset `rrset`, an owner name and a type."""
    gone = removable(zone, values["rrset"])
    return _with(zone, [record for record in zone.records if (record.owner, record.type) != gone])


def change_ttl(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With `ttl` seconds as the TTL of `rrset`, an owner name and a type."""
    owner, kind = rrset(zone, values["rrset"])
    records = [
        replace(record, ttl=values["ttl"]) if (record.owner, record.type) == (owner, kind) else record
        for record in zone.records
    ]
    return _with(zone, records)


def renumber(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With the addresses `ipv4` and `ipv6` in place of those of `server`, its own or glue; TTLs stay."""
    owner = _name(values["server"], dns.name.root)
    present = {record.type for record in zone.records if record.owner == owner} & set(ADDRESSES)
    if not present:
        raise BadInput(f"zone {zone.label} has no address of {spoken(owner)}")
    for kind, address in zip(ADDRESSES, (values["ipv4"], values["ipv6"]), strict=True):
        if kind in present:
            zone = _replace(zone, (owner, kind), [address])
    return zone


def bump_serial(zone: Zone, values: Mapping[str, Any]) -> Zone:
    """With a serial higher by `by`, in the arithmetic of RFC 1982."""
    soa = zone.records[0]
    primary, contact, serial, timers = soa.data.split(maxsplit=3)
    data = f"{primary} {contact} {(int(serial) + values['by']) % _SERIALS} {timers}"
    return _with(zone, [replace(soa, data=data), *zone.records[1:]])


EDITS: Mapping[str, Callable[[Zone, Mapping[str, Any]], Zone]] = {
    "remove-delegation": remove_delegation,
    "wrong-delegation": wrong_delegation,
    "drop-glue": drop_glue,
    "change-record": change_record,
    "add-record": add_record,
    "remove-record": remove_record,
    "change-ttl": change_ttl,
    "renumber": renumber,
    "bump-serial": bump_serial,
}


def delegation(zone: Zone, text: str) -> Name:
    """The child zone that is meant: relative to `zone`, or its whole name. Raises `BadInput` when it is not there."""
    cuts = cuts_of(zone)
    found = _among(zone, text, cuts)
    if found is None:
        names = [spoken(cut) for cut in sorted(cuts)]
        there = f"(delegations: {', '.join(names) or 'none'})"
        raise BadInput(f"zone {zone.label} has no delegation of {text}{did_you_mean(text, names)} {there}")
    return found


def rrset(zone: Zone, text: str) -> RRset:
    """The RRset that is meant by "www A". Raises `BadInput` when it is not there."""
    words = text.split()
    if len(words) != 2:
        raise BadInput(f"an RRset is an owner name and a type, as in 'www A', not {text!r}")
    kind = words[1].upper()
    owner = _among(zone, words[0], {record.owner for record in zone.records})
    if owner is None:
        inside = _name(words[0], zone.name)
        if words[0].endswith(".") and not inside.is_subdomain(zone.name):
            raise BadInput(f"{words[0]} is not in zone {zone.label}")
        names = sorted({_relative(record.owner, zone) for record in zone.records})
        raise BadInput(f"there is no {words[0]} in zone {zone.label}{did_you_mean(words[0], names)}")
    types = sorted({record.type for record in zone.records if record.owner == owner})
    if kind not in types:
        raise BadInput(f"{spoken(owner)} has no {kind} in zone {zone.label} (it has: {', '.join(types)})")
    return owner, kind


def written(zone: Zone, text: str) -> RRset:
    """The RRset that the record `text` belongs to. Raises `BadInput` when it is not there, or `text` is no record."""
    first = _read(zone, text)[0]
    if first.type == "SOA":
        raise BadInput("the SOA is not changed record by record: bump-serial changes its serial")
    return rrset(zone, f"{_relative(first.owner, zone)} {first.type}")


def addition(zone: Zone, text: str) -> RRset:
    """The RRset that the record `text` would belong to. Raises `BadInput` when it cannot be beside what is there."""
    first = _read(zone, text)[0]
    if first.type == "SOA":
        raise BadInput("a zone has one SOA and no more (RFC 1035 section 5.2)")
    others = {record.type for record in zone.records if record.owner == first.owner} - {first.type}
    if "CNAME" in others or (first.type == "CNAME" and _has(zone, first.owner)):
        raise BadInput(
            f"{spoken(first.owner)} has a CNAME or would have one: nothing stands beside it (RFC 1034 3.6.2)"
        )
    return first.owner, first.type


def removable(zone: Zone, text: str) -> RRset:
    """The RRset that is meant by "www A". Raises `BadInput` when it is not there, or the zone is none without it."""
    owner, kind = rrset(zone, text)
    if owner == zone.name and kind in ("SOA", "NS"):
        raise BadInput(
            f"without its {kind} {zone.label} is no zone, and no server would load it (RFC 1035 section 5.2)"
        )
    return owner, kind


def _has(zone: Zone, owner: Name) -> bool:
    return any(record.owner == owner for record in zone.records)


def _among(zone: Zone, text: str, names: Iterable[Name]) -> Name | None:
    """The one of `names` that is meant: relative to `zone`, as in its file, or in full without the last dot."""
    known = set(names)
    candidates = (_name(text, zone.name), _name(text, dns.name.root))
    return next((name for name in candidates if name in known), None)


def _name(text: str, origin: Name) -> Name:
    try:
        return dns.name.from_text(text, origin)
    except dns.exception.DNSException as error:
        raise BadInput(f"{text!r} is not a domain name: {error}") from None


def _read(zone: Zone, text: str, ttl: int = 0) -> list[Record]:
    owner, _, rest = text.strip().partition(" ")
    # As a person would say it, www.example.com in zone example.com is no www.example.com.example.com.
    known = _among(zone, owner, {record.owner for record in zone.records}) if owner else None
    said = f"{known.to_text()} {rest}" if known is not None else text
    records: list[Record] = []
    for entry in read_records(said, zone.name, ttl):
        if isinstance(entry, Unreadable):
            raise BadInput(entry.reason)
        records.append(entry.record)
    if not records:
        raise BadInput("a record is written as in a zone file: 'www A 192.0.2.99'")
    if len({(record.owner, record.type) for record in records}) > 1:
        raise BadInput("one RRset at a time: all records have one owner name and one type")
    if len(records) > 1 and records[0].type == "CNAME":
        raise BadInput(f"{spoken(records[0].owner)} can have one CNAME and no more (RFC 2181 section 10.1)")
    if not records[0].owner.is_subdomain(zone.name):
        raise BadInput(f"{records[0].owner} is not in zone {zone.label}")
    return records


def _replace(zone: Zone, wanted: RRset, data: Iterable[str], ttl: int | None = None) -> Zone:
    """With other data in one RRset, in the place where its first record stands."""
    records: list[Record] = []
    put = False
    for record in zone.records:
        if (record.owner, record.type) != wanted:
            records.append(record)
        elif not put:
            put = True
            records += [replace(record, data=text, ttl=record.ttl if ttl is None else ttl) for text in data]
    return _with(zone, records)


def _with(zone: Zone, records: Iterable[Record]) -> Zone:
    return replace(zone, records=tuple(records))


def _is_glue(zone: Zone, record: Record, servers: Container[str]) -> bool:
    """Whether it is the address of one of `servers`, at or below a cut: derived, or written by people."""
    is_address = record.type in ADDRESSES and record.owner.to_text() in servers
    return is_address and any(record.owner.is_subdomain(cut) for cut in cuts_of(zone))


def _relative(name: Name, zone: Zone) -> str:
    return name.relativize(zone.name).to_text()
