"""A small event loop: sockets that are ready and one heap of deadlines, in one thread.

Why not asyncio: one query here is a socket, a deadline and a few octets, and the futures, tasks and transports around
them would cost more time than the query itself.
"""

import heapq
import select
import selectors
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Final

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

Callback = Callable[[], None]

# Most deadlines are cancelled by an answer. They are swept out when they are many and more than half of the heap.
_SWEEP_ABOVE: Final = 256
# Bounds the wait so that any deadline, however far, fits what select(2) accepts. Waking up early does no harm.
_LONGEST_WAIT: Final = 60.0


class Timer:
    """A call that is due at some time, unless it is cancelled."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback


class Loop:
    """Calls back when a file descriptor is ready or a time has come. Not for use by several threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call back whenever the descriptor, not watched so far, is ready for READ or WRITE."""
        self._selector.register(fd, events, callback)

    def rewatch(self, fd: int, events: int, callback: Callback) -> None:
        """Change what a watched descriptor is watched for."""
        self._selector.modify(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor. To be done before it is closed: its number may be another's the next moment."""
        self._selector.unregister(fd)

    def at(self, when: float, callback: Callback) -> Timer:
        """Call back once, at that monotonic time or as soon as possible after it."""
        timer = Timer(callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Let a timer not call back. Nothing happens if it has."""
        if timer.callback is None:
            return
        timer.callback = None
        self._cancelled += 1
        if self._cancelled > _SWEEP_ABOVE and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def run_once(self, *, wait: bool = True) -> None:
        """Wait until something is ready or due, if asked to, and make the calls.

        What is ready comes first: a message that came in before its deadline is in time, however late it is read.
        """
        if wait:
            # epoll counts its time-out in whole milliseconds, select in microseconds; and select can wait for epoll.
            select.select([self._selector.fileno()], (), (), self._time_left())
        watched = self._selector.get_map()
        for key, _ in self._selector.select(0):
            # A call before this one may have ended what is ready, and closed its descriptor.
            if watched.get(key.fd) is key:
                key.data()
        self._run_due()

    def close(self) -> None:
        """Give the selector's descriptor back."""
        self._selector.close()

    def _time_left(self) -> float:
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return min(max(heap[0][0] - monotonic(), 0.0), _LONGEST_WAIT) if heap else _LONGEST_WAIT

    def _run_due(self) -> None:
        now = monotonic()
        # Not `heap = self._heap`: a callback may sweep, which makes a new list.
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if timer.callback is None:
                self._cancelled -= 1
                continue
            callback, timer.callback = timer.callback, None
            callback()
