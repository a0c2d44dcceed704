"""A fault that is active, and how it gets there: checked, injected, measured; healed in any case."""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zlib import crc32

from lab.agent.conditions import MAX_LASTS, Direction, Rule
from lab.agent.protocol import Transport
from lab.errors import BadInput
from lab.faults.kind import Kind, LinkKind, NodeKind, Observation, Verdict, kind
from lab.faults.values import Parameter, Values, parse, show_time, time

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab
    from lab.topology.model import Node

LASTS = 3600.0  # seconds, when nothing else is said
_LASTS = Parameter("lasts", "after which it heals by itself", "time: 0.1s to 24h", time(0.1, MAX_LASTS), LASTS)
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {"in": ("in",), "out": ("out",), "both": ("in", "out")}
_TRANSPORTS: dict[str, tuple[Transport, ...]] = {"udp": ("udp",), "tcp": ("tcp",), "both": ("udp", "tcp")}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Plan:
    """A fault as asked for, with every value checked; nothing is done yet."""

    kind: Kind
    node: Node
    values: Values
    lasts: float  # seconds
    peers: tuple[Node, ...] = ()
    direction: str = "in"
    transport: str = "both"
    seed: int = 1

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions, seen from the node."""
        return _DIRECTIONS[self.direction]

    @property
    def transports(self) -> tuple[Transport, ...]:
        """The transports."""
        return _TRANSPORTS[self.transport]

    def describe(self) -> str:
        """What would be done, in a sentence."""
        limit = f", for {show_time(self.lasts)} at the most"
        if isinstance(self.kind, NodeKind):
            return f"{self.node.name} {self.kind.words}{limit}."
        who = " or ".join(peer.name for peer in self.peers) or "anybody"
        ways = {
            "in": f"that arrives at {self.node.name} from {who}",
            "out": f"that {self.node.name} sends to {who}",
            "both": f"between {self.node.name} and {who}, either way,",
        }
        protocol = "UDP and TCP" if self.transport == "both" else self.transport.upper()
        return f"Every {protocol} packet {ways[self.direction]} {self.kind.words(self.values)}{limit}."

    def about(self) -> dict[str, Any]:
        """What others are to know of it."""
        return {
            "fault": self.kind.name,
            "node": self.node.name,
            "to": [peer.name for peer in self.peers],
            "direction": self.direction,
            "transport": self.transport,
            "seed": self.seed,
            "parameters": dict(self.values),
            "words": self.describe(),
            "process": os.getpid(),
        }

    def rule(self) -> Rule:
        """What the conditioner is told. Raises `BadInput` when the parameters contradict each other."""
        assert isinstance(self.kind, LinkKind)
        # Two faults with one seed are not to lose the same packets in step.
        seed = crc32(f"{self.seed} {self.node.name} {self.kind.name} {self.direction} {self.transport}".encode())
        return Rule(
            f"{self.kind.name}-{os.getpid()}-{next(_numbers)}",
            self.kind.effect(self.values),
            self.directions,
            self.transports,
            tuple(address for peer in self.peers for address in peer.addresses),
            seed,
            self.lasts,
            self.about(),
        )


def plan(lab: RunningLab, name: str, node: str, **how: Any) -> Plan:
    """Check what is asked for; see `lab.Lab.fault`. Raises `BadInput`."""
    chosen, target = kind(name), lab.topology.node(node)
    lasts = parse(name, (_LASTS,), {"lasts": how.pop("lasts", None)})["lasts"]
    if isinstance(chosen, NodeKind):
        for word in ("to", "direction", "transport", "seed"):
            if how.pop(word, None) is not None:
                raise BadInput(f"{name} is a fault of a whole node: it has no {word}")
        return Plan(chosen, target, parse(name, chosen.parameters, how), lasts)
    peers = _peers(lab, target, how.pop("to", None))
    direction = _choice(name, "direction", how.pop("direction", None) or "in", _DIRECTIONS)
    transport = _choice(name, "transport", how.pop("transport", None) or "both", _TRANSPORTS)
    seed = how.pop("seed", None)
    if seed is not None and type(seed) is not int:
        raise BadInput(f"{name}: seed {seed!r}: it is a whole number")
    values = parse(name, chosen.parameters, how)
    made = Plan(chosen, target, values, lasts, peers, direction, transport, 1 if seed is None else seed)
    chosen.effect(values)  # parameters that contradict each other are found before anything is done
    return made


def inject(lab: RunningLab, name: str, node: str, **how: Any) -> Fault:
    """Inject a fault and measure it; see `lab.Lab.fault`."""
    from lab.faults.link import LinkFault
    from lab.faults.node import NodeFault

    made = plan(lab, name, node, **how)
    fault: Fault = LinkFault(lab, made) if isinstance(made.kind, LinkKind) else NodeFault(lab, made)
    try:
        fault.begin()
    except BaseException:
        fault.heal()
        raise
    return fault


class Fault(ABC):
    """A fault that was injected and found to bite. Healed by `heal`, or at the end of a `with` block."""

    def __init__(self, lab: RunningLab, made: Plan) -> None:
        self._lab = lab
        self.plan = made
        self.before: Observation | None = None
        self.after: Observation | None = None
        self.verdict = Verdict("", "", bites=False)

    @property
    def name(self) -> str:
        """The kind of fault: "latency"."""
        return self.plan.kind.name

    @property
    def asked(self) -> str:
        """What was asked for, in words."""
        return self.verdict.asked

    @property
    def got(self) -> str:
        """What was measured, in words."""
        return self.verdict.got

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether it has neither been healed nor ended by itself."""

    @abstractmethod
    def begin(self) -> None:
        """Inject and measure. Raises `NoEffect`, `EnvironmentProblem`."""

    @abstractmethod
    def heal(self) -> None:
        """Undo it; once more is fine."""

    def to_json(self) -> dict[str, Any]:
        """Everything about it, as plain data."""
        return {
            **self.plan.about(),
            "asked": self.asked,
            "got": self.got,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
            "lasts_s": self.plan.lasts,
        }

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()


def _peers(lab: RunningLab, node: Node, to: str | Sequence[str] | None) -> tuple[Node, ...]:
    names = [] if to is None else [to] if isinstance(to, str) else list(to)
    peers = tuple(dict.fromkeys(lab.topology.node(name) for name in names))
    if node in peers:
        raise BadInput(f"a link has two ends: {node.name} is not its own peer")
    return peers


def _choice(fault: str, what: str, value: Any, allowed: dict[str, Any]) -> str:
    if value not in allowed:
        raise BadInput(f"{fault}: {what} {value!r}: it is one of {', '.join(allowed)}")
    return str(value)
