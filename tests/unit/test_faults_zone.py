"""Faults of zone data: edits combine and are taken back, and what may be asked for. No Docker."""

from __future__ import annotations

import itertools
from typing import Any

import dns.name
import pytest
from dns.name import Name
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import labs
from lab.errors import BadInput
from lab.faults import plan
from lab.faults.serving import Told
from lab.faults.zone import ZonePlan
from lab.topology.derive import derive
from lab.topology.edits import EDITS, Edit, edit, edited
from lab.topology.lookup import Found, look_up
from lab.topology.model import Origin, Record, Zone
from lab.topology.zonefile import zone_text

TEXTBOOK = derive(labs.load("textbook"))


def zone(name: str) -> Zone:
    return TEXTBOOK.zones[dns.name.from_text(name)]


def found(of: Zone, name: str, kind: str = "A") -> Found:
    return look_up(of, dns.name.from_text(name), kind)


def data(of: Zone, name: str, kind: str = "A") -> list[tuple[str, int]]:
    return sorted((record.data, record.ttl) for record in found(of, name, kind).records)


COM, EXAMPLE = zone("com"), zone("example.com")
MOVED = {"server": "ns1.example.com", "like": "example-2", "ipv4": "10.53.0.19", "ipv6": "fd53::19"}

EDITS_OF_EXAMPLE: list[Edit] = [
    ("change-record", {"record": "www A 192.0.2.99"}),
    ("change-record", {"record": "www 7 A 192.0.2.98"}),
    ("add-record", {"record": "www A 192.0.2.97"}),
    ("add-record", {"record": "new 5 A 192.0.2.96"}),
    ("remove-record", {"rrset": "ftp CNAME"}),
    ("change-ttl", {"rrset": "www A", "ttl": 5}),
    ("change-ttl", {"rrset": "@ MX", "ttl": 0}),
    ("bump-serial", {"by": 1}),
    ("bump-serial", {"by": 2**31 - 1}),
    ("renumber", MOVED),
]
EDITS_OF_COM: list[Edit] = [
    ("remove-delegation", {"child": "example.com"}),
    ("wrong-delegation", {"child": "example.com", "server": "ns.enterprise.com"}),
    ("drop-glue", {"child": "example.com"}),
    ("change-ttl", {"rrset": "example.com NS", "ttl": 60}),
    ("bump-serial", {"by": 1}),
]


# What each edit does


def test_a_removed_delegation_leaves_nothing_of_the_child() -> None:
    after = edit(COM, "remove-delegation", {"child": "example.com"})
    assert found(COM, "www.example.com").records
    assert not found(COM, "www.example.com").authoritative
    assert found(after, "www.example.com") == Found(False, True, frozenset(), frozenset(), frozenset())
    assert not [record for record in after.records if record.owner.is_subdomain(dns.name.from_text("example.com"))]
    assert found(after, "www.enterprise.com") == found(COM, "www.enterprise.com")


def test_glue_that_another_delegation_needs_stays() -> None:
    root = zone(".")
    after = edit(root, "remove-delegation", {"child": "net"})
    assert found(after, "www.com").glue == found(root, "www.com").glue != frozenset()
    assert found(after, "www.provider.net").authoritative


def test_a_wrong_delegation_has_one_server_and_the_ttl_of_before() -> None:
    after = edit(COM, "wrong-delegation", {"child": "example", "server": "ns.enterprise.com"})
    assert data(after, "www.example.com") == [("ns.enterprise.com.", 172800)]
    assert {record.owner.to_text() for record in found(after, "www.example.com").glue} == {"ns.enterprise.com."}
    assert not found(after, "www.example.com").needed, "it is not below the child"


def test_dropped_glue_leaves_the_names_of_the_servers() -> None:
    after = edit(COM, "drop-glue", {"child": "example.com"})
    assert len(found(COM, "www.example.com").needed) == 4
    assert not found(after, "www.example.com").glue
    assert data(after, "www.example.com") == data(COM, "www.example.com")


