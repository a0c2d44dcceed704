"""Declared links: what may be written, which entry counts, and which rules at which node follow. No Docker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lab import labs
from lab.errors import BadInput, EnvironmentProblem
from lab.runtime import compose, doctor, kernel, links, readiness
from lab.software.program import programs
from lab.topology.declaration import Declaration
from lab.topology.derive import derive
from lab.topology.links import least_delay, patience
from lab.topology.loading import loads
from lab.topology.model import Topology

HEAD = """lab: linked
zones:
  .: {servers: [root]}
  com: {servers: [tld-1, tld-2]}
servers: {root: knot, tld-1: nsd, tld-2: knot}
resolvers: {near: unbound, far: bind}
hosts: {host: {resolvers: [near, far]}}
gateway: {}
links:
"""
LINE = HEAD.count("\n") + 1


def declared(*entries: str) -> Declaration:
    known = {name: tuple(found.roles) for name, found in programs().items()}
    return loads(HEAD + "".join(f"  - {entry}\n" for entry in entries), known, "lab.yaml")


def lab(*entries: str) -> Topology:
    return derive(declared(*entries))


def shown(topology: Topology) -> dict[str, str]:
    """Each link as its ends and what is on it."""
    return {
        f"{link.ends[0]}{'-' if link.both_ways else '>'}{link.ends[1]}": links.words(
            link.condition, both_ways=link.both_ways
        )
        for link in topology.links
    }


def test_ends_are_nodes_roles_zones_and_lists() -> None:
    assert shown(lab("{between: [resolver, root], rtt: 30ms}")) == {"near-root": "30ms", "far-root": "30ms"}
    assert len(lab("{between: [[near, host], com], rtt: 1ms}").links) == 4
    assert len(lab("{between: ['near, host', com], rtt: 1ms}").links) == 4
    assert len(lab("{between: [tld, tld], rtt: 1ms}").links) == 1, "each two nodes once"


def test_the_last_entry_that_names_two_nodes_counts() -> None:
    topology = lab(
        "{between: [near, tld], rtt: 50ms}",
        "{between: [tld-2, near], rtt: 20ms, loss: 1%}",
    )
    assert sorted(shown(topology).values()) == ["20ms, 1% loss", "50ms"]


def test_each_way_by_itself() -> None:
    both = "{between: [near, [root, tld-1]], rtt: 50ms}"
    there, back = "{from: near, to: root, latency: 10ms}", "{from: root, to: near, latency: 70ms, rate: 1mbit}"
    assert shown(lab(both, there, back)) == {
        "near>root": "10ms one way",
        "root>near": "70ms one way, 1mbit/s",
        "near-tld-1": "50ms",
    }
    assert shown(lab(both, there)) == {"near>root": "10ms one way", "near-tld-1": "50ms"}, "the other way is free"
    assert least_delay(lab(there, back), "root", "near") == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            "{between: [resolver, rot], rtt: 5ms}",
            "links.0.between.1: no node, role or zone 'rot'; did you mean 'root'?",
        ),
        ("{between: [near, root], rtt: 30}", "links.0.rtt: a time needs its unit: 30ms or 30s"),
        ("{between: [near, root], rtt: 11s}", "from 0s to 10s"),
        ("{between: [near, root], rtt: -1ms}", "not negative"),
        ("{between: [near, root], latency: 30ms}", "links.0: latency is one way; between two ends say `rtt`"),
        ("{from: near, to: root, rtt: 30ms}", "rtt is that of a round trip"),
        ("{between: [near, root]}", "nothing is said of the link; add rtt"),
        ("{from: near, to: root}", "nothing is said of the link; add latency"),
        ("{between: [near], rtt: 30ms}", "between has two ends"),
        ("{between: near, rtt: 30ms}", "a list is wanted here"),
        ("{from: near, latency: 30ms}", "a link is `between: [one, other]`"),
        ("{between: [near, root], to: root, rtt: 30ms}", "a link is `between: [one, other]`"),
        ("{between: [near, root], rtt: 30ms, jitter: 5ms}", "a constant delay has no jitter"),
        ("{between: [near, root], rtt: 3ms, jitter: 5ms, distribution: uniform}", "at most 3ms"),
        ("{between: [near, root], loss: 1%, reorder: no}", "remove reorder"),
        ("{between: [near, root], rtt: 30ms, los: 5%}", "links.0.los: unknown key 'los'; did you mean 'loss'?"),
        ("{between: [near, root], loss: 5}", "did you mean 5%?"),
        ("{between: [near, root], rtt: 1ms, queue: 9kB}", "a queue stands in front of a rate"),
        ("{between: [root, root], rtt: 30ms}", "a link has two ends, and these are one node"),
    ],
)
def test_what_is_no_link_is_told_with_its_line(entry: str, text: str) -> None:
    with pytest.raises(BadInput) as told:
        declared(entry)
    assert text in str(told.value)
    assert str(told.value).startswith(f"lab.yaml:{LINE}: ")


def test_an_entry_that_counts_nowhere_is_told() -> None:
    with pytest.raises(BadInput, match=rf"lab.yaml:{LINE}: links.0: it counts nowhere"):
        declared("{between: [near, root], rtt: 5ms}", "{between: [resolver, root], rtt: 6ms}")


MATRIX = (
    "{between: [[host, gateway], near], rtt: 5ms}",
    "{between: [resolver, root], rtt: 30ms}",
    "{between: [near, tld], rtt: 50ms, loss: 2%}",
    "{from: far, to: tld-1, latency: 80ms}",
    "{from: tld-1, to: far, rate: 64kbit}",
)


def test_no_rule_stands_at_a_resolver() -> None:
    rules = links.rules(lab(*MATRIX))
    assert sorted(rules) == ["gateway", "host", "root", "tld-1", "tld-2"]
    found = {(rule.effect["kind"], rule.directions) for rule in rules["tld-1"]}
    assert found == {("delay", ("in",)), ("loss", ("in", "out")), ("rate", ("out",))}


def test_a_round_trip_is_put_on_one_direction() -> None:
    topology = lab(*MATRIX)
    [rule] = links.rules(topology)["root"]
    assert (rule.effect["mean"], rule.directions) == (0.03, ("in",))
    assert set(rule.peers) == {address for name in ("near", "far") for address in topology.nodes[name].addresses}


def test_what_has_a_queue_has_it_for_itself() -> None:
    rules = links.rules(lab("{between: [resolver, root], rate: 1mbit}"))["root"]
    assert len(rules) == len({rule.id for rule in rules}) == 4, "each peer, each way"


def test_the_same_lab_has_the_same_rules() -> None:
    assert links.rules(lab(*MATRIX)) == links.rules(lab(*MATRIX))
    assert links.rules(lab(MATRIX[0])) == {
        node: rules for node, rules in links.rules(lab(*MATRIX)).items() if node in ("host", "gateway")
    }


def test_a_declaration_is_the_same_when_read_again() -> None:
    made = declared(*MATRIX)
    assert Declaration.model_validate_json(made.model_dump_json(exclude_defaults=True, by_alias=True)) == made


def test_readiness_has_patience_with_what_is_slow_on_purpose() -> None:
    fast, slow = lab(MATRIX[0]), lab("{between: [near, root], rtt: 2s, loss: 10%}")
    assert patience(fast) < 0.1
    assert patience(slow) >= 4
    assert patience(slow, ["tld-1"]) == 0
    for topology, least, attempts in ((fast, 0.25, 1), (slow, 4.0, 4)):
        asked = [check.query for check in readiness.checks(topology, topology.servers, resolution=True)]
        assert all(query.timeout >= least and query.attempts == attempts for query in asked)


def test_a_rendering_says_that_it_has_no_links() -> None:
    note = "The declared links (`links:` in lab.yaml) are not here"
    assert note in compose.render(declared(*MATRIX))[compose.FILE]
    assert note not in compose.render(labs.load("minimal"))[compose.FILE]


def test_a_lab_without_links_has_no_rules() -> None:
    assert links.rules(derive(labs.load("textbook"))) == {}
    assert patience(derive(labs.load("textbook"))) == 0


@pytest.mark.parametrize(
    ("found", "verdicts", "text"),
    [
        (None, ["note", "note", "note"], "not tried: the image `conditioner` is built when first needed"),
        ({"nfqueue": "", "redirect": "", "packet": ""}, ["ok", "ok", "ok"], "(NFQUEUE)"),
        ({"nfqueue": "no such target", "redirect": "", "packet": ""}, ["note", "ok", "ok"], "not here: no such target"),
    ],
)
def test_doctor_says_what_the_kernel_can_do(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, str] | None, verdicts: list[str], text: str
) -> None:
    monkeypatch.setattr(kernel, "examine", lambda _api: found)
    findings = list(doctor._kernel(SimpleNamespace(api=None)))
    assert [finding.verdict for finding in findings] == verdicts
    assert text in findings[0].text
    assert bool(findings[0].mend) == ("not here" in findings[0].text)


def test_doctor_says_that_it_could_not_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_api: object) -> None:
        raise EnvironmentProblem("no space left on device")

    monkeypatch.setattr(kernel, "examine", refuse)
    [finding] = doctor._kernel(SimpleNamespace(api=None))
    assert (finding.verdict, finding.subject) == ("note", "kernel")
    assert "no space left" in finding.text
