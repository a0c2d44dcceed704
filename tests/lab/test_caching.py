"""What a resolver remembers, and for how long: by the lab's clock, and once by waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dns.name
import pytest
import tenacity
from labtools import (
    GIVES_UP,
    WITHIN,
    assert_all,
    assert_given_up,
    authoritative_rrsets,
    break_nodes,
    eventually,
    heal_nodes,
    questions,
    told,
)

from lab import Answer, BadInput, Lab
from lab.labs import load
from lab.runtime.node import NodeHandle
from lab.software.program import program
from lab.topology.declaration import Declaration, Host, Resolver

HOUR = 3600
AUTHORITIES = ("example-1", "example-2")  # of example.com
TLD = ("gtld-1", "gtld-2")  # of com


@dataclass
class Aged:
    """A TTL as it was first seen, and what may be left of it later. TTLs tick in whole seconds."""

    ttl: int
    born: float  # monotonic time just before it was asked for
    virtual: float = 0.0  # seconds the lab's clock was moved since

    def accepts(self, seen: int) -> bool:
        """Whether `seen` is what a correct cache says now."""
        elapsed = self.virtual + time.monotonic() - self.born
        return self.ttl - elapsed - 1 <= seen <= self.ttl - self.virtual


def ttl_of(answer: Answer) -> int:
    """The TTL of the one RRset in the answer section."""
    [ttl] = {record.ttl for record in answer.answer}
    return ttl


# A second question


def test_second_answer_needs_no_hierarchy(lab: Lab, resolver: NodeHandle) -> None:
    servers = [node.name for node in lab.topology.servers]
    first = lab.query("www.example.com", at=resolver.name)
    break_nodes(lab, "pause", *servers)
    second = lab.query("www.example.com", at=resolver.name)
    heal_nodes(lab, *servers)
    assert first.data() == second.data() == ("192.0.2.80",)
    assert not second.result.aa
    print(
        f"{resolver.node.program}: {first.latency * 1000:.1f} ms, with {len(servers)} servers paused"
        f" {second.latency * 1000:.1f} ms"
    )


def test_ttl_counts_down(lab: Lab, resolver: NodeHandle) -> None:
    aged = Aged(HOUR, time.monotonic())
    assert ttl_of(lab.query("www.example.com", at=resolver.name)) == HOUR
    seen = []
    for step in (1, 100, 1000, 2000):
        lab.clock.advance(seconds=step)
        aged.virtual += step
        seen.append(ttl_of(lab.query("www.example.com", at=resolver.name)))
        assert aged.accepts(seen[-1]), f"TTL {seen[-1]} after {aged.virtual} s"
    print(f"{resolver.node.program}: TTL {HOUR}, then {seen} after 1, 101, 1101, 3101 s")


def test_a_name_is_asked_for_again_after_its_ttl(lab: Lab, resolver: NodeHandle) -> None:
    lab.query("www.example.com", at=resolver.name)
    lab.clock.advance(seconds=HOUR - 10)
    assert ttl_of(lab.query("www.example.com", at=resolver.name)) <= 10
    lab.clock.advance(seconds=11)
    assert ttl_of(lab.query("www.example.com", at=resolver.name)) == HOUR


def test_entries_are_gone_after_their_ttl(lab: Lab) -> None:
    """Records and negative answers, each at its time; the authority is stopped, so that nothing can be renewed."""
    positive, hour = questions(lab, "status.example.com"), questions(lab, "www.example.com")
    no_name, no_type = questions(lab, "nope.example.com"), questions(lab, "status.example.com AAAA")

    def primed() -> None:
        for asked, status in ((positive, "NOERROR"), (hour, "NOERROR"), (no_type, "NOERROR"), (no_name, "NXDOMAIN")):
            assert_all(lab.ask(asked), status)

    primed()
    assert [ttl_of(answer) for answer in lab.ask(positive)] == [60, 60]
    assert {answer.authority[0].ttl for answer in lab.ask(no_name + no_type)} <= {899, 900}
    break_nodes(lab, "stop", *AUTHORITIES)

    lab.clock.advance(seconds=50)
    primed()  # 10 s before the end of TTL 60
    lab.clock.advance(seconds=835)
    assert_all(lab.ask(no_name), "NXDOMAIN")  # 15 s before the end of negative TTL 900
    still = lab.ask(no_type)
    assert_all(still, "NOERROR")
    assert all(answer.authority[0].ttl <= 15 for answer in still), told(still)

    lab.clock.advance(seconds=16)
    gone = lab.ask(positive + no_name + no_type)
    print(f"after 901 s, the authority stopped:\n{told(gone)}")
    assert_given_up(lab, gone)
    assert_all(lab.ask(hour), "NOERROR")  # TTL 3600: not lost with the others

    heal_nodes(lab, *AUTHORITIES)
    eventually(primed)


# Flushing


def test_flush_forgets_everything_in_one_resolver_or_all(lab: Lab) -> None:
    asked = questions(lab, "www.example.com", "mail.example.com", "nope.example.com")

    def ttls() -> list[int]:
        return [(answer.answer or answer.authority)[0].ttl for answer in lab.ask(asked)]

    new = [HOUR, HOUR, HOUR, HOUR, 900, 900]
    assert ttls() == new
    lab.clock.advance(seconds=100)
    old = ttls()
    assert all(was - 105 < now <= was - 100 for was, now in zip(new, old, strict=True)), old

    lab.flush("resolver-2")
    seen = ttls()
    assert seen[1::2] == new[1::2]  # of resolver-2
    assert all(ttl <= HOUR - 100 for ttl in seen[::2])
    lab.flush()
    assert ttls() == new


def test_flush_forgets_one_name(lab: Lab, resolver: NodeHandle) -> None:
    names = ("www.example.com", "mail.example.com")
    asked = [lab.question(name, at=resolver.name) for name in names]
    lab.ask(asked)
    lab.clock.advance(seconds=100)
    lab.flush(resolver.name, name=names[0])
    forgotten, kept = map(ttl_of, lab.ask(asked))
    assert forgotten == HOUR
    assert kept <= HOUR - 100


def test_only_resolvers_can_be_flushed(lab: Lab) -> None:
    with pytest.raises(BadInput, match="no cache to flush"):
        lab.flush("example-1")


# Two days


def test_a_delegation_lives_for_two_days(lab: Lab) -> None:
    """With the servers of com stopped, a new name of a known zone is found as long as its delegation lives.

    The delegation has a TTL of two days. Unbound keeps nothing for longer than one, which is its own limit, met here.
    Each resolver has a clock of its own, so that both come to the end of their limit at once.
    """
    lives = {node.name: min(2 * 24, _limit(node) // HOUR) for node in lab.resolvers}
    assert sorted(lives.values()) == [24, 48]
    assert_all(lab.ask(questions(lab, "www.example.com")), "NOERROR")
    break_nodes(lab, "stop", *TLD)

    for node, hours in lives.items():
        lab.clock.advance(hours=hours - 1, node=node)
    before = lab.ask(questions(lab, "mail.example.com"))
    print(f"an hour before {lives}:\n{told(before)}")
    assert_all(before, "NOERROR")
    lab.clock.advance(hours=2)
    after = lab.ask(questions(lab, "example.com MX"))
    print(f"an hour after:\n{told(after)}")
    assert_given_up(lab, after)


def test_a_program_has_its_own_limit_on_ttls(lab: Lab, resolver: NodeHandle) -> None:
    """example.com NS has a TTL of two days: Unbound shows and keeps one (cache-max-ttl), BIND both (a week)."""
    [declared] = {record.ttl for record in authoritative_rrsets(lab.topology)[dns.name.from_text("example.com"), "NS"]}
    shown = ttl_of(lab.query("example.com", "NS", at=resolver.name))
    print(f"{resolver.node.program}: TTL {declared} shown as {shown}, limit {_limit(resolver)}")
    assert declared == 48 * HOUR
    assert shown == {"unbound": 24 * HOUR, "bind": 48 * HOUR}[resolver.node.program or ""]
    assert shown == min(declared, _limit(resolver))


def _limit(resolver: NodeHandle) -> int:
    """Seconds that a resolver keeps anything at most, as its program's description has it."""
    limit = program(resolver.node.program or "").max_ttl
    assert limit is not None
    return limit


