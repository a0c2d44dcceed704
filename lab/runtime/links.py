"""Declared links as rules of conditioners: at which end, in which direction, and put in force for as long as they are.

The rules of a link between a resolver and another node stand at the other node: whoever watches a resolver's packets
sees the round trips as the resolver does. A round trip is put on one direction, on what arrives there: each passage
through a conditioner costs some tenths of a millisecond more than was asked for, and two would cost them twice. A TCP
connection crosses that direction once in each of its round trips too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from zlib import crc32

from lab.agent.conditions import Direction, Rule
from lab.runtime import helper
from lab.runtime.conditioner import CONDITIONER, Conditioner
from lab.runtime.parallel import each
from lab.topology.model import Condition, Link, Node, Role, Topology
from lab.units import show_rate, show_share, show_time

if TYPE_CHECKING:
    from docker import APIClient

_PLACES = {Role.HOST: 1, Role.GATEWAY: 1, Role.RESOLVER: 2}  # the smaller end is the one with the rules; servers: 0


def place(link: Link, topology: Topology) -> tuple[Node, Node, str]:
    """The node at which the rules of a link stand, the one at its other end, and the direction seen from the first."""
    at, peer = sorted((topology.nodes[end] for end in link.ends), key=lambda node: _PLACES.get(node.role, 0))
    return at, peer, "both" if link.both_ways else "in" if link.ends[1] == at.name else "out"


def rules(topology: Topology) -> dict[str, tuple[Rule, ...]]:
    """The rules of all declared links, by the node at which they stand; the same lab always gives the same."""
    alike: dict[tuple[str, Condition, str, str], list[Node]] = {}
    for link in topology.links:
        at, peer, way = place(link, topology)
        # A queue, and the order of packets, is one peer's; all else is decided packet by packet.
        own = peer.name if link.condition.rate is not None or not link.condition.reorder else ""
        alike.setdefault((at.name, link.condition, way, own), []).append(peer)
    found: dict[str, list[Rule]] = {}
    for (at_name, condition, way, _), peers in alike.items():
        found.setdefault(at_name, []).extend(_rules(at_name, peers, condition, way))
    return {node: tuple(made) for node, made in found.items()}


def words(condition: Condition, *, both_ways: bool) -> str:
    """What a link does, as people would say it: `30ms`, `80ms normal ±5ms, 1% loss`."""
    parts = []
    if condition.latency:
        spread = f" {condition.distribution} ±{show_time(condition.jitter)}" if condition.jitter else ""
        parts.append(f"{show_time(condition.latency)}{'' if both_ways else ' one way'}{spread}")
    if condition.loss:
        parts.append(f"{show_share(condition.loss)} loss")
    if condition.rate is not None:
        parts.append(f"{show_rate(condition.rate)}/s")
    return ", ".join(parts) or "0ms"


def prepare(api: APIClient, lab: str, node: str) -> None:
    """Start the conditioner of a node that has just started, so that it boots while others start."""
    helper.start(api, lab, node, CONDITIONER)


def declare(api: APIClient, lab: str, wanted: Mapping[str, Iterable[Rule]]) -> None:
    """Have these rules, and no other declared ones, in force at these nodes. Raises `EnvironmentProblem`."""

    def at(node: str) -> None:
        conditioner = Conditioner(api, lab, node, lambda _state, _why: None, lambda: None)
        try:
            conditioner.declare(wanted[node])
        finally:
            conditioner.close()

    each(at, wanted)


def _rules(at: str, peers: list[Node], condition: Condition, way: str) -> Iterator[Rule]:
    ways: tuple[Direction, ...] = ("in", "out") if way == "both" else ("in",) if way == "in" else ("out",)
    if condition.latency:
        spread = {
            "distribution": condition.distribution,
            "jitter": condition.jitter,
            "reorder": condition.reorder,
        }
        yield _rule(at, peers, ways[:1], {"kind": "delay", "mean": condition.latency, **spread})
    if condition.loss:
        yield _rule(at, peers, ways, {"kind": "loss", "share": condition.loss})
    if condition.rate is not None:
        for direction in ways:
            yield _rule(at, peers, (direction,), {"kind": "rate", "rate": condition.rate, "queue": condition.queue})


def _rule(at: str, peers: list[Node], directions: tuple[Direction, ...], effect: dict[str, Any]) -> Rule:
    name = f"link {at} {'+'.join(directions)} {effect['kind']} {','.join(peer.name for peer in peers)}"
    addresses = tuple(address for peer in peers for address in peer.addresses)
    return Rule(name, effect, directions, peers=addresses, seed=crc32(name.encode()))