def test_a_changed_record_takes_the_place_of_its_rrset() -> None:
    enterprise = zone("enterprise.com")
    assert len(data(enterprise, "shop.enterprise.com")) == 4
    after = edit(enterprise, "change-record", {"record": "shop A 192.0.2.1"})
    assert data(after, "shop.enterprise.com") == [("192.0.2.1", 3600)]
    assert data(edit(EXAMPLE, "change-record", {"record": "status A 192.0.2.1"}), "status.example.com") == [
        ("192.0.2.1", 60)
    ]
    with_ttl = edit(EXAMPLE, "change-record", {"record": "www.example.com 9 A 192.0.2.1"})
    assert data(with_ttl, "www.example.com") == [("192.0.2.1", 9)]
    assert data(edit(EXAMPLE, "add-record", {"record": "www A 192.0.2.1"}), "www.example.com") == [
        ("192.0.2.1", 3600),
        ("192.0.2.80", 3600),
    ]
    assert data(edit(EXAMPLE, "add-record", {"record": "new 5 A 192.0.2.1"}), "new.example.com") == [("192.0.2.1", 5)]
    assert not found(edit(EXAMPLE, "remove-record", {"rrset": "ftp CNAME"}), "ftp.example.com").exists
    two = edit(EXAMPLE, "change-record", {"record": "www A 192.0.2.1\nwww A 192.0.2.2"})
    assert len(data(two, "www.example.com")) == 2
    assert data(edit(EXAMPLE, "change-record", {"record": "ftp CNAME mail"}), "ftp.example.com", "A") == [
        ("mail.example.com.", 3600)
    ]


def test_a_changed_ttl_and_nothing_else() -> None:
    after = edit(EXAMPLE, "change-ttl", {"rrset": "www a", "ttl": 5})
    assert data(after, "www.example.com") == [("192.0.2.80", 5)]
    assert sum(one != other for one, other in zip(EXAMPLE.records, after.records, strict=True)) == 1


@pytest.mark.parametrize(("of", "ttl"), [(EXAMPLE, 172800), (COM, 172800)], ids=["address", "glue"])
def test_a_renumbered_server_keeps_its_name_and_its_ttl(of: Zone, ttl: int) -> None:
    after = edit(of, "renumber", MOVED)
    there = {(one.type, one.data, one.ttl) for one in after.records if one.owner.to_text() == "ns1.example.com."}
    assert there == {("A", "10.53.0.19", ttl), ("AAAA", "fd53::19", ttl)}
    assert sum(one != other for one, other in zip(of.records, after.records, strict=True)) == 2


def test_a_serial_wraps() -> None:
    def serial(of: Zone) -> int:
        return int(of.records[0].data.split()[2])

    once = edit(EXAMPLE, "bump-serial", {"by": 2**31 - 1})
    assert serial(once) == serial(EXAMPLE) + 2**31 - 1
    assert serial(edited(EXAMPLE, [("bump-serial", {"by": 2**31 - 1})] * 3)) == (1 + 3 * (2**31 - 1)) % 2**32


# Several


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(EDITS_OF_EXAMPLE + EDITS_OF_COM), max_size=6), st.randoms(use_true_random=False))
def test_edits_are_taken_back_in_any_order(edits: list[Edit], random: Any) -> None:
    """Whatever is left is a zone with one SOA, first, and one TTL an RRset; with nothing left it is that of before."""
    for start in (EXAMPLE, COM):
        left, before = list(edits), zone_text(start)
        while left:
            left.pop(random.randrange(len(left)))
            now = edited(start, left)
            assert [record.type for record in now.records].index("SOA") == 0
            assert len({(record.owner, record.type) for record in now.records}) == len(
                {(record.owner, record.type, record.ttl) for record in now.records}
            )
            assert now == start or left
        assert zone_text(edited(start, left)) == before


def test_a_ttl_and_a_record_of_one_rrset_combine() -> None:
    record, ttl = ("change-record", {"record": "www A 192.0.2.99"}), ("change-ttl", {"rrset": "www A", "ttl": 5})
    for order in itertools.permutations((record, ttl)):
        assert data(edited(EXAMPLE, order), "www.example.com") == [("192.0.2.99", 5)]
    assert data(edited(EXAMPLE, [record]), "www.example.com") == [("192.0.2.99", 3600)]
    assert data(edited(EXAMPLE, [ttl]), "www.example.com") == [("192.0.2.80", 5)]


def test_an_edit_that_finds_nothing_any_more_changes_nothing() -> None:
    gone = ("remove-delegation", {"child": "example.com"})
    assert edited(COM, [gone, ("drop-glue", {"child": "example.com"})]) == edited(COM, [gone])


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_a_fault(name: str) -> None:
    assert plan(TEXTBOOK, name, "com" if name.endswith(("delegation", "glue")) else "example.com", NEEDED[name])


NEEDED: dict[str, dict[str, Any]] = {
    "remove-delegation": {"child": "example.com"},
    "wrong-delegation": {"child": "example.com", "server": "enterprise-1"},
    "drop-glue": {"child": "example.com"},
    "change-record": {"record": "www A 192.0.2.99"},
    "add-record": {"record": "www A 192.0.2.99"},
    "remove-record": {"rrset": "www A"},
    "change-ttl": {"rrset": "www A", "ttl": "5"},
    "renumber": {"server": "example-1", "like": "example-2"},
    "bump-serial": {},
}


