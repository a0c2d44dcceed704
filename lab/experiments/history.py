"""What happened in a run: every look-up, every fault with what was measured of it, every upstream message.

The history is written first and judged afterwards, so a verdict can be computed again from the files alone. On disk it
is one file of JSON lines: a line `{"trial": ...}` opens a trial, the lines after it belong to it. Each of those is one
of the records below, told apart by its field `is`.

Times are seconds of *experiment time* from the beginning of the trial's first phase: of the lab's clock in virtual
time, else real ones. What comes before (a cache being warmed) has negative times. Latencies are always real seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from lab.errors import BadInput

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ALL = "all"
"""In place of a phase: all of a trial from the first phase's beginning to the last one's end, transitions included."""

SUCCESS = ("NOERROR", "NXDOMAIN")
"""Statuses with which a look-up has been served: the name system has said what there is, or that there is nothing."""


GAP = "gap"
"""What a mark says when a node was not watched for a while; its text begins with the node's name."""


OVERTAKEN = "overtaken"
"""What a mark says when the clock jumped while a resolver may still have waited for a server."""


class RR(NamedTuple):
    """One record of an answer; `ttl` in seconds, as received; names absolute, in lower case."""

    owner: str
    ttl: int
    type: str
    data: str


@dataclass(frozen=True)
class Phase:
    """A part of a trial that is judged by itself: baseline, fault, recovery.

    The time in which a fault is injected or healed at the border of two phases belongs to neither: `start` is when the
    last of that was done.
    """

    IS: ClassVar = "phase"

    name: str
    start: float
    end: float

    @property
    def duration(self) -> float:
        """Seconds of experiment time."""
        return self.end - self.start


@dataclass(frozen=True)
class Truth:
    """What the zones of the lab say about one question, from experiment time `since` on."""

    IS: ClassVar = "truth"

    name: str
    type: str
    status: str  # NOERROR or NXDOMAIN
    answer: tuple[RR, ...] = ()  # aliases included, TTLs as in the zones; empty: no such name, or not of that type
    negative_ttl: int | None = None  # seconds, of the SOA that goes with a negative answer (RFC 2308 section 5)
    since: float = float("-inf")


@dataclass(frozen=True)
class Lookup:
    """One question of the workload and what came of it, as the program that asked would see it."""

    IS: ClassVar = "lookup"

    n: int  # in the workload; negative while a cache is warmed
    intended: float  # when it was to be sent
    sent: float | None  # when it was sent; None: never
    latency: float  # real seconds from the *intended* time to the end, so that a late start counts; see `since`
    host: str  # node that asked
    server: str  # node that gave the answer, or failed last
    name: str
    type: str
    outcome: str  # "answer", "timeout", "unreachable", "malformed", "error": see lab.agent.protocol.Outcome
    status: str  # the response code as text, else the outcome in capitals
    transport: str = "udp"
    answer: tuple[RR, ...] = ()
    negative_ttl: int | None = None  # TTL of the SOA in a negative answer
    attempts: int = 1
    asked: tuple[str, ...] = ()  # nodes asked, one an attempt
    ede: tuple[int, ...] = ()  # info codes of its extended errors (RFC 8914)
    since: Literal["intended", "sent"] = "intended"  # what latency counts from: "sent" in virtual time, see there

    @property
    def answered(self) -> bool:
        """Whether a message came back."""
        return self.outcome == "answer"

    @property
    def succeeded(self) -> bool:
        """Whether it was served; whether it was told the truth is another question (lab.experiments.checks)."""
        return self.answered and self.status in SUCCESS

    @property
    def ended(self) -> float:
        """When it was over."""
        begun = self.sent if self.since == "sent" and self.sent is not None else self.intended
        return begun + self.latency

    @property
    def ttl(self) -> int | None:
        """The lowest TTL of the answer, seconds; None without records."""
        return min((record.ttl for record in self.answer), default=None)


@dataclass(frozen=True)
class Message:
    """One DNS message between a resolver and the servers, as seen on the wire."""

    IS: ClassVar = "message"

    time: float
    sender: str  # node
    receiver: str
    transport: str
    name: str
    type: str
    is_query: bool
    id: int = 0
    status: str | None = None  # of a response
    size: int = 0  # octets
    authoritative: bool = False
    answers: int = 0  # records in the answer section

    @property
    def resolver(self) -> str:
        """The end that asks."""
        return self.sender if self.is_query else self.receiver

    @property
    def server(self) -> str:
        """The end that is asked."""
        return self.receiver if self.is_query else self.sender


