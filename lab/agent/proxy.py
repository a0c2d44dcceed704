"""A proxy for DNS over TCP: a verdict on a packet cannot change the length of a segment, so whole messages pass here.

Connections come redirected (:mod:`.redirect`); the message in each length-prefixed frame (RFC 7766 section 8) meets the
rules about messages, and what they leave of it goes on. A message that waits holds no other up. The server sees the
node itself as the client of connections that arrive; of those that the node opens it sees the node, as ever.
"""

import errno
import socket
import struct
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final

from .conditions import Direction
from .loop import READ, Loop, Timer
from .messages import PORT, Messages
from .redirect import PROXIED, PROXY_PORT
from .rewrites import Handling
from .streams import End, Frames

_SO_MARK: Final = socket.SO_MARK if hasattr(socket, "SO_MARK") else 36
_ORIGINAL: Final = 80  # SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv4.h and _ipv6/ip6_tables.h
_LEVELS: Final = {socket.AF_INET: 0, socket.AF_INET6: 41}  # SOL_IP, SOL_IPV6
_BACKLOG: Final = 128
_MOMENT: Final = 0.5  # seconds that connections are still taken for which there is no rule any more
_MOST: Final = 1 << 20  # octets on their way to an end before no more is read for it


class Proxy:
    """Listens while some rule wants it to, and passes on what it took as long as that lasts."""

    def __init__(self, loop: Loop, messages: Messages) -> None:
        self._loop = loop
        self._messages = messages
        self._listening: list[socket.socket] = []
        self._closing: Timer | None = None
        self._connections: set[Connection] = set()

    @property
    def busy(self) -> bool:
        """Whether connections go through it now."""
        return bool(self._connections)

    def listen(self, wanted: bool) -> None:
        """Listen, or stop doing so in a moment: what has begun to connect is taken. Raises OSError.

        To be called before connections are led here; without a rule none is marked for it, whatever iptables does.
        """
        if self._closing is not None:
            self._loop.cancel(self._closing)
            self._closing = None
        if wanted and not self._listening:
            try:
                self._open()
            except OSError:
                self._stop_listening()
                raise
        elif self._listening and not wanted:
            self._closing = self._loop.at(monotonic() + _MOMENT, self._stop_listening)

    def _stop_listening(self) -> None:
        self._closing = None
        for listener in self._listening:
            self._loop.unwatch(listener.fileno())
            listener.close()
        self._listening.clear()

    def _open(self) -> None:
        for family in _LEVELS:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(("", PROXY_PORT))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            self._listening.append(listener)
            self._loop.watch(listener.fileno(), READ, partial(self._accept, listener))

    def close(self) -> None:
        """End, and all connections with it."""
        self._stop_listening()
        for connection in list(self._connections):
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except OSError:  # it has gone again
            return
        try:
            upstream = _original(client)
            if upstream[1] != PORT:  # it was not redirected: somebody has called the proxy itself
                raise ConnectionRefusedError
            arriving = not ip_address(client.getsockname()[0]).is_loopback
            peer = ip_address(str(address[0] if arriving else upstream[0]).partition("%")[0]).packed
            server = socket.socket(client.family, socket.SOCK_STREAM)
        except OSError:
            client.close()
            return
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, _SO_MARK, PROXIED)
        # How it went is told when the socket can be written to, unless that is known at once.
        if server.connect_ex(upstream) not in (0, errno.EINPROGRESS):
            server.close()
            client.close()
            return
        handle = partial(self._messages.handle, transport="tcp", peer=peer)
        try:
            connection = Connection(self._loop, client, server, arriving, handle, self._connections.discard)
        except OSError:  # the client has gone again
            server.close()
            client.close()
        else:
            self._connections.add(connection)


class Connection:
    """Two connections made one: each end's messages go to the other."""

    def __init__(
        self,
        loop: Loop,
        client: socket.socket,
        server: socket.socket,
        arriving: bool,
        handle: Callable[..., Handling | None],
        ended: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._ended = ended
        self._client = End(loop, client, partial(self._ready, "client"), connecting=False)
        self._server = End(loop, server, partial(self._ready, "server"), connecting=True)
        # Seen from the node: of a connection that arrives the questions come in, of one that it opens they go out.
        ways: tuple[Direction, Direction] = ("in", "out") if arriving else ("out", "in")
        self._ways = {
            "client": _Way(self._client, self._server, ways[0]),
            "server": _Way(self._server, self._client, ways[1]),
        }

    def close(self, *, abort: bool = False) -> None:
        """End both connections; with `abort` by a reset."""
        self._client.close(abort=abort)
        self._server.close(abort=abort)
        self._ended(self)

    def _ready(self, which: str) -> None:
        way = self._ways[which]
        try:
            way.source.flush()
            if way.source.closed:
                return
            # Room has been made here: the other end may go on.
            other = self._ways["server" if which == "client" else "client"]
            if not other.source.reading and not other.over and other.target.pending < _MOST:
                other.source.read_on(True)
            if way.source.reading:
                self._read(way)
        except OSError:
            self.close(abort=True)

    def _read(self, way: "_Way") -> None:
        try:
            data = way.source.read()
        except BlockingIOError:
            return
        if not data:
            way.over = True
            way.source.read_on(False)
            way.target.send(way.frames.rest())
            self._finish(way)
            return
        for message in way.frames.take(data):
            self._pass(way, message)
        if way.target.pending >= _MOST and not way.over:
            way.source.read_on(False)

    def _pass(self, way: "_Way", message: bytes) -> None:
        handled = self._handle(message, way.direction)
        if handled is None:
            way.target.send(_framed(message))
        elif handled.lost:
            return
        elif handled.delay > 0:
            way.waiting += 1
            self._loop.at(monotonic() + handled.delay, partial(self._late, way, handled))
        else:
            self._deliver(way, handled)

    def _late(self, way: "_Way", message: Handling) -> None:
        way.waiting -= 1
        if way.target.closed:
            return
        try:
            self._deliver(way, message)
            self._finish(way)
        except OSError:
            self.close(abort=True)

    def _deliver(self, way: "_Way", message: Handling) -> None:
        frame = _framed(message.wire)
        if message.after is None:
            way.target.send(frame, message.pace)
            return
        way.target.send(frame[: 2 + message.after], message.pace)
        way.target.finish(then=self.close)
        way.source.read_on(False)
        way.over = True

    def _finish(self, way: "_Way") -> None:
        """Pass the end of a way on when all that came before it has been, and forget the two when both have ended."""
        if way.over and not way.waiting:
            way.target.finish(then=self._maybe_over)

    def _maybe_over(self) -> None:
        if all(way.over and not way.waiting and way.target.finished for way in self._ways.values()):
            self.close()


class _Way:
    """One direction of a connection."""

    def __init__(self, source: End, target: End, direction: Direction) -> None:
        self.source, self.target, self.direction = source, target, direction
        self.frames = Frames()
        self.waiting = 0  # messages that are held
        self.over = False  # no more comes


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def _original(client: socket.socket) -> tuple[Any, ...]:
    """Return where a redirected connection was meant to go. Raises OSError."""
    if client.family is socket.AF_INET:
        port, four = struct.unpack_from(">2xH4s", client.getsockopt(_LEVELS[client.family], _ORIGINAL, 16))
        return socket.inet_ntop(socket.AF_INET, four), port
    port, six = struct.unpack_from(">2xH4x16s", client.getsockopt(_LEVELS[socket.AF_INET6], _ORIGINAL, 28))
    return socket.inet_ntop(socket.AF_INET6, six), port, 0, 0
