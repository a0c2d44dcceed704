"""The assertions, when they hold and what they say when they do not; with the fixtures of the plugin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import BadInput, Lab
from lab.faults.fault import Fault
from lab.node import Node
from lab.observe.observation import Observation
from lab.testing import assert_answer, assert_cached, assert_latency, assert_ttl, assert_upstream, eventually
from lab.testing.undertest import LabUnderTest
from lab.testing.zones import ZoneChanges

pytestmark = pytest.mark.dnslab("minimal")

WWW = "www.example.com"


# What holds


def test_an_answer_may_be_asked_for_everywhere(dns_lab: LabUnderTest, resolver: Node, host: Node) -> None:
    for where in (dns_lab, resolver, host, dns_lab.node("authority")):
        assert_answer(where, WWW, "192.0.2.80")
    assert_answer(host, WWW, "2001:DB8:0::80", type="AAAA")
    assert_answer(host, "example.com", "10 MAIL.example.com", type="MX")
    assert_answer(host, "ftp.example.com", "192.0.2.80", transport="tcp")
    assert_answer(host, WWW, status="NODATA", type="TXT")
    assert_answer(host, "nowhere.example.com", status="NXDOMAIN")


def test_the_cache_is_told_by_the_wire(resolver: Node, dns_seen: Observation) -> None:
    assert_answer(resolver, WWW)
    assert_upstream(dns_seen, 3)
    assert_upstream(dns_seen, 1, to="root")
    assert_upstream(dns_seen, 1, name=WWW, to="authority")
    assert_cached(resolver, WWW)
    resolver.flush(WWW)
    with pytest.raises(AssertionError, match="expected: an answer from the cache\ngot:      1 queries upstream"):
        assert_cached(resolver, WWW)


def test_ttls_go_down_by_the_clock(dns_lab: LabUnderTest, resolver: Node) -> None:
    assert_ttl(resolver, WWW, exactly=3600)
    dns_lab.clock.advance(minutes=10)
    assert_ttl(resolver, WWW, at_least=2900, at_most=3000)


def test_latency_with_a_slow_server(resolver: Node, dns_fault: Callable[..., Fault]) -> None:
    assert_latency(resolver, WWW, below="2s")
    dns_fault("latency", "authority", delay="150ms")
    resolver.flush()
    assert_latency(resolver, WWW, above="150ms", below=3.0)
    assert len(assert_latency(resolver, WWW, below="100ms", samples=9)) == 9


def test_a_change_reaches_clients_when_its_time_has_come(
    dns_lab: LabUnderTest, resolver: Node, dns_zone: ZoneChanges
) -> None:
    assert_answer(resolver, WWW, "192.0.2.80")
    dns_zone.set(WWW, "A", "192.0.2.99", ttl=30)
    assert_answer(resolver, WWW, "192.0.2.80")
    dns_lab.clock.advance(hours=1, seconds=1)
    eventually(lambda: assert_answer(resolver, WWW, "192.0.2.99"))
    dns_zone.add("new.example.com", "AAAA", "2001:db8::1")
    assert_answer(resolver, "new.example.com", "2001:db8::1", type="AAAA")
    dns_zone.remove("mail.example.com", "A")
    assert_answer(resolver, "mail.example.com", status="NXDOMAIN")


def test_and_was_undone_after_that_test(resolver: Node) -> None:
    assert_answer(resolver, WWW, "192.0.2.80")
    assert_answer(resolver, "mail.example.com", "192.0.2.25")
    assert_answer(resolver, "new.example.com", status="NXDOMAIN")


# What does not


def test_a_wrong_answer_is_told_with_its_story(resolver: Node) -> None:
    with pytest.raises(AssertionError) as failure:
        assert_answer(resolver, WWW, "192.0.2.81")
    said = str(failure.value)
    assert said.startswith(
        f"{WWW} A, asked by host at resolver\nexpected: 192.0.2.81\ngot:      NOERROR 192.0.2.80\n\n"
    )
    for piece in ("resolver → root", "resolver → tld", "resolver → authority", "Where the time went"):
        assert piece in said


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda host: assert_answer(host, WWW, status="NXDOMAIN"), "expected: NXDOMAIN\ngot:      NOERROR 192.0.2.80"),
        (lambda host: assert_answer(host, WWW, type="TXT"), "expected: NOERROR\ngot:      NODATA"),
        (lambda host: assert_ttl(host, WWW, at_most=60), "expected: a TTL at most 60\ngot:      3600"),
        (lambda host: assert_ttl(host, WWW, "TXT", at_most=60), "records with a TTL at most 60\ngot:      NODATA"),
        (lambda host: assert_latency(host, WWW, above="5s"), "expected: an answer above 5s\ngot: "),
        (lambda host: assert_upstream(host.home, 7), "expected queries upstream: exactly 7\ngot: 0"),
    ],
)
def test_what_was_expected_and_what_came(host: Node, check: Callable[[Node], object], said: str) -> None:
    with pytest.raises(AssertionError) as failure:
        check(host)
    assert said in str(failure.value)


def test_a_dead_server_is_told(resolver: Node, dns_fault: Callable[..., Fault]) -> None:
    dns_fault("stop", "authority")
    with pytest.raises(AssertionError, match=r"got:      (TIMEOUT|SERVFAIL)(.|\n)*without an answer"):
        assert_answer(resolver, WWW, "192.0.2.80", timeout=2)


# Beside the plugin


def test_the_assertions_work_with_every_lab(dns_lab: LabUnderTest) -> None:
    with Lab.attach(dns_lab.name) as lab:
        assert_answer(lab, WWW, "192.0.2.80")
        assert_cached(lab, WWW)
        with pytest.raises(AssertionError, match="an answer from the cache"):
            assert_cached(lab, "mail.example.com")


def test_nodes_can_be_asked_and_broken_themselves(dns_lab: LabUnderTest, host: Node, resolver: Node) -> None:
    assert host.query(WWW).host == "host"
    assert resolver.query(WWW).server == "resolver"
    assert resolver.trace(WWW, cold=True).upstream
    with dns_lab.node("authority").fault("refused"):
        resolver.flush()
        assert_answer(resolver, WWW, status="SERVFAIL", timeout=8)


@pytest.mark.parametrize("resolver", ["resolver"], indirect=True)
def test_a_resolver_is_chosen_by_name(resolver: Node) -> None:
    assert resolver.name == "resolver"


def test_what_cannot_be_asked_is_told(resolver: Node) -> None:
    with pytest.raises(BadInput, match="cannot ask"):
        assert_answer(resolver, "www..example.com")
