"""Virtual time: the lab's clock jumps to each arrival, so that a week of traffic takes as long as its look-ups.

Caches age by the clock that jumps; what programs wait for, a time-out for one, takes its real time, and so do injecting
and healing a fault: experiment time is real time plus the jumps. The clock goes forward only, and only when no look-up
is in flight and every resolver is at rest (`resting`); those of one round are in flight together. An arrival that is
due while something real goes on is late, and its `sent` says so. A jump takes a fraction of a millisecond, which is
nobody's latency: that counts from when the look-up was sent. The prober tells when it moved the clock, and by how much,
and by that alone messages and look-ups are dated.

Some programs read the clock once for all the packets that they find waiting at a socket, so one that
follows an answer too closely would be handled at the time of the answer. Resolvers are therefore asked something at
their other address, which is another socket, before each jump: when that is answered they have looked again.
"""

from __future__ import annotations

import itertools
import operator
import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tenacity

from lab.agent.protocol import Query, Result
from lab.errors import BadInput
from lab.experiments.asking import schedule
from lab.experiments.history import OVERTAKEN, Mark
from lab.experiments.pace import Pace, Stop
from lab.experiments.recording import Recorder
from lab.experiments.resting import Resting
from lab.experiments.schema import Experiment
from lab.experiments.workload import Arrival
from lab.runtime.clock import MAX_OFFSET
from lab.runtime.lab import RunningLab

if TYPE_CHECKING:
    from lab.observe.observation import Observation

_NANOSECONDS = 10**9
_LOOK = 1.0  # seconds for a node to say that it has looked again; one that cannot is not waited for any longer
_PAUSE = 0.002  # seconds between two looks at what resolvers wait for
_PATIENCE = 5.0  # seconds for all of them to be at rest; one that never is does not end the trial


class VirtualTime(Pace):
    """The prober moves the clock and asks, one arrival after the other or round by round."""

    def __init__(
        self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder, seen: Observation
    ) -> None:
        super().__init__(lab, experiment, seed, recorder, seen)
        self._zero = self._zero_here = 0.0  # experiment time 0: by the lab's wall clock, by our monotonic one
        self._ahead_before = 0.0  # seconds that the lab's clock was ahead of the wall clock then
        self._skew = 0.0  # seconds that the node furthest ahead is before the lab's clock
        self._jumps: list[tuple[float, float]] = []  # wall clock, and how many seconds it has jumped by then
        self._arrivals: list[Arrival] = []
        self._next = 0  # index of the arrival that comes next
        self._names = {address: node.name for node in lab.topology.nodes.values() for address in node.addresses}
        self._resting = Resting(lab.topology, self._seen.follow().more)
        self._until_at_rest = tenacity.Retrying(
            retry=tenacity.retry_if_result(operator.not_),
            wait=tenacity.wait_fixed(_PAUSE),
            stop=tenacity.stop_after_delay(_PATIENCE),
            retry_error_callback=lambda _: self._overtake(),
        )

    def start(self) -> None:
        """Take the clock as it is for the time 0."""
        end = self._experiment.seconds
        self._ahead_before = self._furthest()
        if self._ahead_before + end > MAX_OFFSET.total_seconds():
            raise BadInput(
                f"the lab's clock goes up to {MAX_OFFSET.days} days ahead, and this would go beyond;"
                " `dnslab time reset` puts it back"
            )
        self._zero, self._zero_here = self._lab.prober().wall(), time.monotonic()
        self._jumps = [(0.0, 0.0)]
        self._arrivals = schedule(self._experiment, self._seed)
        self._write_warmed()

    @property
    def now(self) -> float:
        """Real seconds since the start, and the jumps."""
        return time.monotonic() - self._zero_here + self._ahead

    def run_until(self, time: float, stop: Stop | None = None) -> bool:
        """Jump from arrival to arrival."""
        # A fault may have put a clock before the others since, and the prober goes by the one furthest ahead.
        self._skew = self._furthest() - self._ahead_before - self._ahead
        while together := self._due(time):
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
        """The arrivals that come next, at one time and from one host; none when there are none before `before`."""
        left = map(self._arrivals.__getitem__, range(self._next, len(self._arrivals)))
        first = next(left, None)
        if first is None or first.at >= before:
            return []
        return [first, *itertools.takewhile(lambda one: (one.at, one.host) == (first.at, first.host), left)]

    def _ask(self, together: list[Arrival]) -> None:
        """Have a round asked, all of it in flight at the same time, when the clock has been moved on to its time."""
        self._rest()
        first, *others = together
        to = self._zero + self._ahead_before + self._skew + first.at
        queries = [self._questions.query(first, clock=to), *map(self._questions.query, others)]
        # One look-up is followed by what `_rest` would ask next, as that saves a turn; a round has no such end.
        asked = [] if others else [self._names[server] for server in queries[0].servers]
        results, began = self._put(first.host, [*queries, *map(self._look_at, asked)], len(queries))
        self._next += len(together)
        if (step := results[0].step) is not None:
            self._jumps.append((step.wall, self._ahead + step.by))
            began = max(began, step.wall - (results[0].sent or 0.0))  # it was sent after the step, whatever clocks say
        for arrival, query, result in zip(together, queries, results, strict=False):
            self._write(arrival, query, result, began, arrival.at)
        self._note(asked, results[len(queries) :], began)

    def _rest(self) -> None:
        """Wait until resolvers wait for no server and have read what came; for a while at the most."""
        self._until_at_rest(self._is_at_rest)

    def _is_at_rest(self) -> bool:
        is_waited_for = not self._resting.look()
        unread = self._resting.unread()
        if not unread:
            return not is_waited_for
        results, began = self._put(None, [self._look_at(resolver) for resolver in unread], len(unread))
        self._note(unread, results, began)
        return self._resting.look() and not self._resting.unread()

    def _note(self, resolvers: Sequence[str], results: Sequence[Result], began: float) -> None:
        """Resolvers have answered, or cannot."""
        for resolver, result in zip(resolvers, results, strict=True):
            if result.sent is not None:
                self._resting.looked(resolver, began + result.sent, answered=result.outcome == "answer")

    def _put(self, host: str | None, queries: Sequence[Query], window: int) -> tuple[list[Result], float]:
        """Have a host ask these; the results in the order of the queries, and when it began, seconds since 1970."""
        began: list[float] = []
        with self._lab.prober(host).begin(queries, window, began=began.append, together=True) as asking:
            return sorted(asking, key=lambda result: result.n), began[0]

    def _look_at(self, node: str) -> Query:
        """A question to the address of a node that the workload does not ask."""
        ipv4, ipv6 = self._lab.topology.nodes[node].addresses
        address = ipv4 if self._experiment.workload.ipv6 else ipv6
        return Query(".", "NS", (address,), recurse=False, timeout=_LOOK, tcp_fallback=False)

    def _jump(self, to: float) -> None:
        """Move the clock on to an experiment time, if it is not there yet."""
        self._rest()
        prober, step = self._lab.prober(), to - self.now
        if step <= 0:
            return
        prober.clock({node: offset + round(step * _NANOSECONDS) for node, offset in prober.clock().items()})
        self._jumps.append((prober.wall(), self._ahead + step))

    def _furthest(self) -> float:
        """Seconds by which the node furthest ahead is before the machine."""
        return max(self._lab.prober().clock().values(), default=0) / _NANOSECONDS

    def _overtake(self) -> None:
        self._recorder.add(Mark(self.now, OVERTAKEN, f"a resolver was not at rest within {_PATIENCE:g} s"))
