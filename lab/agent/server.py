"""What every helper does beside its own work: serve who is connected, and end when nobody is, or the node is gone."""

import contextlib
import signal
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from .loop import READ, Loop
from .protocol import ProtocolError, decode_line

_FIRST: Final = 10.0  # seconds in which the first client has to come
_LINGER: Final = 1.0  # seconds without any client before the helper ends
_RTMGRP_LINK: Final = 1  # rtnetlink(7): tell of interfaces that come and go


class Client(Protocol):
    """A connection to somebody who is served."""

    def fileno(self) -> int:
        """Return the descriptor to watch."""

    def lines(self) -> list[bytes]:
        """Return what came in. Raises EOFError or OSError when the client is gone."""

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message."""

    def close(self) -> None:
        """Close the connection."""


C = TypeVar("C", bound=Client)


class Server(Generic[C]):
    """Listens on a socket of the file system and serves until there is no need; the work is a subclass's."""

    def __init__(self, loop: Loop, path: Path) -> None:
        self._loop = loop
        self._clients: set[C] = set()
        self._running = True
        self._interfaces = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._interfaces.bind((0, _RTMGRP_LINK))
        self._interfaces.setblocking(False)
        loop.watch(self._interfaces.fileno(), READ, self._interfaces_changed)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        loop.watch(self._listener.fileno(), READ, self._connected)
        self._alone = loop.at(time.monotonic() + _FIRST, self.end)

    # What a subclass says

    def client(self, connection: socket.socket) -> C:
        """Make a client of a new connection."""
        raise NotImplementedError

    def request(self, client: C, request: dict[str, Any]) -> None:
        """Do what a client asks for, and tell it. Raises ProtocolError, which is told."""
        raise NotImplementedError

    def lost(self, client: C) -> None:
        """Clear up after a client that is gone."""

    def node_gone(self) -> None:
        """Do what is left to do when the node has stopped."""

    def stays(self) -> bool:
        """Tell whether there is work without any client."""
        return False

    def busy(self) -> bool:
        """Tell whether there is work that is to come to its end, without any client."""
        return False

    # What it does

    def run(self) -> None:
        """Serve."""
        self._interfaces_changed()
        wakeups, wakeup = socket.socketpair()
        wakeups.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.end())
        self._loop.watch(wakeups.fileno(), READ, partial(_discard, wakeups))
        while self._running:
            self._loop.run_once()

    def end(self) -> None:
        """Stop serving."""
        self._running = False

    def close(self) -> None:
        """Give back what it listens and waits with."""
        self._listener.close()
        self._interfaces.close()
        self._loop.close()

    def _interfaces_changed(self) -> None:
        with contextlib.suppress(OSError):  # nothing more to read, or so much that some was lost: look in any case
            while self._interfaces.recv(1 << 16):
                pass
        if all(name == "lo" for _, name in socket.if_nameindex()):
            self.node_gone()
            self.end()  # the node has stopped: its namespace is kept alive by nobody but us

    def _connected(self) -> None:
        connection, _ = self._listener.accept()
        client = self.client(connection)
        self._clients.add(client)
        self._loop.cancel(self._alone)
        self._loop.watch(client.fileno(), READ, partial(self._readable, client))

    def _readable(self, client: C) -> None:
        try:
            for line in client.lines():
                self._handle(client, line)
        except (EOFError, OSError):
            self._loop.unwatch(client.fileno())
            client.close()
            self._clients.discard(client)
            self.lost(client)
            if not self._clients and not self.stays():
                self._linger()

    def _linger(self) -> None:
        """End in a while, unless a client comes."""
        self._alone = self._loop.at(time.monotonic() + _LINGER, self._linger if self.busy() else self.end)

    def _handle(self, client: C, line: bytes) -> None:
        request: dict[str, Any] = {}
        try:
            request = decode_line(line)
            self.request(client, request)
        except ProtocolError as error:
            client.tell({"error": str(error), "id": request.get("id")})


def _discard(wakeups: socket.socket) -> None:
    """Read what a signal wrote to end the wait; its handler has run."""
    wakeups.recv(16)
