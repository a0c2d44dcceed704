"""Faults of zone data on running servers of all three programs: they bite, they are undone exactly, nothing stays."""

from __future__ import annotations

import io
import itertools
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zonetools import Stopwatch, cli, eventually, exactly, guards, owner, volumes

from lab import BadInput, EnvironmentProblem, Lab
from lab.errors import NoEffect
from lab.faults.active import active, heal

TRIO = str(Path(__file__).with_name("trio.yaml"))
TLDS, AUTHORITIES = ["tld-1", "tld-2", "tld-3"], ["auth-1", "auth-2", "auth-3"]  # Knot, NSD, BIND
CHILD = {"child": "example.com"}
WWW = {"record": "www A 192.0.2.99"}
HEALED_WITHIN = 2.0  # seconds after the death of the owner
RESOLUTION = 13.0  # seconds: BIND gives up after 10 to 12


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.temporary(TRIO, name=f"zon-data-{os.getpid()}") as lab:
        yield lab


@pytest.fixture(scope="module")
def declared(lab: Lab) -> dict[str, str]:
    """The zone files as they were at the start."""
    return zone_files(lab)


@pytest.fixture(autouse=True)
def nothing_broken(lab: Lab, declared: dict[str, str]) -> Iterator[None]:
    """Before a test and after it: the same files, byte for byte, and the same answers."""
    heal(lab)
    lab.flush()
    before = answers(lab)
    yield
    heal(lab)
    assert zone_files(lab) == declared
    assert answers(lab) == before
    assert active(lab) == []


def zone_files(lab: Lab) -> dict[str, str]:
    """Every zone file in the lab's volume, by its path."""
    pieces, _ = lab.api.get_archive(lab.node("host").container, "/lab")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.name.endswith(".zone")}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def ask(lab: Lab, server: str, name: str, kind: str = "A") -> Any:
    return lab.query(name, kind, at=server, recurse=False, timeout=3)


def shape(answer: Any) -> tuple[Any, ...]:
    """All that an answer says, but for the order of its records."""
    sections = [
        tuple(sorted((one.name, one.ttl, one.type, one.data) for one in getattr(answer, section)))
        for section in ("answer", "authority", "additional")
    ]
    return (answer.status, answer.flags, *sections)


def answers(lab: Lab) -> dict[str, Any]:
    """What every server says of what is edited here."""
    asked = [(server, name, "NS") for server in TLDS for name in ("com", "example.com", "other.com")]
    questions = (("example.com", "SOA"), ("www.example.com", "A"), ("ftp.example.com", "A"))
    asked += [(server, *question) for server in AUTHORITIES for question in questions]
    return {" ".join(one): shape(ask(lab, *one)) for one in asked}


def addresses(lab: Lab, servers: list[str] = AUTHORITIES) -> list[tuple[str, int]]:
    """Data and TTL of www.example.com at each server."""
    return [(one.data, one.ttl) for server in servers for one in ask(lab, server, "www.example.com").answer]


def serials(lab: Lab) -> list[int]:
    return [int(ask(lab, server, "example.com", "SOA").data()[0].split()[2]) for server in AUTHORITIES]


# Each bites, at each program


def test_a_removed_delegation_is_gone(lab: Lab) -> None:
    with lab.fault("remove-delegation", "com", **CHILD) as fault:
        print(fault.before, "->", fault.got)
        for server in TLDS:
            answer = ask(lab, server, "www.example.com")
            assert (answer.status, answer.is_referral) == ("NXDOMAIN", False)
            assert "aa" in answer.flags
            assert ask(lab, server, "www.other.com").is_referral
        for resolver in ("unbound", "bind"):
            assert lab.query("www.example.com", at=resolver, timeout=RESOLUTION).status == "NXDOMAIN"


