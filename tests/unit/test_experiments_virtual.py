"""Virtual time: when a jump may be, and by what look-ups and messages are dated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from stories import Wire, textbook

from lab.agent.protocol import Query, Result, Step
from lab.experiments import define, resting, virtual
from lab.experiments.history import OVERTAKEN, History
from lab.experiments.recording import Recorder
from lab.experiments.resting import Resting
from lab.experiments.virtual import VirtualTime
from lab.observe.message import Message
from lab.observe.selection import Predicate
from lab.runtime.lab import RunningLab

TOPOLOGY = textbook()
START = 1.7e9  # wall clock; as in `stories`


class Taps:
    """What was on the wire and has not been told yet."""

    def __init__(self) -> None:
        self.wire, self.told = Wire(TOPOLOGY), 0

    def more(self, _until: Sequence[Predicate] = ()) -> list[Message]:
        new, self.told = self.wire.messages[self.told :], len(self.wire.messages)
        return sorted(new, key=lambda message: message.time)

    def ask(self, at: float, answered: float | None, server: str = "example-1", name: str = "www.example.com.") -> None:
        """A query of resolver-2; times in seconds after `START`."""
        self.wire.ask("resolver-2", server, f"{name} A", at * 1000, None if answered is None else answered * 1000)


@pytest.fixture
def taps() -> Taps:
    return Taps()


@pytest.fixture
def rests(taps: Taps) -> Resting:
    return Resting(TOPOLOGY, taps.more)


def test_a_resolver_rests_when_it_waits_for_nobody_and_has_read_what_came(taps: Taps, rests: Resting) -> None:
    assert rests.look()
    assert rests.unread() == []
    taps.ask(1.0, None)
    assert not rests.look(), "a query without its response"
    taps.wire.messages.clear()
    taps.told = 0
    taps.ask(1.0, 1.2)
    assert rests.look()
    assert rests.unread() == ["resolver-2"]
    rests.looked("resolver-2", START + 1.1, answered=True)
    assert rests.unread() == ["resolver-2"], "asked before the response came"
    rests.looked("resolver-2", START + 1.3, answered=False)
    assert rests.unread() == []


def test_who_asks_again_has_given_up_the_query_before(taps: Taps, rests: Resting) -> None:
    taps.ask(1.0, None)
    taps.ask(1.4, 1.5, server="example-2")
    assert rests.look()


def test_a_server_that_says_nothing_is_not_waited_for_again_until_it_does(
    taps: Taps, rests: Resting, monkeypatch: pytest.MonkeyPatch
) -> None:
    taps.ask(1.0, None)
    assert not rests.look()
    monkeypatch.setattr(resting, "_PATIENCE", 0.0)
    assert rests.look()
    monkeypatch.setattr(resting, "_PATIENCE", 1000.0)
    taps.ask(2.0, None, name="mail.example.com.")
    assert rests.look(), "it has been silent"
    taps.ask(3.0, None, server="example-2")
    assert not rests.look(), "another has not"
    taps.ask(3.0, 3.1, server="example-2")
    taps.ask(4.0, 4.1)
    taps.ask(5.0, None, name="mail.example.com.")
    assert not rests.look(), "it speaks again"


class Machine:
    """A lab with one prober, whose look-ups take a millisecond each; `wire` is called at each of them with its time."""

    def __init__(self, taps: Taps, wire: Callable[[int, float], None], early: float = 0.0) -> None:
        self.topology, self.taps, self.wire, self.early = TOPOLOGY, taps, wire, early
        self.now, self.ahead, self.asked = START, 0.0, itertools.count()
        self.log: list[str] = []

    question = RunningLab.question

    def host(self, _name: str | None = None) -> Any:
        return TOPOLOGY.hosts[0]

    def prober(self, _host: str | None = None) -> Machine:
        return self

    def follow(self) -> Taps:
        return self.taps

    def wall(self) -> float:
        return self.now

    def clock(self, offsets: dict[str, int] | None = None) -> dict[str, int]:
        if offsets is not None:
            self.ahead = offsets["resolver-2"] / 1e9
        return {"resolver-2": round(self.ahead * 1e9)}

    def begin(
        self, queries: Sequence[Query], _window: int, *, began: Callable[[float], None], together: bool
    ) -> Asking:
        assert together, "each piece of a reply costs time"
        return Asking(self, queries, began)

    def answer(self, n: int, query: Query, epoch: float) -> Result:
        step = None
        if query.clock is not None and query.clock > self.now + self.ahead:
            step = Step(self.now, query.clock - self.now - self.ahead)
            self.ahead += step.by
            self.log.append("jump")
        sent = self.now - epoch
        if query.recurse:
            self.wire(next(self.asked), self.now - START)
        else:
            self.log.append("look")
        self.now += 0.001
        return Result(n, "timeout", query.servers[0], latency=0.001, sent=sent, step=step)


class Asking:
    def __init__(self, machine: Machine, queries: Sequence[Query], began: Callable[[float], None]) -> None:
        self.machine, self.queries, self.began = machine, queries, began

    def __enter__(self) -> Iterator[Result]:
        epoch = self.machine.now
        self.began(epoch - self.machine.early)
        return (self.machine.answer(n, query, epoch) for n, query in enumerate(self.queries))

    def __exit__(self, *_: object) -> None:
        pass


def go(machine: Machine, **work: Any) -> tuple[History, VirtualTime]:
    workload = {"names": ["www.example.com"], "rate": "1/h", "arrivals": "constant", "at": "resolver-2", **work}
    source = define(
        {
            "experiment": "jumps",
            "title": "one an hour",
            "lab": "textbook",
            "time": "virtual",
            "cache": "flushed",
            "workload": workload,
            "phases": {"only": "3h"},
            "expect": ["count(only) == 3"],
        }
    )
    lab: Any = machine
    history = History()
    pace = VirtualTime(lab, source.cells()[0].experiment, 1, Recorder(history, None), lab)
    pace.start()
    pace.run_until(3 * 3600.0)
    return history, pace


def test_an_exchange_is_dated_by_the_steps_and_not_by_when_a_batch_says_that_it_began(taps: Taps) -> None:
    """On a busy machine the prober's two clocks were read 50 ms apart, and two exchanges came into later look-ups."""
    machine = Machine(taps, lambda _n, at: taps.ask(at + 0.0002, at + 0.0005), early=0.05)
    history, pace = go(machine)
    sent = [one.sent for one in history.sorted_lookups if one.sent is not None]
    assert sent == pytest.approx([0, 3600, 7200], abs=0.06)
    dated = [pace.at_wall(message.time) for message in taps.wire.messages]
    assert dated == pytest.approx([0, 0, 3600, 3600, 7200, 7200], abs=0.06)


