"""What some nodes of a lab send and receive, from the moment one begins to look."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING

from lab.agent.frames import Frame, decode
from lab.errors import BadInput, NotSeen
from lab.observe.capturefile import CaptureFile
from lab.observe.counts import Counts, count
from lab.observe.exchange import Exchange, pair
from lab.observe.message import Message, TransportEvent
from lab.observe.reading import Reader
from lab.observe.selection import Predicate, Wanted, Who, members, seen_once, selector
from lab.observe.watching import Gap, Watching

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from lab.observe.story import Story
    from lab.runtime.answer import Answer
    from lab.runtime.lab import RunningLab

_TOLD = 12  # messages in the text of an error


class Observation:
    """The messages of the watched nodes, in memory: 1,000 queries and their responses take 0.6 MB, more once parsed.

    A context manager: it sees all from the beginning of the block to its end, of each message that was sent before the
    end. Several observations, of one process or several, do not know of each other. A node that is stopped and started
    is watched again from then on; `gaps` says when it was not. `keep`: packets too, for `capture`, at twice the memory.
    `prompt`: for who waits for a message (`follow`).
    """

    def __init__(self, lab: RunningLab, nodes: Iterable[str] = (), *, keep: bool = False, prompt: bool = False) -> None:
        self.topology = lab.topology
        self._names = {address: node.name for node in lab.topology.nodes.values() for address in node.addresses}
        self._changed = threading.Condition()
        # Frames are read when somebody asks: what is measured meanwhile has the processor to itself.
        self._unread: list[tuple[Reader, bytes]] = []
        self._seen: list[Message | TransportEvent] = []
        self._kept: list[tuple[str, Frame]] | None = [] if keep else None
        self._readers: dict[str, Reader] = {}
        self._watching = Watching(lab, nodes, self._arrived, self._began, prompt=prompt)

    def start(self) -> Self:
        """Begin to look; when this returns, every packet from here on is seen. Raises `EnvironmentProblem`."""
        self._watching.start()
        return self

    def stop(self) -> None:
        """Look no more; everything up to now is there. What was seen can still be asked for."""
        self._watching.stop()
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
        self._watching.sync()

    def clear(self) -> None:
        """Forget what has been seen up to now: a new interval begins."""
        self.take()

    def take(self) -> list[Message]:
        """As `messages`, and forget all that."""
        self.sync()
        with self._changed:
            self._read()
            seen, self._seen = self._seen, []
            self._kept = None if self._kept is None else []
        return [found for found in sorted(seen, key=_time) if isinstance(found, Message)]

    def follow(self) -> Following:
        """What is seen from now on, bit by bit."""
        return Following(self)

    @property
    def taps(self) -> tuple[str, ...]:
        """The nodes that are watched."""
        return self._watching.nodes

    @property
    def dropped(self) -> dict[str, int]:
        """How many packets each tap has lost since the beginning; what is told of a node with any is not all."""
        if not self._watching.closed.is_set():
            self.sync()
        return self._watching.dropped

    @property
    def gaps(self) -> list[Gap]:
        """When a node was not watched, though it should have been: it was stopped, or its tap."""
        return self._watching.gaps

    @property
    def stopped(self) -> dict[str, str]:
        """The nodes that are not watched now, because they have stopped, and why."""
        return self._watching.stopped

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

    def exchanges(self, **wanted: Unpack[Wanted]) -> list[Exchange]:
        """The queries up to now, each once, with the response to it where there was one. Raises `BadInput`."""
        exchanges, _ = pair(self.messages)
        chosen = selector(self.topology, **wanted)
        queries = [exchange.query for exchange in exchanges if chosen(exchange.query)]
        once = {id(query) for query in (queries if wanted.get("tap") else seen_once(queries, self.taps))}
        return [exchange for exchange in exchanges if id(exchange.query) in once]

    def counts(self, *, since: float | None = None, until: float | None = None) -> Counts:
        """What clients asked and what was asked upstream for it, up to now or in an interval (seconds since 1970)."""
        chosen = selector(self.topology, since=since, until=until)
        return count(filter(chosen, self.messages), self.topology, self.taps)

    def wait_for(self, predicate: Predicate, deadline: float = 5.0) -> Message:
        """The first message since the beginning, or since `clear`, for which `predicate` is true.

        Waits for it for `deadline` seconds and then raises `NotSeen`, with what was seen.
        """
        until = time.monotonic() + deadline
        looked_at, known = 0, self._seen
        with self._changed:
            while True:
                self._read()
                if known is not self._seen:  # somebody has cleared it
                    looked_at, known = 0, self._seen
                for seen in known[looked_at:]:
                    if isinstance(seen, Message) and predicate(seen):
                        return seen
                looked_at, left = len(known), until - time.monotonic()
                if left <= 0 or self._watching.closed.is_set():
                    raise NotSeen(f"no such message within {deadline:g} s; {self._told()}")
                self._changed.wait(left)

    def trace(self, answer: Answer) -> Story:
        """The story of a question that was asked since the beginning: who asked whom for it; see `lab.Lab.trace`.

        Raises `NotSeen` when neither its host nor the node that it asked is watched.
        """
        from lab.observe.tracing import story_of

        return story_of(self, answer)

    def stories(self, last: int = 1, at: Who | None = None) -> list[Story]:
        """The stories of the last questions of hosts, whichever program asked them; the oldest first.

        `at`: only those asked there. Raises `BadInput`.
        """
        from lab.observe.tracing import stories_of

        return stories_of(self, last, None if at is None else members(self.topology, at))

    def capture(self, file: IO[bytes]) -> None:
        """Write all packets up to now to `file`, as pcapng. Raises `BadInput` when it was not begun with `keep`."""
        self.sync()
        with self._changed:
            self._read()
            if self._kept is None:
                raise BadInput("an observation keeps packets for a file when it is begun with keep=True")
            kept = sorted(self._kept, key=lambda entry: entry[1].time)
        written = CaptureFile(file, self.topology, self.taps)
        for node, frame in kept:
            written.write(node, frame)

    def _all(self) -> list[Message | TransportEvent]:
        if not self._watching.closed.is_set():
            self.sync()
        with self._changed:
            self._read()
            return sorted(self._seen, key=_time)

    def _selected(self, wanted: Wanted) -> list[Message]:
        chosen = selector(self.topology, **wanted)
        found = [message for message in self.messages if chosen(message)]
        return found if wanted.get("tap") else seen_once(found, self.taps)

    def _told(self) -> str:
        messages = [seen for seen in self._seen if isinstance(seen, Message)]
        lines = [
            f"  {message.sender} > {message.receiver}: {message.name} {message.type} {message.kind}"
            for message in messages[-_TOLD:]
        ]
        return "\n".join([f"{len(messages)} messages were seen" + (", the last:" if lines else ""), *lines])

    # From the taps

    def _began(self, node: str) -> None:
        """Streams and fragments of a former life will not be completed."""
        self._readers[node] = Reader(node, self._names)

    def _arrived(self, node: str, frames: bytes) -> None:
        with self._changed:
            self._unread.append((self._readers[node], frames))
            self._changed.notify_all()

    def _read(self) -> None:
        """Read the frames that nobody has asked for so far."""
        unread, self._unread = self._unread, []
        for reader, frames in unread:
            decoded = list(decode(frames))
            self._seen += [found for frame in decoded for found in reader.read(frame)]
            if self._kept is not None:
                self._kept += [(reader.tap, frame) for frame in decoded]


def _time(seen: Message | TransportEvent) -> float:
    return seen.time


class Following:
    """Messages as they come, each once."""

    def __init__(self, seen: Observation) -> None:
        self._seen = seen
        self._known, self._place = seen._seen, len(seen._seen)

    def more(self, until: Iterable[Predicate] = (), deadline: float = 1.0) -> list[Message]:
        """What has come since the last call, in order of time: all up to now.

        With `until` the taps are not asked: it is waited for a message for each of these, and what was at its node
        before it has come too. If one does not come within `deadline` seconds the taps are asked after all.
        """
        wanted, new = list(until), list[Message]()
        if not wanted:
            self._seen.sync()
        end = time.monotonic() + deadline
        while True:
            with self._seen._changed:
                fresh = self._take()
                new += fresh
                wanted = [one for one in wanted if not any(map(one, fresh))]
                if not wanted:
                    return sorted(new, key=_time)
                left = end - time.monotonic()
                if left > 0:
                    self._seen._changed.wait(left)
                    continue
            wanted = []
            self._seen.sync()

    def _take(self) -> list[Message]:
        seen = self._seen
        seen._read()
        if self._known is not seen._seen:  # somebody has cleared it
            self._known, self._place = seen._seen, 0
        new, self._place = self._known[self._place :], len(self._known)
        return [found for found in new if isinstance(found, Message)]
