"""The orchestrator's end of a node's conditioner: its helper container, and one kept stream to it."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.agent import protocol
from lab.agent.conditions import Rule, State
from lab.errors import EnvironmentProblem
from lab.runtime import helper
from lab.runtime.helper import Helper
from lab.runtime.stream import StreamClosed

if TYPE_CHECKING:
    from docker import APIClient

CONDITIONER = Helper(
    "conditioner",
    command=("python3", "-m", "agent.conditioner"),
    relay=("python3", "-S", "/usr/lib/dnslab/agent/relay.py", "/run/conditioner"),
    hello={"op": "list", "id": 0},
    capability="NET_ADMIN",
    memory=256 * 2**20,  # the packets it holds are in the kernel, 64 Ki of them at most
)
_REPLY = 15.0  # seconds for a reply; iptables takes milliseconds

Ended = Callable[[State, str], None]
"""Called when a rule has ended by itself: with its last state and why ("deadline", "healed")."""


class Conditioner:
    """A connection to the conditioner of one node, which is started if it does not run.

    Rules added here end with the connection, however that ends. Several threads may use it at once. `ended` and `lost`
    are called from a thread of their own; `lost` when the conditioner is gone: the node was stopped, or its helper.
    """

    def __init__(self, api: APIClient, lab: str, node: str, ended: Ended, lost: Callable[[], None]) -> None:
        self._node = node
        self._ended, self._lost = ended, lost
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._sending = threading.Lock()
        self._gone: str | None = None
        self._closed = False
        self._stream = helper.attach(api, lab, node, CONDITIONER)
        # Whoever answers `list` is up: what goes wrong before is told here.
        self._reader = threading.Thread(target=self._read, name=f"conditioner {node}", daemon=True)
        self._reader.start()
        self.rules()

    def add(self, rule: Rule) -> None:
        """Put a rule in force; packets meet it when this returns. Raises `EnvironmentProblem`."""
        self._ask({"op": "add", "rule": rule.to_json()})

    def remove(self, *rules: str) -> list[State]:
        """Take rules out, by id; what they had done. One that has ended already is fine."""
        return _states(self._ask({"op": "remove", "rules": list(rules)})["removed"])

    def remove_all(self) -> list[State]:
        """Take all rules of the node out, whoever added them."""
        return _states(self._ask({"op": "remove"})["removed"])

    def declare(self, rules: Iterable[Rule]) -> None:
        """Put the rules of declared links in force, and no others of that sort, for as long as the node lives."""
        self._ask({"op": "declare", "rules": [rule.to_json() for rule in rules]})

    def restart(self, rule: str) -> None:
        """Put a rule's counters to 0, its chance back to the seed, and its deadline as far off as at first."""
        self._ask({"op": "restart", "rule": rule})

    def rules(self) -> list[State]:
        """All rules of the node that somebody added, whoever it was; those of declared links are not among them."""
        return _states(self._ask({"op": "list"})["rules"])

    @property
    def alive(self) -> bool:
        """Whether the conditioner is there, as far as is known."""
        return self._gone is None

    def close(self) -> None:
        """End the connection, and with it the rules added on it."""
        self._closed = True
        self._stream.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(5)

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        number, replies = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        self._waiting[number] = replies
        try:
            if self._gone is not None:
                raise self._problem(self._gone)
            with self._sending:
                self._stream.send(protocol.encode_line({**request, "id": number}))
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
            raise EnvironmentProblem(f"the conditioner of {self._node} refused: {reply['error']}")
        return reply

    def _problem(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(f"the conditioner of {self._node} is gone ({why}); is the node running?")

    def _read(self) -> None:
        try:
            while True:
                message = protocol.decode_line(self._stream.readline())
                if "ended" in message:
                    self._ended(State.from_json(message["ended"]), str(message.get("why")))
                elif (waiting := self._waiting.get(message.get("id", 0))) is not None:
                    waiting.put(message)
        except (StreamClosed, protocol.ProtocolError) as error:
            self._gone = str(error)
        for waiting in list(self._waiting.values()):
            waiting.put({})
        if not self._closed:
            self._lost()


def _states(objects: Sequence[Mapping[str, Any]]) -> list[State]:
    return [State.from_json(obj) for obj in objects]
