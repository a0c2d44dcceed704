"""Messages: what they are, what is read of them, and that nothing in them can raise."""

from __future__ import annotations

import random
from collections.abc import Iterable

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.observe.message import Message

AA, RA, TC = dns.flags.AA, dns.flags.RA, dns.flags.TC
SOA = "example.com. 900 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 900"


def message(wire: bytes) -> Message:
    return Message("resolver-1", 1.5, "10.53.0.18", 53, "10.53.0.193", 4000, "example-1", "resolver-1", "udp", wire)


def response(
    name: str = "www.example.com.",
    type: str = "A",
    *,
    answer: Iterable[str] = (),
    authority: Iterable[str] = (),
    additional: Iterable[str] = (),
    flags: int = AA,
    rcode: str = "NOERROR",
    edns: bool = False,
    options: Iterable[dns.edns.Option] = (),
) -> Message:
    made = dns.message.make_response(dns.message.make_query(name, type))
    made.flags |= flags
    for section, records in ((made.answer, answer), (made.authority, authority), (made.additional, additional)):
        section += [dns.rrset.from_text(*record.split(maxsplit=4)) for record in records]
    if edns or options:
        made.use_edns(0, payload=1232, options=list(options))
    made.set_rcode(dns.rcode.from_text(rcode))
    return message(made.to_wire())


NS_COM = ["com. 172800 IN NS a.gtld-servers.net.", "com. 172800 IN NS b.gtld-servers.net."]


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (message(dns.message.make_query("www.example.com", "A").to_wire()), "query"),
        (response(answer=["www.example.com. 60 IN A 192.0.2.80"]), "answer"),
        (response(answer=["www.example.com. 60 IN A 192.0.2.80"], flags=RA), "answer"),
        (response(answer=["www.example.com. 60 IN CNAME web.example.org."]), "answer"),
        (response(answer=["www.example.com. 60 IN A 192.0.2.80"], flags=0), "lame"),
        (response(authority=[SOA]), "negative"),
        (response(authority=[SOA], rcode="NXDOMAIN"), "negative"),
        (response(authority=[SOA], rcode="NXDOMAIN", flags=RA), "negative"),
        (response(authority=[SOA], rcode="NXDOMAIN", flags=0), "lame"),
        (response(answer=["www.example.com. 60 IN CNAME web.example.com."], authority=[SOA]), "negative"),
        (response(flags=AA), "negative"),
        (response(flags=0), "lame"),
        (response(authority=NS_COM, flags=0), "referral"),
        (response(authority=[". 60 IN NS a.root-servers.net."], flags=0), "lame"),
        (response(authority=["org. 60 IN NS a.gtld-servers.net."], flags=0), "lame"),
        (response(flags=AA | TC), "truncated"),
        (response(flags=0, rcode="REFUSED"), "error"),
        (response(flags=RA, rcode="SERVFAIL"), "error"),
        (response(flags=0, rcode="BADVERS", edns=True), "error"),
        (message(b""), "malformed"),
        (message(bytes(11)), "malformed"),
        (message(response().wire[:-1]), "malformed"),
        (message(response().wire + b"x"), "malformed"),
    ],
)
def test_kinds(seen: Message, kind: str) -> None:
    assert seen.kind == kind, seen.malformed
    assert bool(seen.malformed) is (kind == "malformed")


def test_a_referral_says_to_which_zone() -> None:
    assert response(authority=NS_COM, flags=0).referral == "com"
    assert response("COM.", authority=["CoM. 60 IN NS a.gtld-servers.net."], flags=0).referral == "com"
    assert response("notcom.", authority=NS_COM, flags=0).referral == ""
    assert response(authority=NS_COM, flags=AA).referral == "", "the answer of one that has the zone itself"


def test_header_and_question() -> None:
    query = dns.message.make_query("wWw.Example.COM", "TYPE65280", want_dnssec=True)
    query.flags |= dns.flags.CD
    seen = message(query.to_wire())
    assert (seen.id, seen.is_query, seen.opcode, seen.flags) == (query.id, True, 0, ("rd", "cd"))
    assert (seen.name, seen.qname, seen.type) == ("wWw.Example.COM.", "www.example.com", "TYPE65280")
    assert seen.counts == (1, 0, 0, 1)
    assert seen.rcode == ""
    assert seen.edns is not None
    assert seen.edns.do
    assert not seen.is_priming
    root = message(dns.message.make_query(".", "NS").to_wire())
    assert (root.name, root.qname, root.is_priming) == (".", ".", True)


def test_flags_are_those_dig_shows() -> None:
    seen = response(flags=AA | RA)
    assert seen.flags == ("qr", "aa", "rd", "ra")
    assert (seen.aa, seen.tc, seen.rd, seen.ra, seen.ad, seen.cd) == (True, False, True, True, False, False)


def test_names_with_odd_octets_are_escaped() -> None:
    assert message(dns.message.make_query(r"a\.b\000c.example", "A").to_wire()).name == r"a\.b\000c.example."


def test_records_and_extended_errors() -> None:
    seen = response(
        answer=["www.example.com. 60 IN A 192.0.2.80", "www.example.com. 60 IN A 192.0.2.81"],
        authority=NS_COM,
        additional=["a.gtld-servers.net. 60 IN AAAA fd53::14"],
        options=[dns.edns.EDEOption(22, "no server answers")],
    )
    assert [(r.name, r.ttl, r.type, r.data) for r in seen.answer] == [
        ("www.example.com.", 60, "A", "192.0.2.80"),
        ("www.example.com.", 60, "A", "192.0.2.81"),
    ]
    assert [r.data for r in seen.authority] == ["a.gtld-servers.net.", "b.gtld-servers.net."]
    assert [r.data for r in seen.additional] == ["fd53::14"], "OPT is no record of the section"
    assert seen.edns is not None
    assert seen.edns.size == 1232
    assert seen.edns.ede == ((22, "no server answers"),)


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN", "REFUSED", "BADVERS", "BADCOOKIE"])
def test_the_rcode_is_that_of_a_full_parse(rcode: str) -> None:
    seen = response(authority=NS_COM, additional=["a.gtld-servers.net. 60 IN A 10.53.0.14"], rcode=rcode, edns=True)
    assert seen.rcode == rcode
    assert seen.parsed is not None
    assert dns.rcode.to_text(seen.parsed.rcode()) == rcode


def read_all(seen: Message) -> None:
    seen.to_json()
    assert (seen.kind == "malformed") is bool(seen.malformed)
    assert seen.edns is None or seen.edns.size >= 0
    assert seen.is_priming in (True, False)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_no_octets_whatever_raise(wire: bytes) -> None:
    read_all(message(wire))


def test_a_thousand_damaged_messages_do_not_raise() -> None:
    chance = random.Random(1)
    sound = response(answer=["www.example.com. 60 IN A 192.0.2.80"], authority=[SOA], edns=True).wire
    for _ in range(1000):
        damaged = bytearray(sound)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        read_all(message(bytes(damaged[: chance.randrange(len(damaged) + 1)])))
