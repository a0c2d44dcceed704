"""What the names of a domain have to be like, on the lab that the configuration of pytest names."""

from __future__ import annotations

from lab.testing import assert_answer, assert_cached, assert_latency, assert_ttl, assert_upstream, eventually


def test_mail_server(host):
    assert_answer(host, "example.com", "10 mail.example.com", type="MX")
    assert_answer(host, "mail.example.com", "192.0.2.25")


def test_a_resolver_asks_from_the_root_down_and_then_never_again(resolver, dns_lab):
    assert_answer(resolver, "mail.example.com")
    assert_upstream(dns_lab, exactly=1, to="root", name="com")
    assert_cached(resolver, "mail.example.com")
    assert_latency(resolver, "mail.example.com", below="500ms", samples=5)


def test_an_address_is_kept_for_an_hour(dns_lab):
    assert_ttl(dns_lab, "mail.example.com", exactly=3600)
    dns_lab.clock.advance(minutes=50)
    assert_ttl(dns_lab, "mail.example.com", at_least=500, at_most=600)
    dns_lab.clock.advance(minutes=11)
    assert_ttl(dns_lab, "mail.example.com", exactly=3600)


def test_a_short_ttl_makes_a_move_quick(dns_lab, host, dns_zone):
    dns_zone.set_ttl("mail.example.com", "A", 60)
    assert_ttl(host, "mail.example.com", exactly=60)
    dns_zone.set("mail.example.com", "A", "198.51.100.25", ttl=60)
    assert_answer(host, "mail.example.com", "192.0.2.25")  # as cached
    dns_lab.clock.advance(minutes=1, seconds=1)
    eventually(lambda: assert_answer(host, "mail.example.com", "198.51.100.25"))
