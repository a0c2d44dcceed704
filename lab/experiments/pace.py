"""How experiment time passes while look-ups go on: in real time (`realtime`), or in jumps (`virtual`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from lab.agent.protocol import Query, Result
from lab.experiments.asking import Questions
from lab.experiments.recording import Reader, Recorder
from lab.experiments.schema import Experiment
from lab.experiments.workload import Arrival

if TYPE_CHECKING:
    from typing_extensions import Self

    from lab.observe.observation import Observation
    from lab.runtime.lab import RunningLab

Stop = Callable[[], bool]
_WINDOW = 8  # questions at once while a cache is warmed


class Pace(ABC):
    """Sends the workload of one trial. A context manager: at the end nothing is asked any more."""

    def __init__(
        self, lab: RunningLab, experiment: Experiment, seed: int, recorder: Recorder, seen: Observation
    ) -> None:
        self._seen = seen  # what the resolvers send and receive
        self._lab, self._experiment, self._seed, self._recorder = lab, experiment, seed, recorder
        self._questions, self._reader = Questions(lab, experiment.workload), Reader(lab)
        self._warmed: list[tuple[Arrival, Query, Result, float]] = []

    @abstractmethod
    def start(self) -> None:
        """Let experiment time begin at 0, and the look-ups with it."""

    @property
    @abstractmethod
    def now(self) -> float:
        """Experiment time."""

    @abstractmethod
    def run_until(self, time: float, stop: Stop | None = None) -> bool:
        """Let look-ups go on until experiment time `time`, or until `stop` says so, which is asked now and then.

        Whether it was stopped. Raises `EnvironmentProblem` when look-ups cannot go on.
        """

    @abstractmethod
    def settle(self, time: float) -> None:
        """Wait until every look-up that was to be sent before `time` is over and written down."""

    @abstractmethod
    def at_wall(self, wall: float) -> float:
        """The experiment time at a moment of the wall clock of the lab's machine, seconds since 1970."""

    @abstractmethod
    def close(self) -> None:
        """Ask no more."""

    def warm(self) -> None:
        """Before the start: ask every distinct question once, so that what can be cached is."""
        for host in self._hosts:
            began: list[float] = []
            asked = [arrival for arrival in self._questions.priming() if (arrival.host or self._hosts[0]) == host]
            queries = [self._questions.query(arrival) for arrival in asked]
            if not queries:
                continue
            with self._lab.prober(host).begin(queries, _WINDOW, began=began.append) as asking:
                for result in asking:
                    self._warmed.append((asked[result.n], queries[result.n], result, began[0]))

    @property
    def _hosts(self) -> Sequence[str]:
        hosts = self._experiment.workload.hosts or (self._lab.topology.hosts[0].name,)
        return [self._lab.topology.node(host).name for host in hosts]

    def _write_warmed(self) -> None:
        """Now that there is an experiment time."""
        for arrival, query, result, began in self._warmed:
            self._write(arrival, query, result, began, None)

    def _write(self, arrival: Arrival, query: Query, result: Result, began: float, intended: float | None) -> None:
        """Write down a look-up of a batch that began at `began`; without `intended` it was to be sent when it was."""
        sent = None if result.sent is None else self.at_wall(began + result.sent)
        if intended is None:
            intended = self.now if sent is None else sent
        self._recorder.add(self._reader.lookup(arrival, query, result, intended=intended, sent=sent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
