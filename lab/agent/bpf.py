"""The kernel's filter of the tap: DNS, and what the network says of it; all else is never copied.

Classic BPF as of socket(7) and Linux's Documentation/networking/filter.rst, written with names for the places that are
jumped to. Fragments have no ports but in the first: all of UDP and TCP pass, whoever puts them together can tell.
"""

import struct
from collections.abc import Sequence
from typing import Final

PORT: Final = 53

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30  # A = packet[k]
_LOAD_HALF_X, _LOAD_BYTE_X = 0x48, 0x50  # A = packet[X + k]
_X_IPV4_HEADER: Final = 0xB1  # X = 4 * (packet[k] & 0xf)
_EQUAL, _ANY_BIT, _RETURN = 0x15, 0x45, 0x06
_HATYPE: Final = 0xFFFFF000 + 28  # the kind of the interface (SKF_AD_HATYPE)
_LOOPBACK: Final = 772  # ARPHRD_LOOPBACK
_ETHERNET: Final = 14  # octets of its header
_IPV6: Final = 40  # octets of the fixed header

_Step = tuple[str, int, int, str, str]
"""Its name, the operation, k, and where to go on: if it is true, and if not; "" is the next step."""

_STEPS: Final[Sequence[_Step]] = (
    ("", _LOAD_HALF, _HATYPE, "", ""),
    ("", _EQUAL, _LOOPBACK, "no", ""),  # there each packet would be seen twice
    ("", _LOAD_HALF, 12, "", ""),
    ("", _EQUAL, 0x0800, "ipv4", ""),
    ("", _EQUAL, 0x86DD, "ipv6", "no"),
    ("ipv4", _LOAD_BYTE, _ETHERNET + 9, "", ""),
    ("", _EQUAL, 17, "fragment", ""),
    ("", _EQUAL, 6, "fragment", ""),
    ("", _EQUAL, 1, "icmp", "no"),
    ("fragment", _LOAD_HALF, _ETHERNET + 6, "", ""),
    ("", _ANY_BIT, 0x3FFF, "yes", ""),  # more fragments follow, or this is not the first
    ("", _X_IPV4_HEADER, _ETHERNET, "", ""),
    ("", _LOAD_HALF_X, _ETHERNET, "", ""),
    ("", _EQUAL, PORT, "yes", ""),
    ("", _LOAD_HALF_X, _ETHERNET + 2, "", ""),
    ("", _EQUAL, PORT, "yes", "no"),
    ("icmp", _X_IPV4_HEADER, _ETHERNET, "", ""),
    ("", _LOAD_BYTE_X, _ETHERNET, "", ""),
    ("", _EQUAL, 3, "yes", "no"),  # destination unreachable (RFC 792)
    ("ipv6", _LOAD_BYTE, _ETHERNET + 6, "", ""),
    ("", _EQUAL, 44, "yes", ""),  # a fragment (RFC 8200 section 4.5)
    ("", _EQUAL, 17, "ports6", ""),
    ("", _EQUAL, 6, "ports6", ""),
    ("", _EQUAL, 58, "icmp6", "no"),
    ("ports6", _LOAD_HALF, _ETHERNET + _IPV6, "", ""),
    ("", _EQUAL, PORT, "yes", ""),
    ("", _LOAD_HALF, _ETHERNET + _IPV6 + 2, "", ""),
    ("", _EQUAL, PORT, "yes", "no"),
    ("icmp6", _LOAD_BYTE, _ETHERNET + _IPV6, "", ""),
    ("", _EQUAL, 1, "yes", "no"),  # destination unreachable (RFC 4443)
    ("yes", _RETURN, 0x40000, "", ""),  # all of it
    ("no", _RETURN, 0, "", ""),
)


def program(steps: Sequence[_Step] = _STEPS) -> bytes:
    """Return the filter as the kernel reads it: an array of struct sock_filter."""
    places = {name: number for number, (name, *_) in enumerate(steps) if name}

    def jump(number: int, to: str) -> int:
        return places[to] - number - 1 if to else 0

    return b"".join(
        struct.pack("=HBBI", code, jump(number, yes), jump(number, no), k)
        for number, (_, code, k, yes, no) in enumerate(steps)
    )
