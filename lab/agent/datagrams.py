"""DNS messages in packets: taken out of datagrams and put back, with lengths and checksums as the receiver checks them.

Source: RFC 791 section 3.1, RFC 8200 sections 3 and 8.1, RFC 768; the checksum: RFC 1071.
"""

import struct
from typing import Final, NamedTuple

from .conditions import Direction
from .effects import Fate
from .messages import PORT, Messages
from .nfqueue import ARRIVING, IN, OUT, Packet
from .redirect import PROXIED

_UDP: Final = 17
_TCP: Final = 6
_SYN: Final = 0x02  # of the flags of a TCP header (RFC 9293 section 3.1)
_FLAGS: Final = 0x17  # FIN, SYN, RST, ACK
_HEADER: Final = 8  # octets of a UDP header
_LARGEST: Final = 65535


def through(packet: Packet, messages: Messages, fate: Fate) -> Packet:
    """Add what the rules about messages do to the fate of a packet; return it as it is to go on."""
    whole = packet.content
    place = datagram(whole)
    if place is None:
        return packet
    message = content(whole, place)
    direction: Direction = "in" if packet.hook == IN else "out"
    handled = messages.handle(message, direction, "udp", _peer(whole, arriving=packet.hook == IN))
    if handled is None:
        return packet
    fate.lost |= handled.lost
    fate.delay += handled.delay
    return packet if handled.wire == message else packet._replace(content=changed(whole, place, handled.wire))


def leads_to_proxy(packet: Packet, messages: Messages) -> bool:
    """Tell whether a packet is the first of a TCP connection whose messages concern a rule."""
    whole = packet.content
    if packet.hook not in (ARRIVING, OUT) or packet.mark == PROXIED or len(whole) < 40:
        return False
    start, protocol = ((whole[0] & 0x0F) * 4, whole[9]) if whole[0] >> 4 == 4 else (40, whole[6])
    if protocol != _TCP or len(whole) < start + 20:
        return False
    if int.from_bytes(whole[start + 2 : start + 4], "big") != PORT or whole[start + 13] & _FLAGS != _SYN:
        return False
    arriving = packet.hook == ARRIVING
    return messages.wants_stream(arriving=arriving, peer=_peer(whole, arriving=arriving))


def _peer(packet: bytes, *, arriving: bool) -> bytes:
    """Return the address at the other end."""
    if packet[0] >> 4 == 4:
        return packet[12:16] if arriving else packet[16:20]
    return packet[8:24] if arriving else packet[24:40]


class Datagram(NamedTuple):
    """Where the message is in a packet."""

    start: int
    """Offset of the UDP header."""
    end: int
    """Offset of the end of the message; a packet can be longer."""


def datagram(packet: bytes) -> Datagram | None:
    """Return where a packet has a message from or to port 53; None if it has none, or is not whole.

    IPv6 extension headers are not looked behind.
    """
    if len(packet) < 28:
        return None
    if packet[0] >> 4 == 4:
        start, protocol = (packet[0] & 0x0F) * 4, packet[9]
        if packet[6] & 0x3F or packet[7]:  # a fragment
            return None
    else:
        start, protocol = 40, packet[6]
    if protocol != _UDP or len(packet) < start + _HEADER:
        return None
    source, destination, length = struct.unpack_from(">HHH", packet, start)
    if PORT not in (source, destination) or length < _HEADER or start + length > len(packet):
        return None
    return Datagram(start, start + length)


def content(packet: bytes, place: Datagram) -> bytes:
    """Return the message."""
    return packet[place.start + _HEADER : place.end]


def changed(packet: bytes, place: Datagram, message: bytes) -> bytes:
    """Return the packet with another message; the packet as it is if that does not fit into one."""
    size, start = _HEADER + len(message), place.start
    if start + size > _LARGEST:
        return packet
    version = packet[0] >> 4
    ip = bytearray(packet[:start])
    if version == 4:
        struct.pack_into(">H", ip, 2, start + size)
        struct.pack_into(">H", ip, 10, 0)
        struct.pack_into(">H", ip, 10, _checksum(ip))
        pseudo = bytes(ip[12:20]) + struct.pack(">BBH", 0, _UDP, size)
    else:
        struct.pack_into(">H", ip, 4, size)
        pseudo = bytes(ip[8:40]) + struct.pack(">IHBB", size, 0, 0, _UDP)
    udp = packet[start : start + 4] + struct.pack(">HH", size, 0)
    return bytes(ip) + udp[:6] + _checksum(pseudo + udp + message).to_bytes(2, "big") + message


def _checksum(data: bytes | bytearray) -> int:
    """Return the Internet checksum: the complement of the sum in ones' complement of 16-bit words.

    Of its two zeros it is all ones, never 0, which in UDP would mean that there is none.
    """
    if len(data) % 2:
        data = bytes(data) + b"\0"
    # Modulo 2^16 - 1 the octets as one number are the sum of their 16-bit words (RFC 1071 section 2).
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF)
