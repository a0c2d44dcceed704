"""A way to Docker that can be closed: what a program sees while Docker is restarted, without a restart."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from lab.testing import eventually

_DOCKER = "unix:///var/run/docker.sock"
_OCTETS = 65536


class Door:
    """A socket that leads to Docker's. While `closed` is set, whoever comes is sent away, and whoever was in is out."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix://{path}"
        self.closed = False
        self._refused = 0
        self._inside: set[socket.socket] = set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def close(self) -> None:
        """Nobody gets in from here on, and all who are in are out."""
        self.closed = True
        for end in list(self._inside):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def refuses(self, times: int, within: float) -> None:
        """Wait until so many more have been sent away, `within` seconds."""
        wanted = self._refused + times
        eventually(lambda: self._refused >= wanted, within=within)

    def open(self) -> None:
        """As before."""
        self.closed = False

    def _serve(self) -> None:
        docker = os.environ.get("DOCKER_HOST", _DOCKER).removeprefix("unix://")
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.closed:
                self._refused += 1
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(docker)
            self._inside |= {client, server}
            for ends in (client, server), (server, client):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while octets := source.recv(_OCTETS):
                target.sendall(octets)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)  # the other direction may go on: an attached stream has two
