"""Second copies of packets, made without a raw socket, which would need a capability more.

A datagram of our own, blank, is sent to the packet's destination with a mark that leads it to the conditioner's queue;
there its whole content is replaced by that of the packet to copy (NFQA_PAYLOAD). One for the node itself goes by the
loopback and is replaced after routing, at the hook where local delivery begins.
"""

import contextlib
import socket
from typing import Final

from .nfqueue import Packet

_SO_MARK: Final = socket.SO_MARK if hasattr(socket, "SO_MARK") else 36
_DISCARD: Final = 9  # the port a blank is addressed to (RFC 863); none leaves as such
_NUMBER: Final = 8  # octets at the end of a blank that say which copy it is to become


class Copier:
    """Makes copies; a blank that comes by is given its content with :meth:`content`."""

    def __init__(self, mark: int) -> None:
        self._sockets = {}
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            self._sockets[version] = socket.socket(family, socket.SOCK_DGRAM)
            self._sockets[version].setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            self._sockets[version].setblocking(False)
        self._count = 0
        self._waiting: dict[bytes, bytes] = {}

    def copy(self, packet: Packet) -> None:
        """Have a packet delivered once more."""
        content = packet.content
        version = content[0] >> 4
        destination = content[16:20] if version == 4 else content[24:40]
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._count += 1
        number = self._count.to_bytes(_NUMBER, "big")
        self._waiting[number] = content
        try:
            self._sockets[version].sendto(number, (socket.inet_ntop(family, destination), _DISCARD))
        except OSError:  # no route, no buffer: the copy is lost, as packets are
            del self._waiting[number]

    def content(self, blank: Packet) -> bytes | None:
        """Return what a blank is to become; None if it is not one of ours."""
        return self._waiting.pop(blank.content[-_NUMBER:], None)

    def close(self) -> None:
        """Close the sockets."""
        for blank in self._sockets.values():
            with contextlib.suppress(OSError):
                blank.close()
