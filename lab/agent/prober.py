"""Asks DNS queries from inside the lab, as told over standard input; ``python3 -m agent.prober [--clock DIR]``.

The protocol is in :mod:`.protocol`. The prober ends when its standard input does: whoever started it is gone.
"""

import argparse
import gc
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from .clock import Clock, ClockError, wall
from .loop import READ, Loop, Timer
from .protocol import MAX_AT, ProtocolError, Query, Result, Step, decode_line, encode_line
from .stream import LineReader, Writer
from .stub import Lookup

_SHOWN: Final = 200
# Descriptors kept for everything that is not a query's socket: the streams, the loop, clock files.
_RESERVED: Final = 64
# More sockets than this would run out of ephemeral ports (28,232 by default) before they run out of descriptors.
_MOST_SOCKETS: Final = 16384


class Batch:
    """The queries of one request. Each query in flight has at most one socket."""

    def __init__(
        self, number: int, window: int, queries: list[Any], defaults: Mapping[str, Any], *, together: bool
    ) -> None:
        self.number = number
        self.held: list[bytes] | None = [] if together else None
        """Replies that are kept for the end."""
        self.window = window
        self.size = len(queries)
        self.answered = 0
        self.in_flight: dict[int, Lookup] = {}
        self.windowed = 0
        """How many of those in flight have no send time of their own, and so count for the window."""
        self.steps: dict[int, Step] = {}
        """Of the lab's clock, for those in flight."""
        self.timer: Timer | None = None
        self._queries = queries
        self._defaults = defaults
        self._waiting: deque[int] = deque()
        due: list[tuple[float, int]] = []
        for n, query in enumerate(queries):
            at = query.get("at", defaults.get("at")) if isinstance(query, dict) else None
            # What is not a time is found to be wrong when its turn comes.
            if isinstance(at, (int, float)) and 0 <= at <= MAX_AT:
                due.append((at, n))
            else:
                self._waiting.append(n)
        self._due = sorted(due, reverse=True)
        self.epoch = time.monotonic()

    def query(self, n: int) -> Query:
        """Return a query with the batch's defaults. Raises ProtocolError if it is a bad one."""
        query = self._queries[n]
        if not isinstance(query, dict):
            raise ProtocolError("a query is a JSON object")
        return Query.from_json({**self._defaults, **query})

    def next_due(self) -> float | None:
        """Return the monotonic time at which the next query with a time of its own is due."""
        return self.epoch + self._due[-1][0] if self._due else None

    def take_due(self, now: float) -> int | None:
        """Return the index of a query that is due, None if there is none yet."""
        return self._due.pop()[1] if self._due and self.epoch + self._due[-1][0] <= now else None

    def take_waiting(self) -> int | None:
        """Return the index of a query that the window lets start, None if there is none."""
        return self._waiting.popleft() if self._waiting and self.windowed < self.window else None


