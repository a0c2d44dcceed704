"""The journal of a run: what was asked for, where it ran, and how it was judged; `journal.json` beside the history.

Words of Chaos Toolkit where they fit: the steady-state hypothesis is the gate, the method is the timeline of faults,
and rollbacks are not written down, because every fault heals itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lab.errors import BadInput

SCHEMA = "dnslab-journal/1"
"""Raised by one when a reader of the former would misread it; new fields alone do not."""

Outcome = Literal["held", "deviated", "inconclusive"]
"""How something was judged.

- "held": the faults bit, and what was expected was measured;
- "deviated": something else was measured;
- "inconclusive": it cannot be said: the gate was not met, a fault had no effect, or there were too few samples.
"""

EXIT_CODES: Mapping[Outcome, int] = {"held": 0, "deviated": 1, "inconclusive": 2}
_WORST: tuple[Outcome, ...] = ("deviated", "inconclusive", "held")


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of some outcomes, of which there is one at least."""
    return min(outcomes, key=_WORST.index)


@dataclass(frozen=True)
class Estimate:
    """A measured number with the interval it is known to; exact ones are their own interval. May be infinite."""

    value: float
    low: float
    high: float
    samples: int | None = None  # observations behind it; None where that has no meaning
    unit: str = ""  # "s", "share", "per s", "queries", "look-ups"; empty: a plain number

    @classmethod
    def exact(cls, value: float, unit: str = "", samples: int | None = None) -> Estimate:
        """A number that was counted, not estimated."""
        return cls(value, value, value, samples, unit)

    @property
    def is_exact(self) -> bool:
        """Whether there is nothing to be unsure of."""
        return self.low == self.high

    def to_json(self) -> dict[str, Any]:
        """The fields; JSON has no infinity, so that is the text "inf"."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {
            **{name: number if math.isfinite(number) else str(number) for name, number in numbers.items()},
            "samples": self.samples,
            "unit": self.unit,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Estimate:
        """The estimate that `to_json` made plain."""
        value, low, high = (float(found[name]) for name in ("value", "low", "high"))
        return cls(value, low, high, found["samples"], found["unit"])


@dataclass(frozen=True)
class Finding:
    """One expectation, judged in one trial."""

    text: str  # as written: "success(fault) >= 0.99"
    outcome: Outcome
    why: str  # a sentence with the numbers
    measured: Estimate | None = None  # its left side; None when nothing could be measured
    asked: str = ""  # its right side with the comparison, as written: ">= 0.99"
    limit: Estimate | None = None  # value of the right side
    parts: Mapping[str, Estimate] = field(default_factory=dict)  # each measure in it: "success(fault)" -> value
    note: str = ""  # the author's, on why this is expected

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {
            **asdict(self),
            "measured": None if self.measured is None else self.measured.to_json(),
            "limit": None if self.limit is None else self.limit.to_json(),
            "parts": {text: estimate.to_json() for text, estimate in self.parts.items()},
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` made plain."""
        values = dict(found)
        for name in ("measured", "limit"):
            values[name] = None if values[name] is None else Estimate.from_json(values[name])
        values["parts"] = {text: Estimate.from_json(part) for text, part in values["parts"].items()}
        return cls(**values)


@dataclass(frozen=True)
class Trial:
    """One pass through the experiment, with one value for each parameter; its history is told apart by `number`."""

    number: int  # from 1
    parameters: Mapping[str, Any]
    repeat: int  # from 1
    seed: int
    started: str  # ISO 8601, UTC, by the machine's clock
    seconds: float  # it took, real
    lab: str = ""  # name of the lab it ran on
    gate: tuple[Finding, ...] = ()  # the steady-state hypothesis, judged before anything is broken
    findings: tuple[Finding, ...] = ()  # the expectations
    measurements: Mapping[str, Estimate] = field(default_factory=dict)  # what was to be reported, by name
    predictions: Mapping[str, float] = field(default_factory=dict)  # by the name of the measurement they are for
    correctness: Mapping[str, int] = field(default_factory=dict)  # look-ups by lab.experiments.checks.correctness.KINDS
    wrong: tuple[str, ...] = ()  # the first wrong answers, in words
    outcome: Outcome = "inconclusive"
    why: str = ""  # a sentence

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("gate", "findings", "measurements")},
            "gate": [finding.to_json() for finding in self.gate],
            "findings": [finding.to_json() for finding in self.findings],
            "measurements": {name: estimate.to_json() for name, estimate in self.measurements.items()},
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Trial:
        """The trial that `to_json` made plain."""
        values = dict(found)
        values["gate"] = tuple(Finding.from_json(finding) for finding in values["gate"])
        values["findings"] = tuple(Finding.from_json(finding) for finding in values["findings"])
        values["measurements"] = {name: Estimate.from_json(one) for name, one in values["measurements"].items()}
        values["wrong"] = tuple(values["wrong"])
        return cls(**values)


