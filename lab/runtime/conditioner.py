"""The orchestrator's end of a node's conditioner: its helper container, and one kept stream to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.agent.conditions import Rule, State
from lab.runtime.connection import Connection
from lab.runtime.helper import Helper

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

Ended = Callable[[State, str], None]
"""Called when a rule has ended by itself: with its last state and why ("deadline", "healed")."""


class Conditioner:
    """A connection to the conditioner of one node, which is started if it does not run.

    Rules added here end with the connection, however that ends. Several threads may use it at once. `ended` and `lost`
    are called from a thread of their own; `lost` when the conditioner is gone: the node was stopped, or its helper.
    """

    def __init__(self, api: APIClient, lab: str, node: str, ended: Ended, lost: Callable[[], None]) -> None:
        self._ended = ended
        self._connection = Connection(api, lab, node, CONDITIONER, self._heard, lambda _why: lost())
        # Whoever answers `list` is up: what goes wrong before is told here.
        self.rules()

    def add(self, rule: Rule) -> None:
        """Put a rule in force; packets meet it when this returns. Raises `EnvironmentProblem`."""
        self._connection.ask({"op": "add", "rule": rule.to_json()})

    def remove(self, *rules: str) -> list[State]:
        """Take rules out, by id; what they had done. One that has ended already is fine."""
        return _states(self._connection.ask({"op": "remove", "rules": list(rules)})["removed"])

    def remove_all(self) -> list[State]:
        """Take all rules of the node out, whoever added them."""
        return _states(self._connection.ask({"op": "remove"})["removed"])

    def declare(self, rules: Iterable[Rule]) -> None:
        """Put the rules of declared links in force, and no others of that sort, for as long as the node lives."""
        self._connection.ask({"op": "declare", "rules": [rule.to_json() for rule in rules]})

    def restart(self, rule: str) -> None:
        """Put a rule's counters to 0, its chance back to the seed, and its deadline as far off as at first."""
        self._connection.ask({"op": "restart", "rule": rule})

    def rules(self) -> list[State]:
        """All rules of the node that somebody added, whoever it was; those of declared links are not among them."""
        return _states(self._connection.ask({"op": "list"})["rules"])

    @property
    def alive(self) -> bool:
        """Whether the conditioner is there, as far as is known."""
        return self._connection.alive

    def close(self) -> None:
        """End the connection, and with it the rules added on it."""
        self._connection.close()

    def _heard(self, message: dict[str, Any]) -> bool:
        if "ended" not in message:
            return False
        self._ended(State.from_json(message["ended"]), str(message.get("why")))
        return True


def _states(objects: Sequence[Mapping[str, Any]]) -> list[State]:
    return [State.from_json(obj) for obj in objects]
