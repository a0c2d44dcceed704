"""Names are resolved: all of them, by both resolvers, over every way a client may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import dns.name
import dns.reversename
import pytest
from labtools import (
    WITHIN,
    assert_all,
    authoritative_rrsets,
    data_of,
    elapsed,
    flat,
    questions,
    rdata,
    told,
)

from lab import Answer, Lab
from lab.agent.protocol import Query
from lab.experiments import load
from lab.experiments.workload import distinct
from lab.runtime.node import NodeHandle
from lab.topology.model import Origin, Role, Topology

WAYS = {
    "udp": {"transport": "udp"},
    "tcp": {"transport": "tcp"},
    "ipv6": {"ipv6": True},
    "ipv6-tcp": {"ipv6": True, "transport": "tcp"},
}


def questions_for_all(lab: Lab, topology: Topology, at: str, **way: object) -> list[Query]:
    """One question for every RRset of every zone."""
    return [
        lab.question(owner.to_text(), kind, at=at, timeout=WITHIN, **way)
        for owner, kind in authoritative_rrsets(topology)
    ]


def wrong_data(topology: Topology, answers: list[Answer]) -> list[Answer]:
    """The answers that do not bring exactly the data that the zones hold."""
    rrsets = authoritative_rrsets(topology)
    expected = [{rdata(record.type, record.data) for record in records} for records in rrsets.values()]
    return [
        answer
        for answer, data in zip(answers, expected, strict=True)
        if answer.status != "NOERROR" or data_of(answer) != data
    ]


# Everything there is


@pytest.mark.parametrize("way", WAYS)
def test_every_name_and_type_of_every_zone(lab: Lab, resolver: NodeHandle, way: str) -> None:
    asked = questions_for_all(lab, lab.topology, resolver.name, **WAYS[way])
    with elapsed() as seconds:
        answers = lab.ask(asked, window=8)  # BIND lets ten TCP connections wait (tcp-listen-queue)
        print(f"{len(answers)} RRsets by {resolver.node.program} over {way}, cold: {seconds():.2f} s")
    wrong = wrong_data(lab.topology, answers)
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n{told(wrong)}"


def test_every_authority_has_the_data_of_its_zones(lab: Lab) -> None:
    rrsets = {
        (server, owner, kind): {rdata(record.type, record.data) for record in records}
        for (owner, kind), records in authoritative_rrsets(lab.topology).items()
        for server in lab.topology.enclosing_zone(owner).servers
    }
    answers = lab.ask([lab.question(owner.to_text(), kind, at=at, recurse=False) for at, owner, kind in rrsets])
    wrong = [
        answer
        for answer, data in zip(answers, rrsets.values(), strict=True)
        if not answer.result.aa or data_of(answer) != data
    ]
    print(f"{len(answers)} RRsets asked of the {len(lab.topology.servers)} authorities")
    assert not wrong, told(wrong)


@pytest.fixture(scope="module")
def central(instance: Callable[[str], str]) -> Iterator[Lab]:
    """The lab with one name server for everything."""
    with Lab.temporary("central", name=instance("central")) as lab:
        yield lab


@pytest.mark.parametrize("at", ["resolver-1", "resolver-2"])
def test_central_answers_every_name_of_textbook_with_equal_data(central: Lab, textbook: Lab, at: str) -> None:
    written = {
        key: records
        for key, records in authoritative_rrsets(textbook.topology).items()
        if all(record.origin is Origin.DECLARED for record in records)
    }
    answers = central.ask([central.question(owner.to_text(), kind, at=at) for owner, kind in written], window=32)
    wrong = [
        answer
        for answer, records in zip(answers, written.values(), strict=True)
        if data_of(answer) != {rdata(record.type, record.data) for record in records}
    ]
    assert len(answers) > 30
    assert not wrong, told(wrong)


@pytest.mark.parametrize("at", ["resolver-1", "resolver-2"])
def test_one_server_and_one_container_a_zone_give_equal_answer_sections(central: Lab, textbook: Lab, at: str) -> None:
    """The questions of `calibration-answers`: aliases, negative answers and a truncated one are among them."""
    asked = list(distinct(load("calibration-answers").cells()[0].experiment.workload))
    sections = [
        [
            (answer.status, {(one.name.lower(), one.type, rdata(one.type, one.data)) for one in answer.answer})
            for answer in lab.ask([lab.question(name, kind, at=at) for name, kind in asked], window=8)
        ]
        for lab in (central, textbook)
    ]
    assert len(asked) == 110
    unequal = [(question, *both) for question, *both in zip(asked, *sections, strict=True) if both[0] != both[1]]
    assert not unequal, unequal
    assert {status for status, _ in sections[0]} == {"NOERROR", "NXDOMAIN"}


# The services of the DNS: aliases, mail, load distribution, reverse names


def test_aliases_lead_to_the_canonical_name(lab: Lab, resolver: NodeHandle) -> None:
    answer = lab.query("intranet.enterprise.com", at=resolver.name)
    assert answer.chain == (
        "intranet.enterprise.com.",
        "www.enterprise.com.",
        "relay1.west-coast.enterprise.com.",
    )
    assert answer.data() == ("198.51.100.10",)
    assert answer.data("CNAME") == answer.chain[1:]


def test_an_alias_leads_into_another_zone(lab: Lab, resolver: NodeHandle) -> None:
    answer = lab.query("partner.enterprise.com", at=resolver.name)
    assert answer.chain == ("partner.enterprise.com.", "www.example.org.")
    assert answer.data() == ("203.0.113.20",)


def test_mail_and_web_share_a_name(lab: Lab, resolver: NodeHandle) -> None:
    web, mail = lab.ask(
        [lab.question("enterprise.com", kind, at=resolver.name) for kind in ("A", "MX")],
    )
    assert web.data() == ("198.51.100.10",)
    assert data_of(mail) == {
        rdata("MX", "10 relay1.west-coast.enterprise.com."),
        rdata("MX", "20 relay2.east-coast.enterprise.com."),
    }


def test_a_service_has_port_and_host(lab: Lab, resolver: NodeHandle) -> None:
    answer = lab.query("_sip._tcp.example.com", "SRV", at=resolver.name)
    assert data_of(answer) == {rdata("SRV", "10 60 5060 www.example.com.")}


def test_four_addresses_take_turns(lab: Lab, resolver: NodeHandle) -> None:
    asked = 400
    answers = lab.ask([lab.question("shop.enterprise.com", at=resolver.name)] * asked, window=8)
    assert_all(answers, "NOERROR")
    assert {len(data_of(answer)) for answer in answers} == {4}
    first = Counter(answer.data()[0] for answer in answers)
    shares = {address: count / asked for address, count in sorted(first.items())}
    print(f"first of {asked}: " + ", ".join(f"{address} {share:.1%}" for address, share in shares.items()))
    # A fair draw leaves 15-35 % once in 50,000 runs: the standard deviation is 2.2 %.
    assert set(shares) == {f"198.51.100.{number}" for number in (101, 102, 103, 104)}
    assert all(0.15 <= share <= 0.35 for share in shares.values()), shares


def test_every_node_has_its_reverse_names(lab: Lab, resolver: NodeHandle) -> None:
    named = [
        (address, node.hostname)
        for node in lab.topology.nodes.values()
        if node.hostname is not None
        for address in node.addresses
    ]
    asked = [
        lab.question(dns.reversename.from_address(address).to_text(), "PTR", at=resolver.name) for address, _ in named
    ]
    answers = lab.ask(asked)
    assert len(answers) == 2 * 16  # all but the gateway, which nobody asks by name
    assert [data_of(answer) for answer in answers] == [{rdata("PTR", name.to_text())} for _, name in named]


# No such thing


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("nosuch", "."),
        ("nosuch.com", "com."),
        ("nope.example.com", "example.com."),
        ("a.b.c.cs.umass.edu", "cs.umass.edu."),
    ],
)
def test_no_such_name(lab: Lab, resolver: NodeHandle, name: str, zone: str) -> None:
    answer = lab.query(name, at=resolver.name)
    assert answer.status == "NXDOMAIN"
    assert answer.answer == ()
    [soa] = answer.authority
    assert (soa.name, soa.type) == (zone, "SOA")
    assert 0 < soa.ttl <= 900


@pytest.mark.parametrize(
    ("name", "kind", "zone"),
    [
        ("www.umass.edu", "AAAA", "umass.edu."),
        ("example.com", "SRV", "example.com."),
        ("west-coast.enterprise.com", "A", "enterprise.com."),  # an empty non-terminal (RFC 4592 section 2.2.2)
    ],
)
def test_no_such_type(lab: Lab, resolver: NodeHandle, name: str, kind: str, zone: str) -> None:
    answer = lab.query(name, kind, at=resolver.name)
    assert answer.status == "NOERROR"
    assert answer.answer == ()
    [soa] = answer.authority
    assert (soa.name, soa.type) == (zone, "SOA")
    assert 0 < soa.ttl <= 900


# Too big for one datagram


def test_a_big_answer_is_truncated_and_comes_over_tcp(lab: Lab, resolver: NodeHandle) -> None:
    question = lab.question("story.example.com", "TXT", at=resolver.name)
    short, whole = lab.ask([replace(question, tcp_fallback=False), question])
    assert short.result.tc
    assert short.transport == "udp"
    assert short.size <= question.bufsize

    assert not whole.result.tc
    assert whole.transport == "tcp"
    assert [(attempt.transport, attempt.outcome) for attempt in whole.attempts] == [
        ("udp", "truncated"),
        ("tcp", "answer"),
    ]
    assert whole.size > question.bufsize
    assert len(data_of(whole)) == 12
    print(f"story.example.com TXT: {short.size} octets truncated, {whole.size} octets over TCP")


# The hierarchy, walked by hand


def test_referrals_lead_to_the_deepest_zone(lab: Lab) -> None:
    servers, zones = ["root-a"], []
    while (answer := lab.query("gaia.cs.umass.edu", at=servers[-1], recurse=False)).is_referral:
        [zone] = {record.name for record in answer.authority}
        glue = [record.data for record in answer.additional if record.type == "A"]
        assert {record.name for record in answer.additional} == {record.data for record in answer.authority}
        zones.append(zone)
        servers.append(lab.topology.node(glue[0]).name)
    assert zones == ["edu.", "umass.edu.", "cs.umass.edu."]
    assert servers[0] == "root-a"
    assert servers[1] in ("gtld-1", "gtld-2")
    assert servers[2:] == ["umass-1", "cs-umass-1"]
    assert answer.result.aa
    assert answer.data() == ("203.0.113.119",)


def test_a_parent_without_glue_names_servers_elsewhere(lab: Lab) -> None:
    referral = lab.query("www.example.org", at="org-1", recurse=False)
    assert referral.is_referral
    assert [record.data for record in referral.authority] == ["ns1.provider.net."]
    assert referral.additional == ()
    # The resolver has to find the address of the name server first, under net.
    answers = lab.ask(questions(lab, "www.example.org"))
    assert [answer.data() for answer in answers] == [("203.0.113.20",)] * 2


def test_second_level_domains_under_country_codes(lab: Lab, resolver: NodeHandle) -> None:
    kr, uk = lab.ask([lab.question(f"www.example.co.{tld}", at=resolver.name) for tld in ("kr", "uk")])
    assert (kr.data(), uk.data()) == (("203.0.113.30",), ("203.0.113.40",))
    # co.kr is a zone of its own, co.uk a name in the zone uk: the cuts are not where the dots are.
    cut_of = {
        tld: {record.name for record in lab.query(f"www.example.co.{tld}", at="cctld-1", recurse=False).authority}
        for tld in ("kr", "uk")
    }
    assert cut_of == {"kr": {"example.co.kr."}, "uk": {"example.co.uk."}}
    soa = lab.ask([lab.question(f"co.{tld}", "SOA", at="cctld-1", recurse=False) for tld in ("kr", "uk")])
    assert [len(answer.answer) for answer in soa] == [1, 0]


# Authorities


def test_authorities_do_not_recurse(lab: Lab) -> None:
    """Asked for a name they have not, with RD set, they refer or refuse, and never offer recursion."""
    answers = lab.ask([lab.question("www.nosuch.name", at=node.name) for node in lab.topology.servers])
    for node, answer in zip(lab.topology.servers, answers, strict=True):
        assert "ra" not in answer.flags, node.name
        assert "rd" in answer.flags, node.name
        # Every name is below the root: its servers know that there is no such top-level domain.
        assert answer.status == ("NXDOMAIN" if node.role is Role.ROOT else "REFUSED"), node.name
    referrals = lab.ask(
        [lab.question("www.nyu.edu", at=name) for name in ("root-a", "root-b", "root-c", "gtld-1", "gtld-2")]
    )
    assert all(answer.is_referral and "ra" not in answer.flags for answer in referrals), told(referrals)


def test_root_servers_of_three_programs_agree(lab: Lab) -> None:
    roots = lab.topology.of_role(Role.ROOT)
    assert len({node.program for node in roots}) == 3
    asked = [(owner.to_text(), kind) for owner, kind in authoritative_rrsets(lab.topology)]
    asked += [("nosuch.", "A"), (".", "TXT"), ("com.", "DS")]
    answers = {
        node.name: lab.ask([lab.question(name, kind, at=node.name, recurse=False) for name, kind in asked])
        for node in roots
    }
    kinds: Counter[str] = Counter()
    for same in zip(*answers.values(), strict=True):
        one = same[0]
        kinds["referral" if one.is_referral else "answer" if one.answer else "negative"] += 1
        assert {answer.status for answer in same} == {one.status}, told(same)
        assert {answer.result.aa for answer in same} == {one.result.aa}, told(same)
        assert all(flat(answer.answer) == flat(one.answer) for answer in same), told(same)
        if not one.answer:  # beside a positive answer, what else to tell is up to the program
            assert all(flat(answer.authority) == flat(one.authority) for answer in same), told(same)
            assert all(flat(answer.additional) == flat(one.additional) for answer in same), told(same)
    print(f"{len(asked)} questions to {', '.join(str(node.program) for node in roots)}: {dict(kinds)}")
    assert set(kinds) == {"referral", "answer", "negative"}