@dataclass(frozen=True)
class NodeRecord:
    """One node of the lab, for the picture of the topology and the list of versions."""

    name: str
    role: str  # lab.topology.model.Role, as text
    program: str | None
    version: str  # of the program, as it says itself; empty for hosts
    ipv4: str
    ipv6: str
    hostname: str | None = None  # its name in the DNS
    zones: tuple[str, ...] = ()  # of a server
    resolvers: tuple[str, ...] = ()  # of a host
    max_ttl: int | None = None  # seconds; the longest a resolver keeps an RRset, whatever its TTL


@dataclass(frozen=True)
class LabRecord:
    """The lab a run was on."""

    source: str  # name or file, as declared
    nodes: tuple[NodeRecord, ...]
    delegations: tuple[tuple[str, str], ...] = ()  # parent zone, child zone
    fresh: bool = True  # made for this run; else one that was up already

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> LabRecord:
        """The record that `dataclasses.asdict` made plain."""
        nodes = tuple(
            NodeRecord(**{**node, "zones": tuple(node["zones"]), "resolvers": tuple(node["resolvers"])})
            for node in found["nodes"]
        )
        delegations = tuple((parent, child) for parent, child in found["delegations"])
        return cls(found["source"], nodes, delegations, found["fresh"])


@dataclass(frozen=True)
class Journal:
    """A whole run."""

    name: str
    title: str
    experiment: Mapping[str, Any]  # the declaration as read, parameters not yet filled in
    source: str  # file it was read from; empty: made by code
    text: str  # that file
    command: str  # to type to run it again
    started: str  # ISO 8601, UTC
    seed: int
    confidence: float  # of the intervals: 0.99
    quick: bool = False  # run as its file says for a quick run
    question: str = ""
    says: str = ""  # what the source of the experiment says: the book, the paper
    ended: str = ""
    labs: tuple[LabRecord, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)  # lab.experiments.environment.environment
    trials: tuple[Trial, ...] = ()
    interrupted: bool = False
    problem: str = ""  # what ended the run before its time

    @property
    def outcome(self) -> Outcome:
        """The worst of the trials; a run that was ended before its time is inconclusive, unless it deviated."""
        found = {trial.outcome for trial in self.trials}
        if not found or self.interrupted or self.problem:
            found.add("inconclusive")
        return worst(found)

    @property
    def exit_code(self) -> int:
        """What `dnslab run` ends with for this outcome."""
        return EXIT_CODES[self.outcome]

    @property
    def why(self) -> str:
        """The verdict in a sentence: that of the first trial that has the outcome, and how many others do."""
        if self.interrupted:
            return "interrupted; what was broken has been healed"
        if self.problem:
            return self.problem
        ones = [trial for trial in self.trials if trial.outcome == self.outcome]
        if not ones:
            return "nothing was run"
        if len(self.trials) == 1 or self.outcome == "held":
            return ones[0].why if len(self.trials) == 1 else f"in all {len(ones)} trials"
        return f"in {len(ones)} of {len(self.trials)} trials; trial {ones[0].number}: {ones[0].why}"

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data, with the schema's version and the outcome."""
        plain = {
            **vars(self),
            "labs": [asdict(lab) for lab in self.labs],
            "trials": [trial.to_json() for trial in self.trials],
        }
        return {"schema": SCHEMA, "outcome": self.outcome, "why": self.why, **plain}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Journal:
        """The journal that `to_json` made plain. Raises `ValueError`, `TypeError` or `KeyError` when it is none."""
        values = dict(found)
        if (schema := values.pop("schema")) != SCHEMA:
            raise ValueError(f"its schema is {schema!r}, and this dnslab reads {SCHEMA!r}")
        del values["outcome"], values["why"]  # they follow from the trials
        values["labs"] = tuple(LabRecord.from_json(lab) for lab in values["labs"])
        values["trials"] = tuple(Trial.from_json(trial) for trial in values["trials"])
        return cls(**values)

    def write(self, folder: Path) -> None:
        """Write `journal.json` into a run's folder, whole or not at all."""
        new = folder / "journal.json.new"
        new.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        new.replace(folder / "journal.json")

    def with_trials(self, *trials: Trial) -> Journal:
        """The same with other trials."""
        return replace(self, trials=trials)


def read(folder: Path) -> Journal:
    """The journal in a run's folder. Raises `BadInput`."""
    file = folder / "journal.json"
    try:
        return Journal.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(f"no run is in {folder}: cannot read {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{file} is not the journal of a run: {error}") from None
