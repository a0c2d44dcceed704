"""The story of one resolution against what is known to happen: messages, times, caches, and all that can go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from labtools import break_nodes

from lab import BadInput, Lab
from lab.errors import NotSeen
from lab.observe.story import Step, Story
from lab.runtime.node import NodeHandle

WWW = "www.example.com"
# What each program does beside the textbook's steps, with nothing in its cache. Both prime. BIND does not believe the
# glue of com and edu, whose servers are named outside of these zones: it asks for A and AAAA of both, each at a root
# server, which refers to net, and at a server of net: 4 x 2 exchanges.
BESIDE = {"unbound": {"priming": 2}, "bind": {"priming": 2, "addresses": 16}}
DELAYS = {"root": "60ms", "tld": "80ms", "authority": "120ms"}
TRIES = 12  # cold resolutions until one begins at a certain one of two servers: all but one in 4,096


@pytest.fixture(scope="module", autouse=True)
def helpers(textbook: Lab) -> Iterator[None]:
    """Taps that stay while this module runs, so that no trace has to start its own; they see and tell nothing."""
    with textbook.observe("host", *(node.name for node in textbook.resolvers)):
        yield


def beside(story: Story) -> dict[str, int]:
    """The counts without those of the textbook."""
    return {category: count for category, count in story.counts.items() if category != "textbook"}


def way(story: Story, *purposes: str) -> list[tuple[str, str, str]]:
    """Tier of the server, name and kind of answer of each step upstream."""
    roles = {name: node.role.value for name, node in story.topology.nodes.items()}
    return [
        (roles[step.server], step.name, step.outcome.kind)
        for step in story.upstream
        if step.purpose in (purposes or ("resolution",)) and step.outcome.useful
    ]


def final(story: Story) -> Step:
    """The last step upstream for the question itself: BIND may still be asking for addresses of servers after it."""
    return [step for step in story.upstream if step.purpose == "resolution"][-1]


def program(resolver: NodeHandle) -> str:
    assert resolver.node.program is not None
    return resolver.node.program


# The figure


def test_a_cold_resolution_takes_the_eight_messages_of_the_textbook(lab: Lab, resolver: NodeHandle) -> None:
    story = lab.trace(WWW, at=resolver.name, cold=True)
    print(story.text())
    assert story.textbook == 8
    assert beside(story) == BESIDE[program(resolver)]
    assert way(story) == [
        ("root", "com", "referral"),
        ("tld", "example.com", "referral"),
        ("authority", WWW, "answer"),
    ]
    assert [entry.what for entry in story.cache] == ["nothing"]
    assert story.data == ("192.0.2.80",)
    assert story.unrelated == story.dropped == 0


def test_one_level_more_takes_ten(lab: Lab, resolver: NodeHandle) -> None:
    story = lab.trace("gaia.cs.umass.edu", at=resolver.name, cold=True)
    assert story.textbook == 10
    assert beside(story) == BESIDE[program(resolver)]
    assert [name for _, name, _ in way(story)] == ["edu", "umass.edu", "cs.umass.edu", "gaia.cs.umass.edu"]


def test_the_second_time_takes_two(lab: Lab, resolver: NodeHandle) -> None:
    began = time.monotonic()
    lab.query(WWW, at=resolver.name)
    story = lab.trace(WWW, at=resolver.name)
    assert story.counts == {"textbook": 2}
    assert story.upstream == ()
    [entry] = story.cache
    assert (entry.what, entry.target, entry.known) == ("answer", WWW, "answer")
    assert entry.ttl is not None
    assert 3600 - (time.monotonic() - began) - 1 <= entry.ttl <= 3600


def test_another_name_of_the_same_tld_does_not_ask_the_root(lab: Lab, resolver: NodeHandle) -> None:
    began = time.monotonic()
    lab.query(WWW, at=resolver.name)
    lab.clock.advance(hours=1)
    story = lab.trace("shop.enterprise.com", at=resolver.name)
    assert story.counts == {"textbook": 6}
    assert [tier for tier, _, _ in way(story)] == ["tld", "authority"]
    [entry] = story.cache
    assert (entry.what, entry.name, entry.known) == ("delegation", "com", "cache")
    kept = {"unbound": 86400, "bind": 172800}[program(resolver)]  # Unbound keeps nothing longer than a day
    assert entry.ttl is not None
    assert kept - 3600 - (time.monotonic() - began) - 1 <= entry.ttl <= kept - 3600


def test_another_name_of_the_same_zone_asks_its_server_only(lab: Lab, resolver: NodeHandle) -> None:
    lab.query(WWW, at=resolver.name)
    story = lab.trace("mail.example.com", at=resolver.name)
    assert story.counts == {"textbook": 4}
    assert [entry.name for entry in story.cache] == ["example.com"]


# Time


@pytest.fixture
def far(lab: Lab) -> Iterator[Lab]:
    """The lab with distances: a delay at every server of the way to example.com."""
    with ExitStack() as faults:
        for zone in (".", "com", WWW.partition(".")[2]):
            for node in lab.topology.servers:
                if zone in {name.to_text().rstrip(".") or "." for name in node.zones}:
                    faults.enter_context(lab.fault("latency", node.name, delay=DELAYS[node.role.value]))
        yield lab


def test_the_round_trips_add_up_to_what_the_host_waited(far: Lab) -> None:
    for resolver in far.resolvers:
        gaps = []
        for _ in range(3):  # a busy machine adds to the resolver's own time, and never takes from it
            story = far.trace(WWW, at=resolver.name, cold=True)
            assert story.textbook == 8, story.text()
            upstream = sum(step.spent for step in story.upstream)
            assert sum(step.spent for step in story.steps) <= story.latency
            gaps.append((story.latency - upstream) / max(0.05 * story.latency, 0.002))
            if gaps[-1] <= 1:
                break
        assert min(gaps) <= 1, f"{gaps}\n{story.text()}"
        for step in story.upstream:
            delay = DELAYS[far.topology.nodes[step.server].role.value]
            assert step.rtt is not None
            assert step.rtt >= float(delay.removesuffix("ms")) / 1000 * 0.95
        print(f"{resolver.name}: {story.latency * 1000:.1f} ms, round trips {upstream * 1000:.1f} ms, gaps {gaps}")


# What is special


def test_addresses_rotate_and_the_cache_answers(lab: Lab, resolver: NodeHandle) -> None:
    first = lab.trace("shop.enterprise.com", at=resolver.name)
    stories = [lab.trace("shop.enterprise.com", at=resolver.name) for _ in range(8)]
    assert all(story.upstream == () for story in stories)
    assert {frozenset(story.data) for story in stories} == {frozenset(first.data)}
    assert len(first.data) == 4
    assert len({story.data for story in stories}) > 1


def test_an_alias_into_another_zone_is_followed_from_the_root(lab: Lab, resolver: NodeHandle) -> None:
    story = lab.trace("partner.enterprise.com", at=resolver.name, cold=True)
    assert way(story) == [
        ("root", "com", "referral"),
        ("tld", "enterprise.com", "referral"),
        ("authority", "partner.enterprise.com", "alias"),
        ("root", "org", "referral"),
        ("tld", "example.org", "referral"),
        ("authority", "www.example.org", "answer"),
    ]
    assert story.textbook == 14
    assert {step.meaning.target for step in story.upstream if step.purpose == "address"} >= {"ns1.provider.net"}


def test_a_delegation_without_glue_takes_a_look_up_of_its_own(lab: Lab, resolver: NodeHandle) -> None:
    story = lab.trace("www.example.org", at=resolver.name, cold=True)
    assert story.textbook == 8
    [referral] = [step for step in story.upstream if step.outcome.zone == "example.org"]
    assert referral.outcome.text == "referral to example.org: 1 name server, without glue"
    last = way(story, "address")[-1]
    assert last == ("authority", "ns1.provider.net", "answer")


def test_a_long_answer_is_asked_for_again_over_tcp(lab: Lab, resolver: NodeHandle) -> None:
    lab.query(WWW, at=resolver.name)
    story = lab.trace("story.example.com", "TXT", at=resolver.name)
    # Unbound asks for the address first: a minimised query is one for A (RFC 9156 section 2.1).
    assert (
        story.counts
        == {
            "unbound": {"textbook": 4, "minimisation": 2, "truncated": 4},
            "bind": {"textbook": 4, "truncated": 4},
        }[program(resolver)]
    )
    assert [step.exchange.transport for step in story.steps if step.category == "textbook"] == ["tcp", "tcp"]
    assert len(story.data) == 12


def test_a_silent_server_is_waited_for_and_another_asked(lab: Lab, resolver: NodeHandle) -> None:
    break_nodes(lab, "pause", "example-1")
    for _ in range(TRIES):
        story = lab.trace(WWW, at=resolver.name, cold=True, timeout=10)
        lost = [step for step in story.upstream if step.category == "unanswered"]
        if any(step.server == "example-1" for step in lost):  # others, too, on a busy machine
            break
    print(story.text())
    assert "example-1" in {step.server for step in lost}
    assert story.status == "NOERROR"
    assert story.textbook == 8
    for step in lost:
        assert len(step.exchange.messages) == 1
        assert step.again is not None
        again = story.steps[step.again - 1]
        assert (again.name, again.client) == (step.name, step.client)
        assert step.waited == pytest.approx(again.start - step.start, abs=1e-4)
    assert sum(step.spent for step in lost) > 0.8 * story.latency


def test_negative_answers_are_told_apart(lab: Lab, resolver: NodeHandle) -> None:
    absent = lab.trace("nosuch.example.com", at=resolver.name)
    nothing = lab.trace("status.example.com", "AAAA", at=resolver.name)
    assert (absent.status, final(absent).outcome.kind) == ("NXDOMAIN", "nxdomain")
    assert (nothing.status, final(nothing).outcome.kind) == ("NOERROR", "nodata")
    assert {final(story).outcome.ttl for story in (absent, nothing)} == {900}
    for name, type in (("nosuch.example.com", "A"), ("status.example.com", "AAAA")):
        assert lab.trace(name, type, at=resolver.name).counts == {"textbook": 2}


def test_a_dead_resolver_is_passed_over(lab: Lab) -> None:
    break_nodes(lab, "stop", "resolver-1")
    story = lab.trace(WWW, timeout=1)
    first, second = [step for step in story.steps if step.depth == 0]
    assert (first.server, first.outcome.kind, first.again) == ("resolver-1", "silence", second.number)
    assert (second.server, second.outcome.kind) == ("resolver-2", "answer")
    assert first.waited == pytest.approx(1, abs=0.3)


def test_bind_renews_a_record_just_before_its_end(lab: Lab) -> None:
    """prefetch 2 9: a question in the last two seconds of a TTL of at least eleven."""
    with lab.observe("host", "resolver-2") as seen:
        lab.query("status.example.com", at="resolver-2")
        lab.clock.advance(seconds=58)
        seen.clear()
        answer = lab.query("status.example.com", at="resolver-2")
        renewed = seen.wait_for(lambda message: message.is_response and message.receiver == "resolver-2" and message.aa)
        assert renewed.qname == "status.example.com"
        story = seen.trace(answer)
    print(story.text())
    assert story.counts == {"textbook": 2, "prefetch": 2}
    assert story.upstream[0].after


def test_two_traces_of_one_observation_are_kept_apart(lab: Lab) -> None:
    with lab.observe() as seen:
        cold, warm = (lab.query(WWW, at="resolver-1") for _ in range(2))
        other = lab.query(WWW, at="resolver-2")
        stories = [seen.trace(answer) for answer in (cold, warm, other)]
    assert [story.textbook for story in stories] == [8, 2, 8]
    assert [story.resolvers for story in stories] == [("resolver-1",), ("resolver-1",), ("resolver-2",)]
    assert seen.trace(cold).counts == stories[0].counts  # when it is over, too
    with lab.observe("example-1") as elsewhere:
        unseen = lab.query(WWW, at="resolver-1")
    with pytest.raises(NotSeen, match="begin to look before it is asked"):
        elsewhere.trace(unseen)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"at": "resolver-9"}, "no node 'resolver-9'"),
        ({"host": "resolver-1"}, "queries are sent from a host"),
        ({"timeout": -1}, "timeout -1"),
    ],
)
def test_what_cannot_be_traced_says_why(lab: Lab, how: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        lab.trace(WWW, **how)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="unknown type"):
        lab.trace(WWW, "NONSENSE")


# Iterative: without a resolver


def test_the_walk_takes_six_messages_where_a_resolver_saves_the_host_from_them(lab: Lab) -> None:
    story = lab.walk(WWW)
    assert [step.client for step in story.steps] == ["host"] * 3
    assert [step.outcome.kind for step in story.steps] == ["referral", "referral", "answer"]
    assert story.textbook == 6
    assert not any(step.exchange.query.rd for step in story.steps)
    assert story.data == ("192.0.2.80",)


def test_the_walk_looks_up_servers_without_glue_and_follows_aliases(lab: Lab) -> None:
    story = lab.walk("partner.enterprise.com")
    assert [(step.meaning.target, step.outcome.kind) for step in story.steps] == [
        ("partner.enterprise.com", "referral"),
        ("partner.enterprise.com", "referral"),
        ("partner.enterprise.com", "alias"),
        ("www.example.org", "referral"),
        ("www.example.org", "referral"),
        ("ns1.provider.net", "referral"),
        ("ns1.provider.net", "referral"),
        ("ns1.provider.net", "answer"),
        ("www.example.org", "answer"),
    ]
    assert "lies outside of example.org" in story.text()
    assert "begins anew at the root" in story.text()
    assert story.counts == {"textbook": 12, "addresses": 6}


def test_the_walk_goes_round_a_silent_server_and_over_tcp(lab: Lab) -> None:
    break_nodes(lab, "pause", "root-a")
    began = time.monotonic()
    story = lab.walk("story.example.com", "TXT", timeout=0.3)
    assert time.monotonic() - began < 10
    assert [step.outcome.kind for step in story.steps] == [
        *("silence", "referral", "referral", "truncated", "answer"),
    ]
    assert story.steps[0].server == "root-a"
    assert story.steps[0].waited == pytest.approx(0.3, abs=0.1)
    assert story.steps[-1].exchange.transport == "tcp"
    assert len(story.data) == 12


def test_the_walk_says_no_as_the_zone_does(lab: Lab) -> None:
    assert lab.walk("nosuch.example.com").status == "NXDOMAIN"
    assert lab.walk("nosuch.").steps[-1].outcome.zone == "."
    with pytest.raises(BadInput, match="empty label"):
        lab.walk("a..b")


# Recursive against iterative


@pytest.fixture(scope="module")
def recursive(instance: Callable[[str], str]) -> Iterator[Lab]:
    with Lab.temporary("recursive", name=instance("recursive")) as lab:
        yield lab


@pytest.mark.parametrize("resolver", ["resolver-1", "resolver-2"])
def test_recursive_servers_take_as_many_messages(recursive: Lab, resolver: str) -> None:
    for name, count in ((WWW, 8), ("gaia.cs.umass.edu", 10)):
        story = recursive.trace(name, at=resolver, cold=True)
        print(story.text())
        assert story.counts == {"textbook": count}
        assert [step.depth for step in story.steps] == list(range(count // 2))
        assert [step.exchange.query.rd for step in story.steps] == [True] * (count // 2 - 1) + [False]
        assert {(step.name, step.outcome.kind) for step in story.steps} == {(name, "answer")}
        assert story.learnt[0].type == "A"


def test_recursive_servers_bear_another_load(recursive: Lab, lab: Lab) -> None:
    """A second name of a known zone: the root of one lab is asked again, that of the other is not."""

    def asked(lab: Lab) -> list[str]:
        lab.trace(WWW, at="resolver-1", cold=True)
        story = lab.trace("mail.example.com", at="resolver-1")
        return [story.topology.nodes[step.server].role.value for step in story.steps]

    assert asked(lab) == ["resolver", "authority"]
    assert asked(recursive) == ["resolver", "root", "tld", "authority"]


def test_recursive_servers_answer_from_their_own_caches(recursive: Lab) -> None:
    recursive.trace(WWW, at="resolver-1", cold=True)
    story = recursive.trace(WWW, at="resolver-2")  # it has not asked yet; the root has
    assert story.counts == {"textbook": 4}
    assert [(entry.node, entry.what) for entry in story.cache] == [("root-a", "answer")]


# Lame delegations, and letters in random case


@pytest.fixture(scope="module")
def odd(instance: Callable[[str], str]) -> Iterator[Lab]:
    from lab.labs import load
    from lab.topology.declaration import Resolver, Zone

    plain = load("minimal")
    records = "www A 192.0.2.80\nastray NS tld.com.\nlost NS ns.elsewhere.com.\n"
    declaration = plain.model_copy(
        update={
            "zones": {
                **plain.zones,
                "example.com": Zone(servers=("authority",), records=records),
                "elsewhere.com": Zone(servers=("other",)),
            },
            "servers": {
                **plain.servers,
                "other": plain.servers["root"].model_copy(update={"name": "ns.elsewhere.com"}),
            },
            "resolvers": {
                "resolver": Resolver(program="unbound", config="server:\n    use-caps-for-id: yes\n"),
                "bind": Resolver(program="bind"),
            },
        }
    )
    with Lab.temporary(declaration, name=instance("odd")) as lab:
        yield lab


@pytest.mark.parametrize("resolver", ["resolver", "bind"])
@pytest.mark.parametrize(
    ("name", "server", "said"),
    [
        ("www.lost.example.com", "other", "lame: REFUSED; other is not in charge of lost.example.com"),
        (
            "www.astray.example.com",
            "tld",
            "lame: refers back to example.com; tld is not in charge of astray.example.com",
        ),
    ],
)
def test_a_lame_server_is_called_lame(odd: Lab, resolver: str, name: str, server: str, said: str) -> None:
    story = odd.trace(name, at=resolver, cold=True, timeout=11)
    print(story.text())
    assert story.status == "SERVFAIL"
    lame = [step for step in story.upstream if step.outcome.kind == "lame"]
    assert lame
    assert {(step.server, step.outcome.text) for step in lame} == {(server, said)}
    assert story.counts["useless"] == 2 * len(lame)


def test_letters_in_random_case_are_named(odd: Lab) -> None:
    story = odd.trace("www.example.com", at="resolver", cold=True)
    mixed: list[Step] = [step for step in story.upstream if step.mixed_case]
    assert mixed  # one name of 15 letters in 32,768 comes out without a large one, another without any
    assert story.textbook == 8
    assert "0x20" in story.text()
