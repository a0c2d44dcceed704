"""Selecting, pairing and counting, on messages made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest

from lab import BadInput, labs
from lab.observe.counts import Counts, count
from lab.observe.exchange import pair
from lab.observe.message import Message
from lab.observe.rates import Meter
from lab.observe.selection import members, seen_once, selector
from lab.topology.derive import derive

TOPOLOGY = derive(labs.load("textbook"))
RESOLVER, HOST = "resolver-1", "host"


class Wire:
    """Messages as a resolver's tap sees them, each a millisecond after the one before."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def query(self, sender: str, receiver: str, name: str, type: str = "A", **fields: Any) -> Message:
        made = dns.message.make_query(name, type)
        made.id = 1000 + len(self.messages)
        return self._add(sender, receiver, (4000 + len(self.messages), 53), made, **fields)

    def response(self, query: Message, *answer: str, flags: int = dns.flags.AA) -> Message:
        made = dns.message.make_response(dns.message.from_wire(query.wire))
        made.flags |= flags
        made.answer += [dns.rrset.from_text(*record.split(maxsplit=4)) for record in answer]
        return self._add(query.receiver, query.sender, (53, query.source_port), made)

    def asked(self, sender: str, receiver: str, name: str, type: str = "A", *answer: str) -> None:
        self.response(self.query(sender, receiver, name, type), *answer)

    def counts(self) -> Counts:
        return count(self.messages, TOPOLOGY, (RESOLVER,))

    def _add(
        self, sender: str, receiver: str, ports: tuple[int, int], made: dns.message.Message, **fields: Any
    ) -> Message:
        source, destination = (str(TOPOLOGY.nodes[node].ipv4) for node in (sender, receiver))
        time = 1.0 + len(self.messages) / 1000
        message = Message(
            RESOLVER, time, source, ports[0], destination, ports[1], sender, receiver, "udp", made.to_wire()
        )
        self.messages.append(replace(message, **fields))
        return self.messages[-1]


@pytest.fixture
def wire() -> Wire:
    return Wire()


def resolution(wire: Wire, name: str = "www.example.com") -> None:
    """A cold resolution of a resolver that minimises names, and primes before."""
    query = wire.query(HOST, RESOLVER, name)
    wire.asked(RESOLVER, "root-a", ".", "NS")
    wire.asked(RESOLVER, "root-b", "com")
    wire.asked(RESOLVER, "gtld-1", "example.com")
    wire.asked(RESOLVER, "example-1", name, "A", f"{name}. 60 IN A 192.0.2.80")
    wire.response(query, f"{name}. 60 IN A 192.0.2.80", flags=dns.flags.RA)


def test_a_miss_and_a_hit(wire: Wire) -> None:
    resolution(wire)
    wire.asked(HOST, RESOLVER, "WWW.example.com", "A", "www.example.com. 60 IN A 192.0.2.80")
    counts = wire.counts()
    assert (counts.clients, counts.answered, counts.hits, counts.hit_ratio) == (2, 2, 1, 0.5)
    assert (counts.upstream, counts.priming, counts.amplification) == (3, 1, 1.5)
    assert counts.by_server == {"root-b": 1, "gtld-1": 1, "example-1": 1}
    assert counts.by_tier == {"root": 1, "tld": 1, "authority": 1}
    assert counts.by_name == {"com": 1, "example.com": 1, "www.example.com": 1}
    assert counts.by_type == {"A": 3}
    assert counts.rcodes == {"NOERROR": 2}
    assert counts.upstream_rcodes == {"NOERROR": 3}
    assert counts.to_json()["hit_ratio"] == 0.5


def test_a_hit_while_another_client_waits_for_another_name(wire: Wire) -> None:
    query = wire.query(HOST, RESOLVER, "www.example.com")
    hit = wire.query(HOST, RESOLVER, "www.enterprise.com")
    wire.query(RESOLVER, "example-1", "www.example.com")
    wire.response(hit)
    wire.response(query)
    assert wire.counts().hits == 1


def test_who_waits_for_what_another_client_asked_has_no_hit(wire: Wire) -> None:
    first, second = (wire.query(HOST, RESOLVER, "www.example.com") for _ in range(2))
    wire.asked(RESOLVER, "example-1", "www.example.com")
    wire.response(first)
    wire.response(second)
    assert wire.counts().hits == 0


def test_an_alias_that_is_known_and_a_target_that_is_not(wire: Wire) -> None:
    query = wire.query(HOST, RESOLVER, "www.example.com")
    wire.asked(RESOLVER, "enterprise-1", "web.example.org")
    wire.response(query, "www.example.com. 60 IN CNAME web.example.org.", "web.example.org. 60 IN A 192.0.2.1")
    assert wire.counts().hits == 0


def test_no_answer_is_no_hit_and_nothing_gives_no_ratio(wire: Wire) -> None:
    wire.query(HOST, RESOLVER, "www.example.com")
    counts = wire.counts()
    assert (counts.clients, counts.answered, counts.hits, counts.hit_ratio) == (1, 0, 0, None)
    assert count([], TOPOLOGY, (RESOLVER,)).amplification is None