# Which zone, at which servers


def planned(name: str, target: Any, **how: Any) -> ZonePlan:
    made = plan(TEXTBOOK, name, target, how)
    assert isinstance(made, ZonePlan)
    return made


@pytest.mark.parametrize(
    ("target", "how", "label", "nodes"),
    [
        ("com", {"child": "example.com"}, "com", ["gtld-1", "gtld-2"]),
        ("gtld-1", {"child": "example.com"}, "com", ["gtld-1"]),
        ("gtld-1", {"child": "umass"}, "edu", ["gtld-1"]),
        ("tld", {"child": "example.com", "zone": "com"}, None, []),
        ("gtld-1,gtld-2", {"child": "umass.edu"}, "edu", ["gtld-1", "gtld-2"]),
        ("a.gtld-servers.net", {"child": "example.com"}, "com", ["gtld-1"]),
        (".", {"child": "com"}, ".", ["root-a", "root-b", "root-c"]),
    ],
)
def test_the_zone_is_named_or_the_one_that_can_be_meant(
    target: str, how: dict[str, Any], label: str | None, nodes: list[str]
) -> None:
    if label is None:
        with pytest.raises(BadInput, match="org-1 does not serve com"):
            planned("remove-delegation", target, **how)
        return
    made = planned("remove-delegation", target, **how)
    assert (made.zone.label, [node.name for node in made.nodes]) == (label, nodes)


def test_some_servers_of_a_zone_make_it_inconsistent_and_that_is_said() -> None:
    assert "inconsistent" not in planned("bump-serial", "example.com").describe()
    words = planned("bump-serial", "example-1").describe()
    assert words.startswith("In zone example.com at example-1 the serial is higher by 1; not at example-2, so the zone")


@pytest.mark.parametrize(
    ("name", "target", "how", "advice"),
    [
        ("change-record", "example.com", {}, "needs record"),
        ("change-record", "example.com", {"record": ""}, "not empty"),
        ("change-record", "example.com", {"record": "www"}, "owner name, a type and data"),
        ("change-record", "example.com", {"record": "wwww A 192.0.2.1"}, "no wwww.* did you mean 'www'"),
        ("change-record", "example.com", {"record": "www A 192.0.2.300"}, "cannot read"),
        ("change-record", "example.com", {"record": "www TXT x"}, r"has no TXT in zone example.com \(it has: A, AAAA"),
        ("change-record", "example.com", {"record": "www.example.org. A 192.0.2.1"}, "not in zone example.com"),
        ("change-record", "example.com", {"record": "www 4294967296 A 192.0.2.1"}, "TTL.* out of range"),
        ("change-record", "example.com", {"record": "www A 192.0.2.80"}, "would change nothing"),
        ("change-record", "example.com", {"record": "ftp CNAME a\nftp CNAME b"}, "one CNAME and no more"),
        ("change-record", "example.com", {"record": "www A 192.0.2.1\nmail A 192.0.2.1"}, "one RRset at a time"),
        ("change-record", "example.com", {"record": "@ SOA a. b. 1 2 3 4 5"}, "bump-serial changes its serial"),
        ("add-record", "example.com", {"record": "www A 192.0.2.80"}, "would change nothing"),
        ("add-record", "example.com", {"record": "www CNAME mail"}, "nothing stands beside it"),
        ("add-record", "example.com", {"record": "ftp A 192.0.2.1"}, "nothing stands beside it"),
        ("add-record", "example.com", {"record": "@ SOA a. b. 1 2 3 4 5"}, "one SOA and no more"),
        ("remove-record", "example.com", {"rrset": "wwww A"}, "no wwww.* did you mean 'www'"),
        ("remove-record", "example.com", {"rrset": "@ NS"}, "without its NS example.com is no zone"),
        ("change-ttl", "example.com", {"rrset": "www A", "ttl": "-1"}, "from 0 to 2147483647"),
        ("change-ttl", "example.com", {"rrset": "www A", "ttl": 2**31}, "from 0 to 2147483647"),
        ("change-ttl", "example.com", {"rrset": "www A", "ttl": "soon"}, "written in seconds"),
        ("change-ttl", "example.com", {"rrset": "www", "ttl": 5}, "an owner name and a type"),
        ("change-ttl", "example.com", {"rrset": "www A", "ttl": 3600}, "would change nothing"),
        ("bump-serial", "example.com", {"by": 0}, "from 1 to"),
        ("bump-serial", "gtld-1", {}, "serves com, net, edu, gtld-servers.net: say which with zone=NAME"),
        ("bump-serial", "gtld-1", {"zone": "con"}, "no zone 'con'; did you mean 'com'"),
        ("bump-serial", "gtld-1", {"zone": "org"}, "gtld-1 does not serve org"),
        ("bump-serial", "com,org", {}, "one zone, not com and org"),
        ("bump-serial", "resolver-1", {}, "no zone is served there"),
        ("remove-delegation", "com", {"child": "exmaple.com"}, "did you mean 'example.com'"),
        ("remove-delegation", "gtld-1", {"child": "example.fr"}, "nothing like that is in them"),
        ("remove-delegation", "kr", {"child": "co.kr"}, "cctld-1 serves co.kr too, and answers for co.kr from there"),
        ("drop-glue", "org", {"child": "example.org"}, "no glue for example.org, served by ns1.provider.net"),
        ("wrong-delegation", "com", {"child": "example.com", "server": "gtdl-1"}, "did you mean 'gtld-1'"),
        ("wrong-delegation", "com", {"child": "example.com", "server": "gateway"}, "has no name in the DNS"),
        (
            "renumber",
            "com",
            {"server": "example-1", "like": "example-9"},
            "no node 'example-9' in lab textbook; did you mean 'example-2'",
        ),
        ("renumber", "com", {"server": "umass-1", "like": "example-1"}, "zone com has no address of dns.umass.edu"),
        ("renumber", "com", {"server": "example-1", "like": "example-1"}, "would change nothing"),
        ("renumber", "com", {"server": "gateway", "like": "example-1"}, "has no name in the DNS"),
        ("bump-serial", "example.com", {"to": "root-a"}, "fault of zone data"),
        ("clock-skew", "gtld-1", {"by": "1h"}, r"clock of the machine.*\{program: knot, clock: lab\}"),
        ("clock-skew", "host", {"by": "1h"}, "runs no server program"),
        ("clock-skew", "resolver-1", {"by": "0s"}, "from 1ms to 8760h"),
        ("clock-skew", "resolver-1", {"by": "-8761h"}, "to 8760h"),
        ("clock-skew", "resolver-1", {"by": "5"}, "unit is missing"),
        ("crash-loop", "gtld-1", {"period": "100ms"}, "from 500ms"),
        ("slow-start", "gtld-1", {}, "needs delay"),
    ],
)
def test_bad_input_comes_with_advice(name: str, target: str, how: dict[str, Any], advice: str) -> None:
    with pytest.raises(BadInput, match=advice):
        plan(TEXTBOOK, name, target, how)


