"""The links of a lab that are disturbed by this process: conditioners by node, and rules that outlive a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.agent.conditions import Rule, State
from lab.errors import LabError
from lab.runtime import containers, helper, labels
from lab.runtime.conditioner import CONDITIONER, Conditioner
from lab.runtime.parallel import each

if TYPE_CHECKING:
    from docker import APIClient

_PAUSE = 0.1  # seconds between looks at a node that was stopped under its rules


class Conditioners:
    """Where this process has rules in force.

    A node that is stopped loses its network namespace, and the rules with it. They belong to the link: when the node
    runs and answers again, whoever started it, they are put back, with chance as from their seed and counters at 0.
    `ready` waits until a node that has just started answers. `declared` are the rules of declared links, by node: they
    are put back with the others, but belong to the lab, and are there without this process.
    """

    def __init__(
        self, api: APIClient, lab: str, ready: Callable[[str], None], declared: Mapping[str, Sequence[Rule]]
    ) -> None:
        self._api, self._lab, self._ready, self._declared = api, lab, ready, declared
        self._links: dict[str, _Link] = {}
        self._lock = threading.Lock()

    def prepare(self, node: str) -> None:
        """See that a node's conditioner runs, and does so until `close`. Raises `EnvironmentProblem`."""
        self._link(node).connection()

    def add(self, node: str, rule: Rule) -> None:
        """Put a rule in force at a node. Raises `EnvironmentProblem`, for one when the node does not run."""
        self._link(node).add(rule)

    def remove(self, node: str, rule: str) -> State | None:
        """Take a rule out and return what it had done; None if it had ended, or its node has stopped."""
        return self._link(node).remove(rule)

    def restart(self, node: str, rule: str) -> None:
        """Put a rule's counters to 0, its chance back to the seed, and its deadline as far off as at first."""
        self._link(node).restart(rule)

    def state(self, node: str, rule: str) -> State | None:
        """A rule as it is now; None if it has ended, or its node has stopped."""
        link = self._link(node)
        if not link.connected:
            return None
        return next((state for state in link.connection().rules() if state.rule.id == rule), None)

    def helper(self, node: str) -> str:
        """Name of a node's helper container, which now runs and does so until `close`. Raises `EnvironmentProblem`."""
        self.prepare(node)
        return helper.name(self._lab, node, CONDITIONER)

    def disturbed(self) -> dict[str, list[State]]:
        """The rules in force in the whole lab, whoever added them, by node."""
        nodes = self.helpers()
        found = each(lambda node: self._link(node).states(), nodes)
        return {node: states for node, states in zip(nodes, found, strict=True) if states}

    def helpers(self) -> list[str]:
        """Nodes whose helper runs; where none does no rule is in force."""
        return list(helper.running(self._api, self._lab, CONDITIONER))

    def heal(self, node: str) -> list[State]:
        """Take all rules of a node out, whoever added them; what they had done."""
        return self._link(node).remove_all()

    def lives(self, node: str, rule: str) -> bool:
        """Whether a rule has neither been removed nor ended."""
        return rule in self._link(node).rules

    def resume(self, node: str) -> bool:
        """See that a node's rules are in force in its present life; whether it has any."""
        link = self._link(node)
        if not (link.rules or self._declared.get(node)):
            return False
        link.resume()
        return True

    def close(self) -> None:
        """End all rules of this process."""
        with self._lock:
            links, self._links = list(self._links.values()), {}
        for link in links:
            link.close()

    def _link(self, node: str) -> _Link:
        with self._lock:
            if node not in self._links:
                self._links[node] = _Link(self._api, self._lab, node, self._ready, self._declared.get(node, ()))
            return self._links[node]


@dataclass(frozen=True)
class _Wanted:
    rule: Rule
    ends: float  # monotonic


