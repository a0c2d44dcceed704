"""What a message fault does to one message: a small class each, all of one shape.

The order of the classes in ``KINDS`` is the order they act in, whatever order they were asked for: first the records,
then what the server says in their stead, EDNS, truncation, the question, the id, the octets, and last how it is sent.
So faults combine, and the order of injection does not matter.
"""

# ruff: noqa: ARG002 - one shape for all, and not each needs all of it
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any, Final, Protocol

from .protocol import ProtocolError
from .wire import AAAA, ADDITIONAL, ANSWER, HEADER, OPT, A, Asked, Unreadable, opt, records

DOCUMENTATION: Final = tuple(
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Addresses that nobody has (RFC 5737, RFC 3849): the only ones that are written into answers."""

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
_TC, _AA = 0x02, 0x04  # in the third octet of the header
_ROOT_SERVERS: Final = b"abcdefghijklm"  # the first labels of their names
_DOMAIN: Final = b"\x0croot-servers\x03net\0"
_REFERRAL_TTL: Final = 518400  # of the root's NS set (RFC 8109 section 3)


class Handling:
    """What becomes of one message."""

    __slots__ = ("after", "delay", "lost", "pace", "udp", "wire")

    def __init__(self, wire: bytes, *, udp: bool) -> None:
        self.wire = wire
        self.udp = udp
        self.lost = False
        self.delay = 0.0  # seconds
        self.pace: float | None = None  # octets a second, TCP
        self.after: int | None = None  # octets, after which the connection is closed, TCP


class Rewrite(Protocol):
    """One kind of disturbance."""

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Change what becomes of a message, of which `asked` was read; tell whether it did. Raises Unreadable."""


class Delay:
    """Holds the message for `delay` seconds."""

    def __init__(self, random: Random, delay: float) -> None:
        _require(delay > 0, "a message is held for some time")
        self._delay = delay

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Hold it."""
        message.delay += self._delay
        return True


class Drop:
    """Loses the message."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Lose it."""
        message.lost = True
        return True


class Address:
    """Puts other addresses into the A and AAAA records of the answer section."""

    def __init__(self, random: Random, ipv4: str, ipv6: str) -> None:
        try:
            four, six = ip_address(ipv4), ip_address(ipv6)
        except ValueError as error:
            raise ProtocolError(f"wrong address: {error}") from error
        _require((four.version, six.version) == (4, 6), "an IPv4 and an IPv6 address")
        for address in (four, six):
            _require(any(address in network for network in DOCUMENTATION), f"{address} is not for documentation")
        self._data = {A: four.packed, AAAA: six.packed}

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Overwrite them where they are."""
        wire, found = bytearray(message.wire), False
        for record in records(message.wire, asked.end):
            data = self._data.get(record.type)
            if record.section == ANSWER and data is not None and record.end - record.data == len(data):
                wire[record.data : record.end] = data
                found = True
        message.wire = bytes(wire)
        return found


class Ttl:
    """Gives every record another TTL, seconds."""

    def __init__(self, random: Random, ttl: int) -> None:
        _require(type(ttl) is int and 0 <= ttl < 1 << 31, "a TTL is from 0 to 2147483647 (RFC 2181 section 8)")
        self._ttl = ttl.to_bytes(4, "big")

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Overwrite it where it is; OPT has other things there."""
        wire, found = bytearray(message.wire), False
        for record in records(message.wire, asked.end):
            if record.type != OPT:
                wire[record.ttl : record.ttl + 4] = self._ttl
                found = True
        message.wire = bytes(wire)
        return found


class NoAuthority:
    """Clears AA, as a server does that does not serve the zone (lame).

    With `referral` there is no answer either but the NS set of the root, as servers of old said that knew nothing: an
    upward referral.
    """

    def __init__(self, random: Random, referral: bool) -> None:
        self._referral = referral

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Say it."""
        wire = message.wire
        if not self._referral:
            message.wire = wire[:2] + bytes([wire[2] & ~_AA]) + wire[3:]
            return bool(wire[2] & _AA)
        message.wire = _instead(wire, asked, NOERROR, authority=_upward(asked.end))
        return True


class Empty:
    """Says that the name has no such record: NOERROR and nothing else, not even the SOA that lets it be remembered."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Say it; AA stays as it was."""
        message.wire = _instead(message.wire, asked, NOERROR, aa=message.wire[2] & _AA)
        return True


class Rcode:
    """Says `rcode` and nothing else: no record, AA clear but for NXDOMAIN, which keeps it.

    FORMERR and NOTIMP come without OPT, as from a server that does not know EDNS (RFC 6891 section 7). BADVERS (16) has
    its upper bits in the OPT record: it answers only queries with EDNS.
    """

    def __init__(self, random: Random, rcode: int) -> None:
        _require(rcode in (FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS), f"no RCODE {rcode!r} to answer with")
        self._rcode = rcode

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Say it."""
        if self._rcode == BADVERS and not opt(message.wire, asked.end):
            return False
        aa = message.wire[2] & _AA if self._rcode == NXDOMAIN else 0
        message.wire = _instead(message.wire, asked, self._rcode, aa=aa, edns=self._rcode not in (FORMERR, NOTIMP))
        return True


class StripEdns:
    """Takes the OPT record out, as some middleboxes do."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Cut it out; when records follow, whose names may point behind it, the message is packed anew."""
        wire, found = message.wire, records(message.wire, asked.end)
        place = next((record for record in found if record.type == OPT and record.section == ADDITIONAL), None)
        if place is None:
            return False
        if place is found[-1]:
            head = wire[:10] + (int.from_bytes(wire[10:12], "big") - 1).to_bytes(2, "big")
            message.wire = head + wire[HEADER : place.start] + wire[place.end :]
        else:
            message.wire = _without_opt(wire)
        return True


class Truncate:
    """Sets TC and takes the records out (RFC 2181 section 9), over UDP only."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Truncate it; RCODE, AA and OPT stay."""
        if not message.udp:
            return False
        wire = message.wire
        short = _instead(wire, asked, wire[3] & 0x0F, aa=wire[2] & _AA)
        message.wire = short[:2] + bytes([short[2] | _TC]) + short[3:]
        return True


class WrongQuestion:
    """Repeats a question that was not asked: another first letter; for the root another type."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Change it where it is, so that every name that points to it changes too."""
        if asked.labels is None:
            return False
        wire = bytearray(message.wire)
        if asked.labels:
            wire[HEADER + 1] = ord("y") if asked.labels[0][:1] == b"x" else ord("x")
        else:
            wire[asked.end - 3] ^= 0x10  # the lower octet of the type
        message.wire = bytes(wire)
        return True


class WrongId:
    """Has an id that was not asked with: the complement."""

    def __init__(self, random: Random) -> None:
        pass

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Change it."""
        message.wire = bytes([message.wire[0] ^ 0xFF, message.wire[1] ^ 0xFF]) + message.wire[2:]
        return True


class Malformed:
    """Keeps the header and makes the rest random octets, the first of a label of no known kind (RFC 1035, 4.1.4)."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Spoil it. It says that it has a question, which cannot be read."""
        rest = self._random.randbytes(max(len(message.wire) - HEADER, 1))
        head = message.wire[:4] + b"\0\1" + message.wire[6:HEADER]
        message.wire = head + bytes([0x80 | rest[0] & 0x3F]) + rest[1:]
        return True


class Drip:
    """Sends the message slowly, `rate` octets a second, over TCP only."""

    def __init__(self, random: Random, rate: float) -> None:
        _require(rate > 0, "a rate is above 0 octets a second")
        self._rate = rate

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Have it sent so; of two rates the lower counts."""
        if message.udp:
            return False
        message.pace = self._rate if message.pace is None else min(message.pace, self._rate)
        return True


class Close:
    """Closes the connection after `after` octets of the message, its length before it not counted; over TCP only."""

    def __init__(self, random: Random, after: int) -> None:
        _require(type(after) is int and after >= 0, "after a number of octets")
        self._after = after

    def apply(self, message: Handling, asked: Asked) -> bool:
        """Have it closed then, if the message is longer; of two the earlier counts."""
        if message.udp or len(message.wire) <= self._after:
            return False
        message.after = self._after if message.after is None else min(message.after, self._after)
        return True


KINDS: Final[Mapping[str, type[Any]]] = {
    "message-delay": Delay,
    "message-drop": Drop,
    "address": Address,
    "ttl": Ttl,
    "lame": NoAuthority,
    "empty": Empty,
    "rcode": Rcode,
    "strip-edns": StripEdns,
    "truncate": Truncate,
    "wrong-question": WrongQuestion,
    "wrong-id": WrongId,
    "malformed": Malformed,
    "drip": Drip,
    "close": Close,
}
ORDER: Final = {kind: place for place, kind in enumerate(KINDS)}


def rewrite(spec: Mapping[str, Any], seed: int) -> Rewrite:
    """Return what a rule about messages does, with chance as from the seed. Raises ProtocolError if it is nothing."""
    kind = str(spec.get("kind"))
    if kind not in KINDS:
        raise ProtocolError(f"no effect {kind!r} on a message (there are: {', '.join(KINDS)})")
    try:
        made: Rewrite = KINDS[kind](Random(seed), **{name: value for name, value in spec.items() if name != "kind"})
    except TypeError as error:
        raise ProtocolError(f"effect {kind}: {error}") from error
    return made


def _instead(
    wire: bytes, asked: Asked, rcode: int, *, aa: int = 0, edns: bool = True, authority: tuple[bytes, ...] = ()
) -> bytes:
    """Return another answer to the same question: the header's other flags stay, and OPT where there is one."""
    place = opt(wire, asked.end) if edns else b""
    if place:  # the upper eight bits of the RCODE stand where others have their TTL (RFC 6891 section 6.1.3)
        place = place[:5] + bytes([rcode >> 4]) + place[6:]
    flags = bytes([wire[2] & ~(_AA | _TC) | aa, wire[3] & 0xF0 | rcode & 0x0F])
    counts = (0, len(authority), 1 if place else 0)
    return b"".join(
        (
            wire[:2],
            flags,
            wire[4:6],
            *(count.to_bytes(2, "big") for count in counts),
            wire[HEADER : asked.end],
            *authority,
            place,
        )
    )


def _upward(start: int) -> tuple[bytes, ...]:
    """Return the NS records of the root; the first is to be at `start`, and the others' names point into it."""
    domain = (0xC000 | start + 1 + 10 + 2).to_bytes(2, "big")  # behind owner, fixed part and the first label
    names = [b"\1%c%b" % (letter, domain if place else _DOMAIN) for place, letter in enumerate(_ROOT_SERVERS)]
    fixed = b"\0" + b"\0\2\0\1" + _REFERRAL_TTL.to_bytes(4, "big")
    return tuple(fixed + len(name).to_bytes(2, "big") + name for name in names)


def _without_opt(wire: bytes) -> bytes:
    """Return the message without OPT, packed anew. Raises Unreadable."""
    from dnslib import DNSError, DNSRecord

    try:
        message = DNSRecord.parse(wire)
        message.ar = [record for record in message.ar if record.rtype != OPT]
        return bytes(message.pack())
    except (DNSError, ValueError, IndexError) as error:
        raise Unreadable(str(error)) from error


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise ProtocolError(text)
