"""The program in its own process, on a lab from a file: right answers, and right behaviour when names break."""

from __future__ import annotations

import mailroute
import pytest
from mailroute import Hop

from lab.testing import assert_answer, assert_latency, assert_upstream

pytestmark = pytest.mark.dnslab("mail.yaml")


def test_the_preferred_server_comes_first(route):
    assert route("example.com") == [
        Hop(10, "mx1.example.com", ("2001:db8::1", "192.0.2.1")),
        Hop(20, "mx2.example.com", ("192.0.2.2",)),
    ]


def test_without_mail_servers_mail_goes_to_the_domain_itself(route):
    assert route("shop.example.com") == [Hop(0, "shop.example.com", ("192.0.2.80",))]


def test_a_mail_server_without_address_is_passed_over(route):
    assert route("half.example.com") == [Hop(20, "mx2.example.com", ("192.0.2.2",))]


@pytest.mark.parametrize("domain", ["nomail.example.com", "nowhere.example.com"])
def test_no_mail(route, domain):
    with pytest.raises(mailroute.NoMail):
        route(domain)


def test_one_name_server_may_be_down(route, dns_fault):
    dns_fault("stop", "ns1")
    assert [hop.host for hop in route("example.com")] == ["mx1.example.com", "mx2.example.com"]


def test_mail_is_kept_while_the_dns_cannot_say(route, host, dns_fault):
    fault = dns_fault("servfail", "example.com")  # the zone: at all its servers
    with pytest.raises(mailroute.TryLater):
        route("example.com")
    fault.heal()
    host.home.flush()
    assert route("example.com")


def test_a_mail_server_that_moved(route, host, dns_zone):
    dns_zone.set("mx2.example.com", "A", "198.51.100.2")
    assert_answer(host, "mx2.example.com", "198.51.100.2")
    assert route("example.com")[-1] == Hop(20, "mx2.example.com", ("198.51.100.2",))


def test_the_second_mail_costs_no_query_upstream(route, dns_seen):
    route("example.com")
    asked = assert_upstream(dns_seen, at_least=3)
    route("example.com")
    assert_upstream(dns_seen, exactly=asked)


@pytest.mark.dnslab(needs=["nfqueue"])
def test_a_name_server_far_away_costs_its_distance_once(route, host, dns_fault):
    dns_fault("latency", "example.com", delay="200ms")
    assert_latency(host, "mx1.example.com", above="200ms", below="3s")
    assert_latency(host, "mx1.example.com", below="150ms", samples=5)
    assert route("example.com")
