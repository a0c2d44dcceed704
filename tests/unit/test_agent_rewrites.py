"""What message faults make of real messages: dnspython is the second opinion; and that no octets can stop them."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns.exception import DNSException
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agent.conditions import Rule
from lab.agent.messages import Chance, Match, MessageRule, Messages
from lab.agent.protocol import ProtocolError
from lab.agent.rewrites import KINDS, Handling, rewrite
from lab.agent.wire import Unreadable, asked, records

PARAMETERS: dict[str, dict[str, object]] = {
    "message-delay": {"delay": 0.1},
    "address": {"ipv4": "203.0.113.66", "ipv6": "2001:db8::66"},
    "ttl": {"ttl": 5},
    "lame": {"referral": True},
    "rcode": {"rcode": 2},
    "drip": {"rate": 20.0},
    "close": {"after": 12},
}
NOT_TOUCHED = ("message-delay", "message-drop", "drip", "close")


def answer(name: str = "www.Example.com.", *, edns: bool = True, opt_first: bool = False) -> bytes:
    """An authoritative answer with an alias, an address, a name server and its address."""
    query = dns.message.make_query(name, "A", use_edns=0 if edns else False, id=0x1234)
    message = dns.message.make_response(query)
    message.flags |= dns.flags.AA
    message.answer = [
        dns.rrset.from_text(name, 3600, "IN", "CNAME", "web.example.com."),
        dns.rrset.from_text("web.example.com.", 3600, "IN", "A", "192.0.2.80"),
        dns.rrset.from_text("web.example.com.", 3600, "IN", "AAAA", "2001:db8::80"),
    ]
    message.authority = [dns.rrset.from_text("example.com.", 172800, "IN", "NS", "ns.example.com.")]
    message.additional = [dns.rrset.from_text("ns.example.com.", 172800, "IN", "A", "192.0.2.53")]
    wire = message.to_wire()
    if not opt_first:
        return wire
    read = asked(wire)
    assert read is not None
    *others, opt = records(wire, read.end)
    # Only fixed parts in between: the pointers of what moves lead to before it.
    place = next(record.start for record in others if record.section == 3)
    return wire[:place] + wire[opt.start : opt.end] + wire[place : opt.start]


def changed(kind: str, wire: bytes | None = None, *, udp: bool = True, **parameters: object) -> dns.message.Message:
    handling = handled(kind, answer() if wire is None else wire, udp=udp, **parameters)
    return dns.message.from_wire(handling.wire)


def handled(kind: str, wire: bytes, *, udp: bool = True, **parameters: object) -> Handling:
    read = asked(wire)
    assert read is not None
    message = Handling(wire, udp=udp)
    assert rewrite({"kind": kind, **(parameters or PARAMETERS.get(kind, {}))}, 1).apply(message, read)
    return message


def kept(message: dns.message.Message, *, edns: bool = True) -> bool:
    """Whether id, question and EDNS are those of the query."""
    question = message.question[0]
    return (message.id, str(question.name), message.edns) == (0x1234, "www.Example.com.", 0 if edns else -1)


def records_of(message: dns.message.Message) -> list[dns.rrset.RRset]:
    return [*message.answer, *message.authority, *message.additional]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN, dns.rcode.BADVERS])
def test_an_rcode_with_edns(rcode: dns.rcode.Rcode) -> None:
    message = changed("rcode", rcode=int(rcode))
    assert message.rcode() == rcode
    assert kept(message)
    assert not records_of(message)
    assert bool(message.flags & dns.flags.AA) is (rcode == dns.rcode.NXDOMAIN)


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_an_rcode_of_a_server_without_edns(rcode: dns.rcode.Rcode) -> None:
    message = changed("rcode", rcode=int(rcode))
    assert message.rcode() == rcode
    assert kept(message, edns=False)


def test_badvers_answers_edns_only() -> None:
    wire = answer(edns=False)
    read = asked(wire)
    assert read is not None
    message = Handling(wire, udp=True)
    assert not rewrite({"kind": "rcode", "rcode": 16}, 1).apply(message, read)
    assert message.wire == wire


def test_empty() -> None:
    message = changed("empty")
    assert kept(message)
    assert message.rcode() == dns.rcode.NOERROR
    assert message.flags & dns.flags.AA
    assert not records_of(message)


def test_truncated_over_udp_only() -> None:
    message = changed("truncate")
    assert kept(message)
    assert message.flags & dns.flags.TC
    assert message.flags & dns.flags.AA
    assert not message.answer
    read = asked(answer())
    assert read is not None
    assert not rewrite({"kind": "truncate"}, 1).apply(Handling(answer(), udp=False), read)


def test_an_upward_referral() -> None:
    message = changed("lame")
    assert kept(message)
    assert not message.flags & dns.flags.AA
    assert not message.answer
    [servers] = message.authority
    assert (str(servers.name), servers.rdtype, len(servers)) == (".", dns.rdatatype.NS, 13)
    assert {str(server.target) for server in servers} == {f"{letter}.root-servers.net." for letter in "abcdefghijklm"}


def test_lame_without_a_referral() -> None:
    message = changed("lame", referral=False)
    assert not message.flags & dns.flags.AA
    assert len(message.answer) == 3


def test_addresses_in_the_answer_only() -> None:
    message = changed("address")
    assert kept(message)
    assert [str(rrset[0]).lower() for rrset in message.answer] == ["web.example.com.", "203.0.113.66", "2001:db8::66"]
    assert str(message.additional[0][0]) == "192.0.2.53", "glue stays"
    assert [rrset.ttl for rrset in message.answer] == [3600, 3600, 3600]


@pytest.mark.parametrize("address", ["10.53.0.1", "8.8.8.8", "192.0.3.1"])
def test_only_addresses_for_documentation(address: str) -> None:
    with pytest.raises(ProtocolError, match="not for documentation"):
        rewrite({"kind": "address", "ipv4": address, "ipv6": "2001:db8::66"}, 1)


def test_every_ttl_and_opt_stays() -> None:
    message = changed("ttl")
    assert kept(message)
    assert {rrset.ttl for rrset in records_of(message)} == {5}
    assert message.payload == dns.message.from_wire(answer()).payload


@pytest.mark.parametrize("opt_first", [False, True])
def test_edns_stripped(opt_first: bool) -> None:
    wire = answer(opt_first=opt_first)
    before, after = dns.message.from_wire(wire), changed("strip-edns", wire)
    assert before.edns == 0
    assert kept(after, edns=False)
    assert (after.answer, after.authority, after.additional) == (before.answer, before.authority, before.additional)


def test_another_question() -> None:
    message = changed("wrong-question")
    assert (message.id, str(message.question[0].name)) == (0x1234, "xww.Example.com.")
    assert str(message.answer[0].name) == "xww.Example.com.", "names that point to it change too"
    root = dns.message.make_response(dns.message.make_query(".", "NS")).to_wire()
    assert changed("wrong-question", root).question[0].rdtype != dns.rdatatype.NS


def test_another_id() -> None:
    message = changed("wrong-id")
    assert message.id == 0x1234 ^ 0xFFFF
    assert len(message.answer) == 3


def test_malformed_cannot_be_read_and_depends_on_the_seed() -> None:
    wires = {handled("malformed", answer()).wire for _ in range(3)}
    assert len(wires) == 1
    [wire] = wires
    assert (wire[:4], len(wire)) == (answer()[:4], len(answer()))
    with pytest.raises(DNSException):
        dns.message.from_wire(wire)
    assert asked(wire) is None


def test_faults_of_tcp_are_no_faults_of_udp() -> None:
    assert handled("drip", answer(), udp=False).pace == 20
    assert handled("close", answer(), udp=False).after == 12
    read = asked(answer())
    assert read is not None
    for kind in ("drip", "close"):
        assert not rewrite({"kind": kind, **PARAMETERS[kind]}, 1).apply(Handling(answer(), udp=True), read)
    short = Handling(answer()[:12], udp=False)
    assert not rewrite({"kind": "close", "after": 12}, 1).apply(short, read), "there is nothing to cut off"


@settings(deadline=None)  # a busy machine is no judge
@given(st.binary(max_size=120), st.sampled_from(sorted(KINDS)), st.booleans())
def test_no_octets_can_stop_it(noise: bytes, kind: str, udp: bool) -> None:
    """A header that says response, and anything behind it; or anything at all."""
    for wire in (noise, answer()[:4] + noise, answer()[: len(noise)], answer()[:29] + noise):
        read = asked(wire)
        if read is None:
            continue
        message = Handling(wire, udp=udp)
        try:
            rewrite({"kind": kind, **PARAMETERS.get(kind, {})}, 1).apply(message, read)
        except Unreadable:
            assert message.wire == wire, "what cannot be read passes as it came"
        if kind in NOT_TOUCHED:
            assert message.wire == wire


@settings(deadline=None)  # a busy machine is no judge
@given(st.binary(max_size=60))
def test_whatever_comes_has_a_fate(noise: bytes) -> None:
    messages = settled(*(rule(kind=kind) for kind in KINDS))
    messages.handle(noise, "out", "udp", b"")
    messages.handle(answer()[:12] + noise, "out", "tcp", b"")


# Rules


class Owned:
    def __init__(self, rule: Rule) -> None:
        self.messages: MessageRule | None = MessageRule(rule)


def rule(kind: str, parameters: dict[str, object] | None = None, **fields: object) -> Rule:
    match = {"message": "response", **fields.pop("match", {})}  # type: ignore[dict-item]
    spec = {"kind": kind, **(PARAMETERS.get(kind, {}) if parameters is None else parameters)}
    return Rule("r", spec, match=match, **{"directions": ("out",), **fields})  # type: ignore[arg-type]


def settled(*rules: Rule) -> Messages:
    messages = Messages()
    messages.settle([Owned(each) for each in rules])
    return messages


QUESTION = asked(answer())


@pytest.mark.parametrize(
    ("spec", "matches"),
    [
        ({}, True),
        ({"name": "www.example.com."}, True),
        ({"name": "example.com."}, False),
        ({"name": "*.example.com."}, True),
        ({"name": "*.com."}, True),
        ({"name": "w?w.example.com."}, True),
        ({"name": "w?.example.com."}, False),
        ({"name": "*"}, True),
        ({"under": "example.com."}, True),
        ({"under": "www.example.com."}, True),
        ({"under": "."}, True),
        ({"under": "ample.com."}, False),
        ({"under": "a.www.example.com."}, False),
        ({"types": [1, 28]}, True),
        ({"types": [28]}, False),
        ({"under": "example.com.", "types": [28]}, False),
        ({"message": "query"}, False),
    ],
)
def test_which_messages_match(spec: dict[str, object], matches: bool) -> None:
    assert QUESTION is not None
    assert Match({"message": "response", **spec})(QUESTION) is matches


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, '"response" or "query"'),
        ({"message": "response", "color": 1}, "no 'color'"),
        ({"message": "response", "types": ["A"]}, "numbers"),
        ({"message": "response", "name": 5}, "some text"),
    ],
)
def test_what_is_no_match_is_refused(spec: dict[str, object], text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        Match(spec)


@pytest.mark.parametrize(
    "match", [{"types": 5}, {"share": "half"}, {"every": 0}, {"share": 2}, {"share": 0.5, "every": 2}]
)
def test_a_match_that_makes_no_sense_is_refused(match: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="match"):
        MessageRule(rule("rcode", match=match))


def test_each_nth_is_exact_and_shares_depend_on_the_seed() -> None:
    third = Chance({"every": 3}, 1)
    assert [third() for _ in range(9)] == [False, False, True] * 3

    def drawn(seed: int) -> list[bool]:
        chance = Chance({"share": 0.3}, seed)
        return [chance() for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 30 <= sum(drawn(1)) <= 90


def test_counters_and_peers() -> None:
    made = Owned(rule("rcode", peers=("10.53.0.11",), match={"every": 2}))
    messages = Messages()
    messages.settle([made])
    here, elsewhere = bytes([10, 53, 0, 11]), bytes([10, 53, 0, 12])
    assert messages.handle(answer(), "out", "udp", here) is None
    assert messages.handle(answer(), "out", "udp", elsewhere) is None
    assert messages.handle(answer(), "in", "udp", here) is None
    second = messages.handle(answer(), "out", "tcp", here)
    assert second is not None
    assert dns.message.from_wire(second.wire).rcode() == dns.rcode.SERVFAIL
    counters = made.messages
    assert counters is not None
    assert (counters.seen, counters.matched, counters.acted) == (4, 2, 1)


def test_the_order_of_injection_does_not_matter() -> None:
    rules = [
        rule("ttl", {"ttl": 5}),
        rule("ttl", {"ttl": 60}),
        rule("address"),
        rule("rcode", {"rcode": 5}),
        rule("rcode", {"rcode": 2}),
        rule("truncate"),
        rule("wrong-id"),
        rule("message-delay"),
        rule("message-delay", {"delay": 0.2}),
    ]
    outcomes = set()
    for turn in range(len(rules)):
        for order in (rules[turn:] + rules[:turn], (rules[turn:] + rules[:turn])[::-1]):
            handling = settled(*order).handle(answer(), "out", "udp", b"")
            assert handling is not None
            outcomes.add((handling.wire, round(handling.delay, 6), handling.lost))
    [(wire, delay, lost)] = outcomes
    message = dns.message.from_wire(wire)
    assert (message.rcode(), message.id) == (dns.rcode.REFUSED, 0x1234 ^ 0xFFFF)
    assert message.flags & dns.flags.TC
    assert (delay, lost) == (0.3, False)


def test_a_lost_message_is_lost() -> None:
    handling = settled(rule("message-drop"), rule("rcode")).handle(answer(), "out", "udp", b"")
    assert handling is not None
    assert handling.lost


@pytest.mark.parametrize(
    ("message", "direction", "arriving"),
    [("response", "out", True), ("response", "in", False), ("query", "in", True), ("query", "out", False)],
)
def test_which_connections_go_by_the_proxy(message: str, direction: str, arriving: bool) -> None:
    messages = settled(rule("rcode", directions=(direction,), match={"message": message}, peers=("10.53.0.11",)))
    here, elsewhere = bytes([10, 53, 0, 11]), bytes([10, 53, 0, 12])
    assert messages.wants_stream(arriving=arriving, peer=here)
    assert not messages.wants_stream(arriving=not arriving, peer=here)
    assert not messages.wants_stream(arriving=arriving, peer=elsewhere)
    udp_only = settled(rule("rcode", directions=(direction,), match={"message": message}, transports=("udp",)))
    assert not udp_only.wants_stream(arriving=arriving, peer=here)
