"""Capture files in the pcapng format, as Wireshark writes them: draft-ietf-opsawg-pcapng, the blocks that a lab needs.

No library is used: of those for Python none was found that writes names and statistics and is kept up, and the blocks
are a few lines each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

ETHERNET = 1  # the link type
NANOSECONDS = 9  # the resolution of time: ten to the power of minus this

_SECTION, _INTERFACE, _NAMES, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 4, 5, 6
_MAGIC = 0x1A2B3C4D
_WHOLE = 0x40000  # octets of a packet at the most (the snapshot length): none is cut


def section(application: str) -> bytes:
    """What a file begins with; `application` wrote it."""
    head = struct.pack("=IHHq", _MAGIC, 1, 0, -1)  # version 1.0, of a length not known yet
    return _block(_SECTION, head + _options((4, application.encode())))


def interface(name: str, description: str, addresses: Iterable[IPv4Interface | IPv6Interface], filter: str) -> bytes:
    """A description of an interface; they are numbered from 0 in the order they are written."""
    options = [(2, name.encode()), (3, description.encode())]
    for address in addresses:
        if isinstance(address, IPv4Interface):
            options.append((4, address.ip.packed + address.netmask.packed))
        else:
            options.append((5, address.ip.packed + bytes([address.network.prefixlen])))
    options += [(9, bytes([NANOSECONDS])), (11, b"\0" + filter.encode())]
    return _block(_INTERFACE, struct.pack("=HHI", ETHERNET, 0, _WHOLE) + _options(*options))


def names(known: Mapping[str, str]) -> bytes:
    """The names of addresses."""
    records = []
    for text, name in known.items():
        address: IPv4Address | IPv6Address = ip_address(text)
        value = address.packed + name.encode() + b"\0"
        records.append(struct.pack("=HH", 1 if address.version == 4 else 2, len(value)) + _padded(value))
    return _block(_NAMES, b"".join(records) + struct.pack("=HH", 0, 0))


def packet(interface: int, time: int, size: int, content: bytes) -> bytes:
    """A packet; `time` in nanoseconds since 1970, `size` in octets on the wire."""
    head = struct.pack("=IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(content), size)
    return _block(_PACKET, head + _padded(content))


def statistics(interface: int, began: int, ended: int, delivered: int, dropped: int) -> bytes:
    """What became of the packets of an interface; times in nanoseconds since 1970."""
    head = struct.pack("=III", interface, ended >> 32, ended & 0xFFFFFFFF)
    times = [(code, struct.pack("=II", time >> 32, time & 0xFFFFFFFF)) for code, time in ((2, began), (3, ended))]
    counts = [
        (code, struct.pack("=Q", value)) for code, value in ((4, delivered + dropped), (5, dropped), (8, delivered))
    ]
    return _block(_STATISTICS, head + _options(*times, *counts))


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


def _options(*options: tuple[int, bytes]) -> bytes:
    written = [struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(written) + struct.pack("=HH", 0, 0)


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (-len(value) % 4)
