"""Ethernet frames made by hand, for the tests of lab.observe and of the tap."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from lab.agent.frames import Frame

CLIENT, SERVER = "10.53.0.225", "10.53.0.193"
CLIENT6, SERVER6 = "fd53::225", "fd53::193"
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


def ip(source: str, destination: str, protocol: int, payload: bytes, *, id: int = 0, fragment: int = 0) -> bytes:
    """An IP packet, of the version that the addresses have; `fragment` as in the header of IPv4."""
    a, b = ip_address(source), ip_address(destination)
    if a.version == 4:
        length = 20 + len(payload)
        return struct.pack("!BBHHHBBH", 0x45, 0, length, id, fragment, 64, protocol, 0) + a.packed + b.packed + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + a.packed + b.packed + payload


def ethernet(packet: bytes) -> bytes:
    return bytes(12) + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def frame(packet: bytes, time: int = 0, missing: int = 0) -> Frame:
    content = ethernet(packet)
    return Frame(time, len(content), content[: len(content) - missing])


def udp(payload: bytes, source: str = CLIENT, destination: str = SERVER, ports: tuple[int, int] = (4000, 53)) -> bytes:
    return ip(source, destination, 17, udp_datagram(payload, ports))


def udp_datagram(payload: bytes, ports: tuple[int, int] = (4000, 53)) -> bytes:
    return struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload


def tcp(
    payload: bytes = b"",
    *,
    sequence: int = 0,
    flags: int = ACK,
    back: bool = False,
    port: int = 4000,
    ends: tuple[str, str] = (CLIENT, SERVER),
) -> bytes:
    source, destination = ends[::-1] if back else ends
    ports = (53, port) if back else (port, 53)
    header = struct.pack("!HHIIBBHHH", *ports, sequence % 2**32, 0, 5 << 4, flags, 1000, 0, 0)
    return ip(source, destination, 6, header + payload)


def fragments(source: str, destination: str, protocol: int, payload: bytes, size: int, id: int) -> Iterator[bytes]:
    """The fragments of a packet with so many octets of payload each, a multiple of 8."""
    version = ip_address(source).version
    for at in range(0, len(payload), size):
        piece, more = payload[at : at + size], at + size < len(payload)
        if version == 4:
            yield ip(source, destination, protocol, piece, id=id, fragment=(0x2000 if more else 0) | at // 8)
        else:
            yield ip(source, destination, 44, struct.pack("!BBHI", protocol, 0, at | more, id) + piece)


def unreachable(about: bytes, reporter: str, to: str, code: int) -> bytes:
    """ICMP destination unreachable, about a packet."""
    version = ip_address(reporter).version
    kind, protocol = (3, 1) if version == 4 else (1, 58)
    return ip(reporter, to, protocol, bytes([kind, code]) + bytes(6) + about[:64])


def framed(message: bytes) -> bytes:
    """A message as it stands in a TCP stream (RFC 1035 section 4.2.2)."""
    return len(message).to_bytes(2, "big") + message
