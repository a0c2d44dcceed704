"""Lines over non-blocking file descriptors: standard input and output, or a socket."""

import os
from typing import Final

from .loop import WRITE, Loop
from .protocol import MAX_LINE

_CHUNK: Final = 1 << 20


class LineReader:
    """Cuts what comes in into lines."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._parts: list[bytes] = []  # of the line that has no end yet; joined once, at its end
        self._length = 0

    def read(self) -> list[bytes]:
        """Return the lines that are complete by now, without their ends. Raises EOFError if no more can come."""
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return []
        if not chunk:
            raise EOFError
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            self._add(end)
            lines.append(b"".join(self._parts))
            self._parts, self._length = [], 0
        self._add(rest)
        return lines

    def _add(self, part: bytes) -> None:
        # One octet too many is enough to tell that a line is too long; what follows is not kept.
        part = part[: MAX_LINE + 1 - self._length]
        self._length += len(part)
        self._parts.append(part)


class Writer:
    """Holds what the reader at the other end has not taken yet: it is never waited for, and nothing is lost.

    There is no limit but memory; what can pile up are the results of the queries accepted.
    """

    def __init__(self, loop: Loop, fd: int) -> None:
        self._loop = loop
        self._fd = fd
        self._pending = bytearray()
        self._full = False

    def write(self, data: bytes) -> None:
        """Take octets to be written at the next flush."""
        self._pending += data

    def flush(self) -> None:
        """Write what the other end takes now; the rest follows from the loop. Raises BrokenPipeError if it is gone."""
        if self._full:
            return
        try:
            while self._pending:
                with memoryview(self._pending) as view:
                    written = os.write(self._fd, view)
                del self._pending[:written]
        except BlockingIOError:
            self._full = True
            self._loop.watch(self._fd, WRITE, self._writable)

    def _writable(self) -> None:
        self._loop.unwatch(self._fd)
        self._full = False
        self.flush()
