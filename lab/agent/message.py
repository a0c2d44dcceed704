"""Query messages as a stub resolver sends them, and which messages it takes for their responses."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from dnslib import EDNS0, QTYPE, DNSHeader, DNSLabel, DNSQuestion, DNSRecord, EDNSOption

from .protocol import Query

HEADER: Final = 12
"""Octets of a message header (RFC 1035 section 4.1.1)."""

_MAX_LABEL: Final = 63
_MAX_NAME: Final = 255
_ROOT: Final = b"\0"
_NOERROR, _NXDOMAIN = 0, 3
_PADDING: Final = 12  # EDNS option code (RFC 7830 section 3)
_ESCAPE: Final = re.compile(rb"\\(?:([0-9]{3})|([^0-9]))", re.DOTALL)
_LABEL: Final = re.compile(rb"(?:[^.\\]|\\[0-9]{3}|\\[^0-9])+", re.DOTALL)


class Message(NamedTuple):
    """A query message but for its ID, which is new in every attempt."""

    body: bytes
    """The message from its third octet on."""
    question: bytes
    """The question section: name, type, class."""


def query_message(query: Query) -> Message:
    """Return the message for a query. Raises ValueError, for people, on a bad name or an unknown type."""
    flags = (query.recurse, query.dnssec_ok, query.checking_disabled)
    return _message(query.name, query.type, *flags, query.bufsize, query.padding)


def is_response(message: Message, id: bytes, wire: bytes) -> bool:
    """Tell whether a message that came from the server asked is a response to this query (RFC 5452 section 9.1).

    ID, opcode and question must be the query's; letter case in the name may differ. An error response may come without
    a question: a server that cannot read a query, or will not, has none to repeat. The records are not looked at.
    """
    if len(wire) < HEADER or wire[:2] != id or wire[2] & 0xF8 != 0x80:  # QR set, opcode QUERY
        return False
    question = message.question
    repeated = wire[HEADER : HEADER + len(question)]
    if wire[4:6] == b"\0\1":
        # Lower-casing touches the name only: the octets that hold lengths are below 64, type and class are left out.
        return repeated == question or (
            repeated[-4:] == question[-4:] and repeated[:-4].lower() == question[:-4].lower()
        )
    return wire[4:6] == b"\0\0" and wire[3] & 0xF not in (_NOERROR, _NXDOMAIN)


@lru_cache(maxsize=8192)
def _message(
    name: str, type: str, recurse: bool, dnssec_ok: bool, checking_disabled: bool, bufsize: int, padding: int
) -> Message:
    head, tail = _frame(type, recurse, dnssec_ok, checking_disabled, bufsize, padding)
    owner = encode_name(name)
    return Message(head + owner + tail, owner + tail[:4])


@lru_cache(maxsize=256)
def _frame(
    type: str, recurse: bool, dnssec_ok: bool, checking_disabled: bool, bufsize: int, padding: int
) -> tuple[bytes, bytes]:
    """Return what stands before (but for the ID) and behind the name.

    A workload of names that never repeat gains nothing from a cache of messages, and building each would take longer
    than asking it. So dnslib builds the question for the root, and the name takes the place of its single octet.
    """
    record = DNSRecord(
        DNSHeader(id=0, rd=int(recurse), cd=int(checking_disabled)), q=DNSQuestion(DNSLabel(()), type_number(type))
    )
    if bufsize:
        options = [EDNSOption(_PADDING, bytes(padding))] if padding else []
        record.add_ar(EDNS0(flags="do" if dnssec_ok else "", udp_len=bufsize, opts=options))
    wire = bytes(record.pack())
    return wire[2:HEADER], wire[HEADER + len(_ROOT) :]


def type_number(type: str) -> int:
    """Return the number of an RR type given by mnemonic or as TYPEn (RFC 3597). Raises ValueError if unknown."""
    upper = type.upper()
    if re.fullmatch("TYPE[0-9]{1,5}", upper):
        number = int(upper[4:])
        if number > 0xFFFF:
            raise ValueError(f"type {type!r}: the highest is TYPE65535")
        return number
    known: dict[str, int] = QTYPE.reverse
    if upper not in known:
        raise ValueError(f"unknown type {type!r}: write its number, as in TYPE65280 (RFC 3597)")
    return known[upper]


def encode_name(name: str) -> bytes:
    """Return an absolute name in wire format, its letter case kept. Raises ValueError, for people, if it has none."""
    if not name.isascii():
        raise ValueError(f"name {name!a}: write internationalised labels in their ASCII form, xn--...")
    if name == ".":
        return _ROOT
    text = name.encode("ascii")
    labels = text.split(b".") if b"\\" not in text else _unescape(name, text)
    if labels[-1] or len(labels) == 1:
        raise ValueError(f"name {name!r} is not absolute: it needs a dot at its end")
    wire = bytearray()
    for label in labels[:-1]:
        if not label:
            raise ValueError(f"name {name!r} has an empty label: two dots, or one at its beginning")
        if len(label) > _MAX_LABEL:
            raise ValueError(f"name {name!r} has a label of {len(label)} octets: the limit is {_MAX_LABEL}")
        wire.append(len(label))
        wire += label
    wire += _ROOT
    if len(wire) > _MAX_NAME:
        raise ValueError(f"name {name!r} has {len(wire)} octets: the limit is {_MAX_NAME}")
    return bytes(wire)


def _unescape(name: str, text: bytes) -> list[bytes]:
    r"""Return the labels of a name that has escapes: \. stands for a dot in a label, \DDD for any octet."""

    def octet(match: re.Match[bytes]) -> bytes:
        if not match[1]:
            return match[2]
        if int(match[1]) > 0xFF:
            raise ValueError(f"name {name!r}: \\{match[1].decode()} is no octet, the highest is \\255")
        return bytes([int(match[1])])

    labels: list[bytes] = []
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        label = match[0] if match else b""
        labels.append(_ESCAPE.sub(octet, label))
        position += len(label)
        if position < len(text) and text[position] != ord("."):
            raise ValueError(f"name {name!r}: a backslash is followed by one character or three digits")
        position += 1
    if text[position - 1 :] == b".":  # the last dot read was no part of a label: the name is absolute
        labels.append(b"")
    return labels
