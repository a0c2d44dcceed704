"""Faults on DNS messages on a running lab: what a client sees of each, over UDP and TCP, IPv4 and IPv6, and who not."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faulttools import eventually, exactly, in_helper

from lab import Answer, BadInput, Lab
from lab.errors import NoEffect
from lab.faults.active import active, heal
from lab.faults.message import MessageFault
from lab.labs import load
from lab.runtime import helper, labels
from lab.runtime.conditioner import CONDITIONER
from lab.topology.declaration import Zone

NAME, ADDRESS, OTHER = "www.example.com", "192.0.2.80", "mail.example.com"
PATIENT = 5.0  # seconds for an answer that has to come
SOON = 0.4  # seconds after which one that must not come is not waited for
WIDE = 1.5  # seconds that a busy machine may add
LISTENING = ":4E55 "  # the proxy's port, 20053, as /proc/net/tcp has it


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    minimal = load("minimal")
    zones = {**minimal.zones, "org": Zone(servers=("tld",), records="www A 192.0.2.81")}
    with Lab.temporary(minimal.model_copy(update={"zones": zones}), name=f"msg-{os.getpid()}") as lab:
        yield lab


@pytest.fixture(autouse=True)
def nothing_broken(lab: Lab) -> None:
    heal(lab)


def asked(lab: Lab, name: str = NAME, type: str = "A", **how: Any) -> Answer:
    return lab.query(
        name, type, **{"at": "authority", "recurse": False, "timeout": PATIENT, "tcp_fallback": False, **how}
    )


def fault(lab: Lab, kind: str, node: str = "authority", /, **how: Any) -> MessageFault:
    made = lab.fault(kind, node, **how)
    assert isinstance(made, MessageFault)
    return made


def healthy(lab: Lab) -> None:
    for transport in ("udp", "tcp"):
        answer = asked(lab, transport=transport)
        assert answer.data() == (ADDRESS,), f"{transport}: {answer.status}"
        assert answer.latency < WIDE


def counters(made: MessageFault) -> tuple[int, int]:
    assert made.state is not None
    return made.state.matched, made.state.acted


# What a client sees

Sees = Callable[[Answer], bool]
SEEN: dict[str, tuple[dict[str, Any], Sees]] = {
    "servfail": ({}, lambda answer: answer.status == "SERVFAIL"),
    "refused": ({}, lambda answer: answer.status == "REFUSED"),
    "formerr": ({}, lambda answer: answer.status == "FORMERR" and answer.edns_size is None),
    "nxdomain": ({}, lambda answer: answer.status == "NXDOMAIN" and not answer.authority),
    "notimp": ({}, lambda answer: answer.status == "NOTIMP"),
    "badvers": ({}, lambda answer: answer.status == "BADVERS"),
    "empty": ({}, lambda answer: answer.status == "NOERROR" and not answer.answer and not answer.authority),
    "lame": ({}, lambda answer: "aa" not in answer.flags and answer.authority[0].name == "."),
    "wrong-address": (
        {"ipv4": "198.51.100.7"},
        lambda answer: answer.data() == ("198.51.100.7",),
    ),
    "ttl": ({"ttl": 7}, lambda answer: {record.ttl for record in answer.answer} == {7}),
    "strip-edns": ({}, lambda answer: answer.data() == (ADDRESS,) and answer.edns_size is None),
    "dns-delay": ({"delay": "300ms"}, lambda answer: answer.answered and 0.3 <= answer.latency < 0.3 + WIDE),
    "dns-drop": ({}, lambda answer: answer.outcome == "timeout"),
    "wrong-id": ({}, lambda answer: answer.outcome == "malformed"),
    "wrong-question": ({}, lambda answer: answer.outcome == "malformed"),
    "malformed": ({}, lambda answer: answer.outcome == "malformed"),
}
SILENT = ("dns-drop", "wrong-id", "wrong-question", "malformed")
WAYS = [(transport, ipv6) for transport in ("udp", "tcp") for ipv6 in (False, True)]


@pytest.mark.parametrize("name", SEEN)
def test_what_a_client_sees(lab: Lab, name: str) -> None:
    how, sees = SEEN[name]
    with fault(lab, name, **how) as made:
        assert made.active
        for transport, ipv6 in WAYS:
            answer = asked(lab, transport=transport, ipv6=ipv6, timeout=SOON if name in SILENT else PATIENT)
            assert sees(answer), f"{transport}, IPv{6 if ipv6 else 4}: {answer.to_json()}"
        assert counters(made) == (4, 4)
        [entry] = active(lab)
        assert (entry.fault, entry.node) == (name, "authority")
    healthy(lab)


@pytest.mark.parametrize("node", ["root", "tld", "authority"])
def test_every_server_program(lab: Lab, node: str) -> None:
    """Each lays out its messages in a way of its own: where OPT stands, what is compressed, which sockets it uses."""
    for name in ("strip-edns", "servfail", "ttl", "lame"):
        with fault(lab, name, node, **SEEN[name][0]) as made:
            assert made.after is not None
            assert made.after.answered == made.after.asked


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_truncated_answers_are_asked_for_over_tcp(lab: Lab, ipv6: bool) -> None:
    with fault(lab, "truncate"):
        udp = asked(lab, ipv6=ipv6)
        assert "tc" in udp.flags
        assert not udp.answer
        again = asked(lab, ipv6=ipv6, tcp_fallback=True)
        assert (again.transport, again.data()) == ("tcp", (ADDRESS,))
    healthy(lab)


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_a_slow_answer_and_an_early_end(lab: Lab, ipv6: bool) -> None:
    with fault(lab, "slow-drip", rate=100):
        slow = asked(lab, transport="tcp", ipv6=ipv6)
        assert slow.data() == (ADDRESS,)
        assert 0.9 * slow.size / 100 <= slow.latency < slow.size / 100 + WIDE
        assert asked(lab, ipv6=ipv6).latency < WIDE, "over UDP it comes at once"
    with fault(lab, "early-close", after=20):
        assert asked(lab, transport="tcp", ipv6=ipv6).outcome == "unreachable"
        assert asked(lab, ipv6=ipv6).data() == (ADDRESS,)
    healthy(lab)


def test_answers_that_grow(lab: Lab) -> None:
    """An upward referral is larger than the answer that it replaces."""
    with fault(lab, "lame", name=NAME) as made:
        small = asked(lab)
        assert small.size > 200
        assert len(small.authority) == 13
        assert counters(made) == (1, 1)


# Which messages


@pytest.mark.parametrize(
    ("how", "hit", "spared"),
    [
        ({"name": NAME}, [(NAME, "A"), ("WWW.Example.COM", "AAAA")], [(OTHER, "A"), ("x." + NAME, "A")]),
        ({"name": "w*.example.com"}, [(NAME, "A"), ("wx.y.example.com", "A")], [(OTHER, "A")]),
        ({"under": OTHER}, [(OTHER, "A"), ("a.b." + OTHER, "A")], [(NAME, "A"), ("x" + OTHER, "A")]),
        ({"type": "AAAA,MX"}, [(NAME, "AAAA"), ("example.com", "MX")], [(NAME, "A")]),
        ({"under": "example.com", "type": "A"}, [(NAME, "A")], [(NAME, "AAAA")]),
    ],
    ids=["name", "pattern", "under", "type", "both"],
)
def test_only_what_matches(lab: Lab, how: dict[str, str], hit: list[Any], spared: list[Any]) -> None:
    with fault(lab, "refused", **how):
        for transport in ("udp", "tcp"):
            assert [asked(lab, *what, transport=transport).status for what in hit] == ["REFUSED"] * len(hit)
            assert "REFUSED" not in [asked(lab, *what, transport=transport).status for what in spared]


@pytest.mark.parametrize(("touched", "spared"), [("udp", "tcp"), ("tcp", "udp")])
def test_only_the_asked_transport(lab: Lab, touched: str, spared: str) -> None:
    with fault(lab, "servfail", transport=touched) as made:
        assert asked(lab, transport=touched).status == "SERVFAIL"
        assert asked(lab, transport=spared).data() == (ADDRESS,)
        assert counters(made) == (1, 1)


def test_only_the_asked_peer(lab: Lab) -> None:
    lab.flush()
    with fault(lab, "refused", to="resolver") as made:
        healthy(lab)
        assert counters(made) == (0, 0)
        assert lab.query(NAME, at="resolver", timeout=20).status == "SERVFAIL", "the resolver found nobody to ask"
        assert counters(made)[1] > 0


def test_answers_on_their_way_in(lab: Lab) -> None:
    """At the resolver: what the authority answers it, over UDP and over connections that it opens itself."""
    with fault(lab, "servfail", "resolver", direction="in", to="authority") as made:
        assert made.after is not None
        assert made.after.asked == 6
        lab.flush()
        healthy(lab)
        assert lab.query(NAME, at="resolver", timeout=20).status == "SERVFAIL"
        assert counters(made)[1] > 0
        assert asked(lab, "www.org", at="resolver", recurse=True, timeout=20).data() == ("192.0.2.81",)
    lab.flush()
    with (
        fault(lab, "truncate", "resolver", direction="in", to="authority"),
        fault(lab, "wrong-address", "resolver", direction="in", to="authority", transport="tcp"),
    ):
        assert lab.query(NAME, at="resolver", timeout=20).data() == ("203.0.113.66",), "the resolver came over TCP"
    lab.flush()
    assert lab.query(NAME, at="resolver").data() == (ADDRESS,)


def test_queries_on_their_way(lab: Lab) -> None:
    with fault(lab, "dns-delay", delay="600ms", of="queries", direction="in", type="A") as made:
        for transport in ("udp", "tcp"):
            assert asked(lab, transport=transport).latency >= 0.6
            assert asked(lab, type="AAAA", transport=transport).latency < 0.6
        assert counters(made) == (2, 2)
    with fault(lab, "dns-drop", "resolver", of="queries", to="authority", every=2):
        lab.flush()
        assert lab.query(NAME, at="resolver", timeout=20).data() == (ADDRESS,), "it asks again"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_every_nth_is_exact(lab: Lab, transport: str) -> None:
    with fault(lab, "servfail", every=3, transport=transport) as made:
        statuses = [asked(lab, transport=transport).status for _ in range(12)]
        assert statuses == ["NOERROR", "NOERROR", "SERVFAIL"] * 4
        assert counters(made) == (12, 4)


def test_shares_are_binomial_and_follow_the_seed(lab: Lab) -> None:
    count, share = 400, 0.25

    def hit(**how: Any) -> list[int]:
        with fault(lab, "servfail", share=share, transport="udp", **how) as made:
            question = lab.question(NAME, at="authority", recurse=False, timeout=PATIENT)
            answers = lab.ask([question] * count, window=1)
            assert counters(made)[0] == count
        return [n for n, answer in enumerate(answers) if answer.status == "SERVFAIL"]

    first = hit(seed=7)
    assert abs(len(first) - count * share) <= 3.3 * math.sqrt(count * share * (1 - share))  # 99.9 %
    assert hit(seed=7) == first
    assert hit(seed=8) != first


# Together with others


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_with_latency_on_the_same_link(lab: Lab, transport: str) -> None:
    latency = 0.1
    for order in (("latency", "servfail"), ("servfail", "latency")):
        made = [
            lab.fault(name, "authority", **({"delay": "100ms", "direction": "out"} if name == "latency" else {}))
            for name in order
        ]
        answer = asked(lab, transport=transport)
        crossings = 2 if transport == "tcp" else 1  # of the server's packets: the handshake, the answer
        assert answer.status == "SERVFAIL"
        assert crossings * latency <= answer.latency < crossings * latency + WIDE
        for one in made:
            one.heal()
    healthy(lab)


def test_latency_where_the_node_opens_the_connections(lab: Lab) -> None:
    """The way from the program to the proxy is no link: it is not delayed, and the other is, once."""
    address = lab.topology.nodes["authority"].ipv4
    with (
        fault(lab, "ttl", "resolver", ttl=9, direction="in", to="authority", transport="tcp"),
        lab.fault("latency", "resolver", delay="500ms", to="authority", direction="both"),
    ):
        script = (
            "python3 -c 'import socket,time; t=time.monotonic();"
            f'c=socket.create_connection(("{address}",53)); b=time.monotonic();'
            'c.sendall(bytes.fromhex("00211234000000010000000000000377777707657861"+"6d706c6503636f6d0000010001"));'
            "d=c.recv(4096); print(b-t, time.monotonic()-t, len(d))'"
        )
        connected, answered, size = map(float, in_helper(lab, "resolver", script).split())
    assert connected < 0.9, "the proxy takes the connection at once: a handshake over the link is a second"
    assert 2.0 <= answered < 2.9, "handshake and question, each there and back, and nothing delayed twice"
    assert size > 30


def test_faults_combine_whatever_the_order(lab: Lab) -> None:
    for order in (("ttl", "wrong-address"), ("wrong-address", "ttl")):
        made = [fault(lab, name, **({"ttl": 9} if name == "ttl" else {})) for name in order]
        answer = asked(lab)
        assert (answer.data(), answer.answer[0].ttl) == (("203.0.113.66",), 9)
        for one in made:
            one.heal()


# It ends


CONNECTION = """
import socket, sys
QUERY = bytes.fromhex("0021 1234 0000 0001 0000 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001")
connection = socket.create_connection((sys.argv[1], 53), 10)
for line in sys.stdin:
    connection.sendall(QUERY)
    head = connection.recv(2, socket.MSG_WAITALL)
    answer = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    print(answer[3] & 15 if answer else "closed", flush=True)
