"""Virtual time: the lab's clock jumps to each arrival, so that a week of traffic takes as long as its look-ups.

Caches age by the clock that jumps; what programs wait for, a time-out for one, takes its real time, and so do injecting
and healing a fault: experiment time is real time plus the jumps. The clock goes forward only, and only when no look-up
is in flight; those of one round are in flight together. An arrival that is due while something real goes on is late,
and its `sent` says so. A jump takes a fraction of a millisecond, which is nobody's latency: that counts from when the
look-up was sent.

Some programs (Unbound is one) read the clock once for all the packets that they find waiting at a socket, so one that
follows an answer too closely would be handled at the time of the answer. Before each jump its servers are therefore
asked something at their other address, which is another socket: when that is answered they have looked again.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_right

from lab.agent.protocol import Query
from lab.errors import BadInput
from lab.experiments.asking import schedule
from lab.experiments.pace import Pace, Stop
from lab.experiments.recording import Recorder
from lab.experiments.schema import Experiment
from lab.experiments.workload import Arrival
from lab.runtime.clock import MAX_OFFSET
from lab.runtime.lab import RunningLab

_NANOSECONDS = 10**9
_BEFORE = 20e-6  # seconds from the jump to the packet, at least
_BUSY = 0.5  # seconds, real, that the prober is to be busy with what it is given at once
_MOST = 512  # arrivals
_PATIENCE = 1.0  # seconds for a server to say that it has looked again; one that cannot is not waited for any longer


class VirtualTime(Pace):
    """The prober moves the clock and asks, one arrival after the other or round by round, some of them at a time."""

    def __init__(self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder) -> None:
        super().__init__(lab, experiment, seed, recorder)
        self._zero = self._zero_here = 0.0  # experiment time 0: by the lab's wall clock, by our monotonic one
        self._ahead_before = 0.0  # seconds that the lab's clock was ahead of the wall clock then
        self._jumps: list[tuple[float, float]] = []  # wall clock, and how many seconds it has jumped by then
        self._arrivals: list[Arrival] = []
        self._next = 0  # index of the arrival that comes next
        pairs = [node.addresses for node in lab.topology.nodes.values()]
        self._other = {one: other for ipv4, ipv6 in pairs for one, other in ((ipv4, ipv6), (ipv6, ipv4))}
        self._some = 4  # how many are given to the prober at once

    def start(self) -> None:
        """Take the clock as it is for the time 0."""
        prober, end = self._lab.prober(), self._experiment.seconds
        self._ahead_before = max(prober.clock().values(), default=0) / _NANOSECONDS
        if self._ahead_before + end > MAX_OFFSET.total_seconds():
            raise BadInput(
                f"the lab's clock goes up to {MAX_OFFSET.days} days ahead, and this would go beyond;"
                " `dnslab time reset` puts it back"
            )
        self._zero, self._zero_here = prober.wall(), time.monotonic()
        self._jumps = [(0.0, 0.0)]
        self._arrivals = schedule(self._experiment, self._seed)
        self._write_warmed()

    @property
    def now(self) -> float:
        """Real seconds since the start, and the jumps."""
        return time.monotonic() - self._zero_here + self._ahead

    def run_until(self, time: float, stop: Stop | None = None) -> bool:
        """Jump from arrival to arrival."""
        while together := self._due(time):
            if together[0].at == together[-1].at and len(together) > 1:
                self._ask_at_once(together)
            else:
                self._ask(together)
            if stop is not None and stop():
                return True
        self._jump(time)
        return stop is not None and stop()

    def settle(self, time: float) -> None:
        """Nothing is ever in flight."""

    def at_wall(self, wall: float) -> float:
        """By the jumps there had been at that moment."""
        place = bisect_right(self._jumps, (wall, float("inf"))) - 1
        return wall - self._zero + self._jumps[max(place, 0)][1]

    def close(self) -> None:
        """Nothing goes on behind the caller's back."""

    @property
    def _ahead(self) -> float:
        """Seconds that the clock has jumped since the start."""
        return self._jumps[-1][1] if self._jumps else 0.0

    def _due(self, before: float) -> list[Arrival]:
        """The next arrivals, of one host; none when there are no more before `before`; of a round all and no others."""
        ahead = self._arrivals[self._next : self._next + self._some]
        if not ahead or ahead[0].at >= before:
            return []
        rest = itertools.islice(self._arrivals, self._next, None)
        round_ = list(itertools.takewhile(lambda one: (one.at, one.host) == (ahead[0].at, ahead[0].host), rest))
        if len(round_) > 1:
            return round_
        same = itertools.takewhile(lambda one: one.at < before and one.host == ahead[0].host, ahead)
        return list(same)

    def _ask(self, together: list[Arrival]) -> None:
        """Have them asked one after the other, the clock moved on to the time of each before."""
        began: list[float] = []
        base = self._zero + self._ahead_before  # what the lab's clock showed at time 0
        asked: list[tuple[Arrival | None, Query]] = []
        for arrival in together:
            query = self._questions.query(arrival, clock=base + arrival.at)
            asked += [*((None, other) for other in self._others(query.servers)), (arrival, query)]
        begun = time.monotonic()
        with self._lab.prober(together[0].host).begin([query for _, query in asked], 1, began=began.append) as asking:
            for result in asking:
                whose, query = asked[result.n]
                if whose is None:
                    continue
                if result.sent is not None:
                    wall = began[0] + result.sent - _BEFORE
                    self._jumps.append((wall, max(self._ahead, whose.at - (wall - self._zero))))
                self._write(whose, query, result, began[0], whose.at)
        each = (time.monotonic() - begun) / len(together)
        self._next += len(together)
        self._some = max(1, min(_MOST, 2 * self._some, round(_BUSY / each)))

    def _ask_at_once(self, together: list[Arrival]) -> None:
        """Have a round asked, all of it in flight at the same time."""
        prober = self._lab.prober(together[0].host)
        queries = [self._questions.query(arrival) for arrival in together]
        prober.ask(self._others(tuple({server: None for query in queries for server in query.servers})))
        self._jump(together[0].at)
        began: list[float] = []
        with prober.begin(queries, len(queries), began=began.append) as asking:
            for result in asking:
                arrival = together[result.n]
                self._write(arrival, queries[result.n], result, began[0], arrival.at)
        self._next += len(together)

    def _others(self, servers: tuple[str, ...]) -> list[Query]:
        """A question to the other address of each of these servers."""
        return [
            Query(".", "NS", (self._other[server],), recurse=False, timeout=_PATIENCE, tcp_fallback=False)
            for server in servers
        ]

    def _jump(self, to: float) -> None:
        """Move the clock on to an experiment time, if it is not there yet."""
        prober, step = self._lab.prober(), to - self.now
        if step <= 0:
            return
        prober.clock({node: offset + round(step * _NANOSECONDS) for node, offset in prober.clock().items()})
        self._jumps.append((prober.wall(), self._ahead + step))