@dataclass(frozen=True)
class Load:
    """What a load generator counted of the questions that it asked in one go; of none of them anything else is known.

    Latencies are real seconds from sending to the answer, of those that were answered; None when none was.
    """

    IS: ClassVar = "load"

    start: float
    end: float  # of sending
    host: str  # node that asked
    server: str  # node that was asked
    sent: int
    statuses: Mapping[str, int]  # response code as text, or TIMEOUT -> how many; together `sent`
    latency: float | None = None  # the mean
    least: float | None = None
    most: float | None = None
    deviation: float | None = None  # the standard deviation

    @property
    def served(self) -> int:
        """How many were served."""
        return sum(self.statuses.get(status, 0) for status in SUCCESS)

    @property
    def lost(self) -> int:
        """How many had no answer."""
        return self.statuses.get("TIMEOUT", 0)


@dataclass(frozen=True)
class FaultWindow:
    """One fault: what was asked for, when it was there, and what was measured of it.

    `began` <= `bites_from` <= `ended` <= `healed`: injecting and healing take time, in which nobody can say whether a
    packet meets the fault. A fault that never bit has no `bites_from`.
    """

    IS: ClassVar = "fault"

    fault: str  # name of the kind: "loss"
    node: str
    words: str  # what it does, in a sentence
    began: float  # the injection
    bites_from: float | None  # when it had been measured to bite
    ended: float | None  # the healing began; None: it was never healed, which is an error
    healed: float | None  # the healing was done
    to: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    asked: str = ""  # asked against got, in words
    got: str = ""
    before: Mapping[str, Any] | None = None  # probes before and after the injection: lab.faults.kind.Observation
    after: Mapping[str, Any] | None = None
    matched: int | None = None  # packets that met the rule of a link's fault until it was healed, and were acted on
    acted: int | None = None
    lasted: bool = True  # whether it was still there when it was to be healed
    problem: str = ""  # why it did not bite, or could not be healed

    @property
    def bit(self) -> bool:
        """Whether it was measured to have its effect, and had it to the end."""
        return self.bites_from is not None and self.lasted and not self.problem


@dataclass(frozen=True)
class Mark:
    """Something else worth knowing of: a flush, a step of the clock, an interruption."""

    IS: ClassVar = "mark"

    time: float
    what: str  # one word: "gate", "cache", "interrupted", "health"
    text: str


Entry = Phase | Truth | Lookup | Message | Load | FaultWindow | Mark
_KINDS: Mapping[str, type[Entry]] = {kind.IS: kind for kind in (Phase, Truth, Lookup, Message, Load, FaultWindow, Mark)}


