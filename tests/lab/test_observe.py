"""What the tap sees on a running lab, and that it is all there is: held against tcpdump, counts and what was sent."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from labtools import WITHIN, eventually, tiny

from lab import BadInput, EnvironmentProblem, Lab
from lab.errors import NotSeen
from lab.observe.capture import Capture
from lab.observe.message import Message
from lab.runtime import helper, labels
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from lab.runtime.node import NodeHandle
from lab.runtime.tap import TAP

MANY = 10_000  # queries, as fast as they are answered
NAME = "www.example.com"


def row(message: Message) -> tuple[str, str, str, str]:
    return message.sender, message.receiver, message.qname, message.kind


def dnslab(lab: Lab, verb: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab.cli.main", verb, "--lab", lab.name, *arguments]


# One resolution


def test_a_cold_resolution_is_seen_from_the_root_down(lab: Lab, resolver: NodeHandle) -> None:
    with lab.observe() as seen:
        answer = lab.query(NAME, at=resolver.name)
    tiers = [lab.topology.nodes[query.receiver].role.value for query in seen.upstream(name=NAME)]
    assert tiers[-1] == "authority"
    assert seen.counts().by_tier.keys() == {"root", "tld", "authority"}
    [exchange] = seen.exchanges(sender="host", to=resolver.name)
    assert exchange.response is not None
    assert exchange.response.wire == answer.wire, "what the host got is what the resolver sent, octet by octet"
    assert 0 < (exchange.rtt or 0) <= answer.latency
    # With the question's whole name or, minimised, the zone's; BIND asks for addresses of servers besides.
    about = [message for message in seen.responses(sender="tld") if message.qname in (NAME, "example.com")]
    assert about[-1].kind == "referral"
    assert seen.responses(sender=resolver.name)[-1].kind == "answer"
    assert seen.messages == sorted(seen.messages, key=lambda message: message.time)
    assert not any(seen.dropped.values())
    assert not seen.gaps


def test_a_cache_hit_asks_nobody(lab: Lab, resolver: NodeHandle) -> None:
    lab.query(NAME, at=resolver.name)
    with lab.observe() as seen:
        lab.query(NAME, at=resolver.name)
        counts = seen.counts()
    assert not seen.upstream(sender=resolver.name)
    assert (counts.clients, counts.hits, counts.upstream) == (1, 1, 0)


def test_another_name_in_a_known_zone_asks_its_servers_only(lab: Lab, resolver: NodeHandle) -> None:
    lab.query(NAME, at=resolver.name)
    with lab.observe(resolver.name) as seen:
        lab.query("mail.example.com", at=resolver.name)
    asked = {query.receiver for query in seen.upstream(name="mail.example.com")}
    assert asked
    assert asked <= {"example-1", "example-2"}
    assert not seen.queries(to=("root", "tld"))


def test_other_nodes_than_resolvers_and_each_message_once(lab: Lab) -> None:
    with lab.observe("resolver-1", "root", "gtld-1", "gtld-2", "host") as seen:
        lab.query(NAME, at="resolver-1")
    assert set(seen.taps) == {"host", "resolver-1", "root-a", "root-b", "root-c", "gtld-1", "gtld-2"}
    assert [m.tap for m in seen.queries(sender="host")] == ["host"]
    assert len([m for m in seen.messages if m.sender == "host"]) == 2, "where it was sent, and where it was got"
    assert len(seen.queries(sender="host", tap="resolver-1")) == 1
    alone = [row(m) for m in seen.queries(sender="resolver-1")]
    assert alone == [row(m) for m in seen.queries(sender="resolver-1", tap="resolver-1")]


def test_over_tcp_and_ipv6(lab: Lab, resolver: NodeHandle) -> None:
    with lab.observe(resolver.name) as seen:
        answer = lab.query(NAME, at=resolver.name, transport="tcp", ipv6=True)
    [query] = seen.queries(sender="host", transport="tcp")
    assert query.destination == str(resolver.node.ipv6)
    [response] = seen.responses(to="host", transport="tcp")
    assert response.wire == answer.wire
    assert [event.kind for event in seen.events if event.sender == "host"][:2] == ["connect", "closed"]


def test_waiting_for_a_message(lab: Lab) -> None:
    with lab.observe("resolver-1") as seen:
        lab.query("nosuch.example.com", at="resolver-1")
        found = seen.wait_for(lambda message: message.kind == "negative" and message.receiver == "host")
        assert found.rcode == "NXDOMAIN"
        seen.clear()
        assert seen.messages == []
        with pytest.raises(NotSeen, match=r"no such message within 0.1 s; 0 messages were seen"):
            seen.wait_for(lambda _message: True, deadline=0.1)


def test_what_the_network_says_is_told(lab: Lab) -> None:
    with lab.observe("resolver-1") as seen, lab.fault("reject", "resolver-1", to="host", direction="in"):
        lab.query(NAME, at="resolver-1", timeout=1)
        lab.query(NAME, at="resolver-1", timeout=1, transport="tcp")
    events = {(event.kind, event.transport, event.sender) for event in seen.events}
    assert {("unreachable", "udp", "host"), ("connect", "tcp", "host"), ("reset", "tcp", "resolver-1")} <= events


# All of it, and nothing else


def test_thousands_of_queries_a_second_without_loss(lab: Lab) -> None:
    lab.query(NAME, at="resolver-1")
    question = lab.question(NAME, at="resolver-1", timeout=5)
    with lab.observe("resolver-1") as seen:
        began = time.monotonic()
        answers = lab.ask([question] * MANY)
        print(f"{MANY / (time.monotonic() - began):.0f} queries/s")
    attempts = sum(len(answer.attempts) for answer in answers)
    assert seen.dropped == {"resolver-1": 0}
    assert len(seen.queries(sender="host")) == attempts
    counts = seen.counts()
    assert (counts.answered, counts.hits, counts.upstream) == (MANY, MANY, 0)


NONSENSE = """
import os, random, socket
random.seed(1)
for family, to in ((socket.AF_INET, "{ipv4}"), (socket.AF_INET6, "{ipv6}")):
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        for _ in range(500):
            udp.sendto(random.randbytes(random.randrange(300)), (to, 53))
        udp.sendto(bytes(4000), (to, 53))
    query = bytes.fromhex("0029 123401000001000000000000 03777777076578616d706c6503636f6d0000010001 " + "00" * 8)
    for cut in range(len(query)):
        with socket.create_connection((to, 53)) as tcp:
            tcp.sendall(query[:cut])
