"""Load that a generator makes, where more is wanted than the prober can give; real time.

dnsperf asks within phases, and not while something is injected or healed between them. It tells what it counted, and
nothing of a single question: see `lab.experiments.history.Load`.
"""

from __future__ import annotations

import itertools
import time as clock
from typing import TYPE_CHECKING

from lab.agent.dnsperf import MOST_RATE, Counts, Order
from lab.experiments.history import Load
from lab.experiments.pace import Pace, Stop
from lab.experiments.recording import Recorder
from lab.experiments.schema import Experiment
from lab.experiments.workload import arrivals
from lab.runtime.dnsperf import Dnsperf
from lab.runtime.lab import RunningLab

if TYPE_CHECKING:
    from lab.observe.observation import Observation

_LEAST = 0.25  # seconds that are worth a run
_QUESTIONS = 20_000  # of the workload, which are asked over and over again


class GeneratedLoad(Pace):
    """One dnsperf at a time, in the caller's thread."""

    def __init__(
        self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder, seen: Observation
    ) -> None:
        super().__init__(lab, experiment, seed, recorder, seen)
        self._zero = self._zero_here = 0.0  # experiment time 0: by the lab's wall clock, by our monotonic one
        self._dnsperf: Dnsperf | None = None

    def start(self) -> None:
        """Nothing is asked before the first phase."""
        self._dnsperf = Dnsperf(self._lab, self._host)
        self._zero, self._zero_here = self._lab.prober(self._host).wall(), clock.monotonic()
        self._write_warmed()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return clock.monotonic() - self._zero_here

    def run_until(self, time: float, stop: Stop | None = None) -> bool:
        """Have dnsperf ask until then; it waits for the last answers."""
        if (left := time - self.now) >= _LEAST:
            self._ask(left, stop)
        elif left > 0:
            clock.sleep(left)
        return stop is not None and stop()

    def settle(self, time: float) -> None:
        """Nothing goes on behind the caller's back."""

    def at_wall(self, wall: float) -> float:
        """The wall clock runs as the experiment does."""
        return wall - self._zero

    def close(self) -> None:
        """End what may still run."""
        if self._dnsperf is not None:
            self._dnsperf.close()

    @property
    def _host(self) -> str:
        return self._hosts[0]

    def _ask(self, seconds: float, stop: Stop | None) -> None:
        work = self._experiment.workload
        some = list(itertools.islice(arrivals(work, self._seed), _QUESTIONS))
        query = self._questions.query(some[0])
        order = Order(
            query.servers[0],
            [(arrival.name, arrival.type) for arrival in some],
            seconds,
            work.rate or MOST_RATE,
            work.clients,
            work.transport,
            query.timeout,
        )
        assert self._dnsperf is not None  # it has been started
        began, counts = self._dnsperf.run(order, stop or (lambda: None))
        self._recorder.add(self._load(began, counts, query.servers[0]))

    def _load(self, began: float, counts: Counts, server: str) -> Load:
        start = self.at_wall(began)
        statuses = dict(counts.rcodes)
        if counts.lost:
            statuses["TIMEOUT"] = counts.lost
        return Load(
            start, start + counts.seconds, self._host, self._lab.topology.node(server).name, counts.sent, statuses,
            counts.latency, counts.least, counts.most, counts.deviation,
        )  # fmt: skip
