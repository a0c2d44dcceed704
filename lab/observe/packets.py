"""Frames taken apart: Ethernet, IPv4 and IPv6 with their fragments, then UDP, TCP and ICMP.

What cannot be read is not guessed at: it gives nothing. Checksums are not looked at: the kernel leaves them to the
network card, and on the virtual links of a lab nobody ever fills them in.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

from lab.agent.frames import Frame

PORT = 53

_ETHERNET = 14  # octets of the header
_IPV4, _IPV6 = 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _FRAGMENT, _ICMPV6 = 1, 6, 17, 44, 58
_PATIENCE = 30 * 10**9  # nanoseconds that a fragment waits for the others (RFC 791 section 3.2: at least 15 s)
_WAITING = 1024  # packets that may wait for fragments
_LARGEST = 65535  # octets of an IP packet
_UNREACHABLE = {
    4: {0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
        4: "too big to be forwarded", 9: "network prohibited", 10: "host prohibited", 13: "prohibited"},
    6: {0: "no route", 1: "prohibited", 3: "address unreachable", 4: "port unreachable"},
}  # fmt: skip


class Ends(NamedTuple):
    """Where a packet comes from and goes to."""

    source: str
    source_port: int
    destination: str
    destination_port: int

    @property
    def back(self) -> Ends:
        """The other way round."""
        return Ends(self.destination, self.destination_port, self.source, self.source_port)


class Datagram(NamedTuple):
    """A UDP datagram; `time` in nanoseconds since 1970, for one in fragments that of the last to come."""

    time: int
    ends: Ends
    payload: bytes
    missing: int  # octets that the kernel had no room for


class Segment(NamedTuple):
    """A TCP segment."""

    time: int
    ends: Ends
    sequence: int
    flags: int  # RFC 9293 section 3.1
    payload: bytes
    missing: int  # octets that the kernel had no room for


class Unreachable(NamedTuple):
    """ICMP destination unreachable, with the ends of the packet that could not be delivered."""

    time: int
    ends: Ends
    is_tcp: bool
    reporter: str
    reason: str


Packet = Datagram | Segment | Unreachable


class Packets:
    """Reads the frames of one tap; fragments wait for each other."""

    def __init__(self) -> None:
        self._fragments: OrderedDict[tuple[bytes, bytes, int, int], _Pieces] = OrderedDict()

    def read(self, frame: Frame) -> Packet | None:
        """The packet in a frame, or the one that it completes; None when there is none of DNS."""
        content = frame.content
        kind = int.from_bytes(content[12:14], "big")
        if kind == _IPV4:
            return self._ipv4(frame, content[_ETHERNET:])
        if kind == _IPV6:
            return self._ipv6(frame, content[_ETHERNET:])
        return None

    def _ipv4(self, frame: Frame, packet: bytes) -> Packet | None:
        if len(packet) < 20:
            return None
        header, length = 4 * (packet[0] & 0xF), int.from_bytes(packet[2:4], "big")
        # 0 stands for more than fits: a segment that is yet to be cut up (Linux' "big TCP"); the frame's length is true
        end = length if length else len(packet)
        if packet[0] >> 4 != 4 or header < 20 or end < header:
            return None
        source, destination, protocol = packet[12:16], packet[16:20], packet[9]
        payload, missing = packet[header:end], max(0, min(end, frame.size - _ETHERNET) - len(packet))
        fragment = int.from_bytes(packet[6:8], "big")
        if fragment & 0x3FFF:  # more fragments follow, or this is not the first (RFC 791 section 3.1)
            key = (source, destination, int.from_bytes(packet[4:6], "big"), protocol)
            whole = self._collect(frame.time, key, 8 * (fragment & 0x1FFF), not fragment & 0x2000, payload)
            if whole is None:
                return None
            payload = whole
        return _transport(frame.time, 4, source, destination, protocol, payload, missing)

    def _ipv6(self, frame: Frame, packet: bytes) -> Packet | None:
        if len(packet) < 40 or packet[0] >> 4 != 6:
            return None
        length, protocol = int.from_bytes(packet[4:6], "big"), packet[6]
        end = 40 + length if length else len(packet)
        source, destination = packet[8:24], packet[24:40]
        payload, missing = packet[40:end], max(0, min(end, frame.size - _ETHERNET) - len(packet))
        if protocol == _FRAGMENT:  # RFC 8200 section 4.5
            if len(payload) < 8:
                return None
            place, protocol = int.from_bytes(payload[2:4], "big"), payload[0]
            key = (source, destination, int.from_bytes(payload[4:8], "big"), protocol)
            whole = self._collect(frame.time, key, place & 0xFFF8, not place & 1, payload[8:])
            if whole is None:
                return None
            payload = whole
        return _transport(frame.time, 6, source, destination, protocol, payload, missing)

    def _collect(
        self, time: int, key: tuple[bytes, bytes, int, int], at: int, last: bool, piece: bytes
    ) -> bytes | None:
        """The whole payload, once all its pieces are there."""
        waiting = self._fragments
        while waiting and (len(waiting) > _WAITING or next(iter(waiting.values())).since < time - _PATIENCE):
            waiting.popitem(last=False)
        pieces = waiting.setdefault(key, _Pieces(time))
        whole = pieces.add(at, last, piece)
        if whole is not None or pieces.overlap:
            del waiting[key]
        return whole


class _Pieces:
    """The fragments of one packet. Where two of them overlap all are given up (RFC 5722 for IPv6, RFC 8900 3.1)."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.overlap = False
        self._pieces: dict[int, bytes] = {}
        self._length: int | None = None

    def add(self, at: int, last: bool, piece: bytes) -> bytes | None:
        if self._pieces.get(at) == piece:
            return None  # a copy of one that is there
        if last:
            self._length = at + len(piece)
        self._pieces[at], whole = piece, b""
        for start, found in sorted(self._pieces.items()):
            self.overlap = start < len(whole) or start + len(found) > _LARGEST
            if self.overlap or start > len(whole):
                return None
            whole += found
        return whole if len(whole) == self._length else None


