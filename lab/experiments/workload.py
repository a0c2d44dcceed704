"""The workload: who asks what, and when. Pure: the same seed gives the same questions at the same times.

Names, times and askers are drawn from streams of their own, so that another rate does not change which names are asked.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from lab.experiments.schema import Names, Workload, Zipf


@dataclass(frozen=True)
class Arrival:
    """One question of the workload."""

    n: int  # from 0
    at: float  # intended send time, seconds of experiment time; of a closed loop always 0
    name: str  # absolute
    type: str
    host: str | None  # that asks; None: the lab's first
    server: str | None  # that is asked; None: the host's resolvers


def arrivals(work: Workload, seed: int) -> Iterator[Arrival]:
    """The questions in the order of their times, without end."""
    names, times = _names(work.names, random.Random(f"{seed} names")), _times(work, random.Random(f"{seed} times"))
    types, askers = random.Random(f"{seed} types"), itertools.cycle(_askers(work))
    for n, (at, name, (host, server)) in enumerate(zip(times, names, askers, strict=False)):
        yield Arrival(n, at, name, types.choice(work.types).upper(), host, server)


def distinct(work: Workload) -> Iterator[tuple[str, str]]:
    """Every question a workload can ask, as name and type; of names never asked again there are none."""
    names = work.names
    if names.unique is not None:
        return
    if names.zipf is not None:
        known = [names.zipf.name(rank) for rank in range(1, names.zipf.count + 1)]
    elif names.each is not None:
        known = [names.each.pattern.format(number) for number in range(1, names.each.count + 1)]
    else:
        known = list(names.list)
    for name in known:
        for type in work.types:
            yield absolute(name), type.upper()


def absolute(name: str) -> str:
    """A name with its final dot."""
    return name if name.endswith(".") else f"{name}."


def _askers(work: Workload) -> list[tuple[str | None, str | None]]:
    """Pairs of host and server, in an order in which each host and each server has its turn."""
    hosts: tuple[str | None, ...] = work.hosts or (None,)
    servers: tuple[str | None, ...] = work.at or (None,)
    return [(host, server) for server in servers for host in hosts]


def _times(work: Workload, chance: random.Random) -> Iterator[float]:
    if work.arrivals == "closed":
        yield from itertools.repeat(0.0)
    assert work.rate is not None  # the schema says so of an open loop
    if work.arrivals == "constant":
        for n in itertools.count():
            yield n / work.rate
    if work.arrivals == "rounds":
        assert work.clients is not None  # and of rounds this
        for n in itertools.count():
            yield n // work.clients * work.clients / work.rate
    time = 0.0
    while True:
        time += chance.expovariate(work.rate)
        yield time


def _names(names: Names, chance: random.Random) -> Iterator[str]:
    if names.unique is not None:
        # With the seed in it a repeat does not find in a cache what the trial before it has left there.
        start = chance.getrandbits(40)
        for n in itertools.count():
            yield absolute(names.unique.format(f"{start:010x}-{n}"))
    if names.zipf is not None:
        yield from _zipf(names.zipf, chance)
    if names.each is not None:
        for n in itertools.count():
            yield absolute(names.each.pattern.format(n % names.each.count + 1))
    while True:
        yield absolute(chance.choice(names.list))


def _zipf(zipf: Zipf, chance: random.Random) -> Iterator[str]:
    weights = [rank**-zipf.exponent for rank in range(1, zipf.count + 1)]
    total, cumulative = sum(weights), list(itertools.accumulate(weights))
    while True:
        # The last sum may be a rounding error below the total.
        rank = min(bisect_left(cumulative, chance.random() * total), zipf.count - 1) + 1
        yield absolute(zipf.name(rank))
