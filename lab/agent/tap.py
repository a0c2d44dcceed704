"""Watches the packets of one node, as told over a socket; ``python3 -m agent.tap [--socket PATH]``.

It runs in a helper container that shares the node's network namespace, with NET_RAW and nothing else. It looks at no
packet: the kernel selects them (:mod:`.bpf`), and they go on as they are (:mod:`.frames`) to whoever watches. What is
read out of them is read by the orchestrator, so nothing that a packet contains can end the tap.

The tap itself ends when nobody is connected, or when the node is gone and its namespace empty.
"""

import argparse
import base64
import contextlib
import gc
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .loop import READ, Loop
from .protocol import ProtocolError, encode_line
from .ring import Ring
from .server import Server
from .stream import LineReader, Writer

SOCKET: Final = "/run/tap"
_GATHER: Final = 0.01  # seconds in which packets are gathered for one line, unless somebody asks for them
_BATCH: Final = 1 << 20  # octets of frames a line, more or less
_BACKLOG: Final = 64 << 20  # octets that an observer may leave unread


class Outbox(Writer):
    """What an observer has not read yet. Whether it is gone is seen when it is read from, not here."""

    @property
    def pending(self) -> int:
        """Octets that wait."""
        return len(self._pending)

    def flush(self) -> None:
        """Write what the other end takes now; the rest follows from the loop."""
        with contextlib.suppress(OSError):
            super().flush()

    def close(self) -> None:
        """Forget what waits, and close the descriptor."""
        if self._full:
            self._loop.unwatch(self._fd)
        os.close(self._fd)


class Observer:
    """A connection to somebody who watches."""

    def __init__(self, loop: Loop, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reader = LineReader(connection.fileno())
        self._outbox = Outbox(loop, os.dup(connection.fileno()))  # the loop watches a descriptor for one thing
        self.watching = self.prompt = False
        self._dropped_before = 0  # frames that the ring had dropped when it began to watch
        self._missed = 0  # frames that it did not get because it left too much unread

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._connection.fileno()

    def lines(self) -> list[bytes]:
        """Return what came in. Raises EOFError or OSError when the observer is gone."""
        return self._reader.read()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message, after those before."""
        self._outbox.write(encode_line(message))
        self._outbox.flush()

    def watch(self, dropped: int, *, prompt: bool) -> None:
        """From here on it gets what is seen, at once or gathered; the ring has dropped so many frames so far."""
        self.watching, self.prompt, self._dropped_before = True, prompt, dropped

    def dropped(self, dropped: int) -> int:
        """How many frames it did not get, when the ring has dropped so many."""
        return dropped - self._dropped_before + self._missed

    def batch(self, encoded: str, count: int, dropped: int) -> None:
        """Send a batch of frames, or count them as missed."""
        if self._outbox.pending > _BACKLOG:
            self._missed += count
        else:
            self.tell({"frames": encoded, "dropped": self.dropped(dropped)})

    def close(self) -> None:
        """Close the connection."""
        self._outbox.close()
        self._connection.close()


class Tap(Server[Observer]):
    """Serves observers until there are none."""

    def __init__(self, path: Path) -> None:
        super().__init__(Loop(), path)
        self._ring: Ring | None = None
        self._refusal = ""
        try:
            self._ring = Ring()
        except OSError as error:  # told to who wants to watch: nobody reads the log of a helper
            self._refusal = (
                f"no packets can be watched in this kernel (AF_PACKET with PACKET_RX_RING: {error.strerror})"
            )
        else:
            self._loop.watch(self._ring.fileno(), READ, self._arrived)

    def client(self, connection: socket.socket) -> Observer:
        """Make an observer of a new connection."""
        return Observer(self._loop, connection)

    def request(self, observer: Observer, request: dict[str, Any]) -> None:
        """Answer an observer. Raises ProtocolError."""
        observer.tell({**self._answer(observer, request), "id": request.get("id")})

    def node_gone(self) -> None:
        """Tell what the node sent last."""
        self._deliver()

    # Frames

    def _arrived(self) -> None:
        """Let more come in for a moment, unless somebody waits: a line a packet would cost more than the packet."""
        assert self._ring is not None
        if any(observer.prompt for observer in self._clients):
            self._deliver()
            return
        self._loop.unwatch(self._ring.fileno())
        self._loop.at(time.monotonic() + _GATHER, self._gathered)

    def _gathered(self) -> None:
        assert self._ring is not None
        self._loop.watch(self._ring.fileno(), READ, self._arrived)
        self._deliver()

    def _deliver(self) -> None:
        """Tell all observers of all frames that have come in."""
        ring = self._ring
        while ring is not None and (batch := list(ring.frames(_BATCH))):
            watching = [observer for observer in self._clients if observer.watching]
            if watching:
                encoded, dropped = base64.b64encode(b"".join(batch)).decode("ascii"), ring.count_dropped()
                for observer in watching:
                    observer.batch(encoded, len(batch), dropped)

    def _answer(self, observer: Observer, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._ring is None:
            raise ProtocolError(self._refusal)
        operation = request.get("op")
        if operation not in ("watch", "sync"):
            raise ProtocolError('"op" is one of watch, sync')
        self._deliver()  # to those who watch already
        if operation == "watch":
            observer.watch(self._ring.count_dropped(), prompt=request.get("prompt") is True)
            return {"watching": True}
        return {"dropped": observer.dropped(self._ring.count_dropped())}


def main() -> None:
    """Run the tap."""
    parser = argparse.ArgumentParser(prog="agent.tap", description=__doc__)
    parser.add_argument("--socket", type=Path, default=Path(SOCKET), metavar="PATH", help="where to listen")
    arguments = parser.parse_args()
    tap = Tap(arguments.socket)
    gc.freeze()
    gc.disable()  # nothing here makes cycles that last
    tap.run()


if __name__ == "__main__":
    main()