def test_what_was_seen_at_both_ends_counts_once(wire: Wire) -> None:
    resolution(wire)
    there = [
        replace(message, tap="gtld-1") for message in wire.messages if "gtld-1" in (message.sender, message.receiver)
    ]
    both = sorted([*wire.messages, *there], key=lambda message: message.time)
    assert count(both, TOPOLOGY, (RESOLVER, "gtld-1")) == wire.counts()
    assert len(seen_once(both, (RESOLVER, "gtld-1"))) == len(wire.messages)


def test_pairs(wire: Wire) -> None:
    resolution(wire)
    exchanges, strays = pair(wire.messages)
    assert [exchange.query.receiver for exchange in exchanges] == [RESOLVER, "root-a", "root-b", "gtld-1", "example-1"]
    assert [round((exchange.rtt or 0) * 1000) for exchange in exchanges] == [9, 1, 1, 1, 1]
    assert not strays


def test_a_response_with_another_question_or_id_or_to_nothing_is_a_stray(wire: Wire) -> None:
    query = wire.query(RESOLVER, "root-a", "com")
    other = wire.query(RESOLVER, "root-a", "org", source_port=query.source_port)
    wrong_id = wire.response(other)
    wire.messages[-1] = replace(wrong_id, wire=query.wire[:2] + wrong_id.wire[2:])
    exchanges, strays = pair(wire.messages)
    assert [exchange.response for exchange in exchanges] == [None, None]
    assert strays == [wire.messages[-1]]
    assert exchanges[0].rtt is None


def test_an_error_without_a_question_is_a_response(wire: Wire) -> None:
    query = wire.query(RESOLVER, "root-a", "com")
    wire.response(query)
    wire.messages[-1] = replace(wire.messages[-1], wire=query.wire[:2] + b"\x80\x01" + bytes(8))
    assert pair(wire.messages)[0][0].response is not None


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({}, 10),
        ({"to": "root"}, 2),
        ({"to": "a.root-servers.net"}, 1),
        ({"to": str(TOPOLOGY.nodes["root-b"].ipv6)}, 1),
        ({"to": ("root", "tld")}, 3),
        ({"sender": "root-a"}, 1),
        ({"to": "root", "type": "ns"}, 1),
        ({"name": "WWW.Example.com."}, 4),
        ({"name": "."}, 2),
        ({"transport": "tcp"}, 0),
        ({"tap": RESOLVER}, 10),
        ({"tap": "host"}, 0),
        ({"since": 1.0095}, 0),
        ({"since": 1.0015, "until": 1.0035}, 2),
        ({"to": "192.0.2.1"}, 0),
    ],
)
def test_selection(wire: Wire, wanted: dict[str, Any], number: int) -> None:
    resolution(wire)
    assert sum(map(selector(TOPOLOGY, **wanted), wire.messages)) == number


@pytest.mark.parametrize("wanted", [{"to": "root-x"}, {"sender": "tdl"}, {"tap": "nobody"}, {"colour": "red"}])
def test_selecting_by_what_is_not_there_is_bad_input(wanted: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        selector(TOPOLOGY, **wanted)


def test_a_node_goes_before_the_role_of_the_same_name() -> None:
    minimal = derive(labs.load("minimal"))
    assert members(minimal, "root") == {"root"}
    assert members(TOPOLOGY, "root") == {"root-a", "root-b", "root-c"}


def test_rates(wire: Wire) -> None:
    resolution(wire)
    found = Meter().read(wire.messages, (RESOLVER,))
    assert (found[RESOLVER].received, found[RESOLVER].sent, found[RESOLVER].rcodes) == (1, 4, {"NOERROR": 1})
    assert (found["gtld-1"].received, found["gtld-1"].sent, found["gtld-1"].rcodes) == (1, 0, {"NOERROR": 1})
    assert found[RESOLVER].latency == pytest.approx(0.009)
    assert found["host"].to_json(2.0)["sent_per_second"] == 0.5


def test_a_response_in_a_later_interval_than_its_query_has_a_latency(wire: Wire) -> None:
    query = wire.query(HOST, RESOLVER, "nosuch.example.com")
    wire.response(query, flags=dns.flags.RA)
    asked, answered = wire.messages
    meter = Meter()
    first, between, last, after = (meter.read(some, (RESOLVER,)) for some in ([asked], [], [answered], []))
    assert (first[RESOLVER].received, first[RESOLVER].rcodes, first[RESOLVER].latency) == (1, {}, None)
    assert (last[RESOLVER].received, last[RESOLVER].rcodes) == (0, {"NOERROR": 1})
    assert last[RESOLVER].latency == pytest.approx(0.001)
    assert between == after == {}


def test_a_query_that_nobody_answers_is_forgotten(wire: Wire) -> None:
    query = wire.query(HOST, RESOLVER, "nosuch.example.com")
    late = replace(wire.response(query), time=query.time + 60)
    meter = Meter()
    meter.read([query], (RESOLVER,))
    meter.read([replace(query, source_port=9, time=query.time + 31)], (RESOLVER,))
    assert meter.read([late], (RESOLVER,))[RESOLVER].latency is None
