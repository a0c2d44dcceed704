"""What some nodes of a lab send and receive, from the moment one begins to look."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

from lab.agent.frames import decode
from lab.errors import BadInput, LabError, NotSeen
from lab.observe.message import Message, TransportEvent
from lab.observe.reading import Reader
from lab.observe.selection import Predicate, Wanted, seen_once, selector
from lab.runtime.parallel import each
from lab.runtime.tap import Tap
from lab.topology.model import Node

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from lab.observe.story import Story
    from lab.runtime.answer import Answer
    from lab.runtime.lab import RunningLab

_PAUSE = 0.1  # seconds between looks at a node that was stopped while it was watched
_TOLD = 12  # messages in the text of an error


@dataclass(frozen=True)
class Gap:
    """A time in which a node was not watched, because it, or its tap, had stopped. Seconds since 1970."""

    tap: str
    since: float
    until: float | None  # None: it is not watched now
    why: str


class Observation:
    """The messages of the watched nodes, in memory: 1,000 queries and their responses take some 1 MB.

    A context manager: it sees all from the beginning of the block to its end, of each message that was sent before the
    end. Several observations, of one process or several, do not know of each other. A node that is stopped and started
    is watched again from then on; `gaps` says when it was not.
    """

    def __init__(self, lab: RunningLab, nodes: Iterable[str] = ()) -> None:
        self._lab, self.topology = lab, lab.topology
        chosen = [lab.topology.node(name) for name in nodes] or list(lab.topology.resolvers)
        if not chosen:
            raise BadInput(f"lab {lab.name} has no resolver to watch; say which nodes: observe('{_first(lab)}')")
        self._names = {address: node.name for node in lab.topology.nodes.values() for address in node.addresses}
        self._changed = threading.Condition()
        self._seen: list[Message | TransportEvent] = []
        self._closed = threading.Event()
        self._watches = {node.name: _Watch(self, node) for node in chosen}

    def start(self) -> Self:
        """Begin to look; when this returns, every packet from here on is seen. Raises `EnvironmentProblem`."""
        try:
            each(lambda watch: watch.start(), self._watches.values())
        except BaseException:
            self.stop()
            raise
        self._lab.watching.append(self._resume)
        return self

    def stop(self) -> None:
        """Look no more; everything up to now is there. What was seen can still be asked for."""
        if self._closed.is_set():
            return
        if self._resume in self._lab.watching:
            self._lab.watching.remove(self._resume)
        self._closed.set()
        each(lambda watch: watch.stop(), self._watches.values())
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def sync(self) -> None:
        """Wait until all that has been on the wire up to now can be asked for; milliseconds."""
        each(lambda watch: watch.sync(), self._watches.values())

    def clear(self) -> None:
        """Forget what has been seen up to now: a new interval begins."""
        self.sync()
        with self._changed:
            self._seen.clear()

    @property
    def taps(self) -> tuple[str, ...]:
        """The nodes that are watched."""
        return tuple(self._watches)

    @property
    def dropped(self) -> dict[str, int]:
        """How many packets each tap has lost since the beginning; what is told of a node with any is not all."""
        return {name: watch.dropped for name, watch in self._watches.items()}

    @property
    def gaps(self) -> list[Gap]:
        """When a node was not watched, though it should have been."""
        return [gap for watch in self._watches.values() for gap in list(watch.gaps)]

    @property
    def stopped(self) -> dict[str, str]:
        """The nodes that are not watched now, because they have stopped, and why."""
        return {gap.tap: gap.why for gap in self.gaps if gap.until is None}

    # What was seen

    @property
    def messages(self) -> list[Message]:
        """All messages up to now, in order of time; one between two nodes that are both watched is there twice."""
        return [seen for seen in self._all() if isinstance(seen, Message)]

    @property
    def events(self) -> list[TransportEvent]:
        """All transport events up to now, in order of time."""
        return [seen for seen in self._all() if isinstance(seen, TransportEvent)]

    def queries(self, **wanted: Unpack[Wanted]) -> list[Message]:
        """The queries up to now, each once; see `Wanted`. Raises `BadInput`."""
        return [message for message in self._selected(wanted) if message.is_query]

    def responses(self, **wanted: Unpack[Wanted]) -> list[Message]:
        """The responses up to now, each once; `sender` is the server. Raises `BadInput`."""
        return [message for message in self._selected(wanted) if message.is_response]

    def upstream(self, *, priming: bool = False, **wanted: Unpack[Wanted]) -> list[Message]:
        """The queries that resolvers sent up to now; without those for the root's servers, unless `priming`."""
        resolvers = {node.name for node in self.topology.resolvers}
        return [
            message
            for message in self.queries(**wanted)
            if message.sender in resolvers and (priming or not message.is_priming)
        ]

    def wait_for(self, predicate: Predicate, deadline: float = 5.0) -> Message:
        """The first message since the beginning, or since `clear`, for which `predicate` is true.

        Waits for it for `deadline` seconds and then raises `NotSeen`, with what was seen.
        """
        until, looked_at = time.monotonic() + deadline, 0
        with self._changed:
            while True:
                # In order of arrival: what has been looked at stays where it is as long as nobody sorts.
                for seen in self._seen[looked_at:] if looked_at <= len(self._seen) else self._seen:
                    if isinstance(seen, Message) and predicate(seen):
                        return seen
                looked_at = len(self._seen)
                left = until - time.monotonic()
                if left <= 0 or self._closed.is_set():
                    break
                self._changed.wait(left)
        raise NotSeen(f"no such message within {deadline:g} s; {self._told()}")

    def trace(self, answer: Answer) -> Story:
        """The story of a question that was asked since the beginning: who asked whom for it; see `lab.Lab.trace`.

        Raises `NotSeen` when neither its host nor the node that it asked is watched.
        """
        from lab.observe.tracing import story_of

        return story_of(self, answer)

    def _all(self) -> list[Message | TransportEvent]:
        if not self._closed.is_set():
            self.sync()
        with self._changed:
            return sorted(self._seen, key=lambda seen: seen.time)

    def _selected(self, wanted: Wanted) -> list[Message]:
        chosen = selector(self.topology, **wanted)
        found = [message for message in self.messages if chosen(message)]
        return found if wanted.get("tap") else seen_once(found, self._watches)

    def _told(self) -> str:
        messages = [seen for seen in self._seen if isinstance(seen, Message)]
        lines = [
            f"  {message.sender} > {message.receiver}: {message.name} {message.type} {message.kind}"
            for message in messages[-_TOLD:]
        ]
        return "\n".join([f"{len(messages)} messages were seen" + (", the last:" if lines else ""), *lines])

    # From the taps

    def _arrived(self, seen: Collection[Message | TransportEvent]) -> None:
        with self._changed:
            self._seen += seen
            self._changed.notify_all()

    def _resume(self, node: str) -> None:
        """A node has been started: watch it before whoever started it goes on."""
        if (watch := self._watches.get(node)) is not None:
            watch.resume()


