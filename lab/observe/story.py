"""The story of one resolution: who asked whom for what, what came back, and where the time went.

Data flows one way: messages -> exchanges (`asked`) -> steps with their purpose (`purpose`) and outcome (`outcome`),
put together by `telling` -> a `Story`, which `drawing` shows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from lab.observe.asked import Asked
from lab.observe.message import Message
from lab.observe.outcome import Outcome
from lab.observe.purpose import Meaning, Purpose
from lab.topology.model import Topology

if TYPE_CHECKING:
    from lab.observe.contribution import Contribution, Learnt
    from lab.runtime.answer import Answer

Category = Literal[
    "textbook",
    "priming",
    "addresses",
    "minimisation",
    "truncated",
    "unanswered",
    "repeated",
    "useless",
    "prefetch",
    "other",
]
"""What the messages of a step count as.

- "textbook": the question and its answer, and the steps that led on: what a textbook's figure shows.
- "priming", "addresses", "prefetch", "other": see `Purpose`.
- "minimisation": a part of the name was asked for that is no zone, so that it led nowhere (RFC 9156 section 2.3).
- "truncated": answered with TC, and asked again over TCP.
- "unanswered": no answer came; who waited has asked again, or given up.
- "repeated": a second answer to the same: who asked had lost patience, or wanted to be sure.
- "useless": an error, or the answer of a server that is not in charge.
"""

_OWN: dict[Purpose, Category] = {
    "priming": "priming",
    "address": "addresses",
    "prefetch": "prefetch",
    "other": "other",
}
_FAILED: dict[str, Category] = {
    "truncated": "truncated",
    "silence": "unanswered",
    "refused": "unanswered",
    "lame": "useless",
    "error": "useless",
    "malformed": "useless",
}


@dataclass(frozen=True)
class Step:
    """One exchange of the story. Times in seconds."""

    number: int  # from 1, in the order in which they began
    depth: int  # 0: the question of the host; 1: what the resolver asked for it; deeper with recursive servers
    exchange: Asked
    meaning: Meaning
    outcome: Outcome
    start: float  # after the first query of the story
    parent: int | None = None  # the number of the step that this one was asked for
    after: bool = False  # it began when the client had been answered
    again: int | None = None  # the number of the step in which the same was asked again, when no answer came
    waited: float | None = None  # until then, or until whoever waited was answered otherwise
    spent: float = 0.0  # of the client's waiting: the time in which this step, and none it asked for, was under way
    repeated: bool = False  # the same was asked more than once, and another answer came first
    mixed_case: bool = False  # letters of the name were written large at random (0x20)

    @property
    def client(self) -> str:
        """The node that asked."""
        return self.exchange.client

    @property
    def server(self) -> str:
        """The node that was asked."""
        return self.exchange.server

    @property
    def name(self) -> str:
        """The name asked for: lower case, without the final dot."""
        return self.exchange.name

    @property
    def type(self) -> str:
        """The type asked for."""
        return self.exchange.type

    @property
    def rtt(self) -> float | None:
        """From the query to the response, as who asked saw it; None without a response."""
        return self.exchange.rtt

    @property
    def purpose(self) -> Purpose:
        """Why it was asked; see `lab.observe.purpose.Purpose`."""
        return self.meaning.purpose

    @property
    def category(self) -> Category:
        """What its messages count as; see `Category`."""
        if self.purpose in _OWN:
            return _OWN[self.purpose]
        if self.repeated:
            return "repeated"
        if self.outcome.kind in _FAILED and (self.purpose != "question" or self.outcome.kind not in ("error", "lame")):
            return _FAILED[self.outcome.kind]
        if self.meaning.minimised and self.outcome.kind != "referral":
            return "minimisation"
        return "textbook"

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data; times in milliseconds."""
        return {
            "number": self.number,
            "for": self.parent,
            "depth": self.depth,
            "from": self.client,
            "to": self.server,
            "name": self.exchange.query.name,
            "type": self.type,
            "transport": self.exchange.transport,
            "purpose": self.purpose,
            "target": self.meaning.target or None,
            "minimised": self.meaning.minimised,
            "mixed_case": self.mixed_case,
            "repeated": self.repeated,
            "after_the_answer": self.after,
            "counts_as": self.category,
            "outcome": self.outcome.kind,
            "text": self.outcome.text,
            "zone": self.outcome.zone or None,
            "ttl": self.outcome.ttl,
            "start_ms": _ms(self.start),
            "rtt_ms": _ms(self.rtt),
            "waited_ms": _ms(self.waited),
            "again": self.again,
            "spent_ms": _ms(self.spent),
            "messages": [message.to_json() for message in self.exchange.messages],
        }