@dataclass
class History:
    """All that happened in one trial.

    Built by appending records in any order; complete when the trial is over. The derived attributes are computed when
    first asked for, so ask no earlier.
    """

    trial: int = 1  # from 1
    watched: bool = True  # whether upstream messages were recorded: without them their absence proves nothing
    phases: list[Phase] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    all_lookups: list[Lookup] = field(default_factory=list)  # those that warmed the cache too
    all_messages: list[Message] = field(default_factory=list)
    all_loads: list[Load] = field(default_factory=list)
    faults: list[FaultWindow] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Append one record."""
        lists: Mapping[type[Entry], list[Any]] = {
            Phase: self.phases,
            Truth: self.truths,
            Lookup: self.all_lookups,
            Message: self.all_messages,
            Load: self.all_loads,
            FaultWindow: self.faults,
            Mark: self.marks,
        }
        lists[type(entry)].append(entry)

    @property
    def window(self) -> Phase:
        """The whole trial as one phase."""
        start = min((phase.start for phase in self.phases), default=0.0)
        return Phase(ALL, start, max((phase.end for phase in self.phases), default=start))

    def phase(self, name: str) -> Phase:
        """The phase called `name`, or with "all" the whole trial. Raises `BadInput`."""
        if name == ALL:
            return self.window
        for phase in self.phases:
            if phase.name == name:
                return phase
        known = ", ".join(phase.name for phase in self.phases) or "none"
        raise BadInput(f"no phase {name!r} (phases: {known}, all)")

    def phase_of(self, time: float) -> str | None:
        """The name of the phase a moment lies in; None in a transition, before the trial and after it."""
        return next((phase.name for phase in self.phases if phase.start <= time < phase.end), None)

    @cached_property
    def sorted_lookups(self) -> tuple[Lookup, ...]:
        """The look-ups of the workload by intended time."""
        return tuple(sorted((one for one in self.all_lookups if one.n >= 0), key=lambda one: (one.intended, one.n)))

    @cached_property
    def sorted_messages(self) -> tuple[Message, ...]:
        """All messages by time."""
        return tuple(sorted(self.all_messages, key=lambda message: message.time))

    def lookups(self, phase: str = ALL) -> tuple[Lookup, ...]:
        """The look-ups that were to be sent in a phase, by intended time."""
        window = self.phase(phase)
        return tuple(one for one in self.sorted_lookups if window.start <= one.intended < window.end)

    def messages(self, phase: str = ALL) -> tuple[Message, ...]:
        """The messages between resolvers and servers in a phase, by time."""
        window = self.phase(phase)
        return tuple(message for message in self.sorted_messages if window.start <= message.time < window.end)

    def loads(self, phase: str = ALL) -> tuple[Load, ...]:
        """What a load generator counted of the questions that it began to ask in a phase."""
        window = self.phase(phase)
        return tuple(load for load in self.all_loads if window.start <= load.start < window.end)

    def truth(self, name: str, type: str) -> tuple[Truth, ...]:
        """What was true of a question, one after the other; empty when nobody knows."""
        return self._truths.get((name.lower(), type), ())

    @cached_property
    def _truths(self) -> dict[tuple[str, str], tuple[Truth, ...]]:
        found: dict[tuple[str, str], tuple[Truth, ...]] = {}
        for truth in sorted(self.truths, key=lambda truth: truth.since):
            key = truth.name.lower(), truth.type
            found[key] = (*found.get(key, ()), truth)
        return found


class HistoryFile:
    """A history being written, line by line, so that what is known survives whatever ends the run.

    As a context manager it closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def begin(self, trial: int, *, watched: bool) -> None:
        """Open a trial; what is written from now on belongs to it."""
        self._write({"trial": trial, "watched": watched})
        self._file.flush()

    def write(self, entry: Entry) -> None:
        """Append one record; those of which there are few are on the disk when this returns."""
        self._write(to_json(entry))
        if not isinstance(entry, Lookup | Message | Truth):
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def load(path: Path) -> list[History]:
    """The histories of all trials in a file. Raises `BadInput` that names the line it cannot read."""
    try:
        with path.open(encoding="utf-8") as lines:
            return list(_read(lines, path))
    except OSError as error:
        raise BadInput(f"cannot read the history {path}: {error.strerror}") from None


def _read(lines: Iterable[str], path: Path) -> Iterator[History]:
    history: History | None = None
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            break  # it was being written when the run was killed
        try:
            found = json.loads(line)
            if "trial" in found:
                if history is not None:
                    yield history
                history = History(found["trial"], found["watched"])
            elif history is not None:
                history.add(from_json(found))
            else:
                raise ValueError("it stands before the first trial")  # noqa: TRY301 - told with its line below
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadInput(f"{path}:{number}: not a line of a history: {error}") from None
    if history is not None:
        yield history


def to_json(entry: Entry) -> dict[str, Any]:
    """A record as plain data, without the fields that have their default."""
    values = {"is": entry.IS}
    for member in fields(entry):
        value = getattr(entry, member.name)
        if value != member.default:
            values[member.name] = value
    return values


def from_json(found: Mapping[str, Any]) -> Entry:
    """The record that `to_json` made plain. Raises `ValueError`, `TypeError` or `KeyError` when it is none."""
    values = dict(found)
    kind: Any = _KINDS[values.pop("is")]
    if "answer" in values:
        values["answer"] = tuple(RR(*record) for record in values["answer"])
    for name in ("to", "asked", "ede"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    entry: Entry = kind(**values)
    return entry
