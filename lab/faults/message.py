"""Faults on DNS messages: a rule in a node's conditioner, measured by questions that it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lab.agent.conditions import Rule, State
from lab.agent.protocol import Query, Transport
from lab.errors import BadInput, NoEffect
from lab.faults import matching
from lab.faults.fault import Fault
from lab.faults.kind import Verdict
from lab.faults.link import LinkFault, LinkPlan, RuleKind
from lab.faults.measuring import MIN_ODDS, Observation, Pair, pair, probes_for_share, probing
from lab.faults.plan import TRANSPORTS, Options, Plan
from lab.faults.several import together
from lab.faults.values import Values
from lab.runtime.answer import Answer
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.runtime.prober import Prober
    from lab.topology.model import Node, Topology

_PROBES = 3  # over each transport
_PATIENCE = 1.0  # seconds for an answer, the resolver's own way to it included


@dataclass(frozen=True, kw_only=True)
class MessageKind(RuleKind):
    """A fault on the DNS messages that a node sends (direction `out`, the default), or that it gets (`in`)."""

    direction: Literal["in", "out", "both"] = "out"
    asked: Callable[[Values], str]  # what is to be seen: "SERVFAIL"
    shows: Callable[[Values, Answer], bool]  # whether it is to be seen in what came of a question
    only: Transport | None = None  # the one transport where it can be
    needs: tuple[str, ...] = ()  # types of records without which there is nothing to change
    edns: bool = False  # whether there is nothing to change without EDNS
    patience: Callable[[Values], float] = lambda _values: _PATIENCE  # seconds

    @property
    def level(self) -> str:
        """DNS messages."""
        return "message"

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """A rule at each of the nodes. Raises `BadInput` when parameters contradict each other."""
        self.effect(values)
        return together([MessagePlan(self, node, values, options) for node in nodes])


class MessagePlan(LinkPlan):
    """A fault on the DNS messages of one node. Raises `BadInput` when the node has none, or the fault cannot be."""

    kind: MessageKind

    def __init__(self, kind: MessageKind, node: Node, values: Values, options: Options) -> None:
        if kind.only is not None:
            if options.transport not in ("both", kind.only):
                raise BadInput(f"{kind.name} can only be over {kind.only.upper()}")
            options = replace(options, transport=kind.only)
        super().__init__(kind, node, values, options)
        self.queries = values.get("of") == "queries"
        try:
            self.match = matching.match(values, queries=self.queries)
        except BadInput as error:
            raise BadInput(f"{kind.name}: {error}") from None

    def does(self) -> str:
        """What would happen to which messages."""
        who = " or ".join(peer.name for peer in self.options.to) or "anybody"
        ways = {
            "in": f"arrives at {self.node.name} from {who}",
            "out": f"{self.node.name} sends to {who}",
            "both": f"passes between {self.node.name} and {who}, either way,",
        }
        protocol = " and ".join(transport.upper() for transport in TRANSPORTS[self.options.transport])
        what = f"{'query' if self.queries else 'answer'} over {protocol}{matching.words(self.values)}"
        return f"Every {what} that {ways[self.direction]} {self.kind.words(self.values)}"

    def rule(self) -> Rule:
        """What the conditioner is told."""
        return replace(super().rule(), match=self.match)

    def fault(self, lab: Any) -> Fault:
        """The fault itself, not begun."""
        return MessageFault(lab, self)

    def ends(self, topology: Topology) -> Pair:
        """Who is to ask whom, so that a message crosses the fault. Raises `BadInput` when nobody can."""
        answers_leave = (self.directions[0] == "out") is not self.queries
        peers: Sequence[Node] = self.options.to
        if not answers_leave and not peers and self.node.role is not Role.HOST:
            peers = _served_by_others(topology, self.node, self.values, self.kind.needs)
        found = pair(topology, self.node, peers, ("in" if answers_leave else "out",))
        if (found.answerer is self.node) is not answers_leave:
            way = "answers" if answers_leave else "asks"
            raise BadInput(
                f"{self.kind.name}: {self.node.name} {way} nobody here, so no such message passes; "
                f"`--direction {'in' if self.direction == 'out' else 'out'}` is the other way"
            )
        return found


@dataclass(frozen=True)
class Said(Observation):
    """What probe queries saw of a fault on messages: also what was said."""

    said: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields; times in milliseconds."""
        return {**super().to_json(), "said": self.said}

    def __str__(self) -> str:
        return f"{self.said}; {super().__str__()}"


