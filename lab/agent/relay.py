"""Joins standard input and output to the socket of a helper's program; ``python3 -S relay.py SOCKET``.

What `docker exec` runs: when the one who started it is gone its input ends, and with it the connection. A file by
itself without the package: it is ready in a few milliseconds.
"""

import os
import select
import socket
import sys
import time
from typing import Final

_PATIENCE: Final = 5.0  # seconds for the program to come up
_PAUSE: Final = 0.005


def connect(path: str) -> socket.socket:
    """Return a connection, waiting while nobody listens. Raises OSError if nobody does in the end."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return connection


def copy(source: int, target: int) -> bool:
    """Pass on what there is; tell whether there can be more."""
    data = os.read(source, 1 << 16)
    while data:
        data = data[os.write(target, data) :]
        if not data:
            return True
    return False


def main() -> None:
    """Relay until either end is closed."""
    connection = connect(sys.argv[1])
    ways = {0: connection.fileno(), connection.fileno(): 1}
    while True:
        ready, _, _ = select.select(list(ways), [], [])
        for source in ready:
            try:
                if not copy(source, ways[source]):
                    return
            except OSError:
                return


if __name__ == "__main__":
    main()