class SlowTaps(Taps):
    """The third look after `looks` was 0 finds one more response."""

    machine: Machine
    looks = 1000

    def more(self, until: Sequence[Predicate] = ()) -> list[Message]:
        self.looks += 1
        if self.looks == 3:
            late = Wire(TOPOLOGY)
            late.ask("resolver-2", "example-1", "status.example.com. A", 0, (self.machine.now - START) * 1000)
            self.wire.messages.append(late.messages[1])
            self.machine.now += 0.001
        return super().more(until)


def test_the_clock_does_not_jump_while_a_resolver_waits_for_a_server() -> None:
    slow = SlowTaps()

    def renew(n: int, at: float) -> None:
        slow.ask(at + 0.0002, at + 0.0005)
        if n == 1:  # beside the answer it begins to ask for something else
            slow.ask(at + 0.002, None, name="status.example.com.")
            slow.looks = 0

    slow.machine = machine = Machine(slow, renew)
    _, pace = go(machine)
    response = next(one for one in slow.wire.messages if not one.is_query and one.qname == "status.example.com")
    assert pace.at_wall(response.time) == pytest.approx(3600, abs=1)
    assert machine.log == ["look", "jump", *["look"] * 3, "jump", "look"], "after the query, and after its response"


def test_a_resolver_that_is_never_at_rest_ends_nothing_and_is_told(taps: Taps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "_PATIENCE", 0.01)
    machine = Machine(taps, lambda n, at: taps.ask(at, None) if n == 1 else None)
    history, _ = go(machine)
    assert len(history.sorted_lookups) == 3
    assert {mark.what for mark in history.marks} == {OVERTAKEN}


def test_a_clock_that_is_skewed_ahead_does_not_make_the_others_late(taps: Taps) -> None:
    machine = Machine(taps, lambda _n, _at: None)
    history, pace = go(machine)
    machine.ahead += 1800.0  # a fault moves one node on; the prober goes by the one furthest ahead
    pace.run_until(3.5 * 3600)
    [late] = [one for one in history.sorted_lookups if one.intended == 3 * 3600]
    assert late.sent == pytest.approx(late.intended, abs=1)


@pytest.mark.parametrize(("clients", "looks"), [(1, 3), (3, 0)])
def test_a_round_is_in_flight_together(taps: Taps, clients: int, looks: int) -> None:
    machine = Machine(taps, lambda _n, _at: None)
    history, _ = go(machine, arrivals="rounds", clients=clients, rate=f"{clients}/h")
    assert len(history.sorted_lookups) == 3 * clients
    assert machine.log.count("jump") == 2, "to the second and the third round"
    assert machine.log.count("look") == looks
