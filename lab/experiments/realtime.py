"""Real time: the prober sends every question at its time, whatever is in flight; or, in a closed loop, when it may.

The whole schedule is given to the prober before the first question is due, so that nothing here can make one late.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.agent.protocol import Query
from lab.errors import EnvironmentProblem, LabError
from lab.experiments.asking import horizon, schedule
from lab.experiments.pace import Pace, Stop
from lab.experiments.recording import Recorder
from lab.experiments.schema import Experiment
from lab.experiments.workload import Arrival, arrivals
from lab.runtime.lab import RunningLab
from lab.runtime.prober import Asking

if TYPE_CHECKING:
    from lab.observe.observation import Observation

_LOOK = 0.25  # seconds between looks at what has come in
_BEGIN = 60.0  # seconds for the prober to take the schedule
_PATIENCE = 10.0  # seconds beyond the longest look-up, before one that has not come back is held to be lost
_CLOSED = 10_000  # questions of a closed loop given to the prober at once


class RealTime(Pace):
    """One thread a host reads what its prober says; the caller's thread waits, injects and heals."""

    def __init__(
        self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder, seen: Observation
    ) -> None:
        super().__init__(lab, experiment, seed, recorder, seen)
        self._changed = threading.Condition()
        self._began: dict[str, float] = {}  # wall clock
        self._zero = self._zero_here = 0.0  # experiment time 0: by the lab's wall clock, by our monotonic one
        self._started, self._closing = threading.Event(), threading.Event()
        self._problem: LabError | None = None
        self._times: list[float] = []  # intended, by number; of a closed loop as far as they are known
        self._done: set[int] = set()
        self._low = 0  # every question below has come back
        self._asking: list[Asking] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Hand the schedule over, and wait until it has begun."""
        for host, asked in self._schedule().items():
            thread = threading.Thread(target=self._run, args=(host, asked), name=f"workload {host}", daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: len(self._began) == len(self._threads) or self._problem, _BEGIN)
        self._look()
        if len(self._began) < len(self._threads):
            raise EnvironmentProblem(f"the prober has not begun within {_BEGIN:g} s; is the machine too busy?")
        self._zero, self._zero_here = max(self._began.values()), time.monotonic()
        self._write_warmed()
        self._started.set()

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._zero_here

    def run_until(self, time: float, stop: Stop | None = None) -> bool:
        """Wait."""
        if not self._closed_loop and time > horizon(self._experiment):
            raise EnvironmentProblem("injecting and healing took so long that the workload came to its end before")
        while (left := time - self.now) > 0:
            self._look()
            if stop is not None and stop():
                return True
            self._closing.wait(min(left, _LOOK))
        return False

    def settle(self, time: float) -> None:
        """Wait for what is in flight."""
        with self._changed:
            enough = self._changed.wait_for(
                lambda: self._problem or self._is_settled(time), self._questions.longest() + _PATIENCE
            )
        self._look()
        if not enough:
            raise EnvironmentProblem(f"{len(self._times) - len(self._done)} look-ups never came back from the prober")

    def at_wall(self, wall: float) -> float:
        """The wall clock runs as the experiment does."""
        return wall - self._zero

    def close(self) -> None:
        """End what is not yet sent, and the threads."""
        self._closing.set()
        self._started.set()
        for asking in list(self._asking):
            with suppress(LabError):  # the prober is gone, and asks no more
                asking.cancel()
        for thread in self._threads:
            thread.join(_PATIENCE)

    @property
    def _closed_loop(self) -> bool:
        return self._experiment.workload.arrivals == "closed"

    def _schedule(self) -> dict[str, Sequence[Arrival]]:
        """The questions of each host; none yet of a closed loop, which takes them as it goes."""
        if self._closed_loop:
            return dict.fromkeys(self._hosts, ())
        asked = schedule(self._experiment, self._seed)
        self._times = [arrival.at for arrival in asked]
        first = self._hosts[0]
        return {host: [one for one in asked if (one.host or first) == host] for host in self._hosts}

    def _run(self, host: str, asked: Sequence[Arrival]) -> None:
        try:
            if not self._closed_loop:
                self._ask(host, asked, [self._questions.query(arrival, arrival.at) for arrival in asked], 1)
                return
            endless = (one for one in arrivals(self._experiment.workload, self._seed) if one.host in (None, host))
            clients = max(1, (self._experiment.workload.clients or 1) // len(self._hosts))
            while not self._closing.is_set():
                some = list(itertools.islice(endless, _CLOSED))
                self._ask(host, some, [self._questions.query(arrival) for arrival in some], clients)
        except LabError as error:
            with self._changed:
                self._problem = self._problem or error
                self._changed.notify_all()

    def _ask(self, host: str, asked: Sequence[Arrival], queries: Sequence[Query], window: int) -> None:
        began: list[float] = []

        def begin(wall: float) -> None:
            began.append(wall)
            with self._changed:
                self._began.setdefault(host, wall)
                self._changed.notify_all()

        with self._lab.prober(host).begin(queries, window, began=begin) as asking:
            self._asking.append(asking)
            try:
                if self._closing.is_set():
                    return
                for result in asking:
                    self._started.wait(_BEGIN)
                    arrival = asked[result.n]
                    intended = None if self._closed_loop else self.at_wall(began[0] + arrival.at)
                    self._write(arrival, queries[result.n], result, began[0], intended)
                    self._note(arrival.n, self.at_wall(began[0] + (result.sent or 0.0)))
            finally:
                self._asking.remove(asking)

    def _note(self, n: int, sent: float) -> None:
        with self._changed:
            self._done.add(n)
            if self._closed_loop:
                self._times += [0.0] * (n + 1 - len(self._times))
                self._times[n] = sent
            while self._low in self._done:
                self._low += 1
            self._changed.notify_all()

    def _is_settled(self, time: float) -> bool:
        if not self._closed_loop:
            return self._low >= bisect_left(self._times, time)
        # Questions are sent in their order: when one sent later has come back, and all before it, so have those.
        return self._low > 0 and self._times[self._low - 1] >= time

    def _look(self) -> None:
        if self._problem is not None:
            raise self._problem
