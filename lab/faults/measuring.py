"""Probe queries over a link: who asks whom, so that what the fault is about is crossed, and what comes of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.agent.protocol import Query, Transport
from lab.errors import BadInput
from lab.faults.kind import Observation
from lab.runtime.prober import Prober
from lab.topology.model import Node, Role

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab


@dataclass(frozen=True)
class Pair:
    """Two ends of a link: one that asks, one that answers."""

    asker: Node
    answerer: Node


def pair(lab: RunningLab, node: Node, peers: Sequence[Node], directions: Sequence[str]) -> Pair:
    """Who is to ask whom, so that the query goes in the fault's direction where that can be.

    Without peers the node is asked by the first host, or asks some server. Raises `BadInput` when nobody on the link
    answers DNS, and nothing could be measured.
    """
    others = peers or _others(lab, node)
    for peer in others:
        asked_in, asked_out = (Pair(peer, node), _answers(node)), (Pair(node, peer), _answers(peer))
        for found, possible in (asked_in, asked_out) if directions[0] == "in" else (asked_out, asked_in):
            if possible:
                return found
    names = ", ".join(peer.name for peer in others)
    raise BadInput(f"nobody answers DNS between {node.name} and {names}: what a fault does there cannot be measured")


@contextmanager
def probing(lab: RunningLab, asker: Node) -> Iterator[Prober]:
    """A prober at a node: a host's own, or one in the node's helper container."""
    if asker.role is Role.HOST:
        yield lab.prober(asker.name)
        return
    with Prober(lab.api, lab.links.helper(asker.name), asker.name) as prober:
        yield prober


def probe(prober: Prober, answerer: Node, count: int, transport: Transport, timeout: float) -> Observation:
    """Ask a node `count` times at once for something it need not look up, and wait `timeout` seconds."""
    query = Query(
        ".", "NS", (str(answerer.ipv4),), transport=transport, recurse=False, timeout=timeout, tcp_fallback=False
    )
    results = prober.ask([query] * count, window=count)
    times = [result.latency for result in results if result.outcome == "answer"]
    refused = sum(result.outcome == "unreachable" for result in results)
    return Observation(
        count, len(times), refused, min(times, default=None), statistics.median(times) if times else None
    )


def _answers(node: Node) -> bool:
    return node.role is not Role.HOST


def _others(lab: RunningLab, node: Node) -> list[Node]:
    """Who can be at the other end when anybody can: a host, as it has a prober already, else a server."""
    if _answers(node):
        return [host for host in lab.topology.hosts if host is not node][:1]
    return [server for server in (*lab.topology.resolvers, *lab.topology.servers) if server is not node][:1]
