"""One DNS message taken apart octet by octet (RFC 1035 section 4): what stands where, and what it means.

Libraries read messages and forget where things stood; this reader keeps the place of every field. It is made for
messages of any kind: what is malformed is taken apart up to where it breaks, and the break is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab.observe import fields
from lab.observe.fields import Broken, Part, Reader
from lab.observe.wire import mnemonic

HEADER = 12  # octets
SECTIONS = ("Question", "Answer", "Authority", "Additional")
_COUNTS = ("QDCOUNT", "ANCOUNT", "NSCOUNT", "ARCOUNT")
_OPT = 41

_OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
_RCODES = {
    0: "NOERROR: no error",
    1: "FORMERR: the server cannot read the query",
    2: "SERVFAIL: the server could not find out",
    3: "NXDOMAIN: there is no such name",
    4: "NOTIMP: the server does not know this opcode",
    5: "REFUSED: the server does not answer that, or not to us",
    9: "NOTAUTH: the server is no authority for the zone",
}
_FLAGS = (  # name, its bits of the 16 from the left, meaning when clear and when set
    ("QR", 0, 1, "a query", "a response"),
    ("OPCODE", 1, 4, "", ""),
    ("AA", 5, 1, "not by an authority", "authoritative answer: from the zone itself"),
    ("TC", 6, 1, "whole", "truncated: to be asked again over TCP"),
    ("RD", 7, 1, "recursion is not desired: the next step will do", "recursion desired: find out the answer itself"),
    ("RA", 8, 1, "recursion is not offered", "recursion available"),
    ("Z", 9, 1, "reserved, must be 0", "reserved, must be 0"),
    ("AD", 10, 1, "not validated", "authentic data: validated (RFC 4035)"),
    ("CD", 11, 1, "validation is not to be left out", "checking disabled: unvalidated data will do (RFC 4035)"),
    ("RCODE", 12, 4, "", ""),
)

_OF_RESPONSES = ("AA", "RA", "AD", "RCODE")  # say nothing in a query


@dataclass(frozen=True)
class Anatomy:
    """A message and its parts, in the order of its octets. `broken` says where and why the reading ended early."""

    wire: bytes
    parts: tuple[Part, ...]
    broken: Broken | None

    @property
    def records(self) -> tuple[Part, ...]:
        """The records of all sections, OPT included, that could be read to their end."""
        return tuple(
            record for part in self.parts[2:] for record in part.parts if record.kind == "record" and record.value
        )

    def leaves(self) -> Iterator[Part]:
        """The parts that have no parts of their own and no bits: together they are the message, each octet once."""
        yield from _leaves(self.parts)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; offsets are octets from the start of the message, `end` is the first one after."""
        broken = self.broken
        return {
            "size": len(self.wire),
            "wire": self.wire.hex(),
            "parts": [part.to_json(self.wire) for part in self.parts],
            "broken": {"offset": broken.offset, "reason": broken.reason} if broken else None,
        }


def dissect(wire: bytes) -> Anatomy:
    """Take a message apart. Raises nothing: octets that are no message break at once."""
    reader = Reader(wire)
    parts: list[Part] = []
    broken: Broken | None = None
    try:
        _read(reader, parts)
    except Broken as error:
        broken = error
    if reader.at < len(wire):
        parts.append(Part("unread", "Not read", reader.at, len(wire), fields.count(len(wire) - reader.at, "octet")))
    return Anatomy(wire, tuple(parts), broken)


def _read(reader: Reader, parts: list[Part]) -> None:
    _header(reader, parts)
    counts = [int.from_bytes(reader.wire[at : at + 2], "big") for at in (4, 6, 8, 10)]
    for title, count in zip(SECTIONS, counts, strict=True):
        with reader.group(parts, "section", title):
            for number in range(1, count + 1):
                read = _question if title == "Question" else _record
                read(reader, number, count)
    if left := len(reader.wire) - reader.at:
        raise Broken(reader.at, f"{fields.count(left, 'octet')} more than the counts of the header announce")


