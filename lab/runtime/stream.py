"""A program inside a container with its stdin and stdout in our hands: one `docker exec`, kept."""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem

if TYPE_CHECKING:
    from docker import APIClient

_STDERR = 2
_HEADER = struct.Struct(">BxxxL")  # Docker's framing of a stream without a terminal: which one, how many octets


class StreamClosed(Exception):
    """The program at the other end is gone; the message carries what it said last on stderr."""


class Stream:
    """A running program in a container, spoken to line by line. Not for two threads to read at once.

    Raises `EnvironmentProblem` when it cannot be started, because the container has ended for one.
    """

    def __init__(self, api: APIClient, container: str, command: list[str]) -> None:
        from docker.errors import APIError

        self._api = api
        try:
            self._exec: str = api.exec_create(container, command, stdin=True)["Id"]
            attached: Any = api.exec_start(self._exec, socket=True, demux=False)
        except APIError as error:
            raise EnvironmentProblem(
                f"Docker did not run `{command[0]}` in {container}: {error.explanation};"
                " `dnslab status` shows what runs"
            ) from None
        self._attached = attached  # it owns the connection: dropping it would close the socket
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        self._raw = bytearray()
        self._out = bytearray()
        self._complaint = bytearray()

    def send(self, data: bytes) -> None:
        """Write to the program's stdin. Raises `StreamClosed`."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise StreamClosed(self._last_words(str(error))) from None

    def readline(self, timeout: float | None = None) -> bytes:
        """The next line of its stdout without the newline.

        Raises `TimeoutError` after `timeout` seconds of silence, and `StreamClosed` when the program has ended.
        """
        while (end := self._out.find(b"\n")) < 0:
            self._fill(timeout)
        line = bytes(self._out[:end])
        del self._out[: end + 1]
        return line

    @property
    def ended(self) -> bool:
        """Whether something has come that nobody asked for: between two commands of a shell that is its end."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        """Close its stdin and forget it; a program that reads to the end of its input ends."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was gone before us
        finally:
            self._attached.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, timeout: float | None) -> None:
        self._socket.settimeout(timeout)
        try:
            received = self._socket.recv(1 << 18)
        except TimeoutError:
            raise
        except OSError as error:
            raise StreamClosed(self._last_words(str(error))) from None
        finally:
            if self._socket.fileno() >= 0:
                self._socket.settimeout(None)
        if not received:
            raise StreamClosed(self._last_words("ended"))
        self._raw += received
        while len(self._raw) >= _HEADER.size:
            which, length = _HEADER.unpack_from(self._raw)
            if len(self._raw) < _HEADER.size + length:
                break
            frame = self._raw[_HEADER.size : _HEADER.size + length]
            (self._complaint if which == _STDERR else self._out).extend(frame)
            del self._raw[: _HEADER.size + length]

    def _last_words(self, otherwise: str) -> str:
        return bytes(self._complaint[-2000:]).decode(errors="replace").strip() or otherwise
