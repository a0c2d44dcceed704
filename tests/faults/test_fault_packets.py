"""Copies, order, rate, damage, size: what else becomes of packets."""

from __future__ import annotations

from typing import Any

import pytest
from faulttools import ask, counters, eventually, exactly, link, paced

from lab import Answer, Lab
from lab.faults.measuring import checksum_errors


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_every_packet_twice(lab: Lab, direction: str, ipv6: bool) -> None:
    """Counted where it arrives: by a rule at the host that delays nothing worth speaking of."""
    with (
        link(lab, "latency", "host", delay="0.1ms", to="tld") as arriving,
        link(lab, "duplicate", share="100%", direction=direction, transport="udp"),
    ):
        before = counters(arriving)[0]
        answers = ask(lab, count=20, ipv6=ipv6)
        assert all(answer.answered for answer in answers)
        # A query that comes twice is answered twice, an answer that is sent twice comes twice.
        eventually(lambda: exactly(counters(arriving)[0] - before, 40))


def test_tcp_bears_copies(lab: Lab) -> None:
    with link(lab, "duplicate", share="100%", direction="both"):
        assert all(answer.answered for answer in ask(lab, count=10, transport="tcp"))


def test_held_packets_are_overtaken(lab: Lab) -> None:
    with link(lab, "reorder", share="30%", hold="100ms") as fault:
        answers = paced(lab, 60, 0.005)
        held = counters(fault)[1]
    late = [answer.latency >= 0.1 for answer in answers]
    assert sum(late) >= held > 0
    assert not all(late)


def test_rate_queues_and_then_drops(lab: Lab) -> None:
    # 45 octets a query at 36 kbit/s: 10 ms each; ten of them fill the queue of 450 octets.
    with link(lab, "rate", rate="36kbit", queue="450B", transport="udp") as fault:
        answers = ask(lab, count=30, window=30, timeout=1.0)
        matched, _ = counters(fault)
    answered = sorted(answer.latency for answer in answers if answer.answered)
    print(f"{len(answered)} of {matched} answered, {answered[0] * 1000:.0f} to {answered[-1] * 1000:.0f} ms")
    assert 9 <= len(answered) < 30
    assert answered[-1] >= 0.08


@pytest.mark.parametrize(("direction", "receiver"), [("in", "tld"), ("out", "host")])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_a_flipped_bit_is_found_by_the_receivers_checksum(lab: Lab, direction: str, receiver: str, ipv6: bool) -> None:
    with link(lab, "corrupt", share="50%", direction=direction, transport="udp") as fault:
        before = checksum_errors(lab, [receiver])
        answers = ask(lab, count=60, window=60, timeout=0.5, ipv6=ipv6)
        matched, damaged = counters(fault)
        found = checksum_errors(lab, [receiver]) - before
    print(f"{damaged} of {matched} damaged, {found} wrong checksums at {receiver}")
    assert matched == 60
    assert damaged == found == sum(not answer.answered for answer in answers)
    assert 10 <= damaged <= 50


def test_tcp_mends_what_was_damaged(lab: Lab) -> None:
    with link(lab, "corrupt", share="20%", transport="tcp") as fault:
        answers = ask(lab, count=10, window=10, transport="tcp", timeout=20)
        assert counters(fault)[1] > 0
    assert all(answer.answered for answer in answers), "sent again until it is sound"


def big(lab: Lab, **how: Any) -> Answer:
    return lab.query("big.com", "TXT", **{"at": "tld", "recurse": False, "timeout": 0.5, "tcp_fallback": False, **how})


def test_only_large_packets_are_lost(lab: Lab) -> None:
    size = big(lab).size
    assert 1000 < size <= 1232
    with link(lab, "oversize", above="512B") as fault:
        assert not big(lab).answered
        assert not big(lab, transport="tcp").answered
        assert all(answer.answered for answer in ask(lab, count=5)), "small ones pass"
        assert counters(fault)[1] >= 2
    # 28 octets of headers over IPv4: one octet more than is let through, and exactly as many.
    for above, passes in ((size + 27, False), (size + 28, True)):
        with link(lab, "oversize", above=f"{above}B", transport="udp"):
            assert big(lab).answered is passes, above
    with link(lab, "oversize", above=f"{size + 28}B", transport="udp"):
        assert not big(lab, ipv6=True).answered, "20 octets more over IPv6"


def test_over_tcp_it_gets_through_where_only_large_datagrams_are_lost(lab: Lab) -> None:
    with link(lab, "oversize", above="600B", transport="udp"):
        assert not big(lab).answered
        assert big(lab, transport="tcp").answered
