"""The ends of proxied TCP connections: frames cut out of a stream, and octets sent at whatever pace they are to go."""

import contextlib
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from .loop import READ, WRITE, Loop, Timer

_CHUNK: Final = 1 << 16
_TICK: Final = 0.02  # seconds between two pieces of a slow message, if more than one octet goes in that time
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


class Frames:
    """Cuts what comes in into messages, each behind its length of two octets (RFC 1035 section 4.2.2)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now."""
        buffer, messages, start = self._buffer, [], 0
        buffer += data
        while (end := start + 2 + int.from_bytes(buffer[start : start + 2], "big")) <= len(buffer) >= start + 2:
            messages.append(bytes(buffer[start + 2 : end]))
            start = end
        del buffer[:start]
        return messages

    def rest(self) -> bytes:
        """Return what is no whole message, at the end of the stream."""
        return bytes(self._buffer)


class End:
    """One of the two connections; calls `ready` when there is something to do. All of it raises OSError when broken."""

    def __init__(self, loop: Loop, sock: socket.socket, ready: Callable[[], None], *, connecting: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop, self._sock, self._ready = loop, sock, ready
        self._output: deque[tuple[bytes, float | None]] = deque()  # octets, and how many a second
        self._next = 0.0  # when the next piece of a slow message is due
        self._going_on = False  # with a slow message, when that is due
        self._timer: Timer | None = None
        self._blocked = connecting
        self._connecting = connecting
        self._finish: Callable[[], None] | None = None
        self._watched = 0
        self.reading = True
        self.pending = 0
        """Octets not yet sent."""
        self.finished = False
        """Whether the end of the stream has been sent."""
        self.closed = False
        self._watch()

    def read(self) -> bytes:
        """Return what has come; nothing at the end of the stream. Raises BlockingIOError."""
        return self._sock.recv(_CHUNK)

    def read_on(self, wanted: bool) -> None:
        """Read from now on, or not."""
        self.reading = wanted
        self._watch()

    def send(self, data: bytes, pace: float | None = None) -> None:
        """Send octets behind those sent before, at most `pace` a second."""
        if data and not self.closed and self._finish is None:
            self._output.append((data, pace))
            self.pending += len(data)
            self.flush()

    def finish(self, then: Callable[[], None]) -> None:
        """Send the end of the stream behind all that was sent before, and call `then`."""
        if not self.closed and self._finish is None:
            self._finish = then
            self.flush()

    def flush(self) -> None:
        """Send what goes now."""
        if self.closed or self._timer is not None:
            return
        if self._connecting:
            if failure := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(failure, os.strerror(failure))
            try:
                self._sock.getpeername()
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
                return  # not yet
            self._connecting = self._blocked = False
        try:
            while self._output and self._timer is None:
                self._send_some()
            self._blocked = False
        except BlockingIOError:
            self._blocked = True
        self._watch()
        if not self._output and self._finish is not None and not self.finished:
            self.finished = True
            with contextlib.suppress(OSError):  # the other side has gone before
                self._sock.shutdown(socket.SHUT_WR)
            self._finish()

    def close(self, *, abort: bool = False) -> None:
        """Close it; what is not sent is lost."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._loop.cancel(self._timer)
        if self._watched:
            self._loop.unwatch(self._sock.fileno())
        if abort:
            with contextlib.suppress(OSError):  # it has been reset before
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()

    def _send_some(self) -> None:
        data, pace = self._output.popleft()
        piece = data
        if pace is not None:
            now = monotonic()
            if now < self._next:
                self._output.appendleft((data, pace))
                self._timer = self._loop.at(self._next, self._due)
                return
            piece = data[: max(1, int(pace * _TICK))]
            # A timer that was late is made up for, but not by a burst.
            begin = max(self._next, now - _TICK) if self._going_on else now
            self._next, self._going_on = begin + len(piece) / pace, False
        sent = 0
        try:
            sent = self._sock.send(piece)
        finally:
            self.pending -= sent
            if sent < len(data):
                self._output.appendleft((data[sent:], pace))

    def _due(self) -> None:
        self._timer, self._going_on = None, True
        self._ready()

    def _watch(self) -> None:
        if self.closed:
            return
        wanted = (READ if self.reading and not self._connecting else 0) | (WRITE if self._blocked else 0)
        if wanted == self._watched:
            return
        if not self._watched:
            self._loop.watch(self._sock.fileno(), wanted, self._ready)
        elif wanted:
            self._loop.rewatch(self._sock.fileno(), wanted, self._ready)
        else:
            self._loop.unwatch(self._sock.fileno())
        self._watched = wanted
