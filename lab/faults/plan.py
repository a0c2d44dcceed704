"""A fault as asked for: every value checked, nothing done yet."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.agent.conditions import MAX_LASTS, Direction
from lab.agent.protocol import Transport
from lab.errors import BadInput
from lab.faults.kind import kind
from lab.faults.values import Parameter, Values, parse, show_time, time

if TYPE_CHECKING:
    from lab.faults.fault import Fault
    from lab.faults.kind import Kind
    from lab.runtime.lab import RunningLab
    from lab.topology.model import Node, Topology

OPTIONS = ("to", "direction", "transport", "seed")
"""What can be said of a fault besides its own parameters and `lasts`; each kind takes some of them."""

DIRECTIONS: Mapping[str, tuple[Direction, ...]] = {"in": ("in",), "out": ("out",), "both": ("in", "out")}
TRANSPORTS: Mapping[str, tuple[Transport, ...]] = {"udp": ("udp",), "tcp": ("tcp",), "both": ("udp", "tcp")}

_LASTS = Parameter("lasts", "after which it heals by itself", "time: 0.1s to 24h", time(0.1, MAX_LASTS), 3600.0)
_SEED = 1
_WHOLE = {
    "node": "it is a fault of a whole node",
    "zone": "it is a fault of zone data",
    "clock": "it is a fault of a clock",
}


@dataclass(frozen=True)
class Options:
    """What is said of a fault besides its own parameters."""

    lasts: float  # seconds, after which it heals by itself
    to: tuple[Node, ...] = ()  # who is at the other end of the link; empty: whoever it is
    direction: str | None = None  # a key of DIRECTIONS, seen from the node; None: as the kind prefers
    transport: str = "both"  # a key of TRANSPORTS
    seed: int = _SEED


class Plan(ABC):
    """What a fault would do."""

    kind: Kind
    nodes: tuple[Node, ...]  # where
    values: Values
    options: Options

    @abstractmethod
    def does(self) -> str:
        """What would be done, in words: a sentence without its end."""

    def does_at(self, who: str) -> str:  # noqa: ARG002 - for those that can
        """The same with other words for the node, where that can be said; else as `does`."""
        return self.does()

    @abstractmethod
    def fault(self, lab: RunningLab) -> Fault:
        """The fault itself, not begun."""

    def prepare(self, lab: RunningLab) -> None:  # noqa: B027 - most need nothing
        """Start what it works with, so that it bites at once when it is injected. Raises `EnvironmentProblem`."""

    @property
    def lasts(self) -> float:
        """Seconds after which it heals by itself."""
        return self.options.lasts

    def describe(self) -> str:
        """What would be done, and for how long, in a sentence."""
        return f"{self.does()}." if self.kind.is_event else f"{self.does()}, for {show_time(self.lasts)} at the most."

    def about(self) -> dict[str, Any]:
        """What others are to know of it, as plain data."""
        return {
            "fault": self.kind.name,
            "node": ",".join(node.name for node in self.nodes),
            **self.details(),
            "parameters": dict(self.values),
            "words": self.describe(),
            "process": os.getpid(),
        }

    def details(self) -> dict[str, Any]:
        """The options that its kind takes, as plain data."""
        return {}


def plan(topology: Topology, name: str, target: str | Sequence[str], how: Mapping[str, Any]) -> Plan:
    """Check what is asked for; see `lab.Lab.fault`. Raises `BadInput`."""
    chosen = kind(name)
    given = {key: value for key, value in how.items() if value is not None}
    lasts = parse(name, (_LASTS,), {"lasts": given.pop("lasts", None)})["lasts"]
    said = {word: given.pop(word) for word in OPTIONS if word in given}
    if refused := next((word for word in said if word not in chosen.options), None):
        takes = ", ".join(chosen.options)
        raise BadInput(f"{name} has no {refused} ({f'it takes {takes}' if takes else _WHOLE[chosen.level]})")
    return chosen.at(topology, target, parse(name, chosen.parameters, given), _options(topology, name, lasts, said))


def _options(topology: Topology, name: str, lasts: float, said: Mapping[str, Any]) -> Options:
    seed = said.get("seed", _SEED)
    if type(seed) is not int:
        raise BadInput(f"{name}: seed {seed!r}: it is a whole number")
    return Options(
        lasts,
        topology.select(said["to"]) if "to" in said else (),
        _choice(name, "direction", said["direction"], DIRECTIONS) if "direction" in said else None,
        _choice(name, "transport", said.get("transport", "both"), TRANSPORTS),
        seed,
    )


def _choice(fault: str, what: str, value: Any, allowed: Mapping[str, Any]) -> str:
    if value not in allowed:
        raise BadInput(f"{fault}: {what} {value!r}: it is one of {', '.join(allowed)}")
    return str(value)
