"""Asks a question with the taps on, and tells its story."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.errors import BadInput, NotSeen
from lab.observe.asked import Asked
from lab.observe.asked import asked as asked_of
from lab.observe.contribution import contributions, learnt
from lab.observe.observation import Observation
from lab.observe.selection import spoken
from lab.observe.story import Story
from lab.observe.telling import tell

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lab.agent.protocol import Query
    from lab.observe.message import Message, TransportEvent
    from lab.runtime.answer import Answer, ResourceRecord
    from lab.runtime.lab import How, RunningLab

_QUIET = 0.1  # seconds without a message after which what was asked for a question is over
_LONGEST = 2.0  # seconds to wait for that
_LOOK = 0.02
_SLACK = 0.02  # seconds between what the host's program and the taps take for the beginning


def trace(lab: RunningLab, name: str, type: str = "A", *, cold: bool = False, **how: Unpack[How]) -> Story:
    """Ask one question, in the way that `How` describes, and tell its story.

    `cold`: all caches are emptied first. Raises `BadInput` for what cannot be asked, `EnvironmentProblem`.
    """
    at = how.get("at")
    asker = lab.host(how.get("host"))
    asked = [lab.topology.node(at).name] if at is not None else list(asker.resolvers)
    nodes = [*asked, *(node.name for node in lab.topology.servers if node.recursive)]
    watched = [node for node in dict.fromkeys(nodes) if lab.nodes[node].state in ("running", "paused")]
    checked(lab.question(name, type, **how))
    lab.prober(asker.name)
    with Observation(lab, [asker.name, *watched]) as seen:
        if cold:
            lab.flush()
        caches = {node: lab.nodes[node].cache() for node in watched if lab.nodes[node].can_list_its_cache and not cold}
        seen.clear()
        answer = lab.query(name, type, **how)
        _settle(seen)
        return story_of(seen, answer, caches)


def checked(question: Query) -> Query:
    """The question, if there is a message for it; else `BadInput`: what cannot be asked is told before all else."""
    from lab.agent.message import query_message

    try:
        query_message(question)
    except ValueError as error:
        raise BadInput(f"cannot ask {question.name} {question.type}: {error}") from None
    return question


def story_of(seen: Observation, answer: Answer, caches: Mapping[str, Sequence[ResourceRecord]] | None = None) -> Story:
    """The story of a question whose answer came while `seen` was watching; `caches`: their lists from before.

    Raises `NotSeen` when neither the host nor the node that it asked was watched.
    """
    messages = seen.messages
    name, type = spoken(answer.query.name), answer.query.type
    asked = [m for m in messages if m.is_query and m.sender == answer.host and (m.qname, m.type) == (name, type)]
    if not asked:
        raise NotSeen(
            f"the question {name} {type} of {answer.host} was not seen; watched: {', '.join(seen.taps)}:"
            " begin to look before it is asked, at the host or at what it asks"
        )
    begin, end = _span(answer, messages, asked)
    question = answer.query.name, type, answer.host
    told = _told(seen, question, messages, seen.events, begin, end, begin + answer.latency, caches)
    return replace(told, answer=answer)


def stories_of(seen: Observation, last: int, at: Collection[str] | None = None) -> list[Story]:
    """The stories of the last questions that hosts asked (`at` these nodes), from the taps alone; the oldest first."""
    messages, events = seen.messages, seen.events
    hosts = {node.name for node in seen.topology.hosts}
    questions: list[list[Asked]] = []
    for exchange in asked_of(messages, events):
        if exchange.client not in hosts:
            continue
        before = next((q for q in reversed(questions) if _same(q[0], exchange)), None)
        # What was not answered is asked again, for the same question.
        if before is not None and not _final(before[-1]):
            before.append(exchange)
        else:
            questions.append([exchange])
    wanted = [number for number, q in enumerate(questions) if at is None or q[0].server in at]
    return [_story(seen, questions[number], questions[number + 1 :], messages, events) for number in wanted[-last:]]


def _story(
    seen: Observation,
    question: Sequence[Asked],
    later: Sequence[Sequence[Asked]],
    messages: Sequence[Message],
    events: Sequence[TransportEvent],
) -> Story:
    """The story of a question, up to the next one of its kind."""
    first, final = question[0], question[-1]
    end = next((other[0].sent for other in later if _same(other[0], first)), float("inf"))
    until = final.ended or min(end, time.time())
    question_of = first.query.name, first.type, first.client
    return _told(seen, question_of, messages, events, first.sent, end, until)


def _told(
    seen: Observation,
    question: tuple[str, str, str],
    messages: Iterable[Message],
    events: Iterable[TransportEvent],
    begin: float,
    end: float,
    until: float,
    caches: Mapping[str, Sequence[ResourceRecord]] | None = None,
) -> Story:
    """The story of a question (name, type, host) from what was seen from `begin` to `end`; see `tell` for `until`."""
    inside = [message for message in messages if begin <= message.time < end]
    during = [event for event in events if begin <= event.time < end]
    told = tell(seen.topology, *question, inside, during, until)
    told = replace(told, learnt=learnt(told.steps), dropped=sum(seen.dropped.values()))
    return replace(told, cache=contributions(told, caches or {}))


def _same(one: Asked, other: Asked) -> bool:
    return (one.client, one.name, one.type) == (other.client, other.name, other.type)


def _final(exchange: Asked) -> bool:
    """Whether a stub resolver takes it for the answer: else it asks again, somewhere or over TCP."""
    response = exchange.response
    return response is not None and not response.tc and response.rcode in ("NOERROR", "NXDOMAIN")


def _span(answer: Answer, messages: Sequence[Message], asked: Sequence[Message]) -> tuple[float, float]:
    """From the first query of the host for this answer to the next one of its kind, which is for another."""
    arrived = [m.time for m in messages if m.is_response and m.receiver == answer.host and m.wire == answer.wire]
    end = arrived[-1] if arrived else float("inf")
    begin = end - answer.latency - _SLACK if arrived else 0.0
    # One that both ends of its link were watched for is there twice.
    once = {(query.id, query.source_port): query.time for query in reversed(asked) if begin <= query.time <= end}
    mine = sorted(once.values())[-max(len(answer.attempts), 1) :]
    if not mine:  # none of its queries was seen, only the answer
        return end, float("inf")
    # Its last query may have been seen again at the other end, a moment later: that is none of another question.
    ids = {(query.id, query.source_port) for query in asked if mine[0] <= query.time <= mine[-1]}
    later = (q.time for q in asked if q.time > mine[-1] and (q.id, q.source_port) not in ids)
    return mine[0], min(later, default=float("inf"))


def _settle(seen: Observation) -> None:
    """Wait until nothing has been sent for a moment: what a resolver does after its answer belongs to the story."""
    until = time.monotonic() + _LONGEST
    count, since = -1, time.monotonic()
    while (now := time.monotonic()) < until and now - since < _QUIET:
        if (seen_now := len(seen.messages)) != count:
            count, since = seen_now, now
        time.sleep(_LOOK)
