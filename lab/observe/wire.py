"""What can be read of a message without parsing all of it, which takes a hundred times as long.

For what looks at every message: selecting and counting. None of these functions fails, whatever the octets are.
"""

from __future__ import annotations

from functools import lru_cache

HEADER = 12  # octets (RFC 1035 section 4.1.1)
_OPT = 41
_FLAGS = 0x7840  # of a header: OPCODE, and the bit that is always zero
_CLASSES = (1, 3, 255)  # IN, CH, ANY
_POINTER = 0xC0  # a length from here on is a compression pointer (RFC 1035 section 4.1.4)


def header_counts(wire: bytes) -> tuple[int, int, int, int]:
    """How many entries the header announces: question, answer, authority, additional."""
    numbers = wire[4:HEADER].ljust(8, b"\0")
    question, answer, authority, additional = (int.from_bytes(numbers[at : at + 2], "big") for at in (0, 2, 4, 6))
    return question, answer, authority, additional


def first_question(wire: bytes) -> tuple[str, str]:
    """Name, absolute in presentation format, and type of the first question; both empty without one."""
    if not header_counts(wire)[0]:
        return "", ""
    try:
        end = _after_name(wire, HEADER)
        kind = wire[end] << 8 | wire[end + 1]
    except IndexError:
        return "", ""
    name = _name(wire[HEADER:end])
    return (name, mnemonic(kind)) if name else ("", "")


def begins_message(octets: bytes) -> bool:
    """Whether these octets of a TCP stream begin with a message: its length, a header and a question, all of it.

    Of OPCODE 0 and with one question, which is what a lab's programs send. OPCODE, the zero bit, QDCOUNT, QCLASS and
    the lengths of the labels all have to fit: octets from elsewhere in a stream hardly ever do by chance.
    """
    length, wire = int.from_bytes(octets[:2], "big"), octets[2:]
    if int.from_bytes(wire[2:4], "big") & _FLAGS or header_counts(wire)[0] != 1 or not first_question(wire)[0]:
        return False
    end = _after_name(wire, HEADER) + 4
    return end <= min(len(wire), length) and int.from_bytes(wire[end - 2 : end], "big") in _CLASSES


def extended_rcode(wire: bytes) -> int:
    """The upper eight bits of the RCODE, which are in the OPT record (RFC 6891 section 6.1.3); 0 without one."""
    questions, *sections = header_counts(wire)
    at = HEADER
    try:
        for _ in range(questions):
            at = _after_name(wire, at) + 4
        for _ in range(sum(sections)):
            at = _after_name(wire, at)
            if wire[at] << 8 | wire[at + 1] == _OPT:
                return wire[at + 4]
            at += 10 + (wire[at + 8] << 8 | wire[at + 9])
    except IndexError:  # it ends before its records do
        return 0
    return 0


@lru_cache(maxsize=1024)
def mnemonic(type: int) -> str:
    """A type as text: a mnemonic, or as in TYPE65280 (RFC 3597)."""
    import dns.rdatatype

    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(type))


def _after_name(wire: bytes, at: int) -> int:
    """Where a name ends. Raises IndexError when that is behind the end of the message."""
    while length := wire[at]:
        if length >= _POINTER:
            return at + 2
        at += 1 + length
    return at + 1


@lru_cache(maxsize=8192)
def _name(wire: bytes) -> str:
    """A name that stands first in a message; empty when it is none, as one with a pointer, which could only go back."""
    import dns.exception
    import dns.name

    try:
        name, used = dns.name.from_wire(wire, 0)
    except dns.exception.DNSException:
        return ""
    return name.to_text() if used == len(wire) else ""