"""


def test_nonsense_on_the_wire_does_not_stop_the_tap(lab: Lab) -> None:
    """1,000 random datagrams, two that come in fragments, and TCP streams cut at every octet."""
    node = lab.node("resolver-1")
    script = NONSENSE.format(ipv4=node.node.ipv4, ipv6=node.node.ipv6)
    with lab.observe("resolver-1") as seen:
        lab.node("host").run(f"python3 -c '{script}'")
        lab.query(NAME, at="resolver-1")
    queries = [message for message in seen.messages if message.sender == "host"]
    udp = [message for message in queries if message.transport == "udp"]
    assert len(udp) == 1003
    assert [message.size for message in udp if message.size >= 300] == [4000, 4000]
    assert sum(event.kind == "cut" for event in seen.events) >= 60
    assert udp[-1].kind == "query"
    assert seen.responses(to="host")[-1].rcode == "NOERROR"
    for message in seen.messages:
        json.dumps(message.to_json())


@contextmanager
def tcpdump(lab: Lab, node: str) -> Iterator[Callable[[str], list[str]]]:
    """tcpdump in a node's network namespace; gives a function that has tshark print fields of what it has caught."""
    client = connect()
    image = ensure_images(client, ["tshark"])["tshark"]
    container = client.containers.create(
        image,
        ["tcpdump", "-i", "eth0", "-Z", "root", "-U", "--immediate-mode", "-w", "/tmp/caught.pcap", "port", "53"],
        network_mode=f"container:{labels.container_name(lab.name, node)}",
        cap_drop=["ALL"],
        cap_add=["NET_RAW", "SETGID", "SETUID"],  # it gives up being root, even to be root again
        user="0:0",
        labels={labels.LAB: lab.name},
        auto_remove=True,
    )

    def print_fields(filter: str) -> list[str]:
        fields = ["ip.src", "ipv6.src", "dns.id", "dns.flags.response", "dns.qry.name", "dns.qry.type"]
        told = [part for field in fields for part in ("-e", field)]
        done = container.exec_run(["tshark", "-r", "/tmp/caught.pcap", "-Y", filter, "-T", "fields", *told])
        return [line for line in done.output.decode().splitlines() if "\t" in line]

    container.start()
    try:
        eventually(lambda: _assert(b"listening on" in container.logs(), "tcpdump does not listen"))
        yield print_fields
    finally:
        container.kill()
        client.close()


