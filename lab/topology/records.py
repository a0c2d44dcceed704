"""Records written as in a zone file (RFC 1035 section 5.1), with the line each stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdatatype
import dns.ttl
import dns.zonefile
from dns.name import Name

from lab.topology.declaration import MAX_TTL
from lab.topology.model import Record


@dataclass(frozen=True)
class Written:
    """A record and the line of the text it begins on (the first is 0)."""

    record: Record
    line: int


@dataclass(frozen=True)
class Unreadable:
    """An entry that is not a record."""

    line: int
    reason: str


def read_records(text: str, zone: Name, ttl: int) -> list[Written | Unreadable]:
    """All entries of `text`; owner names are relative to `zone`, `ttl` (seconds) is for records without one.

    `$ORIGIN` and `$TTL` are understood. What cannot be read is returned beside the records, so that a person sees
    every mistake at once.
    """
    found: list[Written | Unreadable] = []
    origin, owner = zone, ""
    for line, entry in _entries(text):
        directive, _, argument = entry.strip().partition(" ")
        try:
            if directive.upper() == "$ORIGIN":
                origin = dns.name.from_text(argument.strip(), origin)
            elif directive.upper() == "$TTL":
                ttl = dns.ttl.from_text(argument.strip())
            elif directive.startswith("$"):
                found.append(Unreadable(line, f"directive {directive} is not understood here; $ORIGIN and $TTL are"))
            else:
                if entry[0].isspace():
                    entry = owner + entry  # RFC 1035 section 5.1: a blank owner is the last stated one
                owner = entry.split(maxsplit=1)[0]
                found += [Written(record, line) for record in _parse(entry, origin, ttl)]
        except (dns.exception.DNSException, ValueError) as error:
            found.append(Unreadable(line, _reason(entry, error)))
    return found


def _parse(entry: str, origin: Name, ttl: int) -> Iterator[Record]:
    for rrset in dns.zonefile.read_rrsets(entry + "\n", rdclass=None, origin=origin, default_ttl=ttl):
        if rrset.ttl > MAX_TTL:
            raise ValueError(f"TTL {rrset.ttl} is out of range; it must be 0 to {MAX_TTL} (RFC 2181 section 8)")
        for rdata in rrset:
            yield Record(rrset.name, rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())


def _reason(entry: str, error: Exception) -> str:
    reason = str(error).removeprefix("<input>:1: ").removeprefix("<input>:2: ") or type(error).__name__
    return f"cannot read {' '.join(entry.split())!r} as a record: {reason}"


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines: an entry goes on while a parenthesis is open; comments and blank lines are dropped."""
    start, entry, depth = 0, "", 0
    for number, line in enumerate(text.splitlines()):
        stripped, opened = _strip(line)
        if not entry:
            start = number
        entry += stripped if not entry else " " + stripped
        depth += opened
        if depth <= 0:
            if entry.strip():
                yield start, entry.replace("\t", " ").rstrip()
            entry, depth = "", 0
    if entry.strip():
        yield start, entry.rstrip()


def _strip(line: str) -> tuple[str, int]:
    """`line` without its comment, and how many more parentheses it opens than it closes."""
    quoted = escaped = False
    depth = 0
    for position, character in enumerate(line):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character == ";":
            return line[:position], depth
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
    return line, depth