def test_a_renumbered_server_has_new_glue_and_the_old_one_answers(lab: Lab) -> None:
    moved = {"server": "auth-1", "like": "auth-2"}
    with lab.fault("renumber", "com", **moved), lab.fault("renumber", "example.com", **moved):
        for server in TLDS:
            given = ask(lab, server, "www.example.com").additional
            assert {one.data for one in given if one.name.startswith("auth-1.")} == set(
                lab.topology.node("auth-2").addresses
            )
        for server in AUTHORITIES:
            assert ask(lab, server, "auth-1.example.com").data() == (lab.topology.node("auth-2").addresses[0],)
            assert ask(lab, server, "www.example.com").status == "NOERROR"


def test_a_wrong_delegation_is_lame(lab: Lab) -> None:
    with lab.fault("wrong-delegation", "com", **CHILD, server="root"):
        for server in TLDS:
            answer = ask(lab, server, "www.example.com")
            assert [one.data for one in answer.authority] == ["root.root-servers.net."]
        for resolver in ("unbound", "bind"):
            assert lab.query("www.example.com", at=resolver, timeout=RESOLUTION).status == "SERVFAIL"
    lab.flush()
    assert lab.query("www.example.com", timeout=RESOLUTION).status == "NOERROR"


def test_dropped_glue_leaves_a_referral_that_leads_nowhere(lab: Lab) -> None:
    with lab.fault("drop-glue", "com", **CHILD):
        for server in TLDS:
            answer = ask(lab, server, "www.example.com")
            assert answer.is_referral
            assert len(answer.authority) == 3
            assert not answer.additional
        for resolver in ("unbound", "bind"):
            assert lab.query("www.example.com", at=resolver, timeout=RESOLUTION).status == "SERVFAIL"


def test_a_changed_record_is_served_with_the_ttl_of_before(lab: Lab) -> None:
    with lab.fault("change-record", "example.com", **WWW):
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
        assert lab.query("www.example.com").data() == ("192.0.2.99",)
        assert serials(lab) == [1, 1, 1], "an operator who forgets the serial; bump-serial is a fault of its own"
    assert lab.query("www.example.com").data() == ("192.0.2.99",), "the cache does not know"
    lab.flush()
    assert lab.query("www.example.com").data() == ("192.0.2.80",)


def test_a_changed_ttl_is_what_resolvers_learn(lab: Lab) -> None:
    with lab.fault("change-ttl", "example.com", rrset="www A", ttl=5):
        assert addresses(lab) == [("192.0.2.80", 5)] * 3
        assert lab.query("www.example.com").answer[0].ttl <= 5


def test_a_serial_goes_up_and_back(lab: Lab) -> None:
    with lab.fault("bump-serial", "example.com", by=41):
        assert serials(lab) == [42, 42, 42]
    assert serials(lab) == [1, 1, 1]


def test_at_one_server_the_zone_is_inconsistent(lab: Lab) -> None:
    with lab.fault("change-record", "auth-2", **WWW) as fault:
        assert "the zone is inconsistent" in fault.plan.describe()
        assert [data for data, _ in addresses(lab)] == ["192.0.2.80", "192.0.2.99", "192.0.2.80"]


def test_glue_can_be_wrong_too(lab: Lab) -> None:
    with lab.fault("change-record", "com", record="auth-1.example A 192.0.2.1"):
        for server in TLDS:
            glue = {one.name: one.data for one in ask(lab, server, "www.other.com").additional if one.type == "A"}
            assert glue == {"auth-1.example.com.": "192.0.2.1"}


def test_records_come_and_go_at_every_server(lab: Lab) -> None:
    with lab.fault("add-record", "example.com", record="www A 192.0.2.81"):
        assert [sorted(ask(lab, server, "www.example.com").data()) for server in AUTHORITIES] == [
            ["192.0.2.80", "192.0.2.81"]
        ] * len(AUTHORITIES)
    with lab.fault("add-record", "example.com", record="new 5 A 192.0.2.82"):
        assert [ask(lab, server, "new.example.com").data() for server in AUTHORITIES] == [("192.0.2.82",)] * 3
    with lab.fault("remove-record", "example.com", rrset="www A"):
        assert [ask(lab, server, "www.example.com").data() for server in AUTHORITIES] == [()] * len(AUTHORITIES)
    assert [ask(lab, server, "new.example.com").status for server in AUTHORITIES] == ["NXDOMAIN"] * 3
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


