"""The packets of some nodes in a file for Wireshark."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING

from lab.agent.frames import Frame, decode
from lab.observe.capturefile import CaptureFile
from lab.observe.watching import Gap, Watching

if TYPE_CHECKING:
    from typing_extensions import Self

    from lab.runtime.lab import RunningLab


class Capture:
    """Packets of the watched nodes (default: the resolvers), written to `file` as pcapng in order of time.

    A context manager: all packets from the beginning of the block to its end are in the file. Each node is an interface
    of the file, so that a packet between two of them is there twice. What has been seen is written by `flush`, and at
    the end.
    """

    def __init__(self, lab: RunningLab, file: IO[bytes], nodes: Iterable[str] = ()) -> None:
        self._file, self._topology = file, lab.topology
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, int, str, Frame]] = []  # a heap: time, order of arrival, node, frame
        self._arrivals = 0
        self._watching = Watching(lab, nodes, self._arrived, lambda _node: None)
        self._written: CaptureFile | None = None
        self._began = 0

    @property
    def packets(self) -> dict[str, int]:
        """Packets of each node that are in the file."""
        return self._written.packets if self._written else dict.fromkeys(self._watching.nodes, 0)

    def start(self) -> Self:
        """Begin; when this returns, every packet from here on will be in the file. Raises `EnvironmentProblem`."""
        self._written = CaptureFile(self._file, self._topology, self._watching.nodes)
        self._began = time.time_ns()
        self._watching.start()
        return self

    def flush(self) -> None:
        """Write what has been on the wire up to now."""
        until = time.time_ns()
        self._watching.sync()
        self._write(until)

    def stop(self) -> None:
        """End: write what is left, and how many packets each node had and lost."""
        if self._watching.closed.is_set():
            return
        self._watching.stop()
        ended = time.time_ns()
        self._write(None)
        if self._written is not None:
            for name, dropped in self.dropped.items():
                self._written.finish(name, self._began, ended, dropped)
        self._file.flush()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def dropped(self) -> dict[str, int]:
        """How many packets of each node were lost."""
        return self._watching.dropped

    @property
    def gaps(self) -> list[Gap]:
        """When a node was not watched, though it should have been: it was stopped, or its tap."""
        return self._watching.gaps

    @property
    def stopped(self) -> dict[str, str]:
        """The nodes that are not watched now, because they have stopped, and why."""
        return self._watching.stopped

    def _arrived(self, node: str, frames: bytes) -> None:
        with self._lock:
            for frame in decode(frames):
                self._arrivals += 1
                heapq.heappush(self._waiting, (frame.time, self._arrivals, node, frame))

    def _write(self, until: int | None) -> None:
        """Write the packets before a time; those after may yet be preceded by packets of other nodes."""
        if self._written is None:
            return
        with self._lock:
            while self._waiting and (until is None or self._waiting[0][0] < until):
                _, _, node, frame = heapq.heappop(self._waiting)
                self._written.write(node, frame)
        self._file.flush()
