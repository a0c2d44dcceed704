"""The vocabulary: what may be asked for, the advice when it may not, what is said and how it is judged. No Docker."""

import json
import re
import shlex
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from lab import labs
from lab.agent.conditions import State
from lab.agent.effects import effect
from lab.agent.messages import MessageRule
from lab.errors import BadInput
from lab.faults import kind, kinds, measuring, plan
from lab.faults.link import LinkPlan
from lab.faults.matching import question
from lab.faults.measuring import Evidence, Observation, pair
from lab.faults.values import show_rate, show_time
from lab.topology.derive import derive
from lab.topology.model import Node, Role

TEXTBOOK = derive(labs.load("textbook"))
NODE = "gtld-1"
NEEDED: dict[str, dict[str, Any]] = {
    "latency": {"delay": "80ms"},
    "loss": {"share": "5%"},
    "duplicate": {"share": 0.5},
    "reorder": {"share": "25%"},
    "rate": {"rate": "64kbit"},
    "dns-delay": {"delay": "80ms"},
    "slow-drip": {"rate": 20},
    "ttl": {"ttl": 5},
    "corrupt": {"share": "20%"},
    "oversize": {"above": "512B"},
    "partition": {"to": "resolver-1"},
}


def planned(name: str, node: str = NODE, /, **how: Any) -> Any:
    return plan(TEXTBOOK, name, node, how)


def example(name: str) -> Any:
    """What the example of a fault plans, as the command line reads it."""
    words = shlex.split(kind(name).example)
    assert words.pop(0) == name
    node, how = words.pop(0), {}
    while words:
        option = words.pop(0)
        if option == "--param":
            key, value = words.pop(0).split("=", 1)
            how[key] = value
        else:
            how[option.removeprefix("--")] = words.pop(0)
    made = plan(TEXTBOOK, name, node, how)
    assert made.nodes == TEXTBOOK.select(node)
    return made


@pytest.mark.parametrize("name", kinds())
def test_every_fault_can_be_planned_and_described(name: str) -> None:
    made = example(name)
    assert made.nodes[0].name in made.describe()
    assert re.search(r"[^.]\.$" if made.kind.is_event else r", for [0-9]+[smh] at the most\.$", made.describe())
    json.dumps(made.about())
    if isinstance(made, LinkPlan):
        rule = made.rule()
        MessageRule(rule) if rule.match else effect(rule.effect, rule.seed)  # the conditioner understands it
        assert rule.about["words"] == made.describe()