# Several at once


def test_edits_combine_and_are_undone_in_any_order(lab: Lab) -> None:
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("change-record", WWW),
        ("change-ttl", {"rrset": "www A", "ttl": 5}),
        ("bump-serial", {"by": 1}),
    ]
    for order in list(itertools.permutations(range(3)))[::2]:
        faults = [lab.fault(name, "example.com", **how) for name, how in kinds]
        assert addresses(lab) == [("192.0.2.99", 5)] * 3
        left = {0, 1, 2}
        for number in order:
            faults[number].heal()
            left.remove(number)
            data, ttl = "192.0.2.99" if 0 in left else "192.0.2.80", 5 if 1 in left else 3600
            assert addresses(lab) == [(data, ttl)] * 3
            assert serials(lab) == [2 if 2 in left else 1] * 3
            assert [fault.active for fault in faults] == [number in left for number in range(3)]


def test_two_processes_edit_one_zone(lab: Lab) -> None:
    with owner(lab, "change-ttl", "example.com", '{"rrset": "www A", "ttl": 5}') as other:
        with lab.fault("change-record", "example.com", **WWW):
            assert addresses(lab) == [("192.0.2.99", 5)] * 3
        assert addresses(lab) == [("192.0.2.80", 5)] * 3
        other.kill()
        eventually(lambda: exactly(addresses(lab), [("192.0.2.80", 3600)] * 3))


def test_an_edit_of_what_is_gone_is_an_error(lab: Lab) -> None:
    with lab.fault("remove-delegation", "com", **CHILD):
        with pytest.raises(NoEffect, match="another edit has been there before"):
            lab.fault("drop-glue", "com", **CHILD)
        assert [entry.fault for entry in active(lab)] == ["remove-delegation"]


# It ends, whoever ends it


def test_a_killed_owner_heals(lab: Lab) -> None:
    since = Stopwatch()
    with lab.fault("change-record", "example.com", **WWW):
        pass
    usual = since()  # what a fault and its healing take at present: seconds on a machine that is overloaded
    with owner(lab, "change-record", "example.com", json.dumps(WWW)) as process:
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
        process.kill()
        since = Stopwatch()
        eventually(lambda: exactly(addresses(lab), [("192.0.2.80", 3600)] * 3))
        took = since()
    print(f"healed {took:.2f} s after kill -9; a fault and its healing took {usual:.2f} s")
    assert took <= HEALED_WITHIN + 2 * usual
    eventually(lambda: exactly((active(lab), guards(lab)), ([], [])))


def test_the_deadline_heals(lab: Lab) -> None:
    with lab.fault("change-record", "example.com", **WWW, lasts="2s") as fault:
        assert fault.active
        eventually(lambda: exactly(fault.active, False), within=10)
        assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_somebody_else_sees_and_heals(lab: Lab) -> None:
    fault = lab.fault("change-record", "example.com", **WWW)
    [found] = json.loads(cli(lab, "faults", "--json").stdout)
    assert (found["fault"], found["node"], found["process"]) == ("change-record", ",".join(AUTHORITIES), os.getpid())
    assert found["words"] == fault.plan.describe()
    assert 3000 < found["left"] <= 3600
    assert json.loads(cli(lab, "heal", "example.com", "--json").stdout) == {"healed": AUTHORITIES}
    assert not fault.active
    fault.heal()
    assert guards(lab) == []


def test_reset_heals(lab: Lab) -> None:
    fault = lab.fault("change-record", "example.com", **WWW)
    lab.reset()
    assert not fault.active
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3
    fault.heal()


def test_on_the_command_line(lab: Lab) -> None:
    done = cli(lab, "fault", "change-record", "example.com", "--param", "record=www A 192.0.2.99", "--for", "1s")
    assert done.returncode == 0, done.stderr
    assert "got     www.example.com A: 192.0.2.99, TTL 3600 (auth-1, auth-2, auth-3)" in done.stdout
    assert done.stdout.endswith("Healed.\n")


