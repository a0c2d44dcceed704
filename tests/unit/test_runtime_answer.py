"""What is made of a message that came back."""

from __future__ import annotations

import pytest
from dnslib import EDNS0, QTYPE, RR, DNSHeader, DNSQuestion, DNSRecord, EDNSOption

from lab.agent.protocol import Attempt, Query, Result
from lab.runtime.answer import Answer


def received(wire: bytes, type: str = "A", outcome: str = "answer") -> Answer:
    attempt = Attempt("10.53.0.193", "udp", 0.0, 0.001, outcome)  # type: ignore[arg-type]
    result = Result(0, outcome, "10.53.0.193", "udp", 0.001, 0.0, wire, (attempt,))  # type: ignore[arg-type]
    return Answer(Query("www.example.com.", type, ("10.53.0.193",)), result, "host", "resolver-1")


def message(*zone: str, type: str = "A", **header: int) -> DNSRecord:
    made = DNSRecord(DNSHeader(qr=1, **header), q=DNSQuestion("www.example.com.", getattr(QTYPE, type)))
    for line in zone:
        made.add_answer(*RR.fromZone(line))
    return made


@pytest.mark.parametrize(
    ("rcode", "extended", "status"),
    [(0, 0, "NOERROR"), (3, 0, "NXDOMAIN"), (2, 0, "SERVFAIL"), (5, 0, "REFUSED"), (0, 1, "BADVERS"),
     (7, 1, "BADCOOKIE"), (11, 0, "RCODE11"), (15, 255, "RCODE4095")],
)  # fmt: skip
def test_the_status_has_all_twelve_bits(rcode: int, extended: int, status: str) -> None:
    made = message(rcode=rcode)
    made.add_ar(EDNS0(udp_len=1400, ext_rcode=extended))
    answer = received(made.pack())
    assert answer.status == status
    assert answer.edns_size == 1400
    assert answer.additional == (), "OPT is no record of the additional section"


def test_without_edns_there_is_no_size() -> None:
    assert received(message().pack()).edns_size is None


def test_extended_errors_are_read_with_their_text() -> None:
    made = message()
    options = [
        EDNSOption(10, b"12345678"),
        EDNSOption(15, b"\x00\x03"),
        EDNSOption(15, b"\x00\x16gone"),
        EDNSOption(15, b""),
    ]
    made.add_ar(EDNS0(udp_len=1232, opts=options))
    answer = received(made.pack())
    assert answer.ede == ((3, ""), (22, "gone"))
    assert answer.to_json()["ede"] == [{"code": 3, "text": ""}, {"code": 22, "text": "gone"}]
    assert received(message().pack()).ede == ()


@pytest.mark.parametrize(
    ("written", "normal"),
    [("2001:db8:0:0:0:0:0:1", "2001:db8::1"), ("2001:0db8::0001:0", "2001:db8::1:0"), ("::", "::"),
     ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1")],
)  # fmt: skip
def test_ipv6_addresses_are_written_as_rfc_5952_says(written: str, normal: str) -> None:
    answer = received(message(f"www.example.com. 60 AAAA {written}", type="AAAA").pack(), "AAAA")
    assert answer.data() == (normal,)


def test_flags_are_those_of_the_header() -> None:
    assert received(message(aa=1, tc=1, rd=1, ra=1, ad=1, cd=1).pack()).flags == (
        "qr", "aa", "tc", "rd", "ra", "ad", "cd",
    )  # fmt: skip
    assert received(b"", outcome="timeout").flags == ()


@pytest.mark.parametrize("cut", [13, 20, 33, 40])
def test_a_message_that_cannot_be_parsed_is_an_answer_without_records(cut: int) -> None:
    answer = received(message("www.example.com. 60 A 192.0.2.80").pack()[:cut])
    assert answer.answered
    assert answer.message is None
    assert (answer.answer, answer.authority, answer.additional, answer.data()) == ((), (), (), ())
    assert answer.status == "NOERROR", "the header was there"
    assert answer.to_json()["answer"] == []


def test_no_answer_is_its_outcome() -> None:
    answer = received(b"", outcome="timeout")
    assert (answer.status, answer.answered, answer.message, answer.size) == ("TIMEOUT", False, None, 0)
    assert answer.to_json()["status"] == "TIMEOUT"


def test_the_chain_follows_aliases_in_any_order_and_case_and_ends_in_a_loop() -> None:
    chained = message("B.example.com. 60 CNAME c.example.com.", "WWW.example.com. 60 CNAME b.example.com.")
    assert received(chained.pack()).chain == ("www.example.com.", "b.example.com.", "c.example.com.")
    loop = message("www.example.com. 60 CNAME b.example.com.", "b.example.com. 60 CNAME www.example.com.")
    assert received(loop.pack()).chain[:2] == ("www.example.com.", "b.example.com.")
    assert len(received(loop.pack()).chain) == 3


def test_a_type_without_a_name_is_shown_by_its_number() -> None:
    made = message("www.example.com. 60 A 192.0.2.80")
    made.rr[0].rtype = 65280
    assert received(made.pack()).answer[0].type == "TYPE65280"


def test_a_referral_is_told_from_nodata() -> None:
    referral = message()
    referral.add_auth(*RR.fromZone("example.com. 60 NS ns1.example.com."))
    assert received(referral.pack()).is_referral
    nodata = message()
    nodata.add_auth(*RR.fromZone("example.com. 60 SOA ns1.example.com. h.example.com. 1 2 3 4 5"))
    assert not received(nodata.pack()).is_referral
    own = message(aa=1)
    own.add_auth(*RR.fromZone("example.com. 60 NS ns1.example.com."))
    assert not received(own.pack()).is_referral


def test_data_is_that_of_the_type_asked_for() -> None:
    answer = received(message("www.example.com. 60 CNAME a.example.com.", "a.example.com. 60 A 192.0.2.1").pack())
    assert answer.data() == ("192.0.2.1",)
    assert answer.data("cname") == ("a.example.com.",)
