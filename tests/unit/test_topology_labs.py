"""The labs that come with dnslab, and what each of them is there to show."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest

from lab.topology.derive import derive
from lab.topology.loading import load, loads
from lab.topology.model import Origin, Role, Topology, Zone
from lab.topology.zonefile import hints_text, zone_text

COMPOSE = Path(__file__).parents[2] / "compose"
LABS = ("textbook", "minimal", "central", "wide-area", "recursive")
PROGRAMS = {
    "bind": ("authority", "recursive authority", "resolver"),
    "knot": ("authority",),
    "nsd": ("authority",),
    "unbound": ("resolver",),
}


@cache
def topology(lab: str) -> Topology:
    return derive(load(COMPOSE / lab / "lab.yaml", PROGRAMS))


def zone(lab: str, name: str) -> Zone:
    return topology(lab).zones[dns.name.from_text(name)]


def rrset(lab: str, owner: str, kind: str) -> list[tuple[int, str]]:
    """TTL and data of an RRset, from the zone that has authority over its owner."""
    name = dns.name.from_text(owner)
    records = topology(lab).enclosing_zone(name).records
    return [(record.ttl, record.data) for record in records if (record.owner, record.type) == (name, kind)]


@pytest.mark.parametrize("lab", LABS)
def test_every_lab_loads_and_is_called_like_its_folder(lab: str) -> None:
    assert topology(lab).lab == lab
    assert topology(lab).hosts
    assert topology(lab).resolvers


def test_no_lab_is_forgotten_here() -> None:
    assert sorted(LABS) == sorted(file.parent.name for file in COMPOSE.glob("*/lab.yaml"))


# textbook: the hierarchy


def test_textbook_roots_run_three_different_programs() -> None:
    programs = [node.program for node in topology("textbook").of_role(Role.ROOT)]
    assert len(programs) == len(set(programs)) == 3


@pytest.mark.parametrize(
    ("name", "servers"),
    [("com", 2), ("net", 2), ("edu", 2), ("org", 1), ("kr", 1), ("uk", 1), ("example.com", 2), ("cs.umass.edu", 1)],
)
def test_textbook_servers_of_a_zone(name: str, servers: int) -> None:
    assert len(zone("textbook", name).servers) == servers


def test_textbook_has_three_tiers_two_resolvers_and_a_host() -> None:
    roles = Counter(node.role for node in topology("textbook").nodes.values())
    assert roles == {
        Role.ROOT: 3,
        Role.TLD: 4,
        Role.AUTHORITY: 6,
        Role.RESOLVER: 2,
        Role.HOST: 1,
        Role.GATEWAY: 1,
    }
    assert {node.program for node in topology("textbook").resolvers} == {"unbound", "bind"}


def test_textbook_goes_one_level_deeper_under_umass() -> None:
    chain = ["edu", "umass.edu", "cs.umass.edu"]
    servers = [set(zone("textbook", name).servers) for name in chain]
    assert servers[0].isdisjoint(servers[1])
    assert servers[1].isdisjoint(servers[2])
    glue = {r.owner.to_text() for r in zone("textbook", "umass.edu").records if r.origin is Origin.GLUE}
    assert glue == {"dns.cs.umass.edu."}


def test_textbook_org_has_no_glue_for_example_org() -> None:
    records = zone("textbook", "org").records
    delegation = [r.data for r in records if r.owner == dns.name.from_text("example.org") and r.type == "NS"]
    assert delegation == ["ns1.provider.net."]
    assert not [r for r in records if r.origin is Origin.GLUE]


def test_textbook_ttls_are_those_of_the_real_hierarchy() -> None:
    records = zone("textbook", "com").records
    assert {r.ttl for r in records if r.origin in (Origin.DELEGATION, Origin.GLUE)} == {172800}
    assert {ttl for ttl, _ in rrset("textbook", "example.com", "NS")} == {172800}
    assert rrset("textbook", "www.example.com", "A") == [(3600, "192.0.2.80")]
    assert [ttl for ttl, _ in rrset("textbook", "status.example.com", "A")] == [60]
    [(_, soa)] = rrset("textbook", "example.com", "SOA")
    assert soa.split()[-1] == "900"


def test_textbook_story_needs_tcp() -> None:
    name = dns.name.from_text("story.example.com")
    texts = [data for _, data in rrset("textbook", "story.example.com", "TXT")]
    response = dns.message.make_response(dns.message.make_query(name, "TXT"))
    response.answer.append(dns.rrset.from_text(name, 3600, "IN", "TXT", *texts))
    assert len(response.to_wire()) > 1232  # the largest UDP message servers send by default


def test_textbook_shop_has_four_addresses_and_mail_shares_its_name() -> None:
    assert len({data for _, data in rrset("textbook", "shop.enterprise.com", "A")}) == 4
    assert rrset("textbook", "enterprise.com", "A")
    assert rrset("textbook", "enterprise.com", "MX")
    assert rrset("textbook", "intranet.enterprise.com", "CNAME") == [(3600, "www.enterprise.com.")]


# minimal: what a person can write


def test_minimal_is_five_nodes_in_less_than_25_lines() -> None:
    assert len((COMPOSE / "minimal/lab.yaml").read_text().splitlines()) < 25
    roles = [node.role for node in topology("minimal").nodes.values()]
    assert roles == [Role.ROOT, Role.TLD, Role.AUTHORITY, Role.RESOLVER, Role.HOST]


# central: the same names without a hierarchy


def test_central_holds_every_name_of_textbook_with_equal_data() -> None:
    for each in topology("textbook").zones.values():
        for record in each.records:
            if record.origin is Origin.DECLARED:
                here = rrset("central", record.owner.to_text(), record.type)
                assert (record.ttl, record.data) in here
                assert sorted(here) == sorted(rrset("textbook", record.owner.to_text(), record.type))


def test_central_delegates_nothing_but_the_reverse_zones() -> None:
    forward = [name for name in topology("central").zones if not name.to_text().endswith("arpa.")]
    assert forward == [dns.name.root]
    assert {server for each in topology("central").zones.values() for server in each.servers} == {"central"}


def test_central_has_the_resolvers_and_the_host_of_textbook() -> None:
    for role in (Role.RESOLVER, Role.HOST):
        names = [
            [(n.name, n.program, n.hostname) for n in topology(lab).of_role(role)] for lab in ("textbook", "central")
        ]
        assert names[0] == names[1]


# recursive: every query is


def test_recursive_servers_forward_what_they_delegate_to_recursive_servers() -> None:
    nodes = topology("recursive").nodes
    forwards = {name: {zone.to_text(): servers for zone, servers in node.forwards} for name, node in nodes.items()}
    assert forwards["root-a"] == {"com.": ("tld-1",), "edu.": ("tld-1",)}
    assert forwards["tld-1"] == {"umass.edu.": ("umass-1",)}  # the server of example.com is not recursive
    assert forwards["resolver-1"] == forwards["resolver-2"] == {".": ("root-a",)}
    assert not any(forwards[name] for name in ("umass-1", "example-1", "cs-umass-1", "host"))
    assert [node.name for node in nodes.values() if node.caches] == [
        *("root-a", "tld-1", "umass-1", "resolver-1", "resolver-2")
    ]
    assert all(node.on_lab_clock == node.caches for node in nodes.values())


def test_nobody_forwards_without_recursive_servers() -> None:
    assert not any(node.forwards or node.recursive for node in topology("textbook").nodes.values())


# the example of docs/lab-file.md


def test_the_example_of_the_documentation_gives_what_it_shows() -> None:
    text = (COMPOSE.parent / "docs/lab-file.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    school = derive(loads(example, PROGRAMS))
    shown = text.split("```\n; Zone org")[1].split("```")[0]
    assert zone_text(school.zones[dns.name.from_text("org")]) == "; Zone org" + shown


# zone files, read by others


@pytest.mark.parametrize("lab", LABS)
def test_dnspython_reads_the_very_records(lab: str) -> None:
    for each in topology(lab).zones.values():
        parsed = dns.zone.from_text(zone_text(each), origin=each.name, relativize=False, check_origin=True)
        found = {
            (name, rdataset.ttl, dns.rdatatype.to_text(rdataset.rdtype), rdata.to_text())
            for name, rdataset in parsed.iterate_rdatasets()
            for rdata in rdataset
        }
        assert found == {(r.owner, r.ttl, r.type, r.data) for r in each.records}


@pytest.mark.parametrize("lab", LABS)
def test_hints_are_the_ns_set_of_the_root_with_addresses(lab: str) -> None:
    lines = [line.split() for line in hints_text(topology(lab).hints).splitlines() if not line.startswith(";")]
    named = {data for _, _, _, kind, data in lines if kind == "NS"}
    assert named == {r.data for r in zone(lab, ".").records if r.owner == dns.name.root and r.type == "NS"}
    for kind, place in (("A", 0), ("AAAA", 1)):
        addresses = {owner: data for owner, _, _, found, data in lines if found == kind}
        assert addresses == {n.hostname.to_text(): n.addresses[place] for n in topology(lab).of_role(Role.ROOT)}


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize(
    "command",
    [
        # -i local: what is outside of the zone is in the lab, not where this test runs
        pytest.param(
            ["named-checkzone", "-i", "local", "-k", "fail", "-n", "fail", "-m", "fail", "-r", "fail"], id="bind"
        ),
        pytest.param(["kzonecheck", "-o"], id="knot"),
    ],
)
def test_the_checkers_of_the_servers_find_nothing(lab: str, command: list[str], tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here; the lab's own containers have it")
    for each in topology(lab).zones.values():
        file = tmp_path / each.file
        file.write_text(zone_text(each))
        done = subprocess.run([*command, each.name.to_text(), file], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        remarks = [line for line in said.splitlines() if not re.search(r"loaded serial 1$|^OK$|^$", line)]
        assert not remarks


def test_zone_files_of_one_lab_have_different_names() -> None:
    for lab in LABS:
        files = [each.file for each in topology(lab).zones.values()]
        assert len(files) == len(set(files))
    names = [".", "root", "0/25.2.0.192.in-addr.arpa", "a.b", "A.c"]
    files = [Zone(dns.name.from_text(name), (), ()).file for name in names]
    assert files == ["root.zone", "+root.zone", "0+25.2.0.192.in-addr.arpa.zone", "a.b.zone", "a.c.zone"]
