"""From messages to the steps of a story: whose question each belongs to, what it is for, what time it took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from lab.observe.asked import Asked, asked
from lab.observe.message import Message, TransportEvent
from lab.observe.outcome import Outcome, outcome
from lab.observe.purpose import Meaning, Understanding
from lab.observe.selection import spoken
from lab.observe.story import Step, Story
from lab.topology.model import Node, Topology


def tell(
    topology: Topology,
    name: str,
    type: str,
    host: str,
    messages: Iterable[Message],
    events: Iterable[TransportEvent] = (),
    until: float = 0.0,
) -> Story:
    """The story of the question that `host` asked, from what the taps saw.

    `until`: when the host gave up, seconds since 1970; for so long unanswered steps were waited for. Messages that
    resolvers exchanged for others at the same time cannot be told apart from those for this question.
    """
    seen = asked(messages, events)
    wanted = spoken(name)
    servers = {
        spoken(node.hostname.to_text()): spoken(node.zones[0].to_text())
        for node in topology.servers
        if node.hostname is not None
    }
    known = Understanding(wanted, type.upper(), servers)
    heard = sorted((entry.response for entry in seen if entry.response is not None), key=lambda heard: heard.time)
    steps: list[Step] = []
    unrelated = 0
    for exchange in seen:
        while heard and heard[0].time <= exchange.sent:
            known.hear(heard.pop(0))
        if exchange.client == host and (exchange.name, exchange.type) == (wanted, type.upper()):
            parent = None
        elif (parent := _parent(steps, exchange)) is None:
            unrelated += len(exchange.messages)
            continue
        after = parent is not None and (parent.after or _over(parent.exchange, exchange.sent))
        meaning = Meaning("question", wanted) if parent is None else known.meaning(exchange, after=after)
        node = topology.nodes.get(exchange.server)
        steps.append(
            Step(
                len(steps) + 1,
                0 if parent is None else parent.depth + 1,
                exchange,
                meaning,
                _outcome(exchange, node, known),
                exchange.sent - steps[0].exchange.sent if steps else 0.0,
                None if parent is None else parent.number,
                after,
                mixed_case=_mixed(exchange.query, name),
            )
        )
    return Story(wanted, type.upper(), topology, _timed(_answered_twice(_repeated(steps, until))), unrelated=unrelated)


def _outcome(exchange: Asked, node: Node | None, known: Understanding) -> Outcome:
    """What came of it: of a server that was named for a zone, a referral that leads nowhere below that is lame."""
    came = outcome(exchange, authority=node is not None and node.role.is_server)
    if node is None or node.hostname is None:
        return came
    zone = known.expected(spoken(node.hostname.to_text()), exchange.name)
    if came.kind == "referral" and zone not in ("", ".") and not came.zone.endswith(f".{zone}"):
        return Outcome("lame", f"lame: refers back to {came.zone}; {node.name} is not in charge of {zone}")
    if came.kind == "lame" and zone:
        return replace(came, text=came.text.replace("in charge of the name", f"in charge of {zone}"))
    return came


def _parent(steps: Sequence[Step], exchange: Asked) -> Step | None:
    """The step for which an exchange was begun: the last question to that node, one not yet answered if there is."""
    candidates = [step for step in steps if step.server == exchange.client]
    under_way = [step for step in candidates if not _over(step.exchange, exchange.sent)]
    return next(reversed(under_way or candidates), None)


def _over(exchange: Asked, when: float) -> bool:
    return exchange.ended is not None and exchange.ended <= when


def _mixed(query: Message, asked: str) -> bool:
    """Whether the resolver chose the case of the letters (draft-vixie-dnsext-dns0x20), not the person who asked."""
    name = query.name.rstrip(".")
    return name != name.lower() and not asked.rstrip(".").endswith(name)


def _repeated(steps: Sequence[Step], until: float) -> list[Step]:
    """The steps, each that had no answer with the one in which the same was asked again."""
    found = list(steps)
    last = max((until, *(step.exchange.ended or step.exchange.sent for step in steps)))
    for place, step in enumerate(steps):
        if step.exchange.ended is not None:
            continue
        same = (
            other
            for other in steps[place + 1 :]
            if (other.client, other.parent, other.meaning.purpose, other.meaning.target)
            == (step.client, step.parent, step.meaning.purpose, step.meaning.target)
            and _alike(step, other)
        )
        again = next(same, None)
        parent = next((other for other in steps if other.number == step.parent), None)
        end = again.exchange.sent if again else (parent.exchange.ended if parent and parent.exchange.ended else last)
        found[place] = replace(step, again=again.number if again else None, waited=max(end - step.exchange.sent, 0.0))
    return found


def _answered_twice(steps: Sequence[Step]) -> list[Step]:
    """The steps; of several on the way to the answer that were answered the same, all but the first answered marked."""
    first: dict[tuple[object, ...], Step] = {}
    for step in sorted(steps, key=lambda step: step.exchange.ended or 0.0):
        if step.purpose == "resolution" and step.outcome.useful:
            first.setdefault((step.parent, step.name, step.type), step)
    return [
        replace(step, repeated=first.get((step.parent, step.name, step.type), step) is not step)
        if step.purpose == "resolution" and step.outcome.useful
        else step
        for step in steps
    ]


def _alike(step: Step, other: Step) -> bool:
    return (other.name, other.type) == (step.name, step.type) or step.meaning.minimised or other.meaning.minimised


def _timed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with what each has of the time that the client waited.

    Each moment belongs to the deepest step that is under way, of several to one on the way to the answer, else to the
    one that began first: parallel steps are not counted twice, and all of it adds up to the client's time.
    """
    spans = {
        step.number: (step.exchange.sent, step.exchange.ended or step.exchange.sent + (step.waited or 0.0))
        for step in steps
    }
    waiting = [spans[step.number] for step in steps if step.depth == 0]
    edges = sorted({edge for span in spans.values() for edge in span})
    spent: dict[int, float] = defaultdict(float)
    for begin, end in pairwise(edges):
        if not any(span[0] <= begin and end <= span[1] for span in waiting):
            continue
        open_ = [step for step in steps if spans[step.number][0] <= begin and end <= spans[step.number][1]]
        owner = max(open_, key=lambda step: (step.depth, step.purpose == "resolution", -step.number))
        spent[owner.number] += end - begin
    return tuple(replace(step, spent=spent[step.number]) for step in steps)
