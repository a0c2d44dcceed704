"""One attempt: a message sent to one server over UDP or TCP, and what becomes of it before its deadline."""

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Any, Final, Literal, NamedTuple

from .loop import READ, WRITE, Loop
from .message import Message, is_response

Ending = Literal["answer", "timeout", "unreachable", "malformed"]

Settled = Callable[[Ending, float, bytes], None]
"""Is told how an attempt ended, the monotonic time of that, and the message received (or the last one ignored)."""

_LARGEST: Final = 65535
# IP_RECVERR and IPV6_RECVERR of linux/in.h and in6.h, which the socket module does not have.
_REPORT_ICMP: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC, errno.EAGAIN}


class Endpoint(NamedTuple):
    """Where a server is asked."""

    server: str
    """Its address as it was given."""
    family: socket.AddressFamily
    address: tuple[Any, ...]
    """The address as sockets of this family take it."""


@lru_cache(maxsize=1024)
def endpoint(server: str, port: int) -> Endpoint:
    """Return where a server is asked. Raises ValueError, for people, if it is not an IPv4 or IPv6 address."""
    try:
        ip = ipaddress.ip_address(server)
        if isinstance(ip, ipaddress.IPv4Address):
            return Endpoint(server, socket.AF_INET, (server, port))
        scope = socket.if_nametoindex(ip.scope_id) if ip.scope_id else 0
    except (OSError, ValueError) as error:
        raise ValueError(f"server {server!r} is not an IPv4 or IPv6 address of a server") from error
    return Endpoint(server, socket.AF_INET6, (server.partition("%")[0], port, 0, scope))


def is_exhaustion(error: OSError, family: socket.AddressFamily) -> bool:
    """Tell whether an attempt failed because this machine has run out of something, not because of the network.

    A missing local address means for IPv4 that all ports are taken (closed TCP connections keep theirs for a minute),
    for IPv6 that it is switched off.
    """
    return error.errno in _EXHAUSTED or (error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET)


class Exchange:
    """What attempts over UDP and TCP have in common: a socket of their own, a new ID and a deadline.

    Raises OSError if sending cannot even begin.
    """

    __slots__ = ("_id", "_ignored", "_loop", "_message", "_settled", "_sock", "_timer", "sent")

    _KIND: socket.SocketKind

    def __init__(self, loop: Loop, to: Endpoint, message: Message, timeout: float, settled: Settled) -> None:
        self._loop = loop
        self._message = message
        self._settled = settled
        self._id = os.urandom(2)  # unpredictable (RFC 5452 section 9.2)
        self._ignored: bytes | None = None
        self.sent = monotonic()
        self._sock = socket.socket(to.family, self._KIND, 0)
        try:
            self._sock.setblocking(False)
            self._send(to)
        except OSError:
            self._sock.close()
            raise
        self._timer = loop.at(self.sent + timeout, self._expire)

    def close(self) -> None:
        """Give the attempt up: no more is heard of it. Nothing happens if it has ended."""
        if self._sock.fileno() >= 0:
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            self._loop.cancel(self._timer)

    def _send(self, to: Endpoint) -> None:
        raise NotImplementedError

    def _end(self, ending: Ending, when: float, wire: bytes = b"") -> None:
        self.close()
        self._settled(ending, when, wire)

    def _end_without_answer(self, ending: Ending) -> None:
        if self._ignored is None:
            self._end(ending, monotonic())
        else:
            self._end("malformed", monotonic(), self._ignored)

    def _expire(self) -> None:
        self._end_without_answer("timeout")

    def _received(self, wire: bytes, when: float) -> bool:
        """Take a message; tell whether it ended the attempt."""
        if is_response(self._message, self._id, wire):
            self._end("answer", when, wire)
            return True
        self._ignored = wire
        return False


class UdpExchange(Exchange):
    """An attempt over UDP, from a port chosen by the kernel at random (RFC 5452 section 9.2)."""

    __slots__ = ()

    _KIND = socket.SOCK_DGRAM

    def _send(self, to: Endpoint) -> None:
        if sys.platform == "linux":
            # Else only "port unreachable" would be reported, not that the host or the network is. glibc does this too.
            level, option = _REPORT_ICMP[to.family]
            self._sock.setsockopt(level, option, 1)
        self._sock.connect(to.address)
        self.sent = monotonic()
        self._sock.send(self._id + self._message.body)
        self._loop.watch(self._sock.fileno(), READ, self._readable)

    def _readable(self) -> None:
        try:
            wire = self._sock.recv(_LARGEST)
            now = monotonic()
        except BlockingIOError:  # a bad checksum: the datagram is gone by now
            return
        except OSError:
            self._end_without_answer("unreachable")
            return
        self._received(wire, now)


class TcpExchange(Exchange):
    """An attempt over a TCP connection of its own (RFC 7766)."""

    __slots__ = ("_input", "_unsent")

    _KIND = socket.SOCK_STREAM

    def _send(self, to: Endpoint) -> None:
        self._input = bytearray()
        # Length and message in one segment (RFC 7766 section 8).
        length = len(self._id) + len(self._message.body)
        self._unsent = length.to_bytes(2, "big") + self._id + self._message.body
        status = self._sock.connect_ex(to.address)
        if status not in (0, errno.EINPROGRESS):
            raise OSError(status, os.strerror(status))
        self._loop.watch(self._sock.fileno(), WRITE, self._writable)

    def _writable(self) -> None:
        try:
            # If the connection could not be made, this is where its error comes out.
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._end_without_answer("unreachable")
            return
        if not self._unsent:
            self._loop.rewatch(self._sock.fileno(), READ, self._readable)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_LARGEST)
            now = monotonic()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_without_answer("unreachable")
            return
        self._input += data
        while len(self._input) >= 2 and len(self._input) >= (end := 2 + int.from_bytes(self._input[:2], "big")):
            wire = bytes(self._input[2:end])
            del self._input[:end]
            if self._received(wire, now):
                return
