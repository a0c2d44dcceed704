"""Declared links: from the entries under `links:` to what the packets between each two nodes meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.errors import BadInput
from lab.topology.declaration import Declaration
from lab.topology.declaration import Link as Entry
from lab.topology.model import Condition, Link, Node, Role, Topology
from lab.topology.problems import Path, Problem
from lab.topology.suggest import did_you_mean

_MANY = 8  # standard deviations that a delay without a bound may be above its mean, before it counts as lost
_FULL = 1500 * 8  # bits of the largest packet


def links(declaration: Declaration, topology: Topology) -> tuple[Link, ...]:
    """All declared links between two nodes; for each two of them the last entry that names both counts.

    That is a `between`, or what `from` and `to` say of either way; of these the last counts for each way.
    """
    found: dict[frozenset[str], dict[tuple[str, str], Link]] = {}
    for entry in declaration.links:
        for one, other in _pairs(entry, topology):
            ends = (one.name, other.name)
            link = Link(ends, entry.condition, both_ways=entry.between is not None)
            before = found.setdefault(frozenset(ends), {})
            if link.both_ways or any(known.both_ways for known in before.values()):
                before.clear()
            before[ends] = link
    return tuple(link for ways in found.values() for link in ways.values())


def problems(declaration: Declaration, topology: Topology) -> Iterator[Problem]:
    """What is wrong with the nodes that entries name; the rest is checked entry by entry, when it is read."""
    wrong = [problem for number, entry in enumerate(declaration.links) for problem in _ends(number, entry, topology)]
    yield from wrong
    if wrong:
        return
    for number, entry in enumerate(declaration.links):
        where: Path = ("links", number)
        if not _pairs(entry, topology):
            yield Problem(where, "a link has two ends, and these are one node")
            continue
        without = declaration.model_copy(update={"links": _without(declaration.links, number)})
        if set(links(without, topology)) == set(links(declaration, topology)):
            yield Problem(where, "it counts nowhere: other entries say all of it; remove it, or put it last")


def least_delay(topology: Topology, one: str, other: str) -> float:
    """By how much the declared links between two nodes lengthen a round trip at the least, seconds."""
    return sum(link.condition.least for link in topology.links_between(one, other))


def patience(topology: Topology, nodes: Sequence[str] = ()) -> float:
    """How much longer an answer may take because of the declared links of `nodes` (default: of all), seconds."""
    return max(
        (_most(link.condition) for link in topology.links if not nodes or not set(nodes).isdisjoint(link.ends)),
        default=0.0,
    )


def lossy(topology: Topology) -> bool:
    """Whether packets get lost on some declared link."""
    return any(link.condition.loss for link in topology.links)


def _most(condition: Condition) -> float:
    sending = 2 * _FULL / condition.rate if condition.rate else 0.0
    # Over TCP there is a handshake before, and a lost order can cost a round trip more.
    return 3 * (condition.latency + _MANY * condition.jitter + sending)


def _without(entries: tuple[Entry, ...], number: int) -> tuple[Entry, ...]:
    return entries[:number] + entries[number + 1 :]


def _pairs(entry: Entry, topology: Topology) -> list[tuple[Node, Node]]:
    """The nodes at the ends; for `from` and `to` in that order. Two nodes are named once if it is both ways."""
    ones, others = (topology.select(end) for end in entry.ends)
    pairs = {(one.name, other.name): (one, other) for one in ones for other in others if one is not other}
    if entry.between is None:
        return list(pairs.values())
    return [ends for names, ends in pairs.items() if names[::-1] not in pairs or names < names[::-1]]


def _ends(number: int, entry: Entry, topology: Topology) -> Iterator[Problem]:
    keys: tuple[Path, Path] = (("between", 0), ("between", 1)) if entry.between else (("from",), ("to",))
    for key, end in zip(keys, entry.ends, strict=True):
        for word in end:
            yield from _word(("links", number, *key), word, topology)


def _word(where: Path, word: str, topology: Topology) -> Iterator[Problem]:
    try:
        topology.select(word)
    except BadInput:
        roles = [role.value for role in Role]
        zones = [zone.label for zone in topology.zones.values()]
        hint = did_you_mean(word, [*topology.nodes, *roles, *zones])
        if word in roles:
            yield Problem(where, f"the lab has no {word}")
        else:
            hint = hint or f"; nodes: {', '.join(topology.nodes)}"
            yield Problem(where, f"no node, role or zone {word!r}{hint}")
