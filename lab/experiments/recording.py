"""What happens is written down at once: in memory for the verdict, on disk for whoever comes later."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from lab.agent.protocol import Query, Result
from lab.errors import BadInput
from lab.experiments.history import Entry, History, HistoryFile, Lookup
from lab.experiments.truth import rr
from lab.experiments.workload import Arrival
from lab.runtime.answer import Answer
from lab.runtime.lab import RunningLab


class Recorder:
    """Takes the records of one trial, from several threads."""

    def __init__(self, history: History, file: HistoryFile | None) -> None:
        self.history = history
        self.statuses: Counter[str] = Counter()  # of the look-ups so far
        self._file, self._lock = file, threading.Lock()
        if file is not None:
            file.begin(history.trial, watched=history.watched)

    def add(self, entry: Entry) -> None:
        """Write a record down."""
        with self._lock:
            self.history.add(entry)
            if isinstance(entry, Lookup):
                self.statuses[entry.status] += 1
            if self._file is not None:
                self._file.write(entry)

    def so_far(self) -> list[Lookup]:
        """The look-ups that are over."""
        with self._lock:
            return list(self.history.all_lookups)


class Reader:
    """Makes look-ups of results."""

    def __init__(self, lab: RunningLab) -> None:
        nodes = lab.topology.nodes.values()
        self._names: Mapping[str, str] = {address: node.name for node in nodes for address in node.addresses}
        self._first = lab.topology.hosts[0].name

    def lookup(self, arrival: Arrival, query: Query, result: Result, *, intended: float, sent: float | None) -> Lookup:
        """What came of one question; times are those of the experiment. Raises `BadInput` when it cannot be asked."""
        if result.outcome == "error":
            raise BadInput(f"cannot ask {query.name} {query.type}: {result.reason}")
        host = arrival.host or self._first
        answer = Answer(query, result, host, self._names.get(result.server, result.server))
        soa = next((record.ttl for record in answer.authority if record.type == "SOA"), None)
        return Lookup(
            arrival.n,
            intended,
            sent,
            result.latency,
            host,
            answer.server,
            arrival.name,
            arrival.type,
            outcome=answer.outcome,
            status=answer.status,
            transport=answer.transport,
            answer=tuple(rr(record.name, record.ttl, record.type, record.data) for record in answer.answer),
            negative_ttl=soa if not answer.data() else None,
            attempts=len(result.attempts),
            asked=tuple(self._names.get(attempt.server, attempt.server) for attempt in result.attempts),
            ede=tuple(code for code, _ in answer.ede),
            since="sent" if query.at is None else "intended",  # as the prober counts it
        )