@dataclass(frozen=True)
class Story:
    """What was seen of one question. `latency` in seconds, as the host saw it."""

    name: str
    type: str
    topology: Topology
    steps: tuple[Step, ...]
    answer: Answer | None = None  # as the host got it
    cache: tuple[Contribution, ...] = ()
    learnt: tuple[Learnt, ...] = ()
    unrelated: int = 0  # messages of other questions, seen at the same time
    dropped: int = 0  # packets that the taps have lost: with any, this is not the whole story
    iterative: bool = False  # the host walked itself, without a resolver

    @property
    def host(self) -> str:
        """The node that asked."""
        return self.steps[0].client if self.steps else ""

    @property
    def resolvers(self) -> tuple[str, ...]:
        """The nodes that the host asked, in order."""
        return tuple(dict.fromkeys(step.server for step in self.steps if step.depth == 0))

    @property
    def status(self) -> str:
        """The response code that the host got, or `TIMEOUT` and the like."""
        if self.answer is not None:
            return self.answer.status
        last = [step.exchange.response for step in self.steps if step.depth == 0][-1:]
        return last[0].rcode if last and last[0] is not None else "TIMEOUT"

    @property
    def data(self) -> tuple[str, ...]:
        """The data that the host got, of the type it asked for."""
        own = [step for step in self.steps if step.depth == 0 and step.purpose in ("question", "resolution")]
        last = own[-1].exchange.response if own else None
        return tuple(record.data for record in last.answer if record.type == self.type) if last is not None else ()

    @property
    def latency(self) -> float:
        """Seconds that the host waited."""
        if self.answer is not None:
            return self.answer.latency
        own = [step for step in self.steps if step.depth == 0]
        return sum(step.rtt or step.waited or 0.0 for step in own)

    @property
    def upstream(self) -> tuple[Step, ...]:
        """What was asked for the host by others: everything but its own questions."""
        return tuple(step for step in self.steps if step.depth)

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message of the story once, in order of time."""
        found = [message for step in self.steps for message in step.exchange.messages]
        return tuple(sorted(found, key=lambda message: message.time))

    @cached_property
    def counts(self) -> dict[Category, int]:
        """How many messages of each category there were; without those of which there were none."""
        found: Counter[Category] = Counter()
        for step in self.steps:
            found[step.category] += len(step.exchange.messages)
        return dict(found)

    @property
    def textbook(self) -> int:
        """How many messages a textbook's figure of this resolution shows."""
        return self.counts.get("textbook", 0)

    def text(self) -> str:
        """The story for people to read."""
        from lab.observe.drawing.text import text

        return text(self)

    def mermaid(self) -> str:
        """The story as a sequence diagram of Mermaid."""
        from lab.observe.drawing.mermaid import mermaid

        return mermaid(self)

    def html(self) -> str:
        """The story as one page with a sequence diagram, which needs nothing from elsewhere."""
        from lab.observe.drawing.html import html

        return html([self])

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data; times in milliseconds."""
        return {
            "name": self.name,
            "type": self.type,
            "from": self.host,
            "at": list(self.resolvers),
            "iterative": self.iterative,
            "status": self.status,
            "latency_ms": _ms(self.latency),
            "messages": {"all": sum(self.counts.values()), **self.counts},
            "cache": [vars(entry) for entry in self.cache],
            "learnt": [vars(entry) for entry in self.learnt],
            "unrelated": self.unrelated,
            "dropped": self.dropped,
            "answer": self.answer.to_json() if self.answer is not None else None,
            "steps": [step.to_json() for step in self.steps],
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