def _assert(true: bool, otherwise: str) -> None:
    assert true, otherwise


def test_tcpdump_sees_the_same_messages(lab: Lab) -> None:
    with tcpdump(lab, "resolver-2") as caught, lab.observe("resolver-2") as seen:
        for name in (NAME, "gaia.cs.umass.edu", "nosuch.kr", "shop.enterprise.com", "intranet.enterprise.com"):
            lab.query(name, at="resolver-2")
            lab.query(name, "AAAA", at="resolver-2", transport="tcp")
        lab.query("the-last.example.com", at="resolver-2")
        seen.sync()
        # tcpdump is waited for: it is the one that may lag behind.
        wanted = Counter(
            f"{m.source if '.' in m.source else ''}\t{m.source if ':' in m.source else ''}\t0x{m.id:04x}\t"
            f"{int(m.is_response)}\t{m.qname if m.qname != '.' else '<Root>'}\t{m.parsed.question[0].rdtype:d}"
            for m in seen.messages
            if m.parsed is not None
        )

        def same() -> None:
            lines = Counter(_lower(line) for line in caught("dns"))
            assert lines == wanted, f"only tcpdump: {lines - wanted}\nonly the tap: {wanted - lines}"

        assert wanted.total() > 40
        eventually(same)


def _lower(line: str) -> str:
    """tshark's line as ours: names without case, response as a digit in every version of it."""
    *ends, id, response, name, type = line.split("\t")
    digit = {"True": "1", "False": "0"}.get(response, response)
    return "\t".join([*ends, id, digit, name if name == "<Root>" else name.lower(), type])


def test_two_labs_at_once_do_not_mix(lab: Lab, instance: Callable[[str], str]) -> None:
    with (
        Lab.temporary(tiny(), name=instance("tap-other")) as other,
        lab.observe() as here,
        other.observe() as there,
    ):
        lab.query("mail.example.com", at="resolver-1")
        other.query(NAME)
        assert here.queries(sender="host", name="mail.example.com")
        assert there.queries(sender="host", name=NAME)
        assert not here.queries(name=NAME)
        assert not there.queries(name="mail.example.com")


# Lives of nodes and taps


def test_a_node_that_restarts_is_watched_again_and_the_gap_is_told(lab: Lab) -> None:
    with lab.observe("resolver-1") as seen:
        lab.query(NAME, at="resolver-1")
        lab.node("resolver-1").restart()
        lab.query("mail.example.com", at="resolver-1")
        assert seen.queries(sender="host", name=NAME), "what was seen before is not forgotten"
        assert seen.queries(sender="host", name="mail.example.com")
        assert not seen.stopped
    [gap] = seen.gaps
    assert gap.tap == "resolver-1"
    assert gap.until is not None
    assert gap.until > gap.since


