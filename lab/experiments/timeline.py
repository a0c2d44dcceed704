"""When what happens: the times of an experiment as people write them, relative to its phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import BadInput
from lab.experiments.quantities import duration
from lab.experiments.schema import Experiment, Step
from lab.topology.suggest import did_you_mean


@dataclass(frozen=True)
class Moment:
    """A moment in a phase: `after` seconds from its beginning."""

    phase: int = 0  # index
    after: float = 0.0


@dataclass(frozen=True)
class Timed:
    """A step of the method with its times."""

    step: Step
    node: str
    start: Moment
    end_phase: int  # it is healed when this phase begins; the number of phases: at the end of the last
    duration: float | None = None  # seconds after it began to bite, if that is earlier
    condition: str | None = None  # or when this holds


def parse_start(text: str | None, phases: Sequence[str]) -> Moment:
    """The moment that `PHASE`, `PHASE + TIME` or `TIME` means; by default the second phase. Raises `BadInput`."""
    if text is None:
        return Moment(min(1, len(phases) - 1))
    name, plus, after = (part.strip() for part in text.partition("+"))
    if name in phases:
        try:
            return Moment(phases.index(name), duration(after) if plus else 0.0)
        except ValueError as error:
            raise BadInput(f"{text!r}: {error}") from None
    try:
        return Moment(0, duration(text))
    except ValueError:
        hint = did_you_mean(name, phases)
        raise BadInput(f"{text!r} is no moment: write {phases[-1]}, or {phases[-1]} + 5s{hint}") from None


def parse_until(text: str, phases: Sequence[str]) -> int | str:
    """The index of the phase that `until` names, else the condition it is. Raises `BadInput`."""
    if text.strip() in phases:
        return phases.index(text.strip())
    if not any(sign in text for sign in "<>=!("):
        hint = did_you_mean(text, phases)
        raise BadInput(f"{text!r} is neither a phase nor a condition, as in failures(fault) >= 10{hint}")
    return text


def timed(experiment: Experiment) -> list[Timed]:
    """The method, each fault at each of its nodes, in the order in which they begin. Raises `BadInput`."""
    phases = list(experiment.phases)
    found = []
    for step in experiment.method:
        start = parse_start(step.start, phases)
        until = None if step.until is None else parse_until(step.until, phases)
        # What lasts for a given time may go on into the next phases, and what waits for something to happen too.
        last = len(phases) if step.duration is not None or isinstance(until, str) else start.phase + 1
        end = until if isinstance(until, int) else last
        condition = until if isinstance(until, str) else None
        found += [Timed(step, node, start, end, step.duration, condition) for node in step.node]
    return sorted(found, key=lambda one: (one.start.phase, one.start.after))
