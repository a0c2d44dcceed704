"""Measuring a fault by probe queries: who asks whom, so that it is crossed, what comes of it, and what that proves."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lab.agent.conditions import State
from lab.agent.protocol import Query, Transport
from lab.errors import BadInput, EnvironmentProblem
from lab.faults.kind import Verdict
from lab.runtime.prober import Prober
from lab.runtime.stream import Stream, StreamClosed
from lab.topology.model import Node, Role, Topology

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab


MIN_ODDS = 1e-6
"""How unlikely it must be that a fault by chance touched no probe, before it is held to be without effect."""

_DNS = 53
_PATIENCE = 10.0  # seconds for a host to begin to answer; it takes a tenth of one


@dataclass(frozen=True)
class Observation:
    """What probe queries saw of a link or a node; times in seconds."""

    asked: int
    answered: int
    refused: int  # by ICMP or a TCP reset
    least: float | None  # time of the fastest answer; None without any
    median: float | None

    @classmethod
    def sum(cls, parts: Sequence[Observation]) -> Observation | None:
        """What was seen at several places; the median is that of their medians. None of nothing."""
        if not parts:
            return None
        medians = [part.median for part in parts if part.median is not None]
        return cls(
            sum(part.asked for part in parts),
            sum(part.answered for part in parts),
            sum(part.refused for part in parts),
            min((part.least for part in parts if part.least is not None), default=None),
            statistics.median(medians) if medians else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields; times in milliseconds."""

        def ms(seconds: float | None) -> float | None:
            return None if seconds is None else round(seconds * 1000, 3)

        counts = {"asked": self.asked, "answered": self.answered, "refused": self.refused}
        return {**counts, "least_ms": ms(self.least), "median_ms": ms(self.median)}

    def __str__(self) -> str:
        if self.median is not None:
            return f"{self.answered} of {self.asked} answered, median {self.median * 1000:.1f} ms"
        return f"none of {self.asked} answered" + (f", {self.refused} refused" if self.refused else "")


@dataclass(frozen=True)
class Evidence:
    """All that was measured to tell whether a fault on a link bites."""

    before: Observation
    after: Observation
    state: State  # counters of the rule, probes only
    crossings: int
    """How often each direction that the rule is about is crossed for one answer: once over UDP, twice over TCP."""
    declared: float = 0.0
    """By how much the declared link between the two ends lengthens each round trip at the least, seconds."""
    checksum_errors: int = 0
    """Packets that either end dropped meanwhile for a wrong checksum, where the fault is about that."""
    transport: Transport = "udp"
    """What it was measured over."""


@dataclass(frozen=True)
class Pair:
    """Two ends of a link: one that asks, one that answers."""

    asker: Node
    answerer: Node


def pair(
    topology: Topology,
    node: Node,
    peers: Sequence[Node],
    directions: Sequence[str],
    *,
    query_tells: bool = False,
    any_answer: bool = False,
) -> Pair:
    """Who is to ask whom, so that the query goes in the fault's direction where that can be.

    Without peers the node is asked by the first host, or asks some server. Where the query alone tells what the fault
    does, answered or not, it goes in that direction in any case. Where any answer will do, a host gives one too, if
    there is nobody else. Raises `BadInput` when nobody on the link answers DNS, and nothing could be measured.
    """
    if query_tells and directions[0] == "out":
        servers = [server for server in topology.servers if server is not node]
        return Pair(node, next((peer for peer in peers or servers if _answers(peer)), (peers or servers)[0]))
    others = peers or _others(topology, node)
    if query_tells:
        return Pair(others[0], node)
    for peer in others:
        asked_in, asked_out = (Pair(peer, node), _answers(node)), (Pair(node, peer), _answers(peer))
        for found, possible in (asked_in, asked_out) if directions[0] == "in" else (asked_out, asked_in):
            if possible:
                return found
    if any_answer:
        return Pair(others[0], node) if directions[0] == "in" else Pair(node, others[0])
    names = ", ".join(peer.name for peer in others)
    raise BadInput(f"nobody answers DNS between {node.name} and {names}: what a fault does there cannot be measured")


def pairs(node: Node, peers: Sequence[Node]) -> list[Pair]:
    """A node and each of its peers: it asks those that answer, and is asked by those that do not."""
    return [Pair(node, peer) if _answers(peer) else Pair(peer, node) for peer in peers]


def observe(
    lab: RunningLab, ends: Sequence[Pair], count: int, transport: Transport, timeout: float, padding: int = 0
) -> Observation:
    """What comes of `count` queries from one end of each pair to the other; at least one pair. See `probe`."""
    asked: dict[str, list[Pair]] = {}
    for found in ends:
        asked.setdefault(found.asker.name, []).append(found)
    seen = []
    for together in asked.values():
        answerers = [found.answerer for found in together]
        with probing(lab, together[0].asker) as prober, _answering(lab, answerers) as ports:
            seen.append(_probe(prober, answerers * count, transport, timeout, padding, ports))
    return seen[0] if len(seen) == 1 else Observation.sum(seen) or seen[0]


