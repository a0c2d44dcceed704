"""The orchestrator's end of a node's tap: its helper container, and one kept stream from it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.errors import EnvironmentProblem
from lab.runtime.connection import Connection
from lab.runtime.helper import Helper

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

Arrived = Callable[[bytes], None]
"""Called with each batch of frames; see `lab.agent.frames.decode`."""


class Tap:
    """Sees the packets of one node from the moment it is made; the tap is started if it does not run.

    `arrived` is called from a thread of its own with the frames as they come, and `ended`, once, with the reason, when
    no more can come because the node was stopped, or its helper. `prompt`: each frame at once, though that costs more
    than to gather them for a moment. Raises `EnvironmentProblem`, for one when the node does not run.
    """

    def __init__(
        self,
        api: APIClient,
        lab: str,
        node: str,
        arrived: Arrived,
        ended: Callable[[str], None],
        *,
        prompt: bool = False,
    ) -> None:
        self._arrived = arrived
        self.dropped = 0  # frames that were seen by the kernel and not delivered
        self._connection = Connection(api, lab, node, TAP, self._heard, ended)
        try:
            self._connection.ask({"op": "watch", "prompt": prompt})
        except EnvironmentProblem:
            self.close()
            raise

    def sync(self) -> None:
        """Wait until `arrived` has been called with every frame that the kernel has seen up to now.

        Raises `EnvironmentProblem` when the tap is gone.
        """
        self.syncing()()

    def syncing(self) -> Callable[[], object]:
        """Begin to `sync`; what is returned waits for its end. Call it, once."""
        return self._connection.asking({"op": "sync"})

    @property
    def alive(self) -> bool:
        """Whether the tap is there, as far as is known."""
        return self._connection.alive

    def close(self) -> None:
        """See no more; what is under way is lost, so call `sync` before."""
        self._connection.close()

    def _heard(self, message: dict[str, Any]) -> bool:
        self.dropped = message.get("dropped", self.dropped)
        if "frames" not in message:
            return False
        self._arrived(base64.b64decode(message["frames"]))
        return True
