"""Others judge: dnspython as second parser, dig and drill as second askers, the servers' own tools on the zones."""

from __future__ import annotations

from collections import Counter

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import pytest
from labtools import Flat, authoritative_rrsets, flat, rdata, told

from lab import Lab
from lab.labs import load, names
from lab.runtime.node import NodeHandle
from lab.topology.derive import derive
from lab.topology.zonefile import zone_text

# dnspython


def test_dnspython_reads_the_same_in_every_message(lab: Lab, resolver: NodeHandle) -> None:
    asked = [(owner.to_text(), kind) for owner, kind in authoritative_rrsets(lab.topology)]
    asked += [("nosuch.example.com", "A"), ("www.umass.edu", "AAAA")]
    answers = lab.ask([lab.question(name, kind, at=resolver.name) for name, kind in asked], window=32)
    answers += lab.ask([lab.question(name, kind, at="root-a", recurse=False) for name, kind in asked])
    records: Counter[str] = Counter()
    for answer in answers:
        message = dns.message.from_wire(answer.wire)
        read = tuple(dns.flags.to_text(message.flags).lower().split())
        assert (dns.rcode.to_text(message.rcode()), read) == (answer.status, answer.flags), told([answer])
        for section in ("answer", "authority", "additional"):
            theirs = {(rrset.name, rrset.ttl, data) for rrset in getattr(message, section) for data in rrset}
            assert flat(getattr(answer, section)) == theirs, f"{section} of\n{told([answer])}"
            records[section] += len(theirs)
    print(f"{len(answers)} messages: {dict(records)}")
    assert min(records[section] for section in ("answer", "authority", "additional")) > 0


# dig and drill, in the host

ASKED = (
    ("www.example.com", "A"),
    ("example.com", "MX"),
    ("intranet.enterprise.com", "A"),
    ("gaia.cs.umass.edu", "AAAA"),
    ("_sip._tcp.example.com", "SRV"),
    ("story.example.com", "TXT"),
    ("www.example.org", "A"),
)


def presented(output: str) -> set[Flat]:
    """Records in presentation format (RFC 1035 section 5.1), one a line, as dig and drill print them."""
    records = (line.split(None, 4) for line in output.splitlines() if line and not line.startswith(";"))
    return {(dns.name.from_text(owner), int(ttl), rdata(kind, data)) for owner, ttl, _, kind, data in records}


def without_ttl(records: set[Flat]) -> set[tuple[dns.name.Name, dns.rdata.Rdata]]:
    return {(owner, data) for owner, _, data in records}


@pytest.mark.parametrize(("name", "kind"), ASKED)
def test_dig_agrees(lab: Lab, resolver: NodeHandle, name: str, kind: str) -> None:
    ours = lab.query(name, kind, at=resolver.name)
    theirs = presented(lab.node("host").run(f"dig @{resolver.node.ipv4} +noall +answer {name} {kind}"))
    assert without_ttl(theirs) == without_ttl(flat(ours.answer))
    assert theirs


@pytest.mark.parametrize(("name", "kind"), [asked for asked in ASKED if asked != ("intranet.enterprise.com", "A")])
def test_drill_traces_from_the_root_to_the_same_data(lab: Lab, name: str, kind: str) -> None:
    """drill -T starts at the root hints and asks no resolver; it does not follow aliases."""
    ours = lab.query(name, kind)
    traced = presented(lab.node("host").run(f"drill -T -r /lab/resolver-1/root.hints {name} {kind}"))
    data = {record for _, _, record in traced if record.rdtype == dns.rdatatype.from_text(kind)}
    assert data == {record for _, _, record in flat(ours.answer)}


# The tools of the servers, on every zone as it is rendered

CHECKERS = {
    # -i local: what is outside of the zone is somewhere else in the lab
    "named-checkzone": ("root-c", "named-checkzone -q -i local -k fail -n fail -m fail -r fail {zone} {file}"),
    "kzonecheck": ("root-a", "kzonecheck -o {zone} {file}"),
}


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("name", names())
def test_zones_are_sound(lab: Lab, name: str, checker: str) -> None:
    node, command = CHECKERS[checker]
    zones = derive(load(name)).zones.values()
    for zone in zones:
        file = f"/tmp/{zone.file}"
        check = command.format(zone=zone.name.to_text(), file=file)
        said = lab.node(node).run(
            f"cat >{file} <<'END'\n{zone_text(zone)}END\n{check}; status=$?; rm {file}; exit $status"
        )
        assert said == "", f"{zone.label}: {said}"
    print(f"{checker}: {len(zones)} zones of {name}")


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_tools_do_find_mistakes(lab: Lab, checker: str) -> None:
    """A zone whose name server has no address: the tools are really asked."""
    node, command = CHECKERS[checker]
    check = command.format(zone="broken.example.", file="/tmp/broken")
    zone = "@ 1 IN SOA ns hostmaster 1 1 1 1 1\n@ 1 IN NS ns\n"
    said = lab.node(node).run(
        f"printf '%s' '{zone}' >/tmp/broken; {check} && echo sound || echo status $?; rm /tmp/broken"
    )
    assert "status 1" in said
