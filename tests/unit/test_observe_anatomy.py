"""Messages taken apart octet by octet, and what dnspython reads from the same octets."""

from __future__ import annotations

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.observe.anatomy import Anatomy, dissect
from lab.observe.fields import Part

TEXT = """\
id 4660
opcode QUERY
rcode NOERROR
flags QR AA RD
edns 0
payload 1232
;QUESTION
www.example.com. IN A
;ANSWER
www.example.com. 3600 IN CNAME a.example.com.
a.example.com. 300 IN A 192.0.2.80
;AUTHORITY
example.com. 172800 IN NS ns.example.com.
;ADDITIONAL
ns.example.com. 172800 IN AAAA 2001:db8::53
"""
WIRE = dns.message.from_text(TEXT).to_wire()


def find(parts: tuple[Part, ...], label: str) -> list[Part]:
    """All parts called `label`, at any depth."""
    return [found for part in parts for found in ([part] if part.label == label else []) + find(part.parts, label)]


def assert_whole(anatomy: Anatomy) -> None:
    """The leaves are the message: each octet once, in order."""
    at = 0
    for leaf in anatomy.leaves():
        assert leaf.start == at, leaf
        at = leaf.end
    assert at == len(anatomy.wire)


def test_every_octet_has_its_place() -> None:
    anatomy = dissect(WIRE)
    assert anatomy.broken is None
    assert_whole(anatomy)
    assert [(part.label, part.start, part.end) for part in anatomy.parts] == [
        ("Header", 0, 12),
        ("Question", 12, 33),
        ("Answer", 33, 65),
        ("Authority", 65, 82),
        ("Additional", 82, 121),
    ]


def test_the_bits_of_the_header_have_names() -> None:
    [flags] = find(dissect(WIRE).parts, "flags")
    assert {part.label: part.value.split()[0] for part in flags.parts} == {
        **{"QR": "1", "OPCODE": "0", "AA": "1", "TC": "0", "RD": "1", "RA": "0", "Z": "0", "AD": "0", "CD": "0"},
        "RCODE": "0",
    }
    assert sum(part.bits[1] for part in flags.parts if part.bits) == 16


def test_pointers_say_where_they_lead() -> None:
    pointers = find(dissect(WIRE).parts, "pointer")
    assert [(part.start, part.target) for part in pointers] == [
        (33, 12),
        (47, 16),
        (49, 45),
        (65, 16),
        (80, 16),
        (82, 77),
    ]
    assert pointers[2].value == "to octet 45: a.example.com."


def test_records_are_told_as_in_a_zone_file() -> None:
    assert [record.value for record in dissect(WIRE).records] == [
        "www.example.com. 3600 CNAME a.example.com.",
        "a.example.com. 300 A 192.0.2.80",
        "example.com. 172800 NS ns.example.com.",
        "ns.example.com. 172800 AAAA 2001:db8::53",
        "OPT: EDNS version 0, 1232 octets",
    ]


def test_options_of_edns_are_named() -> None:
    query = dns.message.make_query("example.com", "MX", want_dnssec=True)
    cookie = dns.edns.GenericOption(10, bytes.fromhex("0102030405060708"))
    query.use_edns(options=[cookie, dns.edns.EDEOption(22, "all dead")], ednsflags=dns.flags.DO)
    anatomy = dissect(query.to_wire())
    assert [part.value for part in find(anatomy.parts, "option")] == ["cookie", "extended error"]
    assert [part.value for part in find(anatomy.parts, "option data")] == [
        "client 0102030405060708",
        "22: no reachable authority, 'all dead'",
    ]
    assert find(anatomy.parts, "DO")[0].value.startswith("1")


@pytest.mark.parametrize(
    ("wire", "offset", "reason"),
    [
        (b"", 0, "the message ends here: ID takes 2 octets, none left"),
        (WIRE[:7], 6, "the message ends here: ANCOUNT takes 2 octets, 1 left"),
        (WIRE[:26], 25, "the message ends here: a label of 3 octets takes 3 octets, 1 left"),
        (WIRE[:60], 59, "the message ends here: RDLENGTH takes 2 octets, 1 left"),
        (WIRE[:63], 61, "RDLENGTH says 4 octets; the message has 2 left"),
        (WIRE + b"\0", 121, "1 octet more than the counts of the header announce"),
        (WIRE[:33] + b"\xc0\x21" + WIRE[35:], 33, "a pointer to octet 33, which is not before the name it is in"),
        (WIRE[:33] + b"\xff\xff" + WIRE[35:], 33, "a pointer to octet 16383, which is not before the name it is in"),
        (WIRE[:33] + b"\x80\x0c" + WIRE[35:], 33, "0x80 is neither the length of a label (0 to 63) nor a pointer"),
        (WIRE[:33] + b"\xc0\x02" + WIRE[35:], 33, "a pointer to octet 2, where no label begins (0x85)"),
        (WIRE[:59] + b"\0\3" + WIRE[61:], 65, "the address goes beyond the 3 octets that RDLENGTH says"),
        (WIRE[:59] + b"\0\5" + WIRE[61:], 65, "RDLENGTH says 5 octets: 1 more than the fields take"),
    ],
)
def test_what_is_malformed_is_read_up_to_where_it_breaks(wire: bytes, offset: int, reason: str) -> None:
    anatomy = dissect(wire)
    assert anatomy.broken is not None
    assert (anatomy.broken.offset, anatomy.broken.reason) == (offset, reason)
    assert_whole(anatomy)


