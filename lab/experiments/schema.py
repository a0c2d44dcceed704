"""The language of an experiment, as Pydantic models. What each key means is documented in docs/experiments.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lab.experiments.quantities import Length, duration, length, rate, share
from lab.topology.declaration import Label, Strict, Text, Whole

Duration = Annotated[float, BeforeValidator(duration)]
Rate = Annotated[float, BeforeValidator(rate)]
Share = Annotated[float, BeforeValidator(share)]
PhaseLength = Annotated[Length, BeforeValidator(length)]
Cache = Literal["cold", "flushed", "warm"]
Arrivals = Literal["constant", "poisson", "rounds", "closed"]


def _one_or_many(value: Any) -> Any:
    """`x` is short for `[x]`."""
    return value if isinstance(value, (list, tuple)) else (value,)


def _scalars(value: Any) -> Any:
    for one in value:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise ValueError(f"a parameter has texts and numbers as values, not {one!r}")  # noqa: TRY004 - for Pydantic
    if not value:
        raise ValueError("a parameter needs at least one value")
    if len(set(map(str, value))) < len(value):
        raise ValueError("a parameter has each value once")
    return value


def _phase_name(name: str) -> str:
    if not name.isidentifier() or name == "all":
        raise ValueError(f"{name!r} cannot be the name of a phase: letters, digits and _, and not `all`")
    return name


Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
Values = Annotated[tuple[Any, ...], BeforeValidator(_one_or_many), AfterValidator(_scalars)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class LabSource(Strict):
    """Which lab; `lab: textbook` is short for `lab: {name: textbook}`."""

    name: str
    records: dict[str, Text] = Field(default_factory=dict)  # zone -> records added to it


class Zipf(Strict):
    """Names whose popularity falls with their rank: that of rank r is asked with a probability ~ 1 / r^exponent."""

    pattern: Texts  # with {} where the rank goes; of several each rank takes the next
    count: Annotated[Whole, Field(ge=1, le=100_000)]
    exponent: Annotated[float, Field(ge=0, le=10)] = 0.9

    def name(self, rank: int) -> str:
        """The name of a rank, from 1."""
        return self.pattern[(rank - 1) % len(self.pattern)].format(rank)


class Each(Strict):
    """Names that are asked for in turn, from 1 to `count` and over again: with rounds, each client its own."""

    pattern: str  # with {} where the number goes
    count: Annotated[Whole, Field(ge=1, le=100_000)]


class Names(Strict):
    """What is asked for; a list alone is short for `{list: [...]}`."""

    list: tuple[str, ...] = ()  # each as often as the others, in random order
    zipf: Zipf | None = None
    each: Each | None = None
    unique: str | None = None  # a pattern with {} where a number goes: never the same name again

    @model_validator(mode="after")
    def _one(self) -> Names:
        if (bool(self.list), self.zipf is not None, self.each is not None, self.unique is not None).count(True) != 1:
            raise ValueError("one of these is wanted: a list of names, `zipf`, `each` or `unique`")
        for pattern in self.patterns:
            if pattern.count("{}") != 1:
                raise ValueError(f"{pattern!r}: {{}} stands once in a pattern, as in n{{}}.example.com")
        return self

    @property
    def patterns(self) -> tuple[str, ...]:
        """What names are made of."""
        single = (self.each.pattern if self.each else None, self.unique)
        return (*(self.zipf.pattern if self.zipf else ()), *(one for one in single if one is not None))


class Workload(Strict):
    """Who asks what, how often."""

    names: Names
    types: Annotated[Texts, Field(min_length=1)] = ("A",)  # each as often as the others
    rate: Rate | None = None  # queries a second, of all hosts together
    arrivals: Arrivals = "poisson"
    clients: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    # of a closed loop: each asks again when answered; of rounds: each asks once in a round
    hosts: Texts = ()  # that ask, in turn; default: the lab's first host
    at: Texts = ()  # nodes that are asked, in turn; default: the host's resolvers, as its resolv.conf says
    timeout: Duration | None = None  # that an attempt may take; default: that of the stub resolver, 5 s
    attempts: Annotated[Whole, Field(ge=1, le=10)] | None = None  # rounds over the servers; default: 2, with `at` 1
    transport: Literal["udp", "tcp"] = "udp"
    recurse: bool = True
    ipv6: bool = False
    tool: Literal["prober", "dnsperf"] = "prober"  # that asks: dnsperf for more load, and counts only

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(names := value.get("names"), (str, list, tuple)):
            value = {**value, "names": {"list": _one_or_many(names)}}
        return value

    @model_validator(mode="after")
    def _loop(self) -> Workload:
        if self.arrivals == "closed":
            if self.rate is not None:
                raise ValueError("a closed loop has no rate: each of its `clients` asks again when it is answered")
        elif self.rate is None:
            raise ValueError(f"{self.arrivals} arrivals need a `rate`, as in 100/s")
        elif self.arrivals == "rounds":
            if self.clients is None:
                raise ValueError("rounds need `clients`: how many ask at once, every clients / rate seconds")
        elif self.clients is not None:
            raise ValueError("`clients` are for `arrivals: closed`; an open loop sends at its times, whoever waits")
        return self


class Step(Strict):
    """One step of the method: a fault, or something that is none.

    Keys that are not listed here are the fault's own parameters.
    """

    fault: str | None = None
    do: Literal["flush", "restart"] | None = None  # instead of a fault
    node: Texts = Field(min_length=1)  # at each of them
    start: str | None = None  # `PHASE` or `PHASE + TIME`; default: the second phase
    duration: Duration | None = None  # default: to the end of the phase it starts in
    until: str | None = None  # a phase's name, or a condition; `duration` is then the longest
    to: Texts | None = None
    direction: str | None = None
    transport: str | None = None
    seed: Whole | None = None  # of what the fault leaves to chance; default: that of the trial
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _own(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        own = {key: one for key, one in value.items() if key not in cls.model_fields}
        return {**{key: one for key, one in value.items() if key not in own}, **({"parameters": own} if own else {})}

    @model_validator(mode="after")
    def _fault_or_not(self) -> Step:
        if (self.fault is None) == (self.do is None):
            raise ValueError("a step is a `fault`, or something to `do`: flush or restart")
        if self.do is not None:
            for key in ("duration", "until", "to", "direction", "transport", "seed"):
                if getattr(self, key) is not None:
                    raise ValueError(f"`do: {self.do}` is done at once, and has no {key}")
            if self.parameters:
                raise ValueError(f"`do: {self.do}` has no {', '.join(self.parameters)}")
        return self

    @property
    def how(self) -> dict[str, Any]:
        """What `lab.fault` takes, but for the node, `seed` and `lasts`."""
        given = {"to": self.to, "direction": self.direction, "transport": self.transport, **self.parameters}
        return {key: list(one) if isinstance(one, tuple) else one for key, one in given.items() if one is not None}


class Expectation(Strict):
    """A threshold; its text alone is short for `{that: text}`."""

    that: str
    judged: Literal["interval", "value"] = "interval"
    samples: Annotated[Whole, Field(ge=1)] = 1  # fewer are inconclusive
    because: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"that": value} if isinstance(value, str) else value


class Experiment(Strict):
    """An experiment with one value for each parameter."""

    experiment: Label
    title: str
    question: Text = ""
    source: Text = ""
    lab: LabSource
    cache: Cache
    time: Literal["real", "virtual"] = "real"
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 1
    confidence: Share = 0.99
    stale: Duration = 0.0  # how long after its TTL an answer may still be given (RFC 8767)
    parameters: dict[Identifier, Values] = Field(default_factory=dict)  # every combination is run
    cases: tuple[dict[Identifier, Any], ...] = ()  # combinations of more parameters, one by one
    repeats: Annotated[Whole, Field(ge=1, le=1000)] = 1
    alone: bool = False  # it measures the machine: of several that run at a time, none runs beside it
    workload: Workload
    phases: dict[Annotated[str, AfterValidator(_phase_name)], PhaseLength] = Field(min_length=1)
    steady_state: tuple[Expectation, ...] = ()
    method: tuple[Step, ...] = ()
    expect: tuple[Expectation, ...] = ()
    measurements: dict[Identifier, str] = Field(default_factory=dict)
    predictions: dict[Identifier, str] = Field(default_factory=dict)
    published: dict[str, Any] = Field(default_factory=dict)  # what others have measured, for the report
    quick: dict[str, Any] = Field(default_factory=dict)  # keys that replace those above in a quick run

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("lab"), str):
            value = {**value, "lab": {"name": value["lab"]}}
        return value

    @property
    def first_phase(self) -> str:
        """The phase of the gate: nothing is broken in it."""
        return next(iter(self.phases))

    @property
    def seconds(self) -> float:
        """Experiment time of all phases, without what injecting and healing take."""
        return sum(one.at_rate(self.workload.rate or 1.0) for one in self.phases.values())
