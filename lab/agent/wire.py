"""Where things are in a DNS message, read by hand: what every message that passes costs is a header and a name.

Layout: RFC 1035 section 4.1, OPT: RFC 6891 section 6.1. Messages come from the network and can be anything.
"""

from functools import lru_cache
from typing import Final, NamedTuple

HEADER: Final = 12
"""Octets of a message header; as in :mod:`.message`, which would bring all of dnslib along."""
OPT: Final = 41
A: Final = 1
AAAA: Final = 28
ANSWER, AUTHORITY, ADDITIONAL = 1, 2, 3

_FIXED: Final = 10  # octets of a record between its name and its data: type, class, TTL, length
_POINTER: Final = 0xC0
_MAX_NAME: Final = 255


class Unreadable(ValueError):
    """The message ends too early, or has a name that is none."""


class Asked(NamedTuple):
    """What a message is about."""

    response: bool
    """QR."""
    labels: tuple[bytes, ...] | None
    """Of the name in the question, in lower case; None: there is no question."""
    type: int
    """Of the question; 0 without one."""
    end: int
    """Offset of the first record."""


class Record(NamedTuple):
    """Where one record is; offsets from the start of the message."""

    section: int
    type: int
    start: int
    fixed: int
    """Of its type, which class, TTL, length and data follow."""
    end: int

    @property
    def ttl(self) -> int:
        """Where its TTL is, four octets."""
        return self.fixed + 4

    @property
    def data(self) -> int:
        """Where its data begins."""
        return self.fixed + _FIXED


def asked(wire: bytes) -> Asked | None:
    """Return what a message is about; None if it is no DNS message, or has a question that cannot be read."""
    if len(wire) < HEADER:
        return None
    response, questions = bool(wire[2] & 0x80), wire[4:6]
    if questions == b"\0\0":
        return Asked(response, None, 0, HEADER)
    if questions != b"\0\1":
        return None
    # Most names end at the first zero: the octets before it are the labels with their lengths.
    end = wire.find(b"\0", HEADER, HEADER + _MAX_NAME)
    labels = _labels(wire[HEADER:end].lower()) if end >= 0 else None
    if labels is None:
        return None
    if len(wire) < end + 5:
        return None
    return Asked(response, labels, wire[end + 1] << 8 | wire[end + 2], end + 5)


@lru_cache(maxsize=4096)
def _labels(name: bytes) -> tuple[bytes, ...] | None:
    """Return the labels of a name without its end; None if it is not made of labels, or a zero was part of one."""
    found, at = [], 0
    while at < len(name):
        length = name[at]
        if length > 63 or at + 1 + length > len(name):
            return None
        found.append(name[at + 1 : at + 1 + length])
        at += 1 + length
    return tuple(found)


def records(wire: bytes, start: int) -> list[Record]:
    """Return all records of a message, whose first is at `start`. Raises Unreadable."""
    found = []
    for section in (ANSWER, AUTHORITY, ADDITIONAL):
        for _ in range(_count(wire, section)):
            fixed = _behind_name(wire, start)
            if fixed + _FIXED > len(wire):
                raise Unreadable("a record without an end")
            end = fixed + _FIXED + (wire[fixed + 8] << 8 | wire[fixed + 9])
            if end > len(wire):
                raise Unreadable("data without an end")
            found.append(Record(section, wire[fixed] << 8 | wire[fixed + 1], start, fixed, end))
            start = end
    return found


def opt(wire: bytes, start: int) -> bytes:
    """Return the OPT record of a message, whose first record is at `start`; empty without one. Raises Unreadable."""
    for record in records(wire, start):
        if record.type == OPT and record.section == ADDITIONAL:
            return wire[record.start : record.end]
    return b""


def _count(wire: bytes, section: int) -> int:
    return wire[4 + 2 * section] << 8 | wire[5 + 2 * section]


def _behind_name(wire: bytes, at: int) -> int:
    while at < len(wire):
        length = wire[at]
        if length == 0:
            return at + 1
        if length >= _POINTER:
            return at + 2
        if length > 63:
            raise Unreadable("a name with a label of unknown kind")
        at += 1 + length
    raise Unreadable("a name without an end")
