"""From the machine into the lab: through the gateway, on the loopback, over UDP and TCP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from labtools import WITHIN, tiny

from lab import Lab
from lab.runtime.engine import connect
from lab.runtime.events import Event
from lab.runtime.labels import container_name
from lab.topology.declaration import Gateway

LOOPBACK = "127.0.0.1"


def ask(port: int | None, name: str, kind: str = "A", transport: str = "udp") -> dns.message.Message:
    """As a person's dig would, by dnspython."""
    assert port is not None
    query = dns.message.make_query(name, kind, use_edns=0)
    send = {"udp": dns.query.udp, "tcp": dns.query.tcp}[transport]
    return send(query, LOOPBACK, port=port, timeout=WITHIN)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind"), [("www.example.com", "A"), ("example.com", "MX"), ("gaia.cs.umass.edu", "AAAA")]
)
def test_the_machine_gets_the_answers_of_the_lab(lab: Lab, transport: str, name: str, kind: str) -> None:
    inside = lab.query(name, kind)
    outside = ask(lab.gateway_port, name, kind, transport)
    assert {data.to_text() for rrset in outside.answer for data in rrset} == set(inside.data())


def test_what_is_not_there_is_not_there_outside_either(lab: Lab) -> None:
    assert ask(lab.gateway_port, "nope.example.com").rcode() == dns.rcode.NXDOMAIN


def test_truncation_goes_through(lab: Lab) -> None:
    query = dns.message.make_query("story.example.com", "TXT", use_edns=0, payload=1232)
    answer, over_tcp = dns.query.udp_with_fallback(query, LOOPBACK, port=lab.gateway_port or 0, timeout=WITHIN)
    assert over_tcp
    assert [len(rrset) for rrset in answer.answer] == [12]


def test_the_second_resolver_steps_in(lab: Lab) -> None:
    lab.node("resolver-1").pause()
    assert ask(lab.gateway_port, "www.example.com").answer


def test_nothing_listens_but_on_the_loopback(lab: Lab) -> None:
    """By Docker's word, and by that of the kernel where this test runs on Docker's machine."""
    api = connect().api
    for name in lab.nodes:
        ports = api.inspect_container(container_name(lab.name, name))["NetworkSettings"]["Ports"] or {}
        published = {binding["HostIp"] for bindings in ports.values() for binding in bindings or ()}
        assert published == ({LOOPBACK} if name == "gateway" else set()), name
    assert lab.gateway_port is not None
    assert set(listening(lab.gateway_port)) <= {"0100007F"}  # 127.0.0.1 as /proc writes it on this processor


def listening(port: int) -> Iterator[str]:
    """The addresses that somebody on this machine listens on at `port`, as /proc/net has them."""
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == state:
                yield address


@contextmanager
def held_by_a_program() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize("holder", ["a lab", "a program"])
def test_a_taken_port_gives_way_to_the_next_and_is_told(
    textbook: Lab, instance: Callable[[str], str], holder: str
) -> None:
    events: list[Event] = []
    with held_by_a_program() as held:
        taken = held if holder == "a program" else textbook.gateway_port or 0
        declaration = tiny(gateway=Gateway(port=taken))
        with Lab.temporary(declaration, name=instance("gateway"), report=events.append) as lab:
            port = lab.gateway_port
            assert port is not None
            assert taken < port < taken + 20
            assert ask(port, "www.example.com").answer
            with Lab.up(declaration, name=lab.name) as again:  # it stays there, whoever holds the other one
                assert (again.changed, again.gateway_port) == ((), port)
    [told] = [event.text for event in events if event.subject == "gateway" and "in use" in event.text]
    assert told == f"port {taken} is in use; listening on {port} instead"
