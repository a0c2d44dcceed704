"""What a check measures: the shape of everything that an expression can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lab.experiments.checks.attribution import Attribution, attribute
from lab.experiments.history import ALL, History, Lookup, Message, Phase
from lab.experiments.journal import Estimate, NodeRecord
from lab.experiments.statistics import Unmeasured

Options = Mapping[str, str]

LOOKUP_OPTIONS: Mapping[str, str] = {
    "resolver": "node that answered, or failed last",
    "host": "node that asked",
    "name": "asked for",
    "type": "asked for",
}
MESSAGE_OPTIONS: Mapping[str, str] = {
    "resolver": "node that asked",
    "name": "asked for",
    "type": "asked for",
    "transport": "udp or tcp",
}
TIERS = ("root", "tld", "authority")
ANY = "any"


@dataclass(frozen=True)
class Case:
    """One trial, as the checks see it; everything comes from the files of a run."""

    history: History
    nodes: Mapping[str, NodeRecord]
    confidence: float = 0.99
    stale: float = 0.0  # seconds after its TTL that an answer may still be given

    def phase(self, name: str) -> Phase:
        """A phase, or with "all" the whole trial."""
        return self.history.phase(name)

    def lookups(self, phase: str = ALL, options: Options | None = None) -> list[Lookup]:
        """The look-ups of a phase that the options select."""
        wanted = _wanted(options, {"resolver": "server"})
        return [one for one in self.history.lookups(phase) if all(_is(one, key, value) for key, value in wanted)]

    def messages(self, phase: str = ALL, options: Options | None = None) -> list[Message]:
        """The messages between resolvers and servers of a phase that the options select."""
        wanted = _wanted(options, {})
        return [one for one in self.history.messages(phase) if all(_is(one, key, value) for key, value in wanted)]

    def upstream(self, target: str, phase: str = ALL, options: Options | None = None) -> list[Message]:
        """The queries that resolvers sent to a node, to a tier (root, tld, authority), or to any server.

        Raises `Unmeasured` when nobody watched.
        """
        self.must_be_watched()
        return [
            message
            for message in self.messages(phase, options)
            if message.is_query and (target in (ANY, message.server) or self.role(message.server) == target)
        ]

    def must_be_watched(self) -> None:
        """Raise `Unmeasured` when upstream messages were not recorded."""
        if not self.history.watched:
            raise Unmeasured("upstream messages were not recorded")

    def role(self, node: str) -> str:
        """The role of a node; empty of one that the lab does not have."""
        return self.nodes[node].role if node in self.nodes else ""

    def zone_of(self, owner: str) -> str:
        """The deepest zone of the lab at or above a name, as people write it."""
        labels = owner.rstrip(".").split(".")
        names = (".".join(labels[place:]) for place in range(len(labels)))
        return next((name for name in names if name in self._zones), ".")

    @cached_property
    def _zones(self) -> frozenset[str]:
        return frozenset(zone for node in self.nodes.values() for zone in node.zones)

    @cached_property
    def attribution(self) -> Attribution:
        """Which upstream queries were sent for which look-up. Raises `Unmeasured` when nobody watched."""
        self.must_be_watched()
        return attribute(self.history)


Compute = Callable[[Case, Sequence[str], Options], Estimate]


@dataclass(frozen=True)
class Measure:
    """Something that can be asked of a history by name.

    `arguments` says what each argument is: "phase" (the last may be left out: the whole trial), "target" (a node, a
    tier or `any`), "server" (a node), "status", "quantity" (a key of `lab.experiments.checks.quantities.QUANTITIES`),
    "code" (a whole number), "time" (seconds) or "data" (any text). `compute` raises `Unmeasured` when the history does
    not give it.
    """

    name: str
    summary: str
    arguments: tuple[str, ...]
    compute: Compute = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    of_loads: Compute | None = field(default=None, repr=False)  # from counts alone; None: it takes each look-up
    shown: str = ""  # in lists, in place of the name: one line for a family of measures

    @property
    def signature(self) -> str:
        """As it is written, for people: `success([phase])`."""
        arguments = [f"[{one}]" if one == "phase" else one for one in self.arguments]
        return f"{self.shown or self.name}({', '.join(arguments)})" if arguments else self.shown or self.name

    def of(self, case: Case, arguments: Sequence[str], options: Options) -> Estimate:
        """What it is in a trial. Raises `Unmeasured`."""
        if not case.history.all_loads:
            return self.compute(case, arguments, options)
        if self.of_loads is None or options:
            raise Unmeasured(f"{self.name} takes each look-up, and dnsperf tells how many there were of each kind")
        return self.of_loads(case, arguments, options)


def phase_of(arguments: Sequence[str], place: int) -> str:
    """The phase among a measure's arguments; the whole trial when it was left out."""
    return arguments[place] if len(arguments) > place else ALL


def _wanted(options: Options | None, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (fields.get(key, key), _absolute(value) if key == "name" else value) for key, value in (options or {}).items()
    ]


def _absolute(name: str) -> str:
    return (name if name.endswith(".") else f"{name}.").lower()


def _is(one: object, key: str, value: str) -> bool:
    found = str(getattr(one, key))
    return found.lower() == value if key == "name" else found == value