@pytest.mark.parametrize(
    ("name", "how", "advice"),
    [
        ("latency", {}, "needs delay"),
        ("latency", {"delay": "-5ms"}, "not negative"),
        ("latency", {"delay": "5"}, "unit is missing: write 80ms"),
        ("latency", {"delay": 5}, "needs its unit: 5ms or 5s"),
        ("latency", {"delay": "5 parsecs"}, "no unit 'parsecs': write 80ms"),
        ("latency", {"delay": "soon"}, "is written 80ms"),
        ("latency", {"delay": "11s"}, "from 100us to 10s"),
        ("latency", {"dealy": "5ms"}, "did you mean 'delay'"),
        ("latency", {"delay": "5ms", "jitter": "1ms"}, "add distribution=uniform"),
        ("latency", {"delay": "5ms", "distribution": "normal"}, "needs a jitter"),
        ("latency", {"delay": "5ms", "distribution": "uniform", "jitter": "6ms"}, "at most 5ms"),
        ("latency", {"delay": "6ms", "distribution": "normal", "jitter": "3ms"}, "at most 2ms"),
        ("latency", {"delay": "5ms", "distribution": "gamma"}, "one of constant, uniform"),
        ("latency", {"delay": "5ms", "correlation": "1"}, "below 1"),
        ("latency", {"delay": "5ms", "to": NODE}, "not its own peer"),
        ("latency", {"delay": "5ms", "to": "gltd-2"}, "did you mean 'gtld-2'"),
        ("latency", {"delay": "5ms", "direction": "up"}, "one of in, out, both"),
        ("latency", {"delay": "5ms", "transport": "quic"}, "one of udp, tcp, both"),
        ("latency", {"delay": "5ms", "seed": "x"}, "whole number"),
        ("latency", {"delay": "5ms", "lasts": "2d"}, "no unit 'd'"),
        ("latency", {"delay": "5ms", "lasts": "25h"}, "to 24h"),
        ("loss", {}, "either share .* or every"),
        ("loss", {"share": 1.2}, "above 0, to 1"),
        ("loss", {"share": "20"}, "did you mean 20%"),
        ("loss", {"share": "0%"}, "above 0"),
        ("loss", {"share": "some"}, "written 5% or 0.05"),
        ("loss", {"share": 0.1, "every": 3}, "either"),
        ("loss", {"every": "2.5"}, "whole number"),
        ("loss", {"every": 3, "burst": 2}, "bursts belong to share"),
        ("loss", {"share": 0.1, "bad_loss": 0.5}, "add burst"),
        ("loss", {"share": 0.6, "burst": 3, "bad_loss": 0.5}, "below bad_loss"),
        ("loss", {"share": 0.9, "burst": 2}, "make burst longer"),
        ("latency", {"delay": "5ms", "reorder": "never"}, "yes or no"),
        ("corrupt", {"share": "20%", "bits": 65}, "from 1 to 64"),
        ("oversize", {"above": "512"}, "unit is missing"),
        ("oversize", {"above": "60B"}, "from 68 to 32000 octets"),
        ("partition", {}, "two sides"),
        ("partition", {"to": NODE}, "one side lies within the other"),
        ("rate", {"rate": "64"}, "unit is missing"),
        ("rate", {"rate": "64kbit", "queue": "1GB"}, "write 1500B"),
        ("blackhole", {"share": 0.5}, "has no parameter 'share'"),
        ("stop", {"to": "root-a"}, r"stop has no to \(it is a fault of a whole node"),
        ("lattency", {}, "did you mean 'latency'"),
        ("servfail", {"share": 0.5, "every": 2}, "servfail: share is by chance, every is exact"),
        ("servfail", {"name": "a.com", "under": "com"}, "give one of them"),
        ("servfail", {"name": "a..com"}, "empty label"),
        ("servfail", {"name": "a\\.com"}, "without escapes"),
        ("servfail", {"under": "*.com"}, "those are for name"),
        ("servfail", {"type": "ADRESS"}, "unknown type"),
        ("servfail", {"type": "A,"}, "unknown type"),
        ("servfail", {"of": "queries"}, "has no parameter 'of'"),
        ("dns-delay", {"delay": "1s", "of": "question"}, "one of answers, queries"),
        ("dns-delay", {"delay": "0s"}, "from 100us"),
        ("wrong-address", {"ipv4": "10.53.0.1"}, "only addresses for documentation: 192.0.2.0/24"),
        ("wrong-address", {"ipv4": "2001:db8::1"}, "an IPv4 address"),
        ("wrong-address", {"ipv6": "fd53::1"}, "only addresses for documentation"),
        ("wrong-address", {"ipv4": "web"}, "IPv4 or IPv6 address"),
        ("ttl", {}, "needs ttl"),
        ("ttl", {"ttl": -1}, "from 0 to 2147483647"),
        ("lame", {"referral": "down"}, "one of upward, none"),
        ("truncate", {"transport": "tcp"}, "only be over UDP"),
        ("early-close", {"transport": "udp"}, "only be over TCP"),
        ("slow-drip", {"rate": 0}, "from 1 to below"),
        ("slow-drip", {"rate": 20, "to": NODE}, "not its own peer"),
    ],
)
def test_bad_input_comes_with_advice(name: str, how: dict[str, Any], advice: str) -> None:
    with pytest.raises(BadInput, match=advice):
        planned(name, **how)


def test_no_share_is_advised_that_cannot_be() -> None:
    with pytest.raises(BadInput) as caught:
        planned("loss", share="200%")
    assert "did you mean" not in str(caught.value)


def test_an_unknown_node_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'gtld-1'"):
        plan(TEXTBOOK, "blackhole", "gtdl-1", {})


@pytest.mark.parametrize(
    ("node", "how", "advice"),
    [
        ("host", {}, "what host is sent by resolver-1 are answers.* `direction` out or both"),
        ("host", {"to": "resolver-2"}, "sent by resolver-2"),
        ("host", {"transport": "tcp", "direction": "in"}, "`direction` out or both"),
        (["gtld-1", "host"], {}, "what host is sent"),
        (NODE, {"direction": "out"}, "sends to host are answers.* `direction` in or both, or with `to` a server"),
        ("resolver-1", {"direction": "out", "to": "host"}, "sends to host are answers"),
    ],
)
def test_a_refusal_that_nobody_would_notice_is_bad_input(node: str, how: dict[str, Any], advice: str) -> None:
    with pytest.raises(BadInput, match=advice):
        plan(TEXTBOOK, "reject", node, how)


