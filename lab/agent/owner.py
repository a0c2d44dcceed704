"""A connection to a helper, as the helper sees it: lines come in, messages go out."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any, Final

from .protocol import encode_line
from .stream import LineReader

_SEND_BUFFER: Final = 1 << 20  # octets; a list of hundreds of rules fits


class Owner:
    """Whoever is at the other end, for as long as the connection lasts."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._connection = connection
        self._reader = LineReader(connection.fileno())

    def fileno(self) -> int:
        """Return the descriptor to watch; -1 once closed."""
        return self._connection.fileno()

    def lines(self) -> list[bytes]:
        """Return what came in. Raises EOFError or OSError when the owner is gone."""
        return self._reader.read()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message. An owner that does not read what it asked for is as good as gone."""
        try:
            self._connection.sendall(encode_line(message))
        except OSError:
            with contextlib.suppress(OSError):  # closed already
                self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; messages from then on go nowhere."""
        self._connection.close()