def test_twenty_cycles_leave_nothing(lab: Lab) -> None:
    before = volumes(lab)
    for number in range(20):
        with lab.fault("change-record", "example.com", record=f"www A 192.0.2.{100 + number}"):
            assert addresses(lab) == [(f"192.0.2.{100 + number}", 3600)] * 3
    assert volumes(lab) == before
    assert guards(lab) == []


# Nodes that come and go under an edit


def test_a_restarted_server_serves_the_edited_zone(lab: Lab) -> None:
    with lab.fault("change-record", "example.com", **WWW):
        for server in AUTHORITIES:
            lab.node(server).restart()
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_up_leaves_an_edit_alone_and_makes_a_node_anew_with_it(lab: Lab) -> None:
    with lab.fault("change-record", "example.com", **WWW):
        Lab.up(TRIO, name=lab.name).close()
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
        lab.api.remove_container(lab.node("auth-2").container, force=True)
        lab.node("auth-2").close()
        with Lab.up(TRIO, name=lab.name) as again:
            assert again.changed == ("auth-2",)
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_healed_while_stopped(lab: Lab) -> None:
    fault = lab.fault("change-record", "example.com", **WWW)
    lab.node("auth-1").stop()
    fault.heal()
    lab.node("auth-1").start()
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_a_paused_server_is_healed_when_it_can_be_told(lab: Lab) -> None:
    fault = lab.fault("change-record", "example.com", **WWW)
    lab.node("auth-2").pause()
    with pytest.raises(EnvironmentProblem, match="auth-2 is paused and cannot be told"):
        fault.heal()
    assert fault.active
    lab.node("auth-2").unpause()
    fault.heal()
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_healed_behind_a_broken_link(lab: Lab) -> None:
    fault = lab.fault("change-record", "example.com", **WWW)
    with lab.fault("blackhole", "auth-3"):
        fault.heal()
        assert not fault.active
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3


def test_a_clock_that_is_ahead_does_not_matter(lab: Lab) -> None:
    """BIND compares the time of a file with the time by its own clock at which it last read it."""
    lab.clock.advance(hours=2)
    for server in AUTHORITIES:
        lab.node(server).restart()
    with lab.fault("change-record", "example.com", **WWW):
        assert addresses(lab) == [("192.0.2.99", 3600)] * 3
        lab.clock.advance(hours=2)
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3
    lab.reset_clock()


# What cannot be


def test_a_zone_that_a_server_refuses_is_an_error_and_healed(lab: Lab) -> None:
    """Name servers of the zone itself, in it and without an address: BIND keeps the zone that it has."""
    with pytest.raises(NoEffect, match=r"no effect at auth-3(.|\n)*has no address records"):
        lab.fault("change-record", "example.com", record="@ NS nowhere")
    assert addresses(lab) == [("192.0.2.80", 3600)] * 3
    assert guards(lab) == []


def test_a_stopped_server_is_refused(lab: Lab) -> None:
    lab.node("auth-1").stop()
    with pytest.raises(EnvironmentProblem, match="auth-1 is stopped"):
        lab.fault("change-record", "example.com", **WWW)
    lab.node("auth-1").start()
    assert active(lab) == []


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["change-record", "example.com", "-p", "record=wwww A 192.0.2.1"], "did you mean 'www'"),
        (["change-ttl", "example.com", "-p", "rrset=www A", "-p", "ttl=-5"], "from 0 to 2147483647"),
        (["change-record", "example.com", "-p", "record=www.other.com. A 192.0.2.1"], "not in zone example.com"),
        (["bump-serial", "auth-1"], "say which with zone=NAME"),
    ],
)
def test_bad_input_on_the_command_line(lab: Lab, words: list[str], advice: str) -> None:
    done = cli(lab, "fault", *words)
    assert done.returncode == 4
    assert advice in done.stderr


def test_an_unknown_zone(lab: Lab) -> None:
    with pytest.raises(BadInput, match="no node 'exmaple"):
        lab.fault("change-record", "exmaple.com", **WWW)