@pytest.mark.parametrize(
    ("node", "how"),
    [
        (NODE, {}),
        ("resolver-1", {"to": "host"}),
        ("resolver-1", {"direction": "out", "to": "root"}),
        ("resolver-1", {"direction": "both", "to": "host"}),
        ("host", {"direction": "out"}),
        ("host", {"direction": "both"}),
    ],
)
def test_queries_can_be_refused_by_either_end(node: str, how: dict[str, Any]) -> None:
    assert "is refused" in plan(TEXTBOOK, "reject", node, how).describe()


def words(**how: Any) -> str:
    return planned("latency", delay="80ms", **how).describe()


def test_the_words_say_direction_peer_and_transport() -> None:
    assert "Every UDP and TCP packet that arrives at gtld-1 from anybody comes 80ms later" in words()
    assert "that gtld-1 sends to resolver-1 or resolver-2 comes" in words(
        direction="out", to=["resolver-1", "resolver-2"]
    )
    assert "Every TCP packet between gtld-1 and anybody, either way," in words(direction="both", transport="tcp")


def test_a_peer_is_matched_by_both_its_addresses() -> None:
    made = planned("blackhole", to="resolver-1")
    assert made.rule().peers == TEXTBOOK.nodes["resolver-1"].addresses


def test_gilbert_elliott_from_share_and_burst() -> None:
    spec = planned("loss", share="20%", burst=4, bad_loss=0.8).rule().effect
    stationary = spec["enter"] / (spec["enter"] + spec["leave"])
    assert stationary * spec["bad_loss"] == pytest.approx(0.2)
    assert spec["leave"] == pytest.approx(0.25)


def test_a_partition_leaves_those_on_both_sides_alone() -> None:
    made = plan(TEXTBOOK, "partition", "tld", {"to": ["resolver-1,gtld-1", "org-1"]})
    assert [node.name for node in made.nodes] == ["gtld-2", "cctld-1"]
    assert [node.name for node in made.options.to] == ["resolver-1"]
    assert "between any of gtld-2, cctld-1 and resolver-1, either way, is lost" in made.describe()


def test_where_large_packets_are_lost_is_where_answers_go() -> None:
    made = planned("oversize", above="512B")
    assert "that gtld-1 sends to anybody is lost if it has more than 512 octets" in made.describe()
    assert pair(TEXTBOOK, made.nodes[0], (), ("out",), query_tells=True).asker is made.nodes[0]


def test_seeds() -> None:
    def seed(name: str = "loss", node: str = NODE, **how: Any) -> int:
        return planned(name, node, share="5%", **how).rule().seed

    assert seed() == seed(seed=1)
    assert len({seed(), seed(seed=2), seed(node="gtld-2"), seed(name="reorder")}) == 4


def test_rules_have_names_of_their_own() -> None:
    made = planned("blackhole")
    assert made.rule().id != made.rule().id


@pytest.mark.parametrize(
    ("node", "to", "direction", "asker", "answerer"),
    [
        (NODE, (), "in", "host", NODE),
        (NODE, ("resolver-1",), "in", "resolver-1", NODE),
        (NODE, ("resolver-1",), "out", NODE, "resolver-1"),
        ("host", (), "in", "host", "resolver-1"),
        ("resolver-1", ("host",), "out", "host", "resolver-1"),
    ],
)
def test_who_asks_whom(node: str, to: tuple[str, ...], direction: str, asker: str, answerer: str) -> None:
    nodes = TEXTBOOK.nodes
    found = pair(TEXTBOOK, nodes[node], [nodes[name] for name in to], [direction])
    assert (found.asker.name, found.answerer.name) == (asker, answerer)


