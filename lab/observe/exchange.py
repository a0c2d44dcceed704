"""Queries and the responses to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lab.observe.message import Message


@dataclass(frozen=True)
class Exchange:
    """A query, and its response if one was seen."""

    query: Message
    response: Message | None

    @property
    def rtt(self) -> float | None:
        """Seconds from the query to the response, both as stamped where they were seen."""
        return self.response.time - self.query.time if self.response is not None else None


def pair(messages: Iterable[Message]) -> tuple[list[Exchange], list[Message]]:
    """The exchanges that messages in order of time make up, in the order of their queries; and responses to nothing.

    A response belongs to the query whose ports and ID it repeats, and whose question, if it has one (RFC 5452 section
    9.1; letter case may differ). Of a query that was sent again with the same ID it answers the last.
    """
    queries: list[Message] = []
    responses: dict[int, Message] = {}  # number of the query -> its response
    waiting: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    strays: list[Message] = []
    for message in messages:
        if message.is_query:
            waiting[_key(message)].append(len(queries))
            queries.append(message)
            continue
        asked = waiting.get(_key(message), [])
        number = next((number for number in reversed(asked) if _answers(message, queries[number])), None)
        if number is None:
            strays.append(message)
        else:
            asked.remove(number)
            responses[number] = message
    return [Exchange(query, responses.get(number)) for number, query in enumerate(queries)], strays


def _key(message: Message) -> tuple[object, ...]:
    """What a query and its response have in common, put the way of the query."""
    source, destination = (message.source, message.source_port), (message.destination, message.destination_port)
    if message.is_response:
        source, destination = destination, source
    return message.tap, source, destination, message.transport, message.id


def _answers(response: Message, query: Message) -> bool:
    return not response.name or (response.qname, response.type) == (query.qname, query.type)
