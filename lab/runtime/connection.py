"""A connection to a helper: requests with their replies, and what it tells unasked, over one kept stream."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lab.agent import protocol
from lab.errors import EnvironmentProblem
from lab.runtime import helper
from lab.runtime.helper import Helper
from lab.runtime.stream import StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

_REPLY = 15.0  # seconds for a reply; helpers take milliseconds


class Connection:
    """A connection to one node's helper, which is started if it does not run. Several threads may ask at once.

    `heard` is called with each message, from a thread of its own, and tells whether it was for it: what is left is the
    reply to a request. `lost` is called there, once, with the reason, when the helper is gone: the node was stopped, or
    the helper. Raises `EnvironmentProblem`, for one when the node does not run.
    """

    def __init__(
        self,
        api: APIClient,
        lab: str,
        node: str,
        kind: Helper,
        heard: Callable[[dict[str, Any]], bool],
        lost: Callable[[str], None],
    ) -> None:
        self._what = f"the {kind.image} of {node}"
        self._heard, self._lost = heard, lost
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._sending = threading.Lock()
        self._gone: str | None = None
        self._closed = False
        self._stream = helper.attach(api, lab, node, kind)
        self._reader = threading.Thread(target=self._read, name=f"{kind.image} {node}", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the helper is there, as far as is known."""
        return self._gone is None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a request. Raises `EnvironmentProblem` when it is refused, or the helper is gone."""
        return self.asking(request)()

    def asking(self, request: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        """Send a request; what is returned waits for the reply, and raises what `ask` does. Call it, once."""
        number, replies = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._waiting[number] = replies
        failed = self._gone
        if failed is None:
            try:
                with self._sending:
                    self._stream.send(protocol.encode_line({**request, "id": number}))
            except StreamClosed as error:
                failed = str(error)
        return lambda: self._reply(number, replies, failed)

    def _reply(self, number: int, replies: queue.SimpleQueue[dict[str, Any]], failed: str | None) -> dict[str, Any]:
        try:
            reply = {} if failed is not None else replies.get(timeout=_REPLY)
        except queue.Empty:
            raise self._problem(f"no word for {_REPLY:g} s") from None
        finally:
            del self._waiting[number]
        if not reply:
            raise self._problem(failed or self._gone or "it ended")
        if "error" in reply:
            advice = "; `dnslab doctor` tells what this kernel can do" if "iptables" in reply["error"] else ""
            raise EnvironmentProblem(f"{self._what} refused: {reply['error']}{advice}")
        return reply

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        self._stream.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(5)

    def _problem(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(f"{self._what} is gone ({why}); is the node running?")

    def _read(self) -> None:
        try:
            while True:
                message = protocol.decode_line(self._stream.readline())
                if not self._heard(message) and (waiting := self._waiting.get(message.get("id", 0))) is not None:
                    waiting.put(message)
        except (StreamClosed, ValueError) as error:  # it ended, or says what no helper says
            self._gone = str(error)
        for waiting in list(self._waiting.values()):
            waiting.put({})
        if not self._closed:
            self._lost(self._gone)
