"""The way from the root to an answer, walked by the tool itself: queries with RD clear, as a resolver sends them.

What resolvers do in the dark is done in the open here, one question after the other, nothing remembered from before:
RFC 1034 section 5.3.3 without a cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab.agent.message import query_message
from lab.agent.protocol import Transport
from lab.observe.asked import Asked
from lab.observe.contribution import learnt
from lab.observe.message import Message
from lab.observe.outcome import Outcome, outcome
from lab.observe.purpose import Meaning, Purpose
from lab.observe.selection import spoken
from lab.observe.story import Step, Story
from lab.observe.tracing import checked
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.runtime.answer import Answer
    from lab.runtime.lab import RunningLab

_MOST = 60  # queries of one walk
_ALIASES = 8  # followed one after the other
_DEPTH = 4  # look-ups of name servers within look-ups of name servers


def walk(
    lab: RunningLab, name: str, type: str = "A", *, host: str | None = None, timeout: float | None = None
) -> Story:
    """Walk from the root to the answer, asking from `host`, `timeout` seconds each (default: 2).

    The story has a step for each query. Raises `BadInput` for what cannot be asked.
    """
    checked(lab.question(name, type))
    walker = _Walker(lab, lab.host(host).name, type.upper(), 2.0 if timeout is None else timeout)
    target = spoken(name)
    for _ in range(_ALIASES):
        answer = walker.resolve(target, type.upper(), "resolution")
        alias = answer.chain[-1] if answer is not None and answer.answered and len(answer.chain) > 1 else ""
        if not alias or answer is None or answer.data() or type.upper() in ("CNAME", "ANY"):
            break
        target = spoken(alias)
    told = Story(spoken(name), type.upper(), lab.topology, tuple(walker.steps), iterative=True)
    return replace(told, learnt=learnt(told.steps))


@dataclass
class _Walker:
    lab: RunningLab
    host: str
    type: str
    timeout: float
    steps: list[Step] = field(default_factory=list)
    clock: float = 0.0  # seconds of the walk so far

    def resolve(self, name: str, type: str, purpose: Purpose, depth: int = 0) -> Answer | None:
        """Walk from the root to `name`; the last answer, or None when the way ended before one."""
        servers = [str(node.ipv4) for node in self.lab.topology.of_role(Role.ROOT)]
        while servers:
            answer, step = self._ask_one_of(servers, name, type, purpose)
            if answer is None or step is None or step.outcome.kind != "referral":
                return answer
            servers = self._servers(answer, depth)
        return None

    def _ask_one_of(
        self, servers: list[str], name: str, type: str, purpose: Purpose
    ) -> tuple[Answer | None, Step | None]:
        """The first useful answer of the servers, asked in turn."""
        answer: Answer | None = None
        step: Step | None = None
        for address in servers:
            if len(self.steps) >= _MOST:
                return None, None
            answer, step = self._ask(address, name, type, purpose)
            if step.outcome.useful:
                return answer, step
            if self.steps[-1].exchange.response is None:
                self.steps[-1] = replace(step, waited=answer.latency, spent=answer.latency)
        return answer, step

    def _ask(self, address: str, name: str, type: str, purpose: Purpose) -> tuple[Answer, Step]:
        node = self.lab.topology.node(address)
        question = self.lab.question(name, type, at=address, host=self.host, recurse=False, timeout=self.timeout)
        [answer] = self.lab.ask([question], host=self.host)
        step: Step | None = None
        for attempt in answer.attempts:
            last = attempt is answer.attempts[-1]
            wire = answer.wire if last and answer.answered else b""
            sent = self.clock + attempt.sent
            # The prober keeps no number of a query; the response repeats it.
            query = (answer.wire[:2] or bytes(2)) + query_message(question).body
            ends = (self.host, node.name, address)
            asked = _message(self.host, sent, ends, attempt.transport, query)
            if not wire and attempt.outcome == "truncated":
                wire = query[:2] + b"\x82\x00" + query[4:]  # what the stub saw of it: TC, and that was all it needed
            came = (
                _message(self.host, sent + attempt.latency, ends, attempt.transport, wire, back=True) if wire else None
            )
            exchange = Asked(asked, came)
            result = outcome(exchange, authority=True)
            if came is None and attempt.outcome != "timeout":
                result = Outcome("refused", f"{attempt.outcome}: nobody takes it there")
            step = Step(
                len(self.steps) + 1, 0, exchange, Meaning(purpose, name), result, sent, spent=attempt.latency
            )  # fmt: skip
            self.steps.append(step)
        assert step is not None
        self.clock += answer.latency
        return answer, step

    def _servers(self, answer: Answer, depth: int) -> list[str]:
        """The addresses of the servers that a referral names: its glue, else looked up from the root."""
        named = [spoken(record.data) for record in answer.authority if record.type == "NS"]
        glue: dict[str, list[str]] = {name: [] for name in named}
        for record in answer.additional:
            if record.type == "A" and spoken(record.name) in glue:
                glue[spoken(record.name)].append(record.data)
        addresses = [address for name in named for address in glue[name] if self._known(address)]
        if addresses or depth >= _DEPTH:
            return addresses
        for name in named:
            found = self.resolve(name, "A", "address", depth + 1)
            if found is not None and (data := [address for address in found.data("A") if self._known(address)]):
                return data
        return []

    def _known(self, address: str) -> bool:
        """Whether it is that of a node: nothing outside of the lab is asked."""
        return any(address in node.addresses for node in self.lab.topology.nodes.values())


def _message(
    tap: str, time: float, ends: tuple[str, str, str], transport: Transport, wire: bytes, *, back: bool = False
) -> Message:
    host, server, address = ends
    here, there = (host, 0), (address, 53)
    source, destination = (there, here) if back else (here, there)
    sender, receiver = (server, host) if back else (host, server)
    return Message(tap, time, *source, *destination, sender, receiver, transport, wire)