"""


def test_a_connection_goes_on_when_the_fault_is_healed(lab: Lab) -> None:
    address = str(lab.topology.nodes["authority"].ipv4)
    command = ["docker", "exec", "-i", labels.container_name(lab.name, "host"), "python3", "-c", CONNECTION, address]

    def again(client: subprocess.Popen[str]) -> str:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("again\n")
        client.stdin.flush()
        return client.stdout.readline().strip()

    lab.links.close()  # the helper is to be nobody's but that of whom attaches now
    with Lab.attach(lab.name) as elsewhere:
        made = fault(elsewhere, "servfail")
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert again(client) == "2"
        made.heal()
        assert again(client) == "0"
        with fault(elsewhere, "servfail", "tld"):
            pass
        assert "tld" in helper.running(lab.api, lab.name, CONDITIONER)
    # Nobody owns a rule any more, and the helper lives on as long as the connection does. That of another node, which
    # was left at the same time and has no connection to wait for, shows when it would have ended without.
    eventually(lambda: exactly("tld" in helper.running(lab.api, lab.name, CONDITIONER), False))
    assert again(client) == "0"
    assert client.stdin is not None
    client.stdin.close()
    assert client.wait(10) == 0
    eventually(lambda: exactly("authority" in helper.running(lab.api, lab.name, CONDITIONER), False))


def test_fifty_cycles_leave_nothing(lab: Lab) -> None:
    with fault(lab, "servfail"):
        pass
    before = int(in_helper(lab, "authority", "ls /proc | grep -c '^[0-9]'"))
    descriptors = "ls /proc/1/fd | wc -l"
    for number in range(50):
        with fault(lab, ("servfail", "ttl", "truncate")[number % 3], **({}, {"ttl": 5}, {})[number % 3]):
            pass

    def clean() -> None:
        saved = in_helper(lab, "authority", "iptables-save; ip6tables-save; cat /proc/net/tcp /proc/net/tcp6")
        assert "dnslab" not in saved
        assert not [line for line in saved.splitlines() if LISTENING in line and " 0A " in line], "nobody listens"
        assert int(in_helper(lab, "authority", "ls /proc | grep -c '^[0-9]'")) <= before

    eventually(clean)
    first = int(in_helper(lab, "authority", descriptors))
    with fault(lab, "servfail"):
        pass
    eventually(lambda: exactly(int(in_helper(lab, "authority", descriptors)) <= first, True))
    assert active(lab) == []
    healthy(lab)


OWNER = """
import sys
from lab import Lab
with Lab.attach(sys.argv[1]) as lab:
    fault = lab.fault("servfail", "authority")
    print("bites", flush=True)
    sys.stdin.read()