class Prober:
    """Reads requests from one descriptor and writes replies to another, until the first ends."""

    def __init__(self, requests: int, replies: int, clock: Clock, max_sockets: int = 1024) -> None:
        self._loop = Loop()
        self._requests = requests
        self._replies = replies
        self._reader = LineReader(requests)
        self._writer = Writer(self._loop, replies)
        self._clock = clock
        self._max_sockets = max_sockets
        self._sockets = 0
        self._batches: dict[int, Batch] = {}
        self._finished: list[tuple[Batch, Result]] = []
        self._running = True
        self._operations: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "ask": self._ask,
            "cancel": self._cancel,
            "clock": self._set_and_read_clock,
            "ping": self._ping,
        }

    def run(self) -> None:
        """Serve until the requests end or nobody takes the replies."""
        blocking = {fd: os.get_blocking(fd) for fd in (self._requests, self._replies)}
        for fd in blocking:
            os.set_blocking(fd, False)
        self._loop.watch(self._requests, READ, self._readable)
        try:
            while self._running:
                # Results are encoded before new queries are sent, so that no query's answer waits for that.
                self._report()
                more = self._start_waiting()
                self._report()
                self._writer.flush()
                self._loop.run_once(wait=not more)
            self._writer.flush()
        except BrokenPipeError:
            pass
        finally:
            for batch in self._batches.values():
                self._forget(batch)
            self._loop.close()
            for fd, was_blocking in blocking.items():
                os.set_blocking(fd, was_blocking)

    def _readable(self) -> None:
        try:
            for line in self._reader.read():
                self._handle(line)
        except EOFError:
            self._running = False

    def _handle(self, line: bytes) -> None:
        request: dict[str, Any] = {}
        try:
            request = decode_line(line)
            self._operation(request)(request)
        except (ProtocolError, ClockError, OSError) as error:
            reply: dict[str, Any] = {"error": str(error)}
            reply.update((key, request[key]) for key in ("batch", "id") if key in request)
            self._reply({**reply, "line": line[:_SHOWN].decode("utf-8", "replace")})

    def _operation(self, request: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
        operation = request.get("op")
        if not isinstance(operation, str) or operation not in self._operations:
            raise ProtocolError(f'"op" is one of {", ".join(self._operations)}')
        return self._operations[operation]

    def _reply(self, message: Mapping[str, Any]) -> None:
        self._writer.write(encode_line(message))

    def _tell(self, batch: Batch, message: Mapping[str, Any]) -> None:
        """Reply to who asked a batch; at its end in one piece if so wanted, as each piece wakes all in between."""
        line = encode_line({"batch": batch.number, **message})
        if batch.held is not None:
            batch.held.append(line)
            if "done" not in message:
                return
            line = b"".join(batch.held)
        self._writer.write(line)

    # The operations

    def _ask(self, request: dict[str, Any]) -> None:
        number = _batch_number(request)
        window, queries, defaults = request.get("window", 64), request.get("queries"), request.get("defaults", {})
        if number in self._batches:
            raise ProtocolError(f"batch {number} is still in progress")
        if type(window) is not int or window < 1:
            raise ProtocolError('"window" is a whole number from 1')
        if not isinstance(queries, list):
            raise ProtocolError('"queries" is a list of queries')
        if not isinstance(defaults, dict):
            raise ProtocolError('"defaults" is an object with fields of a query')
        together = request.get("together") is True
        batch = self._batches[number] = Batch(number, window, queries, defaults, together=together)
        if request.get("announce") is True:
            self._tell(batch, {"began": wall(batch.epoch)})
        self._start_due(batch)
        self._end_if_done(batch)

    def _cancel(self, request: dict[str, Any]) -> None:
        number = _batch_number(request)
        self._report()  # what has been answered is told, and may be the rest of the batch
        batch = self._batches.pop(number, None)
        if batch is not None:
            self._forget(batch)
            self._tell(batch, {"done": batch.answered, "cancelled": True})

    def _set_and_read_clock(self, request: dict[str, Any]) -> None:
        offsets, force = request.get("set"), request.get("force", False)
        if offsets is not None:
            if not isinstance(offsets, dict):
                raise ProtocolError('"set" is an object: nodes and their offsets in nanoseconds')
            if not isinstance(force, bool):
                raise ProtocolError('"force" is true or false')
            self._clock.set(offsets, force=force)
        about = {"id": request["id"]} if "id" in request else {}
        self._reply({"clock": self._clock.read(), **about})

    def _ping(self, request: dict[str, Any]) -> None:
        self._reply({"pong": request.get("id"), "monotonic": time.monotonic(), "wall": time.time()})

    # Queries

    def _start_due(self, batch: Batch) -> None:
        """Send what is due, whatever the window: an open loop keeps its times even if the servers do not keep up."""
        batch.timer = None
        while (n := batch.take_due(time.monotonic())) is not None:
            self._start(batch, n, windowed=False)
        due = batch.next_due()
        if due is not None:
            batch.timer = self._loop.at(due, partial(self._start_due, batch))

    def _start_waiting(self) -> bool:
        """Fill the windows; tell whether there is more to start at once.

        A batch gets one window's worth in each turn of the loop, so that it cannot hold up the others.
        """
        more = False
        for batch in list(self._batches.values()):
            for _ in range(batch.window):
                if self._sockets >= self._max_sockets or (n := batch.take_waiting()) is None:
                    break
                self._start(batch, n, windowed=True)
            else:
                more = True
        return more

    def _start(self, batch: Batch, n: int, *, windowed: bool) -> None:
        try:
            self._check_room()
            query = batch.query(n)
            lookup = Lookup(self._loop, n, query, batch.epoch, partial(self._done, batch, windowed))
            if query.clock is not None and (step := self._clock.forward(query.clock)) is not None:
                batch.steps[n] = step
        except (ValueError, OSError) as error:
            self._finished.append((batch, Result(n, "error", reason=str(error))))
            return
        self._sockets += 1
        batch.windowed += windowed
        batch.in_flight[n] = lookup
        lookup.start()

    def _check_room(self) -> None:
        if self._sockets >= self._max_sockets:
            raise ProtocolError(
                f"{self._max_sockets} queries are in flight, the prober's limit: spread the send times over a longer "
                "time or shorten the timeout"
            )

    def _done(self, batch: Batch, windowed: bool, result: Result) -> None:
        del batch.in_flight[result.n]
        batch.windowed -= windowed
        self._sockets -= 1
        if (step := batch.steps.pop(result.n, None)) is not None:
            result = replace(result, step=step)
        self._finished.append((batch, result))

    def _report(self) -> None:
        """Reply with the results that there are.

        Apart from taking the answers, which come first: encoding one result takes as long as reading ten answers, and
        an answer counts from the moment it is read.
        """
        while self._finished:
            finished, self._finished = self._finished, []
            for batch, result in finished:
                batch.answered += 1
                self._tell(batch, {"result": result.to_json()})
                self._end_if_done(batch)

    def _end_if_done(self, batch: Batch) -> None:
        if batch.answered == batch.size:
            self._batches.pop(batch.number, None)
            self._tell(batch, {"done": batch.answered})

    def _forget(self, batch: Batch) -> None:
        if batch.timer is not None:
            self._loop.cancel(batch.timer)
        self._sockets -= len(batch.in_flight)
        for lookup in batch.in_flight.values():
            lookup.cancel()
        batch.in_flight.clear()


def _batch_number(request: Mapping[str, Any]) -> int:
    number = request.get("batch")
    if type(number) is not int:
        raise ProtocolError('"batch" is a whole number')
    return number


def allow_many_sockets() -> int:
    """Raise the limit on open descriptors as far as it goes and is of use; return how many sockets that makes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_SOCKETS + _RESERVED
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit - _RESERVED, 1)


def main() -> None:
    """Run the prober on standard input and output."""
    parser = argparse.ArgumentParser(prog="agent.prober", description=__doc__)
    parser.add_argument("--clock", type=Path, default=Path("/lab/clock"), metavar="DIR", help="the lab's clock")
    arguments = parser.parse_args()
    prober = Prober(sys.stdin.fileno(), sys.stdout.fileno(), Clock(arguments.clock), allow_many_sockets())
    gc.freeze()  # nothing imported so far ever becomes garbage: don't look at it again and again
    prober.run()


if __name__ == "__main__":
    main()