def test_pointers_in_a_circle_end() -> None:
    wire = bytes.fromhex("000000000001000000000000") + b"\xc0\x0e\xc0\x0c"
    broken = dissect(wire).broken
    assert broken is not None
    assert "not before" in broken.reason


LABELS = st.binary(min_size=1, max_size=20)
NAMES = st.lists(LABELS, max_size=6).map(lambda labels: dns.name.Name([*labels, b""]))
U16, U32 = st.integers(0, 65535), st.integers(0, 2**31 - 1)
TEXTS = st.lists(st.binary(max_size=40), min_size=1, max_size=3)


def quoted(strings: list[bytes]) -> str:
    return " ".join('"' + "".join(f"\\{octet:03d}" for octet in string) + '"' for string in strings)


DATA = st.one_of(
    st.ip_addresses(v=4).map(lambda address: ("A", str(address))),
    st.ip_addresses(v=6).map(lambda address: ("AAAA", str(address))),
    st.tuples(st.sampled_from(("NS", "CNAME", "PTR", "DNAME")), NAMES.map(dns.name.Name.to_text)),
    st.tuples(U16, NAMES).map(lambda given: ("MX", f"{given[0]} {given[1]}")),
    st.tuples(U16, U16, U16, NAMES).map(lambda given: ("SRV", " ".join(map(str, given)))),
    st.tuples(NAMES, NAMES, U32, U32, U32, U32, U32).map(lambda given: ("SOA", " ".join(map(str, given)))),
    TEXTS.map(lambda strings: ("TXT", quoted(strings))),
    st.binary(max_size=30).map(lambda data: ("TYPE65280", f"\\# {len(data)} {data.hex()}")),
)
RECORDS = st.lists(st.tuples(NAMES, U32, DATA), max_size=5)


@st.composite
def messages(draw: st.DrawFn) -> dns.message.Message:
    """Messages with records of all types that are taken apart, from few names, so that pointers abound."""
    message = dns.message.make_response(dns.message.make_query(draw(NAMES), draw(st.sampled_from(["A", "TXT", "SOA"]))))
    message.id = draw(U16)
    for section in (message.answer, message.authority, message.additional):
        for name, ttl, (kind, data) in draw(RECORDS):
            section.append(dns.rrset.from_text(name, ttl, "IN", kind, data))
    return message


@settings(deadline=None)
@given(messages())
def test_what_dnspython_writes_is_read_as_it_reads_it(message: dns.message.Message) -> None:
    try:
        wire = message.to_wire(max_size=65535)
    except dns.exception.TooBig:
        return
    anatomy = dissect(wire)
    assert anatomy.broken is None
    assert_whole(anatomy)
    read = dns.message.from_wire(wire, one_rr_per_rrset=True)
    expected = [
        (rrset.name, rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rrset[0])
        for section in (read.answer, read.authority, read.additional)
        for rrset in section
    ]
    for record, (name, ttl, kind, data) in zip(anatomy.records, expected, strict=True):
        owner, shown_ttl, shown_kind, shown = record.value.split(" ", 3)
        assert (dns.name.from_text(owner), int(shown_ttl), shown_kind) == (name, ttl, kind)
        assert dns.rdata.from_text("IN", kind, shown) == data


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
@example(b"", 12, 0xC0)
def test_no_octets_stop_the_reader(octets: bytes, place: int, value: int) -> None:
    damaged = bytearray(WIRE)
    damaged[place % len(WIRE)] = value
    for wire in (octets, WIRE[:12] + octets, bytes(damaged)):
        anatomy = dissect(wire)
        assert_whole(anatomy)
        if anatomy.broken is not None:
            assert 0 <= anatomy.broken.offset <= len(wire)