def checksum_errors(lab: RunningLab, nodes: Collection[str]) -> int:
    """How many packets these nodes have dropped for a wrong checksum, UDP and TCP, IPv4 and IPv6 (RFC 4113)."""
    return sum(_wrong_checksums(lab.node(node).run("cat /proc/net/snmp /proc/net/snmp6")) for node in nodes)


def _wrong_checksums(text: str) -> int:
    """From snmp, where a line of names is followed by one of values, and snmp6, with a name and a value a line."""
    lines = [line.split() for line in text.splitlines()]
    found = [int(line[1]) for line in lines if line[0] == "Udp6InCsumErrors"]
    for names, values in itertools.pairwise(lines):
        if names[0] == values[0] in ("Udp:", "Tcp:"):
            found += [int(value) for name, value in zip(names, values, strict=True) if name == "InCsumErrors"]
    return sum(found)


@contextmanager
def probing(lab: RunningLab, asker: Node) -> Iterator[Prober]:
    """A prober at a node: a host's own, or one in the node's helper container."""
    if asker.role is Role.HOST:
        yield lab.prober(asker.name)
        return
    with Prober(lab.api, lab.links.helper(asker.name), asker.name) as prober:
        yield prober


@contextmanager
def _answering(lab: RunningLab, answerers: Collection[Node]) -> Iterator[Mapping[str, int]]:
    """Ports at which the hosts among these nodes answer queries, for as long as the block takes."""
    with ExitStack() as stack:
        ports = {}
        for node in answerers:
            if not _answers(node):
                command = ["python3", "-m", "agent.answerer", str(node.ipv4)]
                stream = stack.enter_context(Stream(lab.api, lab.node(node.name).container, command))
                try:
                    ports[node.name] = int(stream.readline(_PATIENCE))
                except (StreamClosed, TimeoutError) as error:
                    raise EnvironmentProblem(f"{node.name} cannot be made to answer queries: {error}") from None
        yield ports


def probe(prober: Prober, answerer: Node, count: int, transport: Transport, timeout: float) -> Observation:
    """Ask a node `count` times at once for something it need not look up, and wait `timeout` seconds."""
    return _probe(prober, [answerer] * count, transport, timeout)


def _probe(
    prober: Prober,
    answerers: Sequence[Node],
    transport: Transport,
    timeout: float,
    padding: int = 0,
    ports: Mapping[str, int] = MappingProxyType({}),
) -> Observation:
    queries = [
        Query(
            ".",
            "NS",
            (str(answerer.ipv4),),
            port=ports.get(answerer.name, _DNS),
            transport=transport,
            recurse=False,
            padding=padding,
            timeout=timeout,
            tcp_fallback=False,
        )
        for answerer in answerers
    ]
    count = len(queries)
    results = prober.ask(queries, window=count)
    times = [result.latency for result in results if result.outcome == "answer"]
    refused = sum(result.outcome == "unreachable" for result in results)
    return Observation(
        count, len(times), refused, min(times, default=None), statistics.median(times) if times else None
    )


def _answers(node: Node) -> bool:
    return node.role is not Role.HOST


def _others(topology: Topology, node: Node) -> list[Node]:
    """Who can be at the other end when anybody can: a host, as it has a prober already, else a server."""
    if _answers(node):
        return [host for host in topology.hosts if host is not node][:1]
    return [server for server in (*topology.resolvers, *topology.servers) if server is not node][:1]


def judge_share(evidence: Evidence, asked: float, what: str, untouched: float | None = None) -> Verdict:
    """For faults that touch a share of the packets.

    `untouched`: the probability that all probes get by, by default that of independent packets.
    """
    state = evidence.state
    odds = (1 - asked) ** state.matched if untouched is None else untouched
    return Verdict(
        f"{asked * 100:.3g}% {what}",
        f"{state.acted} of {state.matched} probes {what}; {evidence.after}",
        state.matched > 0 and (state.acted > 0 or odds > MIN_ODDS),
    )


def judge_lost(evidence: Evidence, asked: str) -> Verdict:
    """For faults that lose all packets they are about."""
    state = evidence.state
    got = f"{state.acted} of {state.matched} packets lost; {evidence.after}"
    return Verdict(asked, got, state.matched == state.acted > 0 == evidence.after.answered)


def probes_for_share(asked: float) -> int:
    """How many queries show a share: enough to see it ten times, between 5 and 200."""
    return max(5, min(200, int(10 / asked)))
