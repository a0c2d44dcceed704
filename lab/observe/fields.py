"""Reads the fields of a DNS message and keeps the place of each: numbers, names with their pointers, data, options."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.observe.wire import mnemonic

Kind = Literal["section", "question", "record", "field", "name", "label", "pointer", "bits", "unread"]

_MAX_LABEL, _MAX_NAME = 63, 255  # octets (RFC 1035 section 2.3.4)
_POINTER = 0xC0


class Broken(Exception):
    """The message cannot be read on: at which octet, and why."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at octet {offset}: {reason}")
        self.offset, self.reason = offset, reason


@dataclass(frozen=True)
class Part:
    """The octets from `start` up to, not with, `end`, what they are called and what they say."""

    kind: Kind
    label: str
    start: int
    end: int
    value: str = ""
    parts: tuple[Part, ...] = ()
    bits: tuple[int, int] | None = None  # of kind "bits": the first, from the left, and how many
    target: int | None = None  # of kind "pointer": the octet it points to

    def to_json(self, wire: bytes) -> dict[str, Any]:
        """The fields that say something, with the octets in hexadecimal."""
        found: dict[str, Any] = {"kind": self.kind, "label": self.label, "start": self.start, "end": self.end}
        if self.bits is not None:
            found["first_bit"], found["width"] = self.bits
        elif not self.parts:
            found["hex"] = wire[self.start : self.end].hex()
        if self.target is not None:
            found["target"] = self.target
        if self.value:
            found["value"] = self.value
        if self.parts:
            found["parts"] = [part.to_json(wire) for part in self.parts]
        return found


@dataclass
class Group:
    """A part that is being read: its parts so far, and what it will be said to be."""

    parts: list[Part] = field(default_factory=list)
    value: str = ""


class Reader:
    """A place in a message, and the parts that were read. All methods raise `Broken`."""

    def __init__(self, wire: bytes) -> None:
        self.wire, self.at = wire, 0
        self._open: list[Group] = []

    @contextmanager
    def group(self, into: list[Part] | None, kind: Kind, label: str) -> Iterator[Group]:
        """Collect what is read in the block as one part, added to `into` or to the group around it.

        A group that breaks is kept as far as it was read.
        """
        start, group = self.at, Group()
        around = into if into is not None else self._open[-1].parts
        self._open.append(group)
        try:
            yield group
        finally:
            self._open.pop()
            if self.at > start or kind == "section":
                around.append(Part(kind, label, start, self.at, group.value, tuple(group.parts)))

    def add(self, part: Part) -> None:
        """Note a part of the group that is being read."""
        self._open[-1].parts.append(part)

    def take(self, octets: int, what: str) -> bytes:
        """The next so many octets; `what` they are, for the message when there are fewer."""
        taken = self.wire[self.at : self.at + octets]
        if len(taken) < octets:
            left = f"{len(taken)} left" if taken else "none left"
            raise Broken(self.at, f"the message ends here: {what} takes {count(octets, 'octet')}, {left}")
        self.at += octets
        return taken

    def number(self, label: str, size: int, say: Callable[[int], str]) -> int:
        """A whole number of `size` octets, most significant first; `say` puts it into words."""
        start = self.at
        value = int.from_bytes(self.take(size, label), "big")
        self.add(Part("field", label, start, self.at, say(value)))
        return value

    def name(self, label: str) -> str:
        """A domain name, in presentation format with its final dot; pointers are followed (RFC 1035 section 4.1.4)."""
        start, labels, parts = self.at, list[bytes](), list[Part]()
        try:
            while not parts or (parts[-1].kind == "label" and parts[-1].label != "end"):
                at = self.at
                try:
                    parts.append(self._label(start, labels))
                except Broken:
                    self.at = at
                    raise
                if sum(len(piece) + 1 for piece in labels) >= _MAX_NAME:
                    raise Broken(parts[-1].start, f"the name is longer than {_MAX_NAME} octets")
        finally:  # what broke is kept as far as it was read
            self.add(Part("name", label, start, self.at, text(labels), tuple(parts)))
        return text(labels)

    def _label(self, start: int, labels: list[bytes]) -> Part:
        """The next label of the name that began at `start`, or the pointer to the rest of it, added to `labels`."""
        at, length = self.at, self.take(1, "a label")[0]
        if length >= _POINTER:
            target = (length & 0x3F) << 8 | self.take(1, "the second octet of a pointer")[0]
            if target >= start:
                raise Broken(at, f"a pointer to octet {target}, which is not before the name it is in")
            followed = self._follow(target, at)
            labels += followed
            return Part("pointer", "pointer", at, self.at, f"to octet {target}: {text(followed)}", target=target)
        if length > _MAX_LABEL:
            raise Broken(at, f"0x{length:02x} is neither the length of a label (0 to {_MAX_LABEL}) nor a pointer")
        piece = self.take(length, f"a label of {count(length, 'octet')}")
        if not piece:
            return Part("label", "end", at, self.at, "the root")
        labels.append(piece)
        return Part("label", f"label of {length}", at, self.at, f'"{escaped(piece)}"')

    def _follow(self, target: int, at: int) -> list[bytes]:
        """The labels at `target` and at where pointers lead from there; each must point further back."""
        labels: list[bytes] = []
        before = target
        while True:
            length = self.wire[target]
            if length >= _POINTER:
                if target + 1 >= len(self.wire):
                    raise Broken(at, "a pointer to half a pointer at the end of the message")
                target = (length & 0x3F) << 8 | self.wire[target + 1]
                if target >= before:
                    raise Broken(at, f"a pointer that leads to another one, to octet {target}: not further back")
                before = target
                continue
            if length > _MAX_LABEL:
                raise Broken(at, f"a pointer to octet {target}, where no label begins (0x{length:02x})")
            if not length:
                return labels
            labels.append(self.wire[target + 1 : target + 1 + length])
            target += 1 + length
            if target >= len(self.wire):
                raise Broken(at, "a pointer to a name that runs beyond the end of the message")