def _header(reader: Reader, parts: list[Part]) -> None:
    with reader.group(parts, "section", "Header"):
        reader.number("ID", 2, lambda value: f"{value}: the response repeats it")
        start = reader.at
        flags = reader.take(2, "the field of flags")
        value = int.from_bytes(flags, "big")
        bits = tuple(_flag(start, value, *flag) for flag in _FLAGS)
        reader.add(Part("field", "flags", start, reader.at, f"0x{value:04x}", bits))
        for name, section in zip(_COUNTS, SECTIONS, strict=True):
            reader.number(name, 2, partial(_in_section, section))


def _in_section(section: str, count: int) -> str:
    return f"{count} in the {section.lower()} section"


def _flag(start: int, flags: int, name: str, first: int, width: int, clear: str, set_: str) -> Part:
    value = flags >> (16 - first - width) & ((1 << width) - 1)
    if name in _OF_RESPONSES and not flags & 0x8000:
        meaning = "for responses"
    elif name == "OPCODE":
        meaning = _OPCODES.get(value, "not assigned")
    elif name == "RCODE":
        meaning = _RCODES.get(value, "see RFC 6895")
    else:
        meaning = set_ if value else clear
    return Part("bits", name, start, start + 2, f"{value}  {meaning}", bits=(first, width))


def _question(reader: Reader, number: int, count: int) -> None:
    with reader.group(None, "question", f"question {number} of {count}") as group:
        name = reader.name("QNAME")
        kind = reader.number("QTYPE", 2, fields.type_text)
        reader.number("QCLASS", 2, fields.class_text)
        group.value = f"{name} {mnemonic(kind)}"


def _record(reader: Reader, number: int, count: int) -> None:
    with reader.group(None, "record", f"record {number} of {count}") as group:
        name = reader.name("NAME")
        kind = reader.number("TYPE", 2, fields.type_text)
        if kind == _OPT:
            _opt(reader, group)
            return
        reader.number("CLASS", 2, fields.class_text)
        ttl = reader.number("TTL", 4, fields.ttl_text)
        length = reader.number("RDLENGTH", 2, lambda value: fields.count(value, "octet"))
        data = fields.rdata(reader, kind, length)
        group.value = f"{name} {ttl} {mnemonic(kind)} {data}".rstrip()


def _opt(reader: Reader, group: Any) -> None:
    """The pseudo-record of EDNS, whose class and TTL mean something else (RFC 6891 section 6.1.2)."""
    size = reader.number("CLASS", 2, lambda value: f"UDP payload size: answers up to {value} octets are taken")
    start = reader.at
    value = int.from_bytes(reader.take(4, "the field of extended flags"), "big")
    shown = (
        ("extended RCODE", 0, 8, value >> 24, "the upper bits of the RCODE"),
        ("version", 8, 8, value >> 16 & 0xFF, "of EDNS"),
        (
            "DO",
            16,
            1,
            value >> 15 & 1,
            "DNSSEC records are wanted" if value & 0x8000 else "no DNSSEC records are wanted",
        ),
        ("Z", 17, 15, value & 0x7FFF, "reserved"),
    )
    bits = tuple(
        Part("bits", name, start, start + 4, f"{number}  {text}", bits=(first, width))
        for name, first, width, number, text in shown
    )
    reader.add(Part("field", "TTL", start, reader.at, f"0x{value:08x}", bits))
    length = reader.number("RDLENGTH", 2, lambda value: f"{fields.count(value, 'octet')} of options")
    fields.options(reader, length)
    group.value = f"OPT: EDNS version {value >> 16 & 0xFF}, {size} octets{', DO' if value & 0x8000 else ''}"


def _leaves(parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        if inner := tuple(child for child in part.parts if child.kind != "bits"):
            yield from _leaves(inner)
        elif part.start < part.end:
            yield part