"""


def test_a_killed_owner_heals_within_two_seconds(lab: Lab) -> None:
    command = [sys.executable, "-c", OWNER, lab.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "bites\n"
        assert [asked(lab, transport=transport).status for transport in ("udp", "tcp")] == ["SERVFAIL"] * 2
        owner.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: healthy(lab), within=10)
        assert time.monotonic() - killed < 2


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_a_helper_that_ends_is_no_outage_and_comes_back(lab: Lab, number: str) -> None:
    with fault(lab, "servfail"):
        lab.api.kill(helper.name(lab.name, "authority", CONDITIONER), number)
        for transport in ("udp", "tcp"):
            assert asked(lab, transport=transport, attempts=3, timeout=2.0).answered
        eventually(lambda: exactly(asked(lab, transport="tcp").status, "SERVFAIL"))
    healthy(lab)


def test_a_restarted_node_has_its_fault_back(lab: Lab) -> None:
    with fault(lab, "servfail"):
        lab.node("authority").restart()
        assert [asked(lab, transport=transport).status for transport in ("udp", "tcp")] == ["SERVFAIL"] * 2
    healthy(lab)


# What cannot be


def test_a_fault_with_nothing_to_change_is_an_error(lab: Lab) -> None:
    with pytest.raises(NoEffect, match="nothing to change: it needs an answer with A or AAAA"):
        lab.fault("wrong-address", "authority", type="MX")
    with lab.fault("blackhole", "authority", direction="in"), pytest.raises(NoEffect, match="no effect"):
        lab.fault("servfail", "authority")
    assert active(lab) == []
    healthy(lab)


def test_a_name_that_nobody_has_is_measured_all_the_same(lab: Lab) -> None:
    with fault(lab, "servfail", name="no?such*.example.com") as made:
        assert "NXDOMAIN" in str(made.before)
        assert asked(lab, "noosuch.example.com").status == "SERVFAIL"
        assert asked(lab).data() == (ADDRESS,)


def test_a_host_answers_nobody(lab: Lab) -> None:
    with pytest.raises(BadInput, match=r"host answers nobody here.*--direction in"):
        lab.fault("servfail", "host")
