"""Watched nodes through all their lives: one that is stopped loses its tap, and gets a new one when it runs again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.errors import BadInput, LabError
from lab.observe.selection import members
from lab.runtime.parallel import each
from lab.runtime.tap import Tap

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab

_PAUSE = 0.1  # seconds between looks at a node that was stopped while it was watched


@dataclass(frozen=True)
class Gap:
    """A time in which a node was not watched, because it, or its tap, had stopped. Seconds since 1970."""

    tap: str
    since: float
    until: float | None  # None: it is not watched now
    why: str


class Watching:
    """The taps of some nodes of a lab; several may watch the same node, and do not know of each other.

    `arrived` is called with the node and a batch of its frames (`lab.agent.frames.decode`), `began` with a node whose
    frames begin anew: before the first, and when it is watched again. Both are called from several threads, for one
    node from one at a time. Raises `BadInput` for nodes that are none.
    """

    def __init__(
        self,
        lab: RunningLab,
        nodes: Iterable[str],
        arrived: Callable[[str, bytes], None],
        began: Callable[[str], None],
        *,
        prompt: bool = False,
    ) -> None:
        self._lab = lab
        chosen = members(lab.topology, tuple(nodes) or tuple(node.name for node in lab.topology.resolvers))
        strangers = chosen - set(lab.nodes)
        if strangers:
            raise BadInput(f"{', '.join(sorted(strangers))}: no node of lab {lab.name} has this address")
        if not chosen:
            raise BadInput(f"lab {lab.name} has no resolver; say which nodes are to be watched")
        self.closed = threading.Event()
        self._watches = {
            name: _Watch(lab, name, arrived, began, self.closed, prompt)
            for name in lab.topology.nodes
            if name in chosen
        }

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that are watched."""
        return tuple(self._watches)

    def start(self) -> None:
        """Begin; when this returns, every packet from here on is seen. Raises `EnvironmentProblem`."""
        try:
            each(lambda watch: watch.start(), self._watches.values())
        except BaseException:
            self.stop()
            raise
        self._lab.watching.append(self._resume)
        self._lab.closing.append(self.stop)

    def stop(self) -> None:
        """End; every packet up to now has arrived when this returns."""
        if self.closed.is_set():
            return
        self.closed.set()
        if self._resume in self._lab.watching:
            self._lab.watching.remove(self._resume)
            self._lab.closing.remove(self.stop)
        each(lambda watch: watch.stop(), self._watches.values())

    def sync(self) -> None:
        """Wait until every packet that has been on the wire up to now has arrived; milliseconds."""
        # All are asked before the first is waited for: threads would take longer than the taps.
        for wait in [watch.syncing() for watch in self._watches.values()]:
            wait()

    @property
    def dropped(self) -> dict[str, int]:
        """How many packets of each node were lost since the beginning, as of the last batch or `sync`."""
        return {name: watch.dropped for name, watch in self._watches.items()}

    @property
    def gaps(self) -> list[Gap]:
        """When a node was not watched, though it should have been."""
        return [gap for watch in self._watches.values() for gap in list(watch.gaps)]

    @property
    def stopped(self) -> dict[str, str]:
        """The nodes that are not watched now, because they have stopped, and why."""
        return {gap.tap: gap.why for gap in self.gaps if gap.until is None}

    def _resume(self, node: str) -> None:
        """A node has been started: watch it before whoever started it goes on."""
        if (watch := self._watches.get(node)) is not None:
            watch.resume()


class _Watch:
    """One watched node."""

    def __init__(
        self,
        lab: RunningLab,
        node: str,
        arrived: Callable[[str, bytes], None],
        began: Callable[[str], None],
        closed: threading.Event,
        prompt: bool,
    ) -> None:
        self._lab, self._node, self._prompt = lab, node, prompt
        self._arrived, self._began, self._closed = arrived, began, closed
        self._tap: Tap | None = None
        self._life = ""  # of the node that the tap was started in
        self._dropped = 0  # by the taps before this one
        self._lock = threading.RLock()
        self.gaps: list[Gap] = []

    @property
    def dropped(self) -> int:
        tap = self._tap
        return self._dropped + (tap.dropped if tap is not None else 0)

    def start(self) -> None:
        with self._lock:
            self._connect()

    def stop(self) -> None:
        try:
            self.sync()
        finally:
            with self._lock:
                self._disconnect()

    def sync(self) -> None:
        self.syncing()()

    def syncing(self) -> Callable[[], None]:
        tap = self._tap
        if tap is None or not tap.alive:
            return lambda: None  # its last words have been heard
        wait = tap.syncing()

        def heard() -> None:
            try:
                wait()
            except LabError:
                if tap.alive:
                    raise

        return heard

    def resume(self) -> None:
        """See that the node is watched in its present life."""
        with self._lock:
            if self._closed.is_set() or (self._watched and self._life == self._lab.nodes[self._node].life):
                return
            if self._watched:  # by a tap of its former life that has not been heard to end yet
                self.gaps.append(Gap(self._node, time.time(), None, "the node was started anew"))
            self._connect()

    @property
    def _watched(self) -> bool:
        return self._tap is not None and self._tap.alive

    def _connect(self) -> None:
        self._disconnect()
        self._life = self._lab.nodes[self._node].life
        self._began(self._node)
        self._tap = Tap(
            self._lab.api,
            self._lab.name,
            self._node,
            lambda frames: self._arrived(self._node, frames),
            self._ended,
            prompt=self._prompt,
        )
        now = time.time()
        self.gaps = [gap if gap.until is not None else replace(gap, until=now) for gap in self.gaps]

    def _disconnect(self) -> None:
        if self._tap is not None:
            self._tap.close()
            self._dropped += self._tap.dropped
            self._tap = None

    def _ended(self, why: str) -> None:
        """The tap is gone, in all likelihood with its node. Called from its reading thread."""
        if not self._closed.is_set():
            self.gaps.append(Gap(self._node, time.time(), None, why))
            threading.Thread(target=self._come_back, name=f"watch of {self._node}", daemon=True).start()

    def _come_back(self) -> None:
        while not self._closed.wait(_PAUSE):
            try:
                with self._lock:
                    if self._watched:
                        return
                    if self._lab.nodes[self._node].life:
                        self.resume()
            except LabError:
                continue  # not quite there yet, or stopped again: the next look tells
            except OSError:
                return  # the connection to Docker was closed: the lab is