# The control: no lab clock, and time passes by itself

SHORT = 3  # seconds


@pytest.fixture(scope="module")
def on_real_time(instance: Callable[[str], str]) -> Iterator[Lab]:
    """A small lab on the clock of the machine, with a short TTL and a resolver of each program."""
    with Lab.temporary(_with_short_ttl(load("minimal")), name=instance("real")) as lab:
        yield lab


def _with_short_ttl(minimal: Declaration) -> Declaration:
    zone = minimal.zones["example.com"]
    zone = zone.model_copy(update={"records": f"{zone.records}\nshort {SHORT} A 192.0.2.99\n"})
    return minimal.model_copy(
        update={
            "clock": "host",
            "zones": {**minimal.zones, "example.com": zone},
            "resolvers": {name: Resolver(program=name) for name in GIVES_UP},
            "hosts": {"host": Host(resolvers=tuple(GIVES_UP))},
        }
    )


@pytest.mark.parametrize("at", GIVES_UP)
def test_a_short_ttl_ends_by_waiting(on_real_time: Lab, at: str) -> None:
    lab = on_real_time
    lab.flush(at)
    question = lab.question("short.example.com", at=at)
    started = time.monotonic()
    [first] = lab.ask([question])
    assert ttl_of(first) == SHORT
    seen = [SHORT]

    def fetched_again() -> bool:
        seen.append(ttl_of(lab.ask([question])[0]))
        return seen[-1] > seen[-2]

    tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda again: not again),
        wait=tenacity.wait_fixed(0.02),
        stop=tenacity.stop_after_delay(WITHIN),
    )(fetched_again)
    lived = time.monotonic() - started
    print(f"{at}: TTL {SHORT} was fetched again after {lived:.2f} s, {len(seen)} questions")
    assert SHORT - 1 <= lived <= SHORT + 2
    assert set(seen) <= set(range(SHORT + 1))
    assert seen[-1] == SHORT


def test_a_lab_on_the_machines_clock_has_none_to_move(on_real_time: Lab) -> None:
    assert on_real_time.clock.offsets() == {}
    with pytest.raises(BadInput, match="clock: host"):
        on_real_time.clock.advance(hours=1)
