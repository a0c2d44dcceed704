"""Records as people write them in a lab file (RFC 1035 section 5.1)."""

from __future__ import annotations

import textwrap

import dns.name
import pytest

from lab.topology.derive import derive
from lab.topology.loading import loads
from lab.topology.model import Origin
from lab.topology.records import Unreadable, Written, read_records

ZONE = dns.name.from_text("example.com")
PROGRAMS = {"knot": ("authority",), "unbound": ("resolver",)}


def read(text: str) -> list[tuple[str, int, str, str]]:
    entries = read_records(text, ZONE, 3600)
    assert all(isinstance(entry, Written) for entry in entries), entries
    return [(e.record.owner.to_text(), e.record.ttl, e.record.type, e.record.data) for e in entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("www A 192.0.2.1", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("www IN A 192.0.2.1", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("www 60 A 192.0.2.1", ("www.example.com.", 60, "A", "192.0.2.1")),
        ("www 60 IN A 192.0.2.1", ("www.example.com.", 60, "A", "192.0.2.1")),
        ("www IN 60 A 192.0.2.1", ("www.example.com.", 60, "A", "192.0.2.1")),
        ("www 1h30m A 192.0.2.1", ("www.example.com.", 5400, "A", "192.0.2.1")),
        ("www 0 A 192.0.2.1", ("www.example.com.", 0, "A", "192.0.2.1")),
        ("www\tIN\tA\t192.0.2.1", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("www a 192.0.2.1", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("@ MX 10 mail", ("example.com.", 3600, "MX", "10 mail.example.com.")),
        ("@ MX 10 mail.example.net.", ("example.com.", 3600, "MX", "10 mail.example.net.")),
        ("alias CNAME @", ("alias.example.com.", 3600, "CNAME", "example.com.")),
        ("www.example.com. A 192.0.2.1", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("*.wild A 192.0.2.1", ("*.wild.example.com.", 3600, "A", "192.0.2.1")),
        ("IN A 192.0.2.1", ("IN.example.com.", 3600, "A", "192.0.2.1")),
        ("a\\.b A 192.0.2.1", ("a\\.b.example.com.", 3600, "A", "192.0.2.1")),
        ("a\\ b A 192.0.2.1", ("a\\032b.example.com.", 3600, "A", "192.0.2.1")),
        ("\\@ A 192.0.2.1", ("\\@.example.com.", 3600, "A", "192.0.2.1")),
        ("\\065 A 192.0.2.1", ("A.example.com.", 3600, "A", "192.0.2.1")),
        ("bücher A 192.0.2.1", ("xn--bcher-kva.example.com.", 3600, "A", "192.0.2.1")),
        ("www TXT one two", ("www.example.com.", 3600, "TXT", '"one" "two"')),
        ('www TXT "one" "two" ; three', ("www.example.com.", 3600, "TXT", '"one" "two"')),
        ('www TXT "a;b" ";"', ("www.example.com.", 3600, "TXT", '"a;b" ";"')),
        ('www TXT "(" ")"', ("www.example.com.", 3600, "TXT", '"(" ")"')),
        ('www TXT "say \\"hi\\"; bye"', ("www.example.com.", 3600, "TXT", '"say \\"hi\\"; bye"')),
        ("www TXT a\\;b", ("www.example.com.", 3600, "TXT", '"a;b"')),
        ('www TXT "a\tb"', ("www.example.com.", 3600, "TXT", '"a\\009b"')),
        ('www TXT ""', ("www.example.com.", 3600, "TXT", '""')),
        ("www TYPE65280 \\# 4 0A000001", ("www.example.com.", 3600, "TYPE65280", "\\# 4 0a000001")),
        ("www TYPE1 \\# 4 C0000201", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("www A \\# 4 C0000201", ("www.example.com.", 3600, "A", "192.0.2.1")),
        ("www TXT ( one\n  two ) ; three", ("www.example.com.", 3600, "TXT", '"one" "two"')),
        ("www TXT ( one ; first\n\n  two ; (second\n )", ("www.example.com.", 3600, "TXT", '"one" "two"')),
    ],
)
def test_one_record(text: str, expected: tuple[str, int, str, str]) -> None:
    assert read(text) == [expected]
    assert read(text + "\n") == [expected]
    assert read(text.replace("\n", "\r\n") + "\r\n") == [expected]


def test_a_blank_owner_is_the_last_stated_one() -> None:
    text = """\
www A 192.0.2.1
    A 192.0.2.2
; between
\tTXT "tab"
$ORIGIN sub
    TXT "an origin moves no stated owner"
mail A 192.0.2.3
"""
    assert [(owner, kind) for owner, _, kind, _ in read(text)] == [
        ("www.example.com.", "A"),
        ("www.example.com.", "A"),
        ("www.example.com.", "TXT"),
        ("www.example.com.", "TXT"),
        ("mail.sub.example.com.", "A"),
    ]


def test_a_blank_owner_before_any_other_is_the_zone() -> None:
    assert read("  A 192.0.2.1") == [("example.com.", 3600, "A", "192.0.2.1")]


def test_ttl_and_origin_directives_hold_until_the_next() -> None:
    text = """\
a A 192.0.2.1
$TTL 60
b A 192.0.2.1
$ttl\t1h
c 5 A 192.0.2.1
d A 192.0.2.1
$ORIGIN deep.er
e MX 10 f
$ORIGIN example.com. ; back
g MX 10 f
"""
    assert [(owner, ttl, data) for owner, ttl, _, data in read(text)] == [
        ("a.example.com.", 3600, "192.0.2.1"),
        ("b.example.com.", 60, "192.0.2.1"),
        ("c.example.com.", 5, "192.0.2.1"),
        ("d.example.com.", 3600, "192.0.2.1"),
        ("e.deep.er.example.com.", 3600, "10 f.deep.er.example.com."),
        ("g.example.com.", 3600, "10 f.example.com."),
    ]


def test_names_outside_the_zone_are_not_dropped_in_silence() -> None:
    # dnspython's own reader leaves them out; what is wrong with them is for the checks to say
    assert read("www.example.org. A 192.0.2.1") == [("www.example.org.", 3600, "A", "192.0.2.1")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("www", "owner name, a type and data"),
        ("www A", "owner name, a type and data"),
        ("www FOO bar", "unknown rdatatype 'FOO'"),
        ("www A 192.0.2.256", "192.0.2.256"),
        ("www AAAA 2001:db8::g", "2001:db8::g"),
        ("www MX mail", "MX mail"),
        ("www CH TXT chaos", "class"),
        ("www TYPE255 \\# 0", "not of data"),
        ("www 2147483648 A 192.0.2.1", "0 to 2147483647"),
        ("www 99999999999 A 192.0.2.1", "0 to 2147483647"),
        ("$TTL 2147483648", "0 to 2147483647"),
        ("$TTL soon", "soon"),
        ("$INCLUDE /etc/passwd", "$ORIGIN and $TTL are"),
        ("$GENERATE 1-9 h$ A 192.0.2.$", "$ORIGIN and $TTL are"),
        ("www TXT one)", "www TXT one)"),
        ('www TXT "one', '"one'),
        ("a..b A 192.0.2.1", "label is empty"),
        (f"{'a' * 64} A 192.0.2.1", "63"),
        (f"www TXT {'a' * 256}", "too long"),
    ],
)
def test_what_cannot_be_read_says_why_and_stops_nothing(text: str, reason: str) -> None:
    entries = read_records(f"before A 192.0.2.1\n{text}\nafter 60 A 192.0.2.1", ZONE, 3600)
    [wrong] = [entry for entry in entries if isinstance(entry, Unreadable)]
    assert reason in wrong.reason
    assert isinstance(entries[0], Written)
    assert isinstance(entries[-1], Written)


def test_an_open_parenthesis_takes_all_that_follows() -> None:
    [wrong] = read_records("www TXT (one\nafter A 192.0.2.1\n", ZONE, 3600)
    assert isinstance(wrong, Unreadable)
    assert "unbalanced parentheses" in wrong.reason


def test_every_entry_knows_the_line_it_begins_on() -> None:
    text = "\n; comment\na A 192.0.2.1\n\nb TXT (\n one\n two )\nc FOO\n  A 192.0.2.2\n"
    assert [(type(entry), entry.line) for entry in read_records(text, ZONE, 3600)] == [
        (Written, 2),
        (Written, 4),
        (Unreadable, 7),
        (Written, 8),
    ]


LAB = """\
lab: records
zones:
  .: {servers: [root]}
  example.com:
    servers: [authority]
    ttl: 5m
    records: |
RECORDS
servers: {root: knot, authority: knot}
resolvers: {resolver: unbound}
hosts: {host: {resolvers: [resolver]}}
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_lab_file_of_either_kind_of_line_ends(newline: str) -> None:
    records = textwrap.indent("www A 192.0.2.1\n    TXT ( one\n  two )", " " * 6)
    topology = derive(loads(LAB.replace("RECORDS", records).replace("\n", newline), PROGRAMS))
    declared = [r for r in topology.zones[ZONE].records if r.origin is Origin.DECLARED]
    assert [(r.owner.to_text(), r.ttl, r.type, r.data) for r in declared] == [
        ("www.example.com.", 300, "A", "192.0.2.1"),
        ("www.example.com.", 300, "TXT", '"one" "two"'),
    ]


def test_a_record_written_twice_is_served_once() -> None:
    records = textwrap.indent("www A 192.0.2.1\nwww IN A 192.0.2.1", " " * 6)
    topology = derive(loads(LAB.replace("RECORDS", records), PROGRAMS))
    assert [r.type for r in topology.zones[ZONE].records if r.owner == dns.name.from_text("www", ZONE)] == ["A"]
