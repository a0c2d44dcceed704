"""Take the machine's IPv6 addresses off a lab's bridge: `python3 -m agent.seal br-0123456789ab`.

Docker gives the bridge of a dual-stack network the first address of its IPv6 subnet, and fe80::1, `internal` or not:
services of the machine that listen on every address could be reached from the lab. The nodes need neither. The kernel
is spoken to over rtnetlink(7), with the standard library only; it takes NET_ADMIN on the machine's own network.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h
_ROUTE = 0
_ERROR, _DONE = 2, 3
_SET_LINK, _NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 19, 20, 21, 22
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_ADDRESS = 1  # IFA_ADDRESS
_AF_SPEC, _ADDR_GEN_MODE, _NESTED = 26, 8, 0x8000
_GENERATE_NONE = 1  # IN6_ADDR_GEN_MODE_NONE

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS_MESSAGE = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, interface
_LINK_MESSAGE = struct.Struct("=BxHiII")  # family, type, interface, flags, change
_ATTRIBUTE = struct.Struct("=HH")  # length, type


def seal(interface: str) -> int:
    """Remove every IPv6 address of `interface` and have the kernel make no new one; how many there were.

    Raises OSError when there is no such interface, or the kernel refuses.
    """
    index = socket.if_nametoindex(interface)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE) as kernel:
        # First that no link-local address comes back when the first node attaches and the carrier comes up.
        mode = _attribute(socket.AF_INET6 | _NESTED, _attribute(_ADDR_GEN_MODE, bytes([_GENERATE_NONE])))
        link = _LINK_MESSAGE.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        _ask(kernel, _SET_LINK, link + _attribute(_AF_SPEC | _NESTED, mode))
        found = list(_addresses(kernel, index))
        for prefix, address in found:
            message = _ADDRESS_MESSAGE.pack(socket.AF_INET6, prefix, 0, 0, index)
            _ask(kernel, _DELETE_ADDRESS, message + _attribute(_ADDRESS, address))
    return len(found)


def _addresses(kernel: socket.socket, index: int) -> Iterator[tuple[int, bytes]]:
    """Prefix length and address of each IPv6 address of an interface."""
    kernel.send(_message(_GET_ADDRESS, _DUMP, _ADDRESS_MESSAGE.pack(socket.AF_INET6, 0, 0, 0, 0)))
    while True:
        for kind, payload in _messages(kernel.recv(1 << 16)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise _refusal(payload)
            _, prefix, _, _, interface = _ADDRESS_MESSAGE.unpack_from(payload)
            if kind == _NEW_ADDRESS and interface == index:
                attributes = _attributes(payload[_ADDRESS_MESSAGE.size :])
                yield from ((prefix, value) for number, value in attributes if number == _ADDRESS)


def _ask(kernel: socket.socket, kind: int, payload: bytes) -> None:
    """Send a request and wait for the kernel's yes; its no is raised as OSError."""
    kernel.send(_message(kind, _ACKNOWLEDGE, payload))
    for answer, content in _messages(kernel.recv(1 << 16)):
        if answer == _ERROR and (error := _refusal(content)).errno:
            raise error


def _refusal(payload: bytes) -> OSError:
    code = -int(struct.unpack_from("=i", payload)[0])
    return OSError(code, os.strerror(code))


def _message(kind: int, flags: int, payload: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST | flags, 1, 0) + payload


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


if __name__ == "__main__":
    try:
        print(f"{seal(sys.argv[1])} addresses removed")  # noqa: T201 - this is a program
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