class _Link:
    """One node's conditioner, and the rules of this process that belong there."""

    def __init__(
        self, api: APIClient, lab: str, node: str, ready: Callable[[str], None], declared: Sequence[Rule]
    ) -> None:
        self._api, self._lab, self._node, self._ready, self._declared = api, lab, node, ready, declared
        self._conditioner: Conditioner | None = None
        self._life = ""  # of the node that the conditioner was started in
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._wanted: dict[str, _Wanted] = {}

    @property
    def rules(self) -> list[str]:
        """Ids of the rules that have not ended."""
        now = time.monotonic()
        return [name for name, wanted in list(self._wanted.items()) if wanted.ends > now]

    @property
    def connected(self) -> bool:
        """Whether the conditioner is there, as far as is known."""
        return self._conditioner is not None and self._conditioner.alive

    def add(self, rule: Rule) -> None:
        with self._lock:
            self.connection().add(rule)
            self._wanted[rule.id] = _Wanted(rule, time.monotonic() + rule.lasts)

    def restart(self, rule: str) -> None:
        with self._lock:
            self.connection().restart(rule)
            if (wanted := self._wanted.get(rule)) is not None:
                self._wanted[rule] = replace(wanted, ends=time.monotonic() + wanted.rule.lasts)

    def remove(self, rule: str) -> State | None:
        with self._lock:
            self._wanted.pop(rule, None)
            if self._conditioner is None or not self.connected:
                return None
            try:
                removed = self._conditioner.remove(rule)
            except LabError:
                if self.connected:
                    raise
                return None  # the node has stopped: nothing is left to be removed
            return removed[0] if removed else None

    def remove_all(self) -> list[State]:
        with self._lock:
            self._wanted.clear()
            return self._unless_stopped(lambda conditioner: conditioner.remove_all())

    def states(self) -> list[State]:
        """The rules in force, whoever added them."""
        return self._unless_stopped(lambda conditioner: conditioner.rules())

    def _unless_stopped(self, ask: Callable[[Conditioner], list[State]]) -> list[State]:
        """What the conditioner replies; nothing where the node has stopped, which it outlives for a moment."""
        try:
            return ask(self.connection())
        except LabError:
            if self._node_life():
                raise
            return []

    def connection(self) -> Conditioner:
        """The conditioner, started and connected to when first needed."""
        with self._lock:
            if self._conditioner is None or not self._conditioner.alive:
                self._connect()
            assert self._conditioner is not None
            return self._conditioner

    def resume(self) -> None:
        """Put the rules back if the node has been stopped since; first wait until it answers, as it must be to start.

        Not asked to answer is a node that only was paused: its rules are in force, and may be what keeps it silent.
        """
        with self._lock:
            if self.connected and self._life == self._node_life():
                return
            self._ready(self._node)
            self._connect()

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._conditioner is not None:
                self._conditioner.close()
            self._conditioner = None
            self._wanted.clear()

    def _connect(self) -> None:
        if self._conditioner is not None:
            self._conditioner.close()
        life = self._node_life()
        self._conditioner = Conditioner(self._api, self._lab, self._node, self._ended, self._lost)
        self._life = life
        if self._declared:
            self._conditioner.declare(self._declared)
        for name in self.rules:
            wanted = self._wanted[name]
            self._conditioner.add(replace(wanted.rule, lasts=max(wanted.ends - time.monotonic(), 0.001)))

    def _node_life(self) -> str:
        """When the node was started; empty while it does not run."""
        return containers.life(self._api, labels.container_name(self._lab, self._node))

    def _ended(self, state: State, _why: str) -> None:
        self._wanted.pop(state.rule.id, None)

    def _lost(self) -> None:
        """The conditioner is gone, in all likelihood with its node. Called from its reading thread."""
        if not self._closed.is_set():
            threading.Thread(target=self._come_back, name=f"link of {self._node}", daemon=True).start()

    def _come_back(self) -> None:
        while self.rules and not self._closed.wait(_PAUSE):
            try:
                with self._lock:
                    if self.connected:
                        return
                    if self._node_life() and not self._closed.is_set():
                        self.resume()
            except LabError:
                continue  # not ready yet, or stopped again: the next look tells
            except OSError:
                return  # the connection to Docker was closed: the lab is
