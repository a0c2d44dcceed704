"""Virtual time: the lab's clock jumps to each arrival, so that a week of traffic takes as long as its look-ups.

Caches age by the clock that jumps; what programs wait for, a time-out for one, takes its real time, and so do injecting
and healing a fault: experiment time is real time plus the jumps. The clock goes forward only, and only when no look-up
is in flight. An arrival that is due while something real goes on is late, and its `sent` says so. A jump takes a
millisecond, which is nobody's latency: that counts from when the look-up was sent.
"""

from __future__ import annotations

import time
from bisect import bisect_right

from lab.agent.protocol import Query, Result
from lab.errors import BadInput
from lab.experiments.asking import schedule
from lab.experiments.pace import Pace, Stop
from lab.experiments.recording import Recorder
from lab.experiments.schema import Experiment
from lab.experiments.workload import Arrival
from lab.runtime.clock import MAX_OFFSET
from lab.runtime.lab import RunningLab

_NANOSECONDS = 10**9
_LOOK = 0.25  # seconds, real, between looks whether to stop


class VirtualTime(Pace):
    """Everything in the caller's thread, one arrival after the other."""

    def __init__(self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder) -> None:
        super().__init__(lab, experiment, seed, recorder)
        self._zero = self._zero_here = 0.0  # experiment time 0: by the lab's wall clock, by our monotonic one
        self._offsets: dict[str, int] = {}  # nanoseconds, of each node on the lab's clock
        self._ahead = 0.0  # seconds that the clock has jumped since the start
        self._jumps: list[tuple[float, float]] = []  # wall clock from which on it is how far ahead
        self._arrivals: list[Arrival] = []
        self._next = 0  # index of the arrival that comes next
        self._looked = 0.0

    def start(self) -> None:
        """Take the clock as it is for the time 0."""
        prober, end = self._lab.prober(), self._experiment.seconds
        self._offsets = prober.clock()
        if max(self._offsets.values(), default=0) / _NANOSECONDS + end > MAX_OFFSET.total_seconds():
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
        """Jump from arrival to arrival; those of the same time are asked at once."""
        while together := self._due(time):
            self._jump(together[0].at)
            self._ask(together)
            if stop is not None and self._is_time_to_look() and stop():
                return True
        if self._jump(time):
            self._note(self._lab.prober().wall())
        return stop is not None and stop()

    def settle(self, time: float) -> None:
        """Nothing is ever in flight."""

    def at_wall(self, wall: float) -> float:
        """By the jumps there had been at that moment."""
        place = bisect_right(self._jumps, (wall, float("inf"))) - 1
        return wall - self._zero + self._jumps[max(place, 0)][1]

    def close(self) -> None:
        """Nothing goes on behind the caller's back."""

    def _due(self, before: float) -> list[Arrival]:
        """The next arrivals, all of one time; none when that is not before `before`."""
        ahead = self._arrivals[self._next : self._next + 1]
        if not ahead or ahead[0].at >= before:
            return []
        while (end := self._next + len(ahead)) < len(self._arrivals) and self._arrivals[end].at == ahead[0].at:
            ahead.append(self._arrivals[end])
        self._next += len(ahead)
        return ahead

    def _jump(self, to: float) -> bool:
        """Move the clock, if it is not there yet; the caller notes at which moment it had moved."""
        step = to - self.now
        if step <= 0:
            return False
        nanoseconds = round(step * _NANOSECONDS)
        self._offsets = {node: offset + nanoseconds for node, offset in self._offsets.items()}
        self._lab.prober().clock(self._offsets)
        self._ahead += step
        return True

    def _note(self, wall: float) -> None:
        """From this moment on the clock is as far ahead as it is now; by the prober's clock, not estimated by ours."""
        self._jumps.append((wall, self._ahead))

    def _ask(self, together: list[Arrival]) -> None:
        for host in self._hosts:
            asked = [one for one in together if (one.host or self._hosts[0]) == host]
            if asked:
                self._ask_from(host, asked)

    def _ask_from(self, host: str, asked: list[Arrival]) -> None:
        queries = [self._questions.query(arrival) for arrival in asked]
        began: list[float] = []
        found: list[tuple[Arrival, Query, Result]] = []
        with self._lab.prober(host).begin(queries, len(queries), began=began.append) as asking:
            for result in asking:
                found.append((asked[result.n], queries[result.n], result))
        self._note(began[0])
        for arrival, query, result in found:
            self._write(arrival, query, result, began[0], arrival.at)

    def _is_time_to_look(self) -> bool:
        if time.monotonic() - self._looked < _LOOK:
            return False
        self._looked = time.monotonic()
        return True