def test_a_node_that_stops_is_said_to_and_is_found_again_whoever_starts_it(lab: Lab) -> None:
    with lab.observe() as seen:
        lab.node("resolver-1").stop()
        eventually(lambda: _assert("resolver-1" in seen.stopped, "nobody says that it has stopped"))
        lab.query(NAME, at="resolver-2")
        assert seen.responses(sender="resolver-2", to="host"), "the other one is still watched"
        subprocess.run(dnslab(lab, "start", "resolver-1"), check=True, capture_output=True)
        eventually(lambda: _assert(not seen.stopped, "it is not watched again"))
        lab.query(NAME, at="resolver-1")
        assert seen.responses(sender="resolver-1", to="host", name=NAME)


def test_a_paused_node_is_still_watched(lab: Lab) -> None:
    with lab.observe("resolver-1") as seen:
        lab.node("resolver-1").pause()
        lab.query(NAME, at="resolver-1", timeout=0.3)
        lab.node("resolver-1").unpause()
    assert not seen.gaps
    assert seen.queries(sender="host", name=NAME)


def test_a_stopped_node_cannot_be_watched_and_says_so(lab: Lab) -> None:
    lab.node("resolver-1").stop()
    with pytest.raises(EnvironmentProblem, match=r"resolver-1 does not run"), lab.observe():
        pass
    with pytest.raises(BadInput, match=r"did you mean 'resolver-1'"):
        lab.observe("resolver1")


def test_taps_end_by_themselves_and_have_no_more_than_they_need(lab: Lab) -> None:
    api = connect().api
    with lab.observe("resolver-1"):
        made = api.inspect_container(helper.name(lab.name, "resolver-1", TAP))["HostConfig"]
        assert (made["CapAdd"], made["CapDrop"], made["ReadonlyRootfs"]) == (["NET_RAW"], ["ALL"], True)
    eventually(lambda: _assert(not helper.running(api, lab.name, TAP), "a tap goes on with nobody watching"))


# On the command line


