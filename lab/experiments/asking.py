"""The questions of a workload, as the prober takes them."""

from __future__ import annotations

import itertools

from lab.agent.protocol import Query
from lab.experiments.schema import Experiment, Workload
from lab.experiments.workload import Arrival, arrivals, distinct
from lab.runtime.lab import How, RunningLab

_SPARE = 20.0  # seconds, real, that a step of the method may take to inject and to heal at one node


class Questions:
    """Makes questions of arrivals."""

    def __init__(self, lab: RunningLab, work: Workload) -> None:
        self._lab, self._work = lab, work
        self._cached: dict[tuple[str | None, str | None], Query] = {}

    def query(self, arrival: Arrival, at: float | None = None, clock: float | None = None) -> Query:
        """The question of an arrival; `at`: seconds after the start of its batch, `clock`: what the lab's is to be."""
        first = self._model(arrival)
        return Query(**{**vars(first), "name": arrival.name, "type": arrival.type, "at": at, "clock": clock})

    def longest(self) -> float:
        """Seconds that one look-up can take: every attempt runs into its time-out, over UDP and TCP."""
        askers = [Arrival(0, 0.0, ".", "NS", host, at) for host in self._work.hosts or [None] for at in self._ats()]
        return max(one.timeout * one.attempts * 2 * len(one.servers) for one in map(self._model, askers))

    def priming(self) -> list[Arrival]:
        """Every distinct question once to each server that is asked, to warm its cache."""
        servers = {
            server: host
            for host in self._work.hosts or [self._lab.topology.hosts[0].name]
            for server in self._work.at or self._lab.topology.node(host).resolvers
        }
        asked = itertools.product(distinct(self._work), servers.items())
        return [Arrival(-n, 0.0, name, type, host, at) for n, ((name, type), (at, host)) in enumerate(asked, 1)]

    def _ats(self) -> list[str | None]:
        return list(self._work.at) or [None]

    def _model(self, arrival: Arrival) -> Query:
        """A question to the same servers from the same host; made once, as it takes longer than the rest."""
        key = arrival.host, arrival.server
        if key not in self._cached:
            work = self._work
            how: How = {
                "host": arrival.host,
                "at": arrival.server,
                "transport": work.transport,
                "ipv6": work.ipv6,
                "recurse": work.recurse,
                "timeout": work.timeout,
                "attempts": work.attempts,
            }
            self._cached[key] = self._lab.question(".", "NS", **how)
        return self._cached[key]


def schedule(experiment: Experiment, seed: int) -> list[Arrival]:
    """The arrivals of an open loop."""
    end = horizon(experiment)
    return list(itertools.takewhile(lambda arrival: arrival.at < end, arrivals(experiment.workload, seed)))


def horizon(experiment: Experiment) -> float:
    """Until when there are arrivals: for all phases, and for what injecting and healing take."""
    return experiment.seconds + 1.0 + _SPARE * sum(len(step.node) for step in experiment.method)