@pytest.mark.parametrize(("direction", "asker"), [("in", "client"), ("out", "server")])
def test_a_host_answers_where_there_is_nobody_else_and_any_answer_will_do(direction: str, asker: str) -> None:
    hosts = {name: Node(name, Role.HOST, None, IPv4Address(1), IPv6Address(1)) for name in ("client", "server")}
    with pytest.raises(BadInput, match="nobody answers DNS between server and client"):
        pair(TEXTBOOK, hosts["server"], [hosts["client"]], [direction])
    found = pair(TEXTBOOK, hosts["server"], [hosts["client"]], [direction], any_answer=True)
    assert {found.asker, found.answerer} == set(hosts.values())
    assert found.asker is hosts[asker]
    with_a_resolver = [hosts["client"], TEXTBOOK.nodes["resolver-1"]]
    assert pair(TEXTBOOK, hosts["server"], with_a_resolver, ["in"], any_answer=True).answerer.name == "resolver-1"


def seen(answered: int = 5, least: float | None = 0.001, refused: int = 0, asked: int = 5) -> Observation:
    return Observation(asked, answered, refused, least if answered else None, least if answered else None)


def judged(name: str, after: Observation, matched: int, acted: int, crossings: int = 1, **how: Any) -> bool:
    made = planned(name, **{**NEEDED.get(name, {}), **how})
    state = State(made.rule(), matched, matched, acted, 1.0)
    evidence = Evidence(seen(), after, state, crossings, transport=made.transports[0])
    return made.kind.judge(made.values, evidence).bites


def test_latency_has_to_be_as_long_as_asked_for() -> None:
    assert judged("latency", seen(least=0.081), 5, 5)
    assert not judged("latency", seen(least=0.040), 5, 5)
    assert not judged("latency", seen(least=0.081), 5, 5, crossings=2)
    assert not judged("latency", seen(least=0.200), 0, 0), "a slow machine is no latency"
    assert judged("latency", seen(answered=0), 5, 5), "another fault may lose the answers: the counters tell"


def test_loss_has_to_be_seen_unless_chance_explains_it() -> None:
    assert judged("loss", seen(), 200, 8)
    assert not judged("loss", seen(), 0, 0)
    assert not judged("loss", seen(), 1000, 0), "0.95^1000 is no chance"
    assert judged("loss", seen(), 20, 0), "0.95^20 is one"
    assert judged("loss", seen(), 12, 4, share=None, every=3)
    assert not judged("loss", seen(), 12, 3, share=None, every=3)


def test_a_declared_link_is_not_taken_for_the_fault() -> None:
    made = planned("latency", delay="80ms")
    state = State(made.rule(), 5, 5, 5, 1.0)
    assert not made.kind.judge(made.values, Evidence(seen(), seen(least=0.1), state, 1, declared=0.1)).bites
    assert made.kind.judge(made.values, Evidence(seen(), seen(least=0.18), state, 1, declared=0.1)).bites


def test_damage_has_to_be_found_by_the_receiver() -> None:
    made = planned("corrupt", share="50%")
    state = State(made.rule(), 20, 20, 9, 1.0)
    assert not made.kind.judge(made.values, Evidence(seen(), seen(), state, 1)).bites
    assert made.kind.judge(made.values, Evidence(seen(), seen(), state, 1, checksum_errors=9)).bites


def test_wrong_checksums_are_read_from_the_kernels_tables() -> None:
    snmp = (
        "Tcp: InErrs InCsumErrors\nTcp: 7 2\nUdp: InErrors InCsumErrors MemErrors\nUdp: 9 3 0\nUdpLite: InCsumErrors\n"
    )
    assert measuring._wrong_checksums(snmp + "UdpLite: 100\nUdp6InErrors 8\nUdp6InCsumErrors 4\n") == 9


def test_blackhole_and_reject_are_total() -> None:
    assert judged("blackhole", seen(answered=0), 3, 3)
    assert not judged("blackhole", seen(answered=1), 3, 3)
    assert not judged("blackhole", seen(answered=0), 0, 0)
    assert judged("reject", seen(answered=0, refused=3), 3, 3)
    assert not judged("reject", seen(answered=0), 3, 3), "silence is no refusal"
    assert judged("reject", seen(answered=0), 38, 38), "others were refused, and had the one ICMP error of that second"
    assert not judged("reject", seen(answered=0), 38, 37)
    assert not judged("reject", seen(answered=0), 9, 9, transport="tcp"), "a SYN that is sent again is no other's"
    assert judged("reject", seen(answered=0, refused=3), 3, 3, transport="tcp")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.00025, "250us"), (0.08, "80ms"), (1.5, "1.5s"), (90.0, "90s"), (120.0, "2m"), (3600.0, "1h")],
)
def test_times_are_shown_as_people_write_them(seconds: float, text: str) -> None:
    assert show_time(seconds) == text


