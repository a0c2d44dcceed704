"""The orchestrator's end of a node's tap: its helper container, and one kept stream from it."""

from __future__ import annotations

import base64
import binascii
import itertools
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.agent import protocol
from lab.errors import EnvironmentProblem
from lab.runtime import helper
from lab.runtime.helper import Helper
from lab.runtime.stream import StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

TAP = Helper(
    "tap",
    command=("python3", "-m", "agent.tap"),
    relay=("python3", "-S", "/usr/lib/dnslab/agent/relay.py", "/run/tap"),
    hello={"op": "sync", "id": 0},
    capability="NET_RAW",
    memory=256 * 2**20,  # the ring is 32 MiB, what an observer may leave unread 64 MiB
)
_REPLY = 15.0  # seconds for a reply; the tap needs a millisecond

Arrived = Callable[[bytes], None]
"""Called with each batch of frames; see `lab.agent.frames.decode`."""


class Tap:
    """Sees the packets of one node from the moment it is made; the tap is started if it does not run.

    `arrived` is called from a thread of its own with the frames as they come, and `ended`, once, with the reason, when
    no more can come because the node was stopped, or its helper. Raises `EnvironmentProblem`, for one when the node
    does not run.
    """

    def __init__(self, api: APIClient, lab: str, node: str, arrived: Arrived, ended: Callable[[str], None]) -> None:
        self._node = node
        self._arrived, self._ended = arrived, ended
        self.dropped = 0  # frames that were seen by the kernel and not delivered
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._sending = threading.Lock()
        self._gone: str | None = None
        self._closed = False
        self._stream = helper.attach(api, lab, node, TAP)
        self._reader = threading.Thread(target=self._read, name=f"tap {node}", daemon=True)
        self._reader.start()
        try:
            self._ask("watch")
        except EnvironmentProblem:
            self.close()
            raise

    def sync(self) -> None:
        """Wait until `arrived` has been called with every frame that the kernel has seen up to now.

        Raises `EnvironmentProblem` when the tap is gone.
        """
        self._ask("sync")

    @property
    def alive(self) -> bool:
        """Whether the tap is there, as far as is known."""
        return self._gone is None

    def close(self) -> None:
        """See no more; what is under way is lost, so call `sync` before."""
        self._closed = True
        self._stream.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(5)

    def _ask(self, operation: str) -> dict[str, Any]:
        number, replies = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._waiting[number] = replies
        try:
            if self._gone is not None:
                raise self._problem(self._gone)
            with self._sending:
                self._stream.send(protocol.encode_line({"op": operation, "id": number}))
            reply = replies.get(timeout=_REPLY)
        except StreamClosed as error:
            raise self._problem(str(error)) from None
        except queue.Empty:
            raise self._problem(f"no word for {_REPLY:g} s") from None
        finally:
            del self._waiting[number]
        if not reply:
            raise self._problem(self._gone or "it ended")
        if "error" in reply:
            raise EnvironmentProblem(f"the tap of {self._node} refused: {reply['error']}")
        return reply

    def _problem(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(f"the tap of {self._node} is gone ({why}); is the node running?")

    def _read(self) -> None:
        try:
            while True:
                message = protocol.decode_line(self._stream.readline())
                if "dropped" in message:
                    self.dropped = message["dropped"]
                if "frames" in message:
                    self._arrived(base64.b64decode(message["frames"]))
                elif (waiting := self._waiting.get(message.get("id", 0))) is not None:
                    waiting.put(message)
        except (StreamClosed, protocol.ProtocolError, binascii.Error) as error:
            self._gone = str(error)
        for waiting in list(self._waiting.values()):
            waiting.put({})
        if not self._closed:
            self._ended(self._gone)
