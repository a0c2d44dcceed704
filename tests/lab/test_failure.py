"""Servers that are gone (stopped) or silent (paused): what still works, what does not, and that it all comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from labtools import (
    assert_all,
    assert_given_up,
    break_nodes,
    elapsed,
    eventually,
    heal_nodes,
    questions,
    told,
)

from lab import Answer, Lab

# Stopped: nobody has the address any more, ARP fails. Paused: the packets arrive, and no answer comes.
FAULTS = ("stop", "pause")
faults = pytest.mark.parametrize("fault", FAULTS)


def measured(what: str, answers: list[Answer]) -> list[Answer]:
    """Print what came of a batch, and when."""
    print(f"{what}:\n{told(answers)}")
    return answers


def recovers(lab: Lab, *asked: str) -> None:
    """All of `asked` is answered by both resolvers before the deadline; nothing is flushed to help them."""
    with elapsed() as seconds:
        eventually(lambda: assert_all(lab.ask(questions(lab, *asked, timeout=5)), "NOERROR"))
        print(f"answered again {seconds():.2f} s after healing")


@faults
def test_one_root_server_of_three(lab: Lab, fault: str) -> None:
    names = ("www.example.com", "www.umass.edu", "www.example.org", "www.example.co.kr", "www.example.co.uk")
    break_nodes(lab, fault, "root-a")
    assert_all(measured(f"root-a, {fault}", lab.ask(questions(lab, *names))), "NOERROR")
    heal_nodes(lab, "root-a")
    assert lab.query(".", "SOA", at="root-a", recurse=False).result.aa


@faults
def test_one_of_two_name_servers_of_a_zone(lab: Lab, fault: str) -> None:
    break_nodes(lab, fault, "example-1")
    names = ("www.example.com", "mail.example.com", "example.com MX", "www.umass.edu")
    assert_all(measured(f"example-1, {fault}", lab.ask(questions(lab, *names))), "NOERROR")
    heal_nodes(lab, "example-1")
    assert lab.query("example.com", "SOA", at="example-1", recurse=False).result.aa


# Where nobody answers a test waits until BIND gives up; so one zone is stopped and another paused at the same time.


def test_all_name_servers_of_a_zone(lab: Lab) -> None:
    stopped, paused = ("example-1", "example-2"), ("umass-1",)
    cached = ("www.example.com", "www.umass.edu")
    assert_all(lab.ask(questions(lab, *cached)), "NOERROR")
    break_nodes(lab, "stop", *stopped)
    break_nodes(lab, "pause", *paused)

    lost, beside = ("mail.example.com", "mail.umass.edu"), ("www.enterprise.com", "www.nyu.edu")
    answers = measured("example.com stopped, umass.edu paused", lab.ask(questions(lab, *lost, *cached, *beside)))
    assert_given_up(lab, answers[:4])
    assert_all(answers[4:], "NOERROR")

    heal_nodes(lab, *stopped, *paused)
    recovers(lab, *lost)


def test_whole_top_level_domains(lab: Lab) -> None:
    """com, net and edu have the same two servers, kr and uk the same one. Without all of them:"""
    stopped, paused = ("gtld-1", "gtld-2"), ("cctld-1",)
    cached = ("www.example.com", "www.example.org")
    assert_all(lab.ask(questions(lab, *cached)), "NOERROR")
    break_nodes(lab, "stop", *stopped)
    break_nodes(lab, "pause", *paused)

    lost = ("www.enterprise.com", "www.umass.edu", "co.kr SOA")
    new_names = ("mail.example.com", "example.org MX")  # of zones whose delegation is known: their servers are up
    other = ("a0.nic.org", "org SOA")
    asked = questions(lab, *lost, *cached, *new_names, *other)
    answers = measured("com, net and edu stopped, kr and uk paused", lab.ask(asked))
    assert_given_up(lab, answers[:6])
    assert_all(answers[6:], "NOERROR")

    heal_nodes(lab, *stopped, *paused)
    recovers(lab, *lost)


@faults
def test_a_zone_without_glue_falls_with_the_zone_of_its_name_server(lab: Lab, fault: str) -> None:
    """example.co.kr is served by ns1.provider.net: cold, it is not found without the servers of net."""
    break_nodes(lab, fault, "gtld-1", "gtld-2")
    [answer] = lab.ask(
        [lab.question("www.example.co.kr", at="resolver-1", timeout=1)]  # Unbound; BIND takes 10 s to say so
    )
    assert answer.status == "TIMEOUT"
    assert lab.query("co.kr", "SOA", at="resolver-1").status == "NOERROR"
    heal_nodes(lab, "gtld-1", "gtld-2")
    recovers(lab, "www.example.co.kr")


@faults
def test_the_first_resolver_of_the_host(lab: Lab, fault: str) -> None:
    first, second = lab.topology.hosts[0].resolvers
    assert lab.query("www.example.com").server == first
    break_nodes(lab, fault, first)

    def by_glibc() -> tuple[str, float]:
        with elapsed() as seconds:
            return lab.node("host").run("getent ahostsv4 www.enterprise.com"), seconds()

    with ThreadPoolExecutor(1) as beside:
        libc = beside.submit(by_glibc)
        answer = lab.query("www.example.com")
        said, took = libc.result()
    print(
        f"{first}, {fault}: the prober's stub went on to {answer.server} after {answer.latency:.2f} s"
        f" ({answer.attempts[0].outcome}), glibc's after {took:.2f} s"
    )
    assert answer.server == second
    assert answer.data() == ("192.0.2.80",)
    assert [attempt.outcome for attempt in answer.attempts] == ["timeout", "answer"]
    assert "198.51.100.10" in said

    heal_nodes(lab, first)
    assert lab.query("www.example.com").server == first


def test_no_resolver_at_all(lab: Lab) -> None:
    break_nodes(lab, "pause", "resolver-1", "resolver-2")
    answer = lab.query("www.example.com", timeout=0.3)
    assert answer.status == "TIMEOUT"
    tried = [lab.topology.node(attempt.server).name for attempt in answer.attempts]
    assert tried == ["resolver-1", "resolver-2"] * 2
    # The hierarchy does not need them: who asks it directly is answered.
    assert lab.query("www.example.com", at="example-1", recurse=False).data() == ("192.0.2.80",)
    heal_nodes(lab, "resolver-1", "resolver-2")
    recovers(lab, "www.example.com")


def test_a_killed_server_comes_back(lab: Lab) -> None:
    break_nodes(lab, "kill", "cs-umass-1")
    assert lab.node("cs-umass-1").state == "stopped"
    heal_nodes(lab, "cs-umass-1")
    recovers(lab, "gaia.cs.umass.edu")


def test_reset_mends_everything_at_once(lab: Lab) -> None:
    """The host too, from which all else is asked."""
    break_all: list[Callable[[], None]] = [
        lab.node("org-1").stop,
        lab.node("root-b").pause,
        lab.node("resolver-2").kill,
        lab.node("host").stop,
    ]
    for action in break_all:
        action()
    started = time.monotonic()
    lab.reset()
    print(f"reset of four broken nodes: {time.monotonic() - started:.2f} s")
    assert {node.state for node in lab.nodes.values()} == {"running"}
    assert_all(lab.ask(questions(lab, "www.example.org", "www.example.com")), "NOERROR")