def _transport(
    time: int, version: int, source: bytes, destination: bytes, protocol: int, payload: bytes, missing: int
) -> Packet | None:
    if protocol in (_ICMP, _ICMPV6):
        return _unreachable(time, version, source, payload)
    if len(payload) < 8:
        return None
    ends = Ends(
        address(source),
        int.from_bytes(payload[:2], "big"),
        address(destination),
        int.from_bytes(payload[2:4], "big"),
    )
    if PORT not in (ends.source_port, ends.destination_port):
        return None
    if protocol == _UDP:
        length = int.from_bytes(payload[4:6], "big")
        return Datagram(time, ends, payload[8:length] if length >= 8 else payload[8:], missing)
    if protocol == _TCP and len(payload) >= 20:
        header = 4 * (payload[12] >> 4)
        if not 20 <= header <= len(payload):
            return None
        return Segment(time, ends, int.from_bytes(payload[4:8], "big"), payload[13], payload[header:], missing)
    return None


def _unreachable(time: int, version: int, reporter: bytes, message: bytes) -> Unreachable | None:
    """An ICMP message with the beginning of the packet it is about (RFC 792, RFC 4443 section 3.1)."""
    kind, fixed = (3, 20) if version == 4 else (1, 40)
    about = message[8:]
    if len(about) < fixed or message[0] != kind or about[0] >> 4 != version:
        return None
    protocol = about[9] if version == 4 else about[6]
    source, destination = (about[12:16], about[16:20]) if version == 4 else (about[8:24], about[24:40])
    ports = about[4 * (about[0] & 0xF) if version == 4 else fixed :][:4]
    ends = Ends(
        address(source), int.from_bytes(ports[:2], "big"), address(destination), int.from_bytes(ports[2:], "big")
    )
    if protocol not in (_UDP, _TCP) or PORT not in (ends.source_port, ends.destination_port):
        return None
    reason = _UNREACHABLE[version].get(message[1], f"unreachable, code {message[1]}")
    return Unreachable(time, ends, protocol == _TCP, address(reporter), reason)


@lru_cache(maxsize=4096)
def address(packed: bytes) -> str:
    """An address as text (RFC 5952)."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