def test_rates_are_shown_as_people_write_them() -> None:
    assert [show_rate(bits) for bits in (800, 64e3, 1.5e6, 1e9)] == ["800bit", "64kbit", "1.5mbit", "1gbit"]


def test_every_module_says_what_it_is() -> None:
    for found in kinds().values():
        assert re.fullmatch(r"[a-z-]+", found.name)
        assert found.summary.endswith(".")
        assert found.level in ("node", "link", "message", "zone", "clock")
        for parameter in found.parameters:
            assert parameter.meaning
            assert parameter.unit


@pytest.mark.parametrize(
    ("target", "nodes"),
    [
        ("gtld-1,org-1", ["gtld-1", "org-1"]),
        (["gtld-1", "gtld-1"], ["gtld-1"]),
        ("root", ["root-a", "root-b", "root-c"]),
        ("example.com", ["example-1", "example-2"]),
        (".", ["root-a", "root-b", "root-c"]),
        ("a.gtld-servers.net", ["gtld-1"]),
        ("org", ["org-1"]),
    ],
)
def test_several_nodes_are_meant_by_a_list_a_role_or_a_zone(target: str | list[str], nodes: list[str]) -> None:
    made = plan(TEXTBOOK, "pause", target, {})
    assert [node.name for node in made.nodes] == nodes
    assert made.about()["node"] == ",".join(nodes)
    assert all(node in made.describe() for node in nodes)


def test_the_words_of_a_message_fault_say_which_messages() -> None:
    made = planned("servfail", under="com", type="a", every=3, to="resolver-1")
    assert made.describe().startswith(
        "Every answer over UDP and TCP for com. and below of type A if it is number 3, 6 and so on "
        "that gtld-1 sends to resolver-1 says SERVFAIL and nothing else"
    )
    queries = planned("dns-drop", of="queries", direction="in", transport="udp").describe()
    assert queries.startswith("Every query over UDP that arrives at gtld-1 from anybody vanishes")


@pytest.mark.parametrize(
    ("node", "how", "asker", "answerer"),
    [
        (NODE, {}, "host", NODE),
        (NODE, {"to": "resolver-1"}, "resolver-1", NODE),
        ("resolver-1", {}, "host", "resolver-1"),
        ("resolver-1", {"direction": "in"}, "resolver-1", "example-1"),
        ("resolver-1", {"direction": "in", "to": NODE}, "resolver-1", NODE),
        ("host", {"direction": "in"}, "host", "resolver-1"),
    ],
)
def test_who_asks_whom_about_messages(node: str, how: dict[str, Any], asker: str, answerer: str) -> None:
    ends = planned("servfail", node, name="www.example.com", **how).ends(TEXTBOOK)
    assert (ends.asker.name, ends.answerer.name) == (asker, answerer)


@pytest.mark.parametrize(
    ("how", "node", "asked"),
    [
        ({}, "example-1", ("example.com.", "A")),
        ({"name": "www.example.com", "type": "AAAA"}, "example-1", ("www.example.com.", "AAAA")),
        ({"name": "*.example.com", "type": "SRV"}, "example-1", ("_sip._tcp.example.com.", "SRV")),
        ({"under": "mail.example.com"}, "example-1", ("mail.example.com.", "A")),
        ({"type": "MX"}, "example-1", ("example.com.", "MX")),
        ({"name": "no?such.*.org", "type": "TXT"}, "example-1", ("nopsuch.probe.org.", "TXT")),
        ({"under": "example.net"}, "example-1", ("example.net.", "A")),
    ],
)
def test_what_is_asked_to_measure_a_message_fault(how: dict[str, str], node: str, asked: tuple[str, str]) -> None:
    made = planned("servfail", node, **how)
    assert question(TEXTBOOK, TEXTBOOK.nodes[node], made.values, ("A",)) == asked


def test_a_fault_of_a_node_has_no_direction() -> None:
    with pytest.raises(BadInput, match="pause has no direction"):
        planned("pause", direction="in")