def count(number: int, what: str) -> str:
    """`1 octet`, `2 octets`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def escaped(piece: bytes) -> str:
    """A label in presentation format (RFC 1035 section 5.1)."""
    return "".join(_character(octet) for octet in piece)


def _character(octet: int) -> str:
    if octet in b'"().;\\@$':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03d}"


def text(labels: list[bytes]) -> str:
    """A name in presentation format, with its final dot."""
    return "".join(f"{escaped(piece)}." for piece in labels) or "."


def type_text(type: int) -> str:
    """The type, number and meaning."""
    meaning = _TYPES.get(mnemonic(type), "")
    return f"{type}: {mnemonic(type)}" + (f", {meaning}" if meaning else "")


def class_text(number: int) -> str:
    """The class, number and meaning."""
    names = {1: "IN, the Internet", 3: "CH, Chaos", 4: "HS, Hesiod", 254: "NONE", 255: "ANY"}
    return f"{number}: {names.get(number, 'not assigned')}"


def ttl_text(ttl: int) -> str:
    """A TTL in seconds."""
    return f"{ttl} s" + (": may be kept for so long" if ttl else ": not to be kept")


_TYPES = {
    "A": "an IPv4 address",
    "AAAA": "an IPv6 address",
    "NS": "an authoritative name server of a zone",
    "CNAME": "the canonical name of an alias",
    "SOA": "the start of a zone of authority",
    "PTR": "a pointer to a name, as for an address",
    "MX": "a mail exchange",
    "TXT": "text",
    "SRV": "where a service is",
    "OPT": "EDNS, no record of the name system",
    "ANY": "all there is",
}


def rdata(reader: Reader, type: int, length: int) -> str:
    """The data of a record of `type`, `length` octets of it; its values in words, in the order of a zone file."""
    end = reader.at + length
    if end > len(reader.wire):
        raise Broken(
            reader.at, f"RDLENGTH says {count(length, 'octet')}; the message has {len(reader.wire) - reader.at} left"
        )
    layout = _LAYOUTS.get(mnemonic(type), (("RDATA", _rest),))
    said = []
    for label, read in layout:
        if read is not _rest and reader.at >= end:
            raise Broken(reader.at, f"the data ends here, before its {label}")
        said.append(read(reader, label, end))
        if reader.at > end:
            raise Broken(reader.at, f"the {label} goes beyond the {count(length, 'octet')} that RDLENGTH says")
    if reader.at < end:
        raise Broken(reader.at, f"RDLENGTH says {count(length, 'octet')}: {end - reader.at} more than the fields take")
    return " ".join(said)


Read = Callable[[Reader, str, int], str]  # reader, label, the octet at which the data ends -> the value in words


def _name(reader: Reader, label: str, _end: int) -> str:
    return reader.name(label)


def _whole(size: int, unit: str = "") -> Read:
    def read(reader: Reader, label: str, _end: int) -> str:
        return str(reader.number(label, size, lambda value: f"{value}{unit}"))

    return read


def _address(size: int) -> Read:
    def read(reader: Reader, label: str, _end: int) -> str:
        start = reader.at
        octets = reader.take(size, label)
        said = str(ipaddress.IPv4Address(octets) if size == 4 else ipaddress.IPv6Address(octets))
        reader.add(Part("field", label, start, reader.at, said))
        return said

    return read


def _string(reader: Reader, label: str, end: int) -> str:
    start = reader.at
    if start >= end:
        raise Broken(start, f"the data ends here, before its {label}")
    length = reader.wire[start]
    if start + 1 + length > end:
        raise Broken(start, f"a text of {count(length, 'octet')}; the data has {end - start - 1} left")
    octets = reader.take(1 + length, label)[1:]
    said = "".join(
        f"\\{chr(octet)}" if octet in b'"\\' else chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"
        for octet in octets
    )
    reader.add(Part("field", label, start, reader.at, f'{count(length, "octet")}: "{said}"'))
    return f'"{said}"'


def _strings(reader: Reader, label: str, end: int) -> str:
    said = [_string(reader, label, end)]
    while reader.at < end:
        said.append(_string(reader, label, end))
    return " ".join(said)


def _rest(reader: Reader, label: str, end: int) -> str:
    start = reader.at
    octets = reader.take(end - start, label)
    if octets:
        reader.add(Part("field", label, start, end, count(len(octets), "octet")))
    return f"\\# {len(octets)} {octets.hex()}".rstrip()


_SECONDS = _whole(4, " s")
_LAYOUTS: dict[str, tuple[tuple[str, Read], ...]] = {
    "A": (("address", _address(4)),),
    "AAAA": (("address", _address(16)),),
    **dict.fromkeys(("NS", "CNAME", "PTR", "DNAME"), (("name", _name),)),
    "MX": (("preference", _whole(2)), ("exchange", _name)),
    "SOA": (
        ("primary", _name),
        ("contact", _name),
        ("serial", _whole(4)),
        *((label, _SECONDS) for label in ("refresh", "retry", "expire", "negative TTL")),
    ),
    "TXT": (("text", _strings),),
    "SRV": (("priority", _whole(2)), ("weight", _whole(2)), ("port", _whole(2)), ("target", _name)),
}

_OPTIONS = {3: "NSID", 8: "client subnet", 10: "cookie", 11: "TCP keepalive", 12: "padding", 15: "extended error"}


def options(reader: Reader, length: int) -> None:
    """The options of an OPT record (RFC 6891 section 6.1.2)."""
    end = reader.at + length
    if end > len(reader.wire):
        raise Broken(
            reader.at, f"RDLENGTH says {count(length, 'octet')}; the message has {len(reader.wire) - reader.at} left"
        )
    while reader.at < end:
        with reader.group(None, "field", "option") as group:
            code = reader.number("option code", 2, lambda value: f"{value}: {_OPTIONS.get(value, 'not known here')}")
            size = reader.number("option length", 2, lambda value: count(value, "octet"))
            if reader.at + size > end:
                raise Broken(reader.at, f"the option says {count(size, 'octet')}; the data has {end - reader.at} left")
            start = reader.at
            said = _option(code, reader.take(size, "the option"))
            if size:
                reader.add(Part("field", "option data", start, reader.at, said))
            group.value = _OPTIONS.get(code, f"option {code}")


def ede_name(code: int) -> str:
    """What the info code of an extended error means (RFC 8914 section 5.2), in lower case."""
    import dns.edns

    names = {int(known): known.name.replace("_", " ").lower() for known in dns.edns.EDECode}
    return names.get(code, "not known here")


def _option(code: int, data: bytes) -> str:
    if code == 15 and len(data) >= 2:  # RFC 8914 section 2
        code = int.from_bytes(data[:2], "big")
        more = data[2:].decode(errors="replace")
        return f"{code}: {ede_name(code)}" + (f", {more!r}" if more else "")
    if code == 10 and len(data) >= 8:  # RFC 7873 section 4
        return f"client {data[:8].hex()}" + (f", server {data[8:].hex()}" if data[8:] else "")
    return count(len(data), "octet")
