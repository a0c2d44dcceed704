"""Every check is shown what it must not let pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lab.experiments.checks import Case, correctness, measures
from lab.experiments.checks.attribution import attribute
from lab.experiments.history import RR, FaultWindow, History, Load, Lookup, Mark, Message, Phase, Truth
from lab.experiments.journal import Estimate, NodeRecord
from lab.experiments.statistics import Unmeasured
from tests.fakerun import CACHED, NODES, TTL, fake_history

BY_NAME = {node.name: node for node in NODES}


def case(history: History, **changes: Any) -> Case:
    return Case(history, BY_NAME, **changes)


def measured(history: History, measure: str, /, *arguments: str, **options: str) -> Estimate:
    return measures()[measure].of(case(history), arguments, options)


def spoilt(change: Callable[[Lookup], Lookup], which: Callable[[Lookup], bool] = lambda _one: True) -> History:
    """The fake history with the first of its cached answers in the fault changed."""
    history = fake_history()
    history.all_lookups = list(history.all_lookups)
    place = next(
        place
        for place, one in enumerate(history.all_lookups)
        if one.intended > 12 and one.name == CACHED and which(one)
    )
    history.all_lookups[place] = change(history.all_lookups[place])
    return history


def answer(one: Lookup, **changes: Any) -> Lookup:
    return replace(one, answer=(one.answer[0]._replace(**changes),))


# Correctness


def test_an_honest_history_has_no_wrong_answer() -> None:
    counts = {kind: measured(fake_history(), kind).value for kind in ("fresh", "cached", "stale", "wrong")}
    assert counts["wrong"] == counts["stale"] == 0
    assert counts["fresh"] > 100
    assert counts["cached"] > 500


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: answer(one, data="192.0.2.99"), "192.0.2.99 is not in the zones"),
        (lambda one: replace(one, answer=()), "is missing"),
        (lambda one: replace(one, answer=(*one.answer, RR(CACHED, 5, "A", "192.0.2.81"))), "is not in the zones"),
        (lambda one: replace(one, status="NXDOMAIN", answer=()), "NXDOMAIN, and the zones say NOERROR"),
        (lambda one: answer(one, ttl=TTL + 1), "the zone says 3600"),
        (lambda one: answer(one, ttl=TTL - 900), "no server of its zone had answered 900 s before"),
        (lambda one: answer(one, ttl=30), "no server of its zone had answered"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_found(change: Callable[[Lookup], Lookup], told: str) -> None:
    history = spoilt(change)
    assert measured(history, "wrong").value == 1
    assert measured(history, "wrong", "fault").value == 1
    assert measured(history, "wrong", "baseline").value == 0
    [found] = [one for one in correctness.judge(case(history), history.sorted_lookups) if one.kind == "wrong"]
    assert told in correctness.told(found)


def test_an_answer_may_be_under_way_for_as_long_as_the_client_waited() -> None:
    history = spoilt(lambda one: replace(one, latency=4.0), lambda one: 15 < one.intended < 16)
    assert measured(history, "wrong").value == 0, "the TTL was written when the question came, and read seconds later"


def test_no_answer_is_a_failure_and_no_lie() -> None:
    history = spoilt(lambda one: replace(one, status="SERVFAIL", answer=()))
    assert measured(history, "wrong").value == 0


def test_an_answer_nobody_knows_the_truth_of_is_not_judged() -> None:
    history = spoilt(lambda one: replace(one, name="other.example.com."))
    assert "unknown" in {one.kind for one in correctness.judge(case(history), history.sorted_lookups)}
    assert measured(history, "wrong").value == 0


def outlived(after: float, ttl: int) -> History:
    """An answer from the cache, `after` seconds after its TTL has run out."""
    history = fake_history()
    late = next(one for one in history.all_lookups if one.name == CACHED and one.answer)
    time = TTL + after
    history.phases.append(Phase("later", 1000.0, TTL * 10))
    history.add(replace(answer(late, ttl=ttl), n=10**6, intended=time, sent=time, latency=0.001))
    # Somebody else's answer from the zone, an hour before, is not that of this name and too late for it.
    return history


def test_an_answer_after_its_ttl_is_stale_within_the_limit_and_wrong_beyond() -> None:
    history = outlived(after=100.0, ttl=30)
    [old] = history.lookups("later")
    fresh_zone = [message for message in history.all_messages if message.time > 40 and message.server == "example-1"]
    history.all_messages = [one for one in history.all_messages if one not in fresh_zone]
    last = max(one.time for one in history.all_messages if not one.is_query and one.server == "example-1")
    expired = old.ended - last - TTL
    assert expired > 1.5
    assert correctness.judge(case(history, stale=expired + 1), [old])[0].kind == "stale"
    [wrong] = correctness.judge(case(history, stale=expired - 1), [old])
    assert wrong.kind == "wrong"
    assert "after its TTL had run out" in wrong.why


def test_what_was_true_until_a_moment_ago_may_still_be_cached() -> None:
    history = fake_history()
    history.add(Truth(CACHED, "A", "NOERROR", (RR(CACHED, TTL, "A", "192.0.2.200"),), since=15.0))
    assert measured(history, "wrong").value == 0, "the old address lives on in caches for its TTL"
    early = spoilt(lambda one: answer(one, data="192.0.2.200"))
    early.add(Truth(CACHED, "A", "NOERROR", (RR(CACHED, TTL, "A", "192.0.2.200"),), since=40.0))
    assert measured(early, "wrong").value == 1, "the new address was given before it was true"


def test_a_resolver_that_keeps_nothing_for_long_counts_down_from_its_own_limit() -> None:
    history = spoilt(lambda one: answer(one, ttl=60 - int(one.intended + 0.5)))
    capped = {**BY_NAME, "resolver-1": replace(BY_NAME["resolver-1"], max_ttl=60)}
    judged = correctness.judge(Case(history, capped), history.lookups("fault"))
    kinds = {one.kind for one in judged if one.lookup.ttl is not None and one.lookup.ttl < 61}
    assert kinds == {"cached"}


def reply(query: Message, time: float, status: str = "NOERROR", *, answers: int = 1) -> Message:
    """What the server that was asked says."""
    return replace(
        query, time=time, sender=query.receiver, receiver=query.sender, is_query=False, status=status,
        answers=answers, authoritative=answers > 0,
    )  # fmt: skip


def renewed(read: float) -> History:
    """In virtual time: BIND renews a record beside its answer, and the other resolver's look-up moves the clock on.

    `read`: when BIND read the reply.
    """
    name, ttl = CACHED, 60
    history = History(
        phases=[Phase("steady", 0.0, 200.0)], truths=[Truth(name, "A", "NOERROR", (RR(name, ttl, "A", "a"),))]
    )
    for n, (time, resolver, left) in enumerate(
        [
            (0.0, "resolver-2", 60),
            (59.0, "resolver-2", 1),
            (70.0, "resolver-1", 60),
            (80.0, "resolver-2", 60 - int(80 - read)),
        ]
    ):
        rrs = (RR(name, left, "A", "a"),)
        history.add(
            Lookup(n, time, time, 0.001, "host", resolver, name, "A", "answer", "NOERROR", answer=rrs, since="sent")
        )
    for time, resolver in ((0.0005, "resolver-2"), (59.002, "resolver-2"), (70.0005, "resolver-1")):
        query = Message(time - 0.0001, resolver, "example-1", "udp", name, "A", True)
        history.add(query)
        history.add(reply(query, time))
    return history


@pytest.mark.parametrize(("read", "wrong"), [(59.002, 0), (70.0, 0), (65.0, 1)])
def test_a_renewal_that_a_jump_for_another_resolver_overtook_is_of_either_time(read: float, wrong: int) -> None:
    assert measured(renewed(read), "wrong").value == wrong


# A client response timer: asked, waited for in vain, and given what was left (RFC 8767 section 5)

ASKED = Message(60.001, "resolver-1", "example-1", "udp", CACHED, "A", True)
REFERRED = Message(60.001, "resolver-1", "gtld-1", "udp", CACHED, "A", True)
BESIDE = Message(60.001, "resolver-1", "example-1", "udp", "mail.example.com.", "A", True)


def patient(*messages: Message, at: float = 60.0, ttl: int = 30, latency: float = 1.8, **changes: Any) -> History:
    """A record of 40 s, learnt at 0 s, is asked for when it has run out; what passes on the wire then is given."""
    rrs = (RR(CACHED, ttl, "A", "192.0.2.80"),)
    first = replace(ASKED, time=0.001)
    return History(
        phases=[Phase("silent", 30.0, 100.0)],
        truths=[Truth(CACHED, "A", "NOERROR", (RR(CACHED, 40, "A", "192.0.2.80"),))],
        all_messages=[first, reply(first, 0.002), *messages],
        all_lookups=[
            replace(
                Lookup(1, at, at, latency, "host", "resolver-1", CACHED, "A", "answer", "NOERROR",
                    answer=rrs, asked=("resolver-1",)),
                **changes,
            )
        ],
    )  # fmt: skip


def kind_of(history: History, stale: float = 86400.0) -> str:
    [judged] = correctness.judge(case(history, stale=stale), history.lookups("silent"))
    return judged.kind


@pytest.mark.parametrize(
    "history",
    [
        patient(ASKED),
        patient(ASKED, ede=(3,)),
        patient(ASKED, reply(ASKED, 63.0)),
        patient(ASKED, reply(ASKED, 60.002, "SERVFAIL", answers=0)),
        patient(REFERRED, reply(REFERRED, 60.002, answers=0), ASKED),
        patient(ASKED, BESIDE, reply(BESIDE, 60.002)),
        patient(ASKED, reply(ASKED, 61.7995), ede=(3,)),
        patient(replace(ASKED, time=40.101), at=40.1),
        patient(ASKED, ttl=40, ede=(3,)),
    ],
    ids=[
        "silence", "and it says so", "a reply too late", "a failure", "a referral", "a reply for another name",
        "a reply on the way", "just run out", "with a whole TTL",
    ],
)  # fmt: skip
def test_what_was_asked_for_in_vain_is_stale(history: History) -> None:
    assert kind_of(history) == "stale"


def test_what_was_asked_for_in_vain_is_wrong_beyond_the_limit() -> None:
    assert kind_of(patient(ASKED), stale=10.0) == "wrong"
    assert kind_of(patient(ASKED), stale=0.0) == "wrong"
    assert kind_of(patient(ASKED, ede=(3,)), stale=0.0) == "wrong"


@pytest.mark.parametrize(("ttl", "ede", "kind"), [(30, (), "stale"), (60, (3,), "stale"), (60, (), "wrong")])
def test_the_ttl_of_a_stale_answer_may_be_longer_than_the_zones(ttl: int, ede: tuple[int, ...], kind: str) -> None:
    history = patient(ASKED, ttl=ttl, ede=ede)
    history.truths = [Truth(CACHED, "A", "NOERROR", (RR(CACHED, 20, "A", "192.0.2.80"),))]
    assert kind_of(history) == kind
    assert kind_of(history, stale=0.0) == "wrong"
    told = patient(ASKED, reply(ASKED, 60.5), ttl=30)
    told.truths = history.truths
    assert kind_of(told) == "wrong", "a server was heard: what is given is its record, and the TTL is too long"
    cached = patient(at=10.0, ttl=30, ede=())
    cached.phases, cached.truths = [Phase("silent", 0.0, 100.0)], history.truths
    assert kind_of(cached) == "wrong", "its time had not run out"


def test_what_a_server_told_before_the_answer_is_fresh() -> None:
    assert kind_of(patient(ASKED, reply(ASKED, 61.0), ttl=40)) == "fresh"
    missed = patient(ASKED, ttl=40)
    assert kind_of(missed) == "fresh", "a reply that nobody saw: the TTL is whole, and nothing says stale"


def test_what_is_renewed_beside_the_answer_is_cached() -> None:
    sent = replace(ASKED, time=37.0005)
    renewed = patient(sent, reply(sent, 37.5), at=37.0, ttl=3, latency=0.001)
    assert kind_of(renewed) == "cached"


def test_a_stale_denial_is_stale_when_the_resolver_says_so() -> None:
    history = patient(ASKED, status="NXDOMAIN", answer=(), negative_ttl=30, ede=(19,))
    history.truths = [Truth(CACHED, "A", "NXDOMAIN", negative_ttl=40)]
    assert kind_of(history) == "stale"


# Attribution


def lookup(n: int, name: str, sent: float, latency: float, type: str = "A") -> Lookup:
    return Lookup(n, sent, sent, latency, "host", "r", name, type, "answer", "NOERROR", asked=("r",))


def query(time: float, name: str, type: str = "A", server: str = "s") -> Message:
    return Message(time, "r", server, "udp", name, type, True)


def states(lookups: Sequence[Lookup], messages: Sequence[Message]) -> list[str | None]:
    found = attribute(History(all_lookups=list(lookups), all_messages=list(messages)))
    return [found.state(one) for one in lookups]


def test_a_look_up_for_which_nothing_was_sent_is_a_hit() -> None:
    one, two = lookup(1, "a.com.", 1.0, 0.01), lookup(2, "a.com.", 2.0, 0.001)
    assert states([one, two], [query(1.001, "com."), query(1.002, "a.com.")]) == ["miss", "hit"]


def test_a_query_belongs_to_the_look_up_with_its_name_and_not_to_one_beside_it() -> None:
    slow, fast = lookup(1, "a.com.", 1.0, 0.1), lookup(2, "b.org.", 1.01, 0.05)
    assert states([slow, fast], [query(1.02, "b.org."), query(1.03, "org.")]) == ["hit", "miss"]


def test_the_address_of_a_name_server_belongs_to_the_look_up_that_was_going_on() -> None:
    one, two = lookup(1, "a.com.", 1.0, 0.1), lookup(2, "b.org.", 1.001, 0.0005)
    sent = [query(1.002, "a.com."), query(1.01, "ns.provider.net.")]
    assert states([one, two], sent) == ["miss", "hit"]


def test_who_waits_for_the_same_question_shares_it() -> None:
    one, two, later = (lookup(n, "a.com.", sent, 0.1) for n, sent in ((1, 1.0), (2, 1.05), (3, 3.0)))
    assert states([one, two, later], [query(1.001, "a.com.")]) == ["miss", "shared", "hit"]


def test_priming_and_prefetching_belong_to_nobody() -> None:
    one, two = lookup(1, "a.com.", 1.0, 0.1), lookup(2, "b.com.", 1.0, 0.1)
    found = attribute(History(all_lookups=[one, two], all_messages=[query(1.01, ".", "NS"), query(5.0, "a.com.")]))
    assert len(found.background) == 2
    assert not any(found.sent.values())


def test_a_look_up_that_reached_nobody_is_neither_hit_nor_miss() -> None:
    lost = replace(lookup(1, "a.com.", 1.0, 2.0), outcome="timeout", status="TIMEOUT")
    assert states([lost], []) == [None]


# What is measured


def test_availability_per_phase() -> None:
    history = fake_history()
    assert measured(history, "success", "baseline").value == 1
    fault = measured(history, "success", "fault")
    assert 0.6 < fault.low < fault.value < fault.high < 0.9
    assert measured(history, "failures", "fault").value == round((1 - fault.value) * (fault.samples or 0))
    assert measured(history, "share", "TIMEOUT", "fault").value == pytest.approx(1 - fault.value)
    assert measured(history, "success", "fault", name="www.example.com").value == 1
    assert measured(history, "success", "fault", resolver="resolver-1").value == fault.value
    with pytest.raises(Unmeasured):
        measured(history, "success", "fault", resolver="gtld-1")


def test_who_got_no_answer_was_slower_than_everybody() -> None:
    history = fake_history()
    assert measured(history, "p50", "latency", "fault").value < 0.01
    assert measured(history, "p99", "latency", "fault").value == float("inf")
    assert measured(history, "p99", "latency", "baseline").value < 0.1
    assert measured(history, "mean", "latency", "fault").value == float("inf")
    assert measured(history, "median", "ttl", "baseline").value <= TTL
    assert measured(history, "p100", "lateness").value <= 0.0004 + 1e-9


def test_the_cache_by_what_was_not_sent() -> None:
    history = fake_history()
    total = measured(history, "count", "baseline").value
    hits, misses = measured(history, "hits", "baseline").value, measured(history, "misses", "baseline").value
    assert hits + misses + measured(history, "shared", "baseline").value == total
    assert measured(history, "hit_ratio", "baseline").value == pytest.approx(hits / total)
    names = [one.name for one in history.lookups("baseline")]
    assert hits == names.count(CACHED)


def test_without_a_tap_absence_proves_nothing() -> None:
    history = fake_history()
    history.watched = False
    for name, *arguments in (("hit_ratio",), ("upstream", "root"), ("amplification",), ("server_share", "gtld-1")):
        with pytest.raises(Unmeasured, match="not recorded"):
            measured(history, name, *arguments)
    assert measured(history, "wrong").value == 0


def test_load_and_amplification() -> None:
    history = fake_history()
    assert measured(history, "upstream", "root", "baseline").value == 0
    misses = measured(history, "misses", "baseline").value
    tld, any_ = (measured(history, "upstream", target, "baseline").value for target in ("tld", "any"))
    assert misses - 1 <= tld <= misses
    assert measured(history, "upstream", "gtld-1", "baseline").value == tld
    assert measured(history, "load", "tld", "baseline").value == pytest.approx(tld / 10)
    assert measured(history, "busiest", "baseline").value == pytest.approx(misses, abs=1)
    count = measured(history, "count", "baseline").value
    assert measured(history, "amplification", "baseline").value == pytest.approx(any_ / count)


def test_which_server_is_chosen() -> None:
    history = fake_history()
    assert measured(history, "server_share", "gtld-1").value == 1, "gtld-2 serves the same zones and was never asked"
    assert measured(history, "server_share", "gtld-2").value == 0
    assert measured(history, "first", "192.0.2.80", name=CACHED).value == 1


def test_recovery_is_counted_to_the_first_of_many_that_are_served() -> None:
    history = fake_history()
    assert measured(history, "recovery_time").value == 0
    slow = fake_history()
    slow.all_lookups = [
        replace(one, outcome="timeout", status="TIMEOUT", answer=()) if 31 < one.intended < 34 and one.n % 2 else one
        for one in slow.all_lookups
    ]
    found = measured(slow, "recovery_time")
    assert found.value == pytest.approx(34 - 31.2, abs=0.15)
    assert found.low <= found.value


def test_without_recovery_the_time_is_endless_or_unknown() -> None:
    never, short, healthy = fake_history(), fake_history(), fake_history()
    never.all_lookups = [
        replace(one, outcome="timeout", status="TIMEOUT", answer=()) if one.intended > 31 else one
        for one in never.all_lookups
    ]
    assert measured(never, "recovery_time").value == float("inf")
    short.all_lookups = [one for one in short.all_lookups if one.intended < 31.4]
    with pytest.raises(Unmeasured, match="20 that are served in a row"):
        measured(short, "recovery_time")
    healthy.faults.clear()
    with pytest.raises(Unmeasured, match="no fault"):
        measured(healthy, "recovery_time")


def test_a_client_has_a_fresh_answer_when_its_ttl_says_so() -> None:
    """The cached name, learnt before the trial, is given with 30 s left until it is fetched again at 40 s.

    With a whole TTL of 40 s that looks as if it had been learnt 10 s before: no server says so.
    """
    history = fake_history()

    def given(one: Lookup) -> Lookup:
        if one.name != CACHED or one.intended < 31.2:
            return one
        return answer(one, ttl=30 if one.intended < 40 else 40 - int(one.intended - 40))

    history.truths = [Truth(CACHED, "A", "NOERROR", (RR(CACHED, 40, "A", "192.0.2.80"),))]
    history.add(Message(40.0, "example-1", "resolver-1", "udp", CACHED, "A", False, status="NOERROR", answers=1))
    history.all_lookups = [given(one) for one in history.all_lookups]
    found = measured(history, "refresh_time", name=CACHED)
    assert found.value == pytest.approx(40 - 31.2, abs=0.3)
    assert found.low <= found.value
    never = replace(history, all_lookups=[one for one in history.all_lookups if one.intended < 40])
    assert measured(never, "refresh_time", name=CACHED).value == float("inf")
    with pytest.raises(Unmeasured, match="after the healing"):
        measured(replace(history, all_lookups=[]), "refresh_time")


def test_what_is_served_too_late_is_not_served_within_the_time() -> None:
    history = fake_history()
    history.all_lookups = [replace(one, latency=3.0) if one.n == 0 else one for one in history.all_lookups]
    count = len(history.lookups("baseline"))
    assert measured(history, "within", "2.5", "baseline").value == pytest.approx(1 - 1 / count)
    assert measured(history, "within", "3", "baseline").value == 1
    assert measured(history, "within", "3", "fault").value < 1, "what was not answered is not served"


def test_extended_errors_are_counted_among_look_ups() -> None:
    history, asked = fake_history(), fake_history().lookups()
    history.all_lookups = [replace(one, ede=(3, 22)) if one.n == asked[0].n else one for one in history.all_lookups]
    found = measured(history, "ede", "3")
    assert (found.value, found.samples) == (pytest.approx(1 / len(asked)), len(asked))
    assert measured(history, "ede", "22").value == found.value
    assert measured(history, "ede", "2").value == 0


def test_the_instrument_itself() -> None:
    history = fake_history()
    assert measured(history, "rate", "baseline").value == pytest.approx(40, rel=0.15)
    assert measured(history, "duration", "fault").value == pytest.approx(19.6)


def test_fault_windows_say_whether_they_bit() -> None:
    window = FaultWindow("stop", "n", "", 1.0, 1.5, 3.0, 3.5)
    assert window.bit
    assert not replace(window, bites_from=None).bit
    assert not replace(window, lasted=False).bit
    assert not replace(window, problem="no effect").bit


def test_zones_are_found_for_names() -> None:
    found = case(fake_history())
    assert found.zone_of("www.example.com.") == "example.com"
    assert found.zone_of("example.com.") == "example.com"
    assert found.zone_of("other.com.") == "com"
    assert found.zone_of("x.org.") == "."
    assert isinstance(BY_NAME["host"], NodeRecord)


def test_an_authority_that_is_asked_itself_has_no_cache_to_answer_from() -> None:
    history = spoilt(lambda one: replace(answer(one, ttl=TTL), server="example-1", asked=("example-1",)))
    assert measured(history, "wrong").value == 0


def test_an_answer_that_waited_for_its_reader_may_be_as_old_as_when_it_was_sent() -> None:
    late = spoilt(lambda one: replace(one, latency=5.0))
    assert measured(late, "wrong").value == 0


def test_what_a_resolver_asked_while_nobody_watched_it_is_not_held_against_its_answers() -> None:
    history = spoilt(lambda one: answer(one, ttl=TTL - 900))
    history.marks = [*history.marks, Mark(5.0, "gap", "resolver-1 was not watched until 6.000 s: ended")]
    assert measured(history, "wrong").value == 0


# Counts alone


def counted(*loads: Load) -> History:
    return History(watched=False, phases=[Phase("calm", 0.0, 10.0), Phase("storm", 10.0, 20.0)], all_loads=list(loads))


def load(start: float, latency: float | None = 0.002, **statuses: int) -> Load:
    return Load(start, start + 2, "host", "r", sum(statuses.values()), statuses, latency, 0.001, 0.01, 0.001)


def test_counts_are_measured_per_phase() -> None:
    history = counted(
        load(1.0, NOERROR=1000),
        load(4.0, 0.004, NOERROR=900, NXDOMAIN=100),
        load(11.0, NOERROR=600, SERVFAIL=300, TIMEOUT=100),
    )
    assert measured(history, "success", "calm").value == 1
    assert measured(history, "success", "storm").value == pytest.approx(0.6)
    assert measured(history, "success", "storm").samples == 1000
    assert measured(history, "failures", "storm").value == 400
    assert measured(history, "failures").value == 400
    assert measured(history, "share", "SERVFAIL", "storm").value == pytest.approx(0.3)
    assert measured(history, "share", "TIMEOUT").value == pytest.approx(1 / 30)
    assert measured(history, "count", "calm").value == 2000
    assert measured(history, "rate", "calm").value == pytest.approx(500)
    assert measured(history, "duration", "calm").value == 10
    mean = measured(history, "mean", "latency", "calm")
    assert mean.value == pytest.approx(0.003)
    assert 0 < mean.high - mean.low < 0.0005
    assert measured(history, "mean", "latency", "storm").value == float("inf"), "who got no answer waited the longest"


def test_what_takes_each_look_up_is_not_measured_of_counts() -> None:
    history = counted(load(1.0, NOERROR=1000))
    for name, *arguments in (("hit_ratio",), ("p95", "latency"), ("wrong",), ("upstream", "root"), ("recovery_time",)):
        with pytest.raises(Unmeasured, match="takes each look-up"):
            measured(history, name, *arguments)
    with pytest.raises(Unmeasured, match="no ttl"):
        measured(history, "mean", "ttl", "calm")
    with pytest.raises(Unmeasured, match="nothing was sent"):
        measured(history, "rate", "storm")
