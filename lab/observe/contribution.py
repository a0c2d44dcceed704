"""What the cache had to give to a resolution, and what it was given by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import dns.name

from lab.observe.selection import spoken
from lab.topology.model import ancestors

if TYPE_CHECKING:
    from lab.observe.story import Step, Story
    from lab.runtime.answer import ResourceRecord

What = Literal["answer", "delegation", "nothing"]
Known = Literal["cache", "answer", "inferred"]
"""How a contribution is known: from the program's own list of its cache, taken before the question; from the answer,
which has the TTL that was left; or only inferred from where the resolution began."""


@dataclass(frozen=True)
class Contribution:
    """What a node had in its cache for one name. Everything about caches is inferred from what was not asked."""

    node: str
    target: str  # the name that was looked for
    what: What
    name: str = ""  # of the delegation: its zone
    ttl: int | None = None  # seconds left
    known: Known = "inferred"

    def __str__(self) -> str:
        if self.what == "nothing":
            return f"{self.node} had nothing of use for {self.target}: it began at the root"
        left = "" if self.ttl is None else f", {self.ttl:,} s left"
        if self.what == "answer":
            return f"{self.node} had the answer for {self.target}{left}"
        source = "" if self.known == "cache" else "; inferred: its first query went there"
        return f"{self.node} had the delegation of {self.name}{left}{source}"


@dataclass(frozen=True)
class Learnt:
    """One RRset, or one negative answer, that a node was told and may remember."""

    node: str
    source: str  # the node that told it
    name: str
    type: str  # NXDOMAIN and NODATA for negative answers
    ttl: int | None  # seconds
    count: int = 1  # records


def contributions(story: Story, caches: Mapping[str, Sequence[ResourceRecord]]) -> tuple[Contribution, ...]:
    """What the cache of each node that was asked had to give; `caches` are their lists from before the question."""
    found: list[Contribution] = []
    for node in dict.fromkeys(step.server for step in story.steps):
        if node in story.topology.nodes and story.topology.nodes[node].caches:
            found += _of(story, node, caches.get(node))
    return tuple(found)


def _of(story: Story, node: str, cache: Sequence[ResourceRecord] | None) -> Iterator[Contribution]:
    asked = [step for step in story.steps if step.server == node and not step.after]
    if not asked:
        return
    question, numbers = asked[-1], {step.number for step in story.steps if step.server == node}
    here = story.topology.nodes[node]
    below = [step for step in story.steps if step.parent in numbers and not step.after]
    own = any(dns.name.from_text(question.name).is_subdomain(zone) for zone in here.zones)
    if not below:
        if question.outcome.useful and not (own and question.exchange.response and question.exchange.response.aa):
            yield Contribution(node, question.name, "answer", ttl=question.outcome.ttl, known="answer")
        return
    begun: set[str] = set()
    told_of: set[str] = set()  # zones whose servers it has been told on the way: no cache had them
    for step in below:
        if step.outcome.kind == "referral":
            told_of.add(step.outcome.zone)
        if step.purpose != "resolution" or step.meaning.target in begun:
            continue
        begun.add(step.meaning.target)
        zone = _began_at(story, step)
        if step.exchange.query.rd or own or zone is None:
            continue  # a forwarder, or a delegation from its own zone: no cache was needed to know whom to ask
        if zone in told_of:
            continue
        if zone == ".":
            yield Contribution(node, step.meaning.target, "nothing")
        else:
            left = [r.ttl for r in cache or () if r.type == "NS" and spoken(r.name) == zone]
            known: Known = "cache" if left else "inferred"
            yield Contribution(node, step.meaning.target, "delegation", zone, min(left, default=None), known)
    told = {spoken(r.name) for step in below if step.exchange.response for r in step.exchange.response.answer}
    response = question.exchange.response
    for record in response.answer if response is not None else ():
        owner = spoken(record.name)
        if owner not in told and owner not in begun:
            begun.add(owner)
            yield Contribution(node, owner, "answer", ttl=record.ttl, known="answer")


def _began_at(story: Story, step: Step) -> str | None:
    """The zone whose servers were asked first for a name: the deepest above it that the server is in charge of."""
    server = story.topology.nodes.get(step.server)
    if server is None:
        return None
    above = dns.name.from_text(step.outcome.zone if step.outcome.kind == "referral" else step.meaning.target)
    wanted = [zone for zone in ancestors(above) if zone in server.zones]
    if step.outcome.kind == "referral":
        wanted = [zone for zone in wanted if zone != above]
    return spoken(wanted[0].to_text()) if wanted else None


def learnt(steps: Iterable[Step]) -> tuple[Learnt, ...]:
    """What was told to the nodes that asked for the host, each RRset once, as it was told last."""
    found: dict[tuple[str, str, str], Learnt] = {}
    for step in steps:
        response = step.exchange.response
        if not step.depth or response is None or not step.outcome.useful:
            continue
        if step.outcome.kind in ("nodata", "nxdomain"):
            what = step.outcome.kind.upper()
            entry = Learnt(step.client, step.server, step.name, what, step.outcome.ttl)
            found[step.client, step.name, f"{what} {step.type}"] = entry
        rrsets: dict[tuple[str, str], list[int]] = {}
        sections = (*response.answer, *response.authority, *response.additional)
        for record in sections:
            if record.type != "SOA" or step.type == "SOA":
                rrsets.setdefault((spoken(record.name), record.type), []).append(record.ttl)
        for (name, type), ttls in rrsets.items():
            found[step.client, name, type] = Learnt(step.client, step.server, name, type, min(ttls), len(ttls))
    return tuple(found.values())