# What servers say


def told(of: Found) -> Told:
    return Told("NOERROR" if of.exists else "NXDOMAIN", of.authoritative, of.records, of.glue)


def test_an_answer_agrees_with_the_zone_it_comes_from_and_no_other() -> None:
    questions = ("www.example.com", "example.com", "www.enterprise.com", "no.com", "com")
    after = edit(COM, "remove-delegation", {"child": "example.com"})
    for name in questions:
        assert told(found(COM, name)).agrees(found(COM, name))
    assert not told(found(COM, "example.com")).agrees(found(after, "example.com"))
    assert not Told("TIMEOUT").agrees(found(COM, "example.com"))


def test_glue_below_the_child_has_to_be_there_and_other_glue_may() -> None:
    referral = found(COM, "example.com")
    assert referral.glue == referral.needed
    without = Told("NOERROR", False, referral.records, frozenset())
    assert not without.agrees(referral)
    sibling = found(zone("."), "com")
    assert sibling.glue
    assert not sibling.needed
    assert Told("NOERROR", False, sibling.records, frozenset()).agrees(sibling)


def test_letter_case_and_spelling_do_not_matter() -> None:
    name = dns.name.from_text("www.example.com")
    said = Record(dns.name.from_text("WWW.Example.COM"), 60, "AAAA", "2001:DB8:0::1")
    wanted = Record(name, 60, "AAAA", "2001:db8::1")
    assert Told("NOERROR", True, frozenset([said])).agrees(
        Found(True, True, frozenset([wanted]), frozenset(), frozenset())
    )


def test_wildcards_answer_for_what_is_not_there() -> None:
    def record(owner: str, text: str) -> Record:
        return Record(dns.name.from_text(owner), 60, "A", text, Origin.DECLARED)

    made = Zone(
        Name([b"com", b""]), ("a",), (EXAMPLE.records[0], record("*.com", "192.0.2.1"), record("b.a.com", "192.0.2.2"))
    )
    assert data(made, "x.com") == [("192.0.2.1", 60)]
    assert data(made, "y.x.com") == [("192.0.2.1", 60)]
    assert data(made, "a.com") == [], "an empty non-terminal is there (RFC 4592 section 2.2.2)"
    assert found(made, "a.com").exists
    assert not found(made, "c.a.com").exists
