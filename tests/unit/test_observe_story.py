"""From messages to a story: what each step is for, what came of it, what it counts as, where the time went."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from stories import EXAMPLE, WWW, Wire, cold, textbook

from lab.observe.contribution import Contribution, contributions, learnt
from lab.observe.drawing import words
from lab.observe.drawing.html import html
from lab.observe.drawing.sequence import sequence
from lab.observe.message import TransportEvent
from lab.observe.observation import Observation
from lab.observe.story import Story
from lab.observe.telling import tell
from lab.observe.tracing import stories_of
from lab.runtime.answer import ResourceRecord


def story(wire: Wire, question: str = "www.example.com A") -> Story:
    return tell(wire.topology, *question.split(), "host", wire.messages)


def shown(told: Story) -> list[str]:
    """Each step in a line."""
    return [
        f"{step.client}>{step.server} {step.name} {step.type} {step.purpose}"
        f"{' minimised' if step.meaning.minimised else ''} {step.outcome.kind} {step.category}"
        for step in told.steps
    ]


def test_the_figure_of_the_textbook() -> None:
    wire = Wire()
    cold(wire)
    told = story(wire)
    assert shown(told) == [
        "host>resolver-1 www.example.com A question answer textbook",
        "resolver-1>root-a . NS priming answer priming",
        "resolver-1>root-b com A resolution minimised referral textbook",
        "resolver-1>gtld-1 example.com A resolution minimised referral textbook",
        "resolver-1>example-1 www.example.com A resolution answer textbook",
    ]
    assert told.counts == {"textbook": 8, "priming": 2}
    assert told.textbook == 8
    assert len(told.messages) == 10
    assert [step.server for step in told.upstream] == ["root-a", "root-b", "gtld-1", "example-1"]
    assert told.status == "NOERROR"
    assert told.data == ("192.0.2.80",)


def test_all_of_the_time_is_accounted_for() -> None:
    wire = Wire()
    cold(wire)
    told = story(wire)
    assert [round(step.spent * 1000) for step in told.steps] == [8, 2, 30, 50, 80]
    assert sum(step.spent for step in told.steps) == pytest.approx(0.170)
    assert told.latency == pytest.approx(0.170)


def test_parallel_steps_are_not_counted_twice() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 100, WWW, flags="RA")
    wire.ask("resolver-1", "gtld-1", "a.gtld-servers.net. A", 10, 60, flags="AA")
    wire.ask("resolver-1", "gtld-1", "a.gtld-servers.net. AAAA", 10.001, 80, flags="AA")
    told = story(wire)
    assert [round(step.spent * 1000) for step in told.steps] == [30, 50, 20]
    assert [step.category for step in told.steps] == ["textbook", "addresses", "addresses"]


def test_messages_seen_at_both_ends_are_told_once_as_who_asked_saw_them() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 10, WWW, flags="RA")
    first = list(wire.messages)
    late = [type(m)(**{**vars_of(m), "tap": "resolver-1", "time": m.time + 0.001}) for m in first]
    told = tell(wire.topology, "www.example.com", "A", "host", [*late, *first])
    assert len(told.steps) == 1
    assert told.steps[0].rtt == pytest.approx(0.010)


def vars_of(message: object) -> dict[str, object]:
    fields = ("tap", "time", "source", "source_port", "destination", "destination_port", "sender", "receiver")
    return {name: getattr(message, name) for name in (*fields, "transport", "wire")}


def test_time_out_and_retry() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 500, WWW, flags="RA")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 1)
    wire.ask("resolver-1", "example-2", "www.example.com. A", 377, 380, WWW, flags="AA")
    told = story(wire)
    assert shown(told)[1:] == [
        "resolver-1>example-1 www.example.com A resolution silence unanswered",
        "resolver-1>example-2 www.example.com A resolution answer textbook",
    ]
    lost = told.steps[1]
    assert (lost.again, lost.rtt) == (3, None)
    assert lost.waited == pytest.approx(0.376)
    assert words.came(lost, told) == "no answer; asked example-2 instead after 376 ms"
    assert told.counts == {"textbook": 4, "unanswered": 1}
    assert round(lost.spent * 1000) == 376


def test_of_two_answers_to_the_same_the_first_counts() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 500, WWW, flags="RA")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 1, 450, WWW, flags="AA")
    wire.ask("resolver-1", "example-2", "www.example.com. A", 377, 380, WWW, flags="AA")
    told = story(wire)
    assert [step.repeated for step in told.steps] == [False, True, False]
    assert told.counts == {"textbook": 4, "repeated": 2}
    assert words.remark(told.steps[1]) == "answered twice"


def test_truncation_and_tcp() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 9, flags="RA TC")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 1, 2, flags="AA TC")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 3, 4, WWW, flags="AA", tcp=True)
    wire.ask("host", "resolver-1", "www.example.com. A", 10, 12, WWW, flags="RA", tcp=True)
    told = story(wire)
    assert [step.outcome.kind for step in told.steps] == ["truncated", "truncated", "answer", "answer"]
    assert told.counts == {"textbook": 4, "truncated": 4}
    assert words.remark(told.steps[2]) == "TCP"


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_is_not_accepted_is_no_step(reset: bool) -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 3000, flags="RA", rcode="SERVFAIL")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 1, 2, flags="AA TC")
    client, server = (str(wire.topology.nodes[name].ipv4) for name in ("resolver-1", "example-1"))
    syn = TransportEvent(
        "resolver-1", 1.7e9 + 0.003, "connect", client, 40000, server, 53, "resolver-1", "example-1", "tcp"
    )
    events = [syn, replace(syn, time=syn.time + 1)]
    if reset:
        events.append(
            replace(
                syn, time=syn.time + 1.001, source=server, source_port=53, destination=client, destination_port=40000,
                sender="example-1", receiver="resolver-1", kind="reset",
            )
        )  # fmt: skip
    told = tell(wire.topology, "www.example.com", "A", "host", wire.messages, events)
    assert [step.outcome.kind for step in told.steps] == ["error", "truncated"]
    assert round(told.steps[0].spent * 1000) == 2999, "the resolver's own time"


@pytest.mark.parametrize(
    ("flags", "rcode", "kind"),
    [("", "REFUSED", "lame"), ("", "NOERROR", "lame"), ("AA", "SERVFAIL", "error"), ("", "NOTAUTH", "lame")],
)
def test_servers_that_are_of_no_use(flags: str, rcode: str, kind: str) -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 9, flags="RA", rcode="SERVFAIL")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 1, 2, flags=flags, rcode=rcode)
    told = story(wire)
    assert told.steps[1].outcome.kind == kind
    assert told.counts == {"textbook": 2, "useless": 2}
    assert told.status == "SERVFAIL"


def test_negative_answers_say_how_long_they_may_be_remembered() -> None:
    soa = "authority: example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 900"
    wire = Wire()
    wire.ask("host", "resolver-1", "nope.example.com. A", 0, 9, soa, flags="RA", rcode="NXDOMAIN")
    wire.ask("resolver-1", "example-1", "nope.example.com. A", 1, 2, soa, flags="AA", rcode="NXDOMAIN")
    told = story(wire, "nope.example.com A")
    assert told.steps[1].outcome.text == "NXDOMAIN (AA): there is no nope.example.com; may be remembered for 900 s"
    assert [(entry.name, entry.type, entry.ttl) for entry in learnt(told.steps)] == [
        ("nope.example.com", "NXDOMAIN", 900)
    ]


def test_an_alias_that_leads_elsewhere_is_followed() -> None:
    alias = "answer: partner.enterprise.com. 3600 CNAME www.example.org."
    wire = Wire()
    wire.ask("host", "resolver-1", "partner.enterprise.com. A", 0, 40, flags="RA")
    wire.ask("resolver-1", "enterprise-1", "partner.enterprise.com. A", 1, 2, alias, flags="AA")
    wire.ask("resolver-1", "org-1", "example.org. A", 3, 4, "authority: example.org. 60 NS ns1.provider.net.")
    wire.ask("resolver-1", "gtld-1", "provider.net. A", 5, 6, "authority: provider.net. 60 NS ns1.provider.net.")
    wire.ask("resolver-1", "hosting-1", "ns1.provider.net. A", 7, 8, flags="AA")
    wire.ask(
        "resolver-1", "hosting-1", "www.example.org. A", 9, 10, "answer: www.example.org. 60 A 192.0.2.1", flags="AA"
    )
    told = story(wire, "partner.enterprise.com A")
    assert shown(told)[1:] == [
        "resolver-1>enterprise-1 partner.enterprise.com A resolution alias textbook",
        "resolver-1>org-1 example.org A resolution minimised referral textbook",
        "resolver-1>gtld-1 provider.net A address minimised referral addresses",
        "resolver-1>hosting-1 ns1.provider.net A address nodata addresses",
        "resolver-1>hosting-1 www.example.org A resolution answer textbook",
    ]
    assert told.steps[2].outcome.text == "referral to example.org: 1 name server, without glue"
    assert words.remark(told.steps[3]) == "to find ns1.provider.net, minimised"


def test_minimised_names_that_are_no_zones_are_counted_apart() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "story.example.com. TXT", 0, 9, flags="RA")
    wire.ask("resolver-1", "example-1", "story.example.com. A", 1, 2, flags="AA")
    wire.ask("resolver-1", "example-1", "_.story.example.com. A", 3, 4, flags="AA", rcode="NXDOMAIN")
    wire.ask(
        "resolver-1", "example-1", "story.example.com. TXT", 5, 6, "answer: story.example.com. 60 TXT x", flags="AA"
    )
    assert story(wire, "story.example.com TXT").counts == {"textbook": 4, "minimisation": 4}


def test_prefetch_and_what_else_comes_after_the_answer() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 1, WWW, flags="RA")
    wire.ask("resolver-1", "example-1", "www.example.com. A", 2, 3, WWW, flags="AA")
    wire.ask("resolver-1", "example-1", "ns2.example.com. AAAA", 4, 5, flags="AA")
    told = story(wire)
    assert shown(told)[1:] == [
        "resolver-1>example-1 www.example.com A prefetch answer prefetch",
        "resolver-1>example-1 ns2.example.com AAAA address nodata addresses",
    ]
    assert [step.after for step in told.steps] == [False, True, True]
    assert [step.spent for step in told.steps[1:]] == [0, 0]


def test_letters_in_random_case_are_named() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 9, WWW, flags="RA")
    wire.ask("resolver-1", "example-1", "wWw.eXample.cOm. A", 1, 2, WWW, flags="AA")
    told = story(wire)
    assert [step.mixed_case for step in told.steps] == [False, True]
    assert told.steps[1].purpose == "resolution"
    assert "0x20" in words.remark(told.steps[1])


def test_a_person_who_shouts_is_no_0x20() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "WWW.Example.com. A", 0, 9, WWW, flags="RA")
    wire.ask("resolver-1", "gtld-1", "Example.com. A", 1, 2, *EXAMPLE)
    assert not any(step.mixed_case for step in story(wire, "WWW.Example.com A").steps)


def test_questions_of_others_are_left_out_and_counted() -> None:
    wire = Wire()
    cold(wire)
    wire.ask("host", "resolver-2", "other.example.com. A", 5, 6, flags="RA")
    wire.ask("resolver-2", "gtld-1", "example.com. A", 5, 6, *EXAMPLE)
    told = story(wire)
    assert told.counts == {"textbook": 8, "priming": 2}
    assert told.unrelated == 4


def test_recursive_servers_ask_on() -> None:
    wire = Wire(textbook("recursive"))
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 100, WWW, flags="RA", rd=True)
    wire.ask("resolver-1", "root-a", "www.example.com. A", 10, 90, WWW, flags="RA", rd=True)
    wire.ask("root-a", "tld-1", "www.example.com. A", 20, 80, WWW, flags="RA", rd=True)
    wire.ask("tld-1", "example-1", "www.example.com. A", 30, 70, WWW, flags="AA")
    told = story(wire)
    assert [(step.depth, step.parent) for step in told.steps] == [(0, None), (1, 1), (2, 2), (3, 3)]
    assert told.textbook == 8
    assert [round(step.spent * 1000) for step in told.steps] == [20, 20, 20, 40]
    assert contributions(told, {}) == ()


# What the cache contributed


def test_a_resolution_that_begins_at_the_root_had_no_cache() -> None:
    wire = Wire()
    cold(wire)
    assert contributions(story(wire), {}) == (Contribution("resolver-1", "www.example.com", "nothing"),)


def test_a_delegation_from_the_cache_is_inferred_and_its_ttl_looked_up() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 9, WWW, flags="RA")
    wire.ask("resolver-1", "gtld-1", "example.com. A", 1, 2, *EXAMPLE)
    wire.ask("resolver-1", "example-1", "www.example.com. A", 3, 4, WWW, flags="AA")
    listed = {"resolver-1": [ResourceRecord("com.", 171203, "NS", "a.gtld-servers.net.")]}
    [known] = contributions(story(wire), listed)
    assert (known.name, known.ttl, known.known) == ("com", 171203, "cache")
    assert str(known) == "resolver-1 had the delegation of com, 171,203 s left"
    [guessed] = contributions(story(wire), {})
    assert (guessed.name, guessed.ttl, guessed.known) == ("com", None, "inferred")
    assert str(guessed) == "resolver-1 had the delegation of com; inferred: its first query went there"


def test_an_answer_from_the_cache_asks_nobody() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, 1, WWW.replace("3600", "3411"), flags="RA")
    told = story(wire)
    assert told.textbook == 2
    assert [str(entry) for entry in contributions(told, {})] == [
        "resolver-1 had the answer for www.example.com, 3,411 s left"
    ]


# Drawings


def everything() -> Story:
    """A story with something of each kind, and names that look like code."""
    wire = Wire()
    cold(wire)
    wire.ask("resolver-1", "example-2", "ns2.example.com. AAAA", 60)
    wire.ask("resolver-1", "example-2", "www.example.com. A", 61, 62, flags="", rcode="REFUSED")
    wire.ask("resolver-1", "root-c", "<script>;#end.com. TXT", 63, 64, rcode="SERVFAIL")
    return story(wire)


def test_the_text_has_every_step_and_where_the_time_went() -> None:
    told = everything().text()
    assert len([line for line in told.splitlines() if "→" in line]) == 8
    parts = (
        "www.example.com A, asked by host at resolver-1 (unbound)",
        "referral to com: 1 name server, with glue",
        "[priming]",
        "8 messages as in the textbook",
        "2 more for priming",
        "Where the time went",
    )
    for part in parts:
        assert part in told


def test_mermaid_has_two_lines_an_exchange_and_no_command_of_others() -> None:
    lines = everything().mermaid().splitlines()
    assert lines[0] == "sequenceDiagram"
    assert sum("->>" in line and "-->>" not in line for line in lines) == 8
    assert sum("-->>" in line for line in lines) == 7
    shown = [re.sub(r"#\w+;", "", line) for line in lines]  # entities, as Mermaid writes them
    assert not any(character in line for line in shown for character in ";#<")


def test_the_page_is_whole_and_safe() -> None:
    page = html([everything()])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    assert page.count('<circle class="badge"') == 8


def test_nothing_in_the_diagram_overlaps() -> None:
    drawn = sequence(everything())
    ys = [arrow.y for arrow in drawn.arrows]
    assert len(set(ys)) == len(ys)
    assert [arrow.number for arrow in drawn.arrows if arrow.number] == list(range(1, 9))
    xs = [lane.x for lane in drawn.lanes]
    assert xs == sorted(set(xs))
    assert [lane.role for lane in drawn.lanes][:2] == ["stub resolver", "local resolver"]
    assert drawn.height > max(ys)
    assert drawn.width > max(xs)


def test_json_is_plain_data() -> None:
    told = json.loads(json.dumps(everything().to_json()))
    assert told["messages"]["textbook"] == 8
    assert [step["to"] for step in told["steps"]][:3] == ["resolver-1", "root-a", "root-b"]
    assert told["steps"][2]["zone"] == "com"


def test_what_was_learnt() -> None:
    wire = Wire()
    cold(wire)
    told = story(wire)
    entries = {(entry.name, entry.type): (entry.ttl, entry.source) for entry in learnt(told.steps)}
    assert entries["com", "NS"] == (172800, "root-b")
    assert entries["www.example.com", "A"] == (3600, "example-1")
    assert (".", "NS") in entries


# Without an answer to begin with: whatever program asked


def seen(wire: Wire) -> Observation:
    """What an observation has that stories are told from."""
    found: Any = SimpleNamespace(messages=wire.messages, events=[], topology=wire.topology, dropped={})
    return found  # type: ignore[no-any-return]


def test_the_last_questions_are_told_each_by_itself() -> None:
    wire = Wire()
    cold(wire)
    wire.ask("host", "resolver-1", "www.example.com. A", 500, 501, WWW, flags="RA RD", rd=True)
    wire.ask("host", "example-1", "www.example.com. A", 600, 601, WWW, flags="AA")
    whole, again, direct = stories_of(seen(wire), 3)
    assert shown(whole) == shown(story_before(wire, 500))
    assert shown(again) == ["host>resolver-1 www.example.com A question answer textbook"]
    assert direct.resolvers == ("example-1",)
    assert stories_of(seen(wire), 1) == [direct]
    assert stories_of(seen(wire), 5, {"resolver-1"}) == [whole, again]
    assert stories_of(seen(Wire()), 5) == []


def test_what_is_asked_again_because_nobody_answered_is_one_question() -> None:
    wire = Wire()
    wire.ask("host", "resolver-1", "www.example.com. A", 0, rd=True)
    wire.ask("host", "resolver-2", "www.example.com. A", 5000, 5010, rcode="SERVFAIL", rd=True)
    wire.ask("host", "resolver-1", "www.example.com. A", 5020, 5030, WWW, flags="RA RD", rd=True)
    [told] = stories_of(seen(wire), 5)
    assert [step.server for step in told.steps] == ["resolver-1", "resolver-2", "resolver-1"]


def story_before(wire: Wire, end: float) -> Story:
    before = Wire(wire.topology)
    before.messages = [message for message in wire.messages if message.time < 1.7e9 + end / 1000]
    return story(before)