def test_watch_tells_each_interval_as_json(lab: Lab) -> None:
    with lab.observe("resolver-1") as seen:
        watching = subprocess.Popen(
            dnslab(lab, "watch", "--json", "--every", "0.5s", "--for", "8s"), stdout=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        lab.query("nosuch.example.com", at="resolver-1")
        asked = len(seen.queries(to="resolver-1"))
        rest = [json.loads(line) for line in watching.stdout]
    assert watching.wait() == 0
    looks = [first, *rest]
    assert first["watched"] == ["resolver-1", "resolver-2"]
    at_resolver = [look["nodes"]["resolver-1"] for look in looks]
    numbers = [round(at["queries_per_second"] * look["seconds"]) for at, look in zip(at_resolver, looks, strict=True)]
    assert sum(numbers) == asked == 1
    [answered] = [at for at in at_resolver if at["rcodes_per_second"]]
    assert list(answered["rcodes_per_second"]) == ["NXDOMAIN"]
    assert answered["latency_ms"] > 0
    assert not any(look["dropped"][node] for look in looks for node in look["watched"])


def test_watch_without_a_terminal_is_one_line_an_interval_with_faults(lab: Lab) -> None:
    lab.node("example-1").stop()
    done = subprocess.run(dnslab(lab, "watch", "--for", "1s"), capture_output=True, text=True, check=True)
    [line] = done.stdout.splitlines()
    assert "example-1 [stopped]" in line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("watch", "nobody"), "no node 'nobody'"),
        (("watch", "--every", "1"), "the unit is missing"),
        (("capture", "--for", "-2s", "-o", "/tmp/never"), "a time is not negative"),
        (("capture", "-o", "/nowhere/lab.pcapng"), "cannot be written"),
    ],
)
def test_bad_input_is_told(lab: Lab, arguments: tuple[str, ...], text: str) -> None:
    done = subprocess.run(dnslab(lab, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert text in done.stderr


def test_a_misspelt_node_does_not_cost_the_capture_that_is_there(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "lab.pcapng"
    path.write_bytes(b"precious")
    done = subprocess.run(dnslab(lab, "capture", "resolver1", "-o", str(path)), capture_output=True, check=False)
    assert done.returncode == 4
    assert path.read_bytes() == b"precious"


def tshark(capture: bytes, command: list[str]) -> list[str]:
    """The lines that a program of Wireshark's prints for a capture."""
    client = connect()
    image = ensure_images(client, ["tshark"])["tshark"]
    container = client.containers.create(image, command, network_mode="none", user="0:0")
    try:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("lab.pcapng")
            entry.size, entry.mode = len(capture), 0o644
            archive.addfile(entry, io.BytesIO(capture))
        container.put_archive("/tmp", buffer.getvalue())
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs().decode()
        return container.logs(stderr=False).decode().splitlines()
    finally:
        container.remove(force=True)
        client.close()


def test_a_capture_is_complete_and_wireshark_reads_it_with_names(lab: Lab) -> None:
    file = io.BytesIO()
    nodes = ("resolver-1", "gtld-1")
    with lab.observe(*nodes) as seen, Capture(lab, file, nodes) as caught:
        for name in (NAME, "gaia.cs.umass.edu"):
            lab.query(name, at="resolver-1")
        caught.flush()
        lab.query(NAME, at="resolver-1", transport="tcp")
        lab.query("the-last.example.com", at="resolver-1")
    assert not any(caught.dropped.values())
    capture = file.getvalue()
    fields = [part for field in ("frame.interface_name", "dns.id", "dns.flags.response") for part in ("-e", field)]
    lines = tshark(capture, ["tshark", "-r", "/tmp/lab.pcapng", "-Y", "dns", "-T", "fields", *fields])
    told = [tuple(line.split("\t")) for line in lines]
    digits = {"True": "1", "False": "0"}
    assert [(tap, id, digits.get(flag, flag)) for tap, id, flag in told] == [
        (m.tap, f"0x{m.id:04x}", str(int(m.is_response))) for m in seen.messages
    ]
    shown = tshark(capture, ["tshark", "-r", "/tmp/lab.pcapng", "-N", "n", "-Y", "dns.flags.response == 0"])
    assert "host → resolver-1" in shown[0]
    assert any("resolver-1 → root-" in line for line in shown)
    about = "\n".join(tshark(capture, ["capinfos", "-M", "/tmp/lab.pcapng"]))
    assert f"Number of packets:   {sum(caught.packets.values())}" in about
    assert "nanoseconds (9)" in about
    assert "Strict time order:   True" in about
    assert about.count("Number of interfaces in file: 2") == 1
    assert "Number of stat entries = 1" in about


@contextmanager
def looking(lab: Lab, verb: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`dnslab watch` or `capture`, which looks by now."""
    running = subprocess.Popen(dnslab(lab, verb, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = running.stdout if verb == "watch" else running.stderr
        assert first is not None
        assert first.readline()
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("verb", ["watch", "capture"])
def test_they_end_when_the_lab_is_taken_down(instance: Callable[[str], str], tmp_path: Path, verb: str) -> None:
    path = tmp_path / "lab.pcapng"
    with Lab.temporary(tiny(), name=instance(verb)) as lab:
        options = ("--every", "0.2s") if verb == "watch" else ("-o", str(path))
        with looking(lab, verb, *options) as running:
            lab.query(NAME)
            Lab.down(lab.name)
            output, errors = running.communicate(timeout=WITHIN)
    assert running.returncode == EnvironmentProblem.exit_code, errors
    assert f"lab {lab.name} is gone: somebody took it down" in errors
    assert "Traceback" not in errors
    if verb == "capture":
        assert "packets in" in output
        assert tshark(path.read_bytes(), ["tshark", "-r", "/tmp/lab.pcapng", "-Y", "dns"])


def test_capture_ends_well_at_ctrl_c(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "lab.pcapng"
    with looking(lab, "capture", "resolver-1", "-o", str(path)) as running:
        lab.query(NAME, at="resolver-1", transport="tcp")
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=WITHIN)
    assert running.returncode == 0, errors
    assert "none lost" in output
    names = tshark(path.read_bytes(), ["tshark", "-r", "/tmp/lab.pcapng", "-Y", "tcp", "-T", "fields", "-e", "dns.a"])
    assert "192.0.2.80" in names
