"""Packets with flipped bits: damaged behind the ports, so that they still reach whoever they were sent to."""

from collections.abc import Sequence

_IPV6_HEADER = 40  # octets (RFC 8200 section 3)
_PORTS = 8  # octets left alone behind the IP header: all of UDP's (RFC 768), ports and sequence number of TCP's


def damaged(content: bytes, places: Sequence[float]) -> bytes:
    """Return a packet with a bit flipped at each of these places, from 0, where it may begin, to below 1, its end.

    Over UDP that is anywhere in the DNS message. No bit is flipped twice. The checksum stays that of the sound packet.
    """
    start = (content[0] & 0xF) * 4 if content[0] >> 4 == 4 else _IPV6_HEADER
    start = min(start + _PORTS, len(content) - 1)
    count = 8 * (len(content) - start)
    flipped: set[int] = set()
    for place in places[:count]:
        bit = int(place * count)
        while bit in flipped:
            bit = (bit + 1) % count
        flipped.add(bit)
    changed = bytearray(content)
    for bit in flipped:
        changed[start + bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)