class _Watch:
    """One watched node, through all its lives."""

    def __init__(self, observation: Observation, node: Node) -> None:
        self._observation, self._name = observation, node.name
        self._lab = observation._lab
        self._reader = Reader(node.name, observation._names)
        self._tap: Tap | None = None
        self._life = ""  # of the node that the tap was started in
        self._dropped = 0  # by the taps before this one
        self._lock = threading.RLock()
        self.gaps: list[Gap] = []

    @property
    def dropped(self) -> int:
        return self._dropped + (self._tap.dropped if self._tap is not None else 0)

    def start(self) -> None:
        with self._lock:
            self._connect()

    def stop(self) -> None:
        try:
            self.sync()
        finally:
            with self._lock:
                if self._tap is not None:
                    self._dropped += self._tap.dropped
                    self._tap.close()
                    self._tap = None

    def sync(self) -> None:
        tap = self._tap
        if tap is None or not tap.alive:
            return  # its last words have been heard
        try:
            tap.sync()
        except LabError:
            if tap.alive:
                raise

    def resume(self) -> None:
        """See that the node is watched in its present life."""
        with self._lock:
            if self._closed or (self._tap is not None and self._tap.alive and self._life == self._node_life()):
                return
            self._connect()

    @property
    def _closed(self) -> bool:
        return self._observation._closed.is_set()

    def _node_life(self) -> str:
        return self._lab.nodes[self._name].life

    def _connect(self) -> None:
        if self._tap is not None:
            self._dropped += self._tap.dropped
            self._tap.close()
            self._tap = None
        life = self._node_life()
        self._tap = Tap(self._lab.api, self._lab.name, self._name, self._arrived, self._ended)
        self._life = life
        if self.gaps and self.gaps[-1].until is None:
            self.gaps[-1] = replace(self.gaps[-1], until=time.time())
            # Streams and fragments of the former life will not be completed.
            self._reader = Reader(self._name, self._observation._names)

    def _arrived(self, frames: bytes) -> None:
        self._observation._arrived([seen for frame in decode(frames) for seen in self._reader.read(frame)])

    def _ended(self, why: str) -> None:
        """The tap is gone, in all likelihood with its node. Called from its reading thread."""
        if not self._closed:
            self.gaps.append(Gap(self._name, time.time(), None, why))
            threading.Thread(target=self._come_back, name=f"watch of {self._name}", daemon=True).start()

    def _come_back(self) -> None:
        while not self._observation._closed.wait(_PAUSE):
            try:
                with self._lock:
                    if self._tap is not None and self._tap.alive:
                        return
                    if self._node_life():
                        self.resume()
            except LabError:
                continue  # not quite there yet, or stopped again: the next look tells
            except OSError:
                return  # the connection to Docker was closed: the lab is


def _first(lab: RunningLab) -> str:
    return next(iter(lab.topology.nodes))