class MessageFault(LinkFault):
    """A fault on the messages of one node."""

    plan: MessagePlan

    def begin(self) -> None:
        """Ask what the fault is about, put the rule in force, ask again."""
        made, kind, values = self.plan, self.plan.kind, self.plan.values
        ends = made.ends(self._lab.topology)
        count = _probes(values)
        with probing(self._lab, ends.asker) as prober:
            healthy = self._ask(prober, ends, _PROBES, _PATIENCE)
            self._lab.links.add(self._node, self._rule)
            answers = self._ask(prober, ends, count, kind.patience(values))
        state = self._lab.links.state(self._node, self._rule.id)
        if state is None:
            raise NoEffect(f"{kind.name} at {self._node} ended while it was measured: {self._node} has stopped")
        self.before, self.after = _observed(healthy), _observed(answers)
        self.verdict = self._judge(answers, state)
        if not self.verdict.bites:
            query = answers[0].query
            raise NoEffect(
                f"{kind.name} at {self._node} has no effect: asked for {self.asked}, got {self.got} "
                f"({ends.asker.name} asked {ends.answerer.name} {query.name} {query.type}; before: {self.before}); "
                f"{self._why(state)}"
            )
        self._lab.links.restart(self._node, self._rule.id)

    def _ask(self, prober: Prober, ends: Pair, each: int, patience: float) -> list[Answer]:
        made = self.plan
        name, type_ = matching.question(self._lab.topology, ends.answerer, made.values, made.kind.needs or ("A",))
        # A resolver that must have something to change has to look it up; else it is not to be troubled.
        recurse = ends.answerer.role is Role.RESOLVER and bool(made.kind.needs or made.kind.edns)
        queries = [
            Query(
                name,
                type_,
                (str(ends.answerer.ipv4),),
                transport=transport,
                recurse=recurse,
                timeout=patience,
                tcp_fallback=False,
            )
            for transport in made.transports
            for _ in range(each)
        ]
        results = prober.ask(queries, window=len(queries))
        return [
            Answer(query, result, ends.asker.name, ends.answerer.name)
            for query, result in zip(queries, results, strict=True)
        ]

    def _judge(self, answers: Sequence[Answer], state: State) -> Verdict:
        kind, values = self.plan.kind, self.plan.values
        showing = sum(kind.shows(values, answer) for answer in answers)
        got = f"{showing} of {len(answers)}: {_told(answers)}; rule: {state.acted} of {state.matched} messages"
        if values["share"] is not None:
            asked = f"{kind.asked(values)} with probability {values['share'] * 100:.3g}%"
            by_chance = state.acted == 0 and (1 - values["share"]) ** state.matched > MIN_ODDS
            return Verdict(asked, got, state.matched > 0 and (by_chance or showing >= state.acted > 0))
        if values["every"] is not None:
            expected = state.matched // values["every"]
            asked = f"{kind.asked(values)}, one in {values['every']}"
            return Verdict(asked, got, state.matched > 0 and state.acted == expected <= showing)
        return Verdict(kind.asked(values), got, state.matched == state.acted > 0 and showing == len(answers))

    def _why(self, state: State) -> str:
        if state.matched > state.acted == 0 and (self.plan.kind.needs or self.plan.kind.edns):
            wanted = " or ".join(self.plan.kind.needs) or "an OPT record"
            return f"there was nothing to change: it needs an answer with {wanted}"
        return "is another fault in the way? `dnslab faults` lists them"


def _probes(values: Values) -> int:
    if values["every"] is not None:
        return max(_PROBES, min(200, 2 * int(values["every"])))
    return _PROBES if values["share"] is None else probes_for_share(values["share"])


def _observed(answers: Sequence[Answer]) -> Said:
    from statistics import median

    times = [answer.latency for answer in answers if answer.answered]
    refused = sum(answer.outcome == "unreachable" for answer in answers)
    middle = median(times) if times else None
    return Said(len(answers), len(times), refused, min(times, default=None), middle, said=_told(answers))


def _told(answers: Sequence[Answer]) -> str:
    """What came of several questions, in words, the most frequent first."""
    counted = Counter(_words(answer) for answer in answers)
    return ", ".join(f"{count} x {said}" if len(counted) > 1 else said for said, count in counted.most_common())


def _words(answer: Answer) -> str:
    if answer.outcome == "timeout":
        return "silence"
    if answer.outcome == "unreachable":
        return "no connection, or closed before the answer"
    if answer.outcome == "malformed":
        return "something that is no answer to the question"
    if answer.message is None:
        return f"an answer that cannot be read ({answer.size} octets)"
    flags = " ".join(flag for flag in answer.flags if flag in ("aa", "tc"))
    records = len(answer.answer)
    ttls = sorted({record.ttl for record in answer.answer})
    up = [record.name for record in answer.authority if record.type == "NS" and not records]
    return " ".join(
        part
        for part in (
            answer.status,
            flags,
            f"{records} record{'s' if records != 1 else ''}" if not up else f"referral to {up[0]}",
            f"({answer.data()[0]})" if answer.query.type in ("A", "AAAA") and answer.data() else "",
            f"TTL {ttls[0]}" if len(ttls) == 1 else "",
            "" if answer.edns_size else "no EDNS",
        )
        if part
    )


def _served_by_others(topology: Topology, node: Node, values: Values, needs: tuple[str, ...]) -> list[Node]:
    """Who a node may ask for what matches: servers that have an answer first."""
    servers = [server for server in topology.servers if server is not node]
    with_answer = [server for server in servers if matching.has_answer(topology, server, values, needs)]
    return (with_answer or servers)[:1]
