"""What one kind of fault is: the shape of every module here that has a `FAULT`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lab.agent.conditions import State
from lab.errors import BadInput
from lab.faults.values import Parameter, Values
from lab.topology.suggest import did_you_mean

MIN_ODDS = 1e-6
"""How unlikely it must be that a fault by chance touched no probe, before it is held to be without effect."""


@dataclass(frozen=True)
class Observation:
    """What probe queries saw of a link or a node; times in seconds."""

    asked: int
    answered: int
    refused: int  # by ICMP or a TCP reset
    least: float | None  # time of the fastest answer; None without any
    median: float | None

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


@dataclass(frozen=True)
class Verdict:
    """Asked against got, in words, and whether the fault bites."""

    asked: str
    got: str
    bites: bool


@dataclass(frozen=True)
class LinkKind:
    """A fault on the packets of a link; `effect` and `judge` raise nothing but `BadInput`."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    effect: Callable[[Values], Mapping[str, Any]]  # what the conditioner is told: see lab.agent.effects
    words: Callable[[Values], str]  # what happens to a packet: "comes 80 ms later"
    judge: Callable[[Values, Evidence], Verdict]
    example: str  # of the command line, as it works on the textbook lab
    probes: Callable[[Values], int] = lambda _values: 5  # queries that show whether it bites
    patience: Callable[[Values], float] = lambda _values: 0.5  # seconds to wait for their answers


@dataclass(frozen=True)
class NodeKind:
    """A fault of a whole node."""

    name: str
    summary: str
    verb: Literal["stop", "kill", "pause"]  # of NodeHandle
    words: str  # what happens to the node: "is frozen"
    state: str  # that the node is in afterwards, as NodeHandle says
    example: str
    parameters: tuple[Parameter, ...] = ()


Kind = LinkKind | NodeKind


@cache
def kinds() -> Mapping[str, Kind]:
    """All faults by name, sorted: every module of this package that has a `FAULT`."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        candidate = getattr(import_module(f"lab.faults.{module.name}"), "FAULT", None)
        if isinstance(candidate, LinkKind | NodeKind):
            found[candidate.name] = candidate
    return MappingProxyType(dict(sorted(found.items())))


def kind(name: str) -> Kind:
    """The fault called `name`; raises `BadInput` that names the nearest one when there is none."""
    if name not in kinds():
        raise BadInput(f"no fault {name!r}{did_you_mean(name, kinds())} (faults: {', '.join(kinds())})")
    return kinds()[name]


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


def probes_for_share(asked: float) -> int:
    """How many queries show a share: enough to see it ten times, between 5 and 200."""
    return max(5, min(200, int(10 / asked)))
