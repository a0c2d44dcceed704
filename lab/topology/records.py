"""Records written as in a zone file (RFC 1035 section 5.1), with the line each stands on."""

from __future__ import annotations

import re
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

_OWNER = re.compile(r"(\\.|[^\\\s])+")  # a backslash may escape a blank


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
    origin = owner = zone
    for line, entry in _entries(text):
        directive, *arguments = entry.split()
        try:
            if directive.upper() == "$ORIGIN":
                origin = dns.name.from_text(" ".join(arguments), origin)
            elif directive.upper() == "$TTL":
                ttl = _in_range(dns.ttl.from_text(" ".join(arguments)))
            elif directive.startswith("$"):
                found.append(Unreadable(line, f"directive {directive} is not understood here; $ORIGIN and $TTL are"))
            else:
                rest = entry
                if stated := _OWNER.match(entry):  # else blank: the last stated one (RFC 1035 section 5.1)
                    owner, rest = dns.name.from_text(stated[0], origin), entry[stated.end() :]
                found += [Written(record, line) for record in _parse(owner, rest.lstrip(), origin, ttl)]
        except (dns.exception.DNSException, ValueError) as error:
            found.append(Unreadable(line, _reason(entry, error)))
    return found


def _parse(owner: Name, rest: str, origin: Name, ttl: int) -> list[Record]:
    """The record that `rest` (TTL, class, type and data) says of `owner`."""
    first, *more = rest.split(maxsplit=1) or [""]
    if not more:
        raise ValueError("a record has an owner name, a type and data")
    if first.isdecimal():
        _in_range(int(first))
    records = []
    # The owner goes beside the text: dnspython drops what it finds outside of `origin` without a word.
    for rrset in dns.zonefile.read_rrsets(rest + "\n", name=owner, rdclass=None, origin=origin, default_ttl=ttl):
        _in_range(rrset.ttl)
        if rrset.rdtype == dns.rdatatype.TYPE0 or dns.rdatatype.is_metatype(rrset.rdtype):
            raise ValueError("a type of queries and messages, not of data (RFC 6895 section 3.1)")
        kind = dns.rdatatype.to_text(rrset.rdtype)
        records += [Record(owner, rrset.ttl, kind, rdata.to_text()) for rdata in rrset]
    return records


def _in_range(ttl: int) -> int:
    if ttl > MAX_TTL:
        raise ValueError(f"TTL {ttl} is out of range; it must be 0 to {MAX_TTL} (RFC 2181 section 8)")
    return ttl


def _reason(entry: str, error: Exception) -> str:
    reason = str(error).removeprefix("<input>:1: ").removeprefix("<input>:2: ") or type(error).__name__
    if reason == dns.exception.SyntaxError.__doc__:  # what dnspython says when it says nothing
        reason = "the data is not that of its type"
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
                yield start, entry.rstrip()
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
