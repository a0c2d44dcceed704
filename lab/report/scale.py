"""Axes of time and latency, in units that suit what is on them; and what is aggregated to be drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lab.experiments.history import History, Lookup
from lab.report.look import Look, look

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0))
LEAST = 1e-5  # seconds; a latency below it is drawn there: the axis is logarithmic
_ACROSS, _UP = 256, 128  # cells that points share when there are too many of them


@dataclass(frozen=True)
class TimeUnit:
    """The unit of a time axis."""

    name: str
    seconds: float


def time_unit(span: float) -> TimeUnit:
    """The largest unit of which a span of time has at least three."""
    name, seconds = max((unit for unit in _UNITS if span >= 3 * unit[1] or unit[1] == 1), key=lambda unit: unit[1])
    return TimeUnit(name, seconds)


def latency_words(seconds: float) -> str:
    """A latency as the label of an axis."""
    if seconds >= 1:
        return f"{seconds:g} s"
    return f"{seconds * 1e3:g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:g} µs"


def extent(history: History) -> tuple[float, float]:
    """First and last moment to be drawn: the phases, what was asked outside of them, and the faults."""
    window = history.window
    moments = [window.start, window.end]
    if lookups := history.sorted_lookups:
        moments += [lookups[0].intended, lookups[-1].intended]
    for fault in history.faults:
        moments += [moment for moment in (fault.began, fault.healed) if moment is not None]
    start, end = min(moments), max(moments)
    return (start, end) if end > start else (start, start + 1.0)


@dataclass(frozen=True)
class Window:
    """Faults of one kind at the same time, as one shaded stretch."""

    fault: str
    nodes: tuple[str, ...]
    start: float
    bites: float | None
    end: float
    healed: float

    def words(self, room: int) -> str:
        """Its name in at most `room` characters, as far as that can be."""
        full = f"{self.fault} {', '.join(self.nodes)}"
        if len(full) <= room:
            return full
        short = f"{self.fault}, {len(self.nodes)} nodes" if len(self.nodes) > 1 else full
        return short if len(short) <= room else self.fault if len(self.fault) <= room else self.fault[: max(1, room)]


def windows(history: History) -> list[Window]:
    """The faults by when they were there; those of one kind that overlap are one."""
    last = extent(history)[1]
    found: list[Window] = []
    for fault in sorted(history.faults, key=lambda one: one.began):
        end = fault.ended if fault.ended is not None else last
        healed = fault.healed if fault.healed is not None else end
        one = Window(fault.fault, (fault.node,), fault.began, fault.bites_from, end, healed)
        twin = next((place for place, other in enumerate(found) if _overlap(other, one)), None)
        if twin is None:
            found.append(one)
            continue
        other = found[twin]
        bites = [moment for moment in (other.bites, one.bites) if moment is not None]
        found[twin] = Window(
            one.fault,
            other.nodes if fault.node in other.nodes else (*other.nodes, fault.node),
            other.start,
            max(bites, default=None),
            min(other.end, end),
            max(other.healed, healed),
        )
    return found


def _overlap(one: Window, other: Window) -> bool:
    """Whether two windows of one kind share at least half of the time of each."""
    common = min(one.end, other.end) - max(one.start, other.start)
    longer = max(one.end - one.start, other.end - other.start)
    return one.fault == other.fault and common >= longer / 2


@dataclass(frozen=True)
class Point:
    """One mark of the scatter: a look-up, or the first of `count` that fall on the same place."""

    lookup: Lookup
    look: Look
    count: int = 1


def points(lookups: Sequence[Lookup], most: int) -> list[Point]:
    """What is drawn of look-ups: each of them, or, when they are more than `most`, cells of a grid with their counts.

    No look-up is left out: the counts add up to their number. The grid gets coarser until its cells are few enough.
    """
    if len(lookups) <= most:
        return [Point(one, look(one.status)) for one in lookups]
    first, last = lookups[0].intended, lookups[-1].intended
    tall = [math.log10(max(one.latency, LEAST)) for one in lookups]
    low, high = min(tall), max(tall)
    across, up = _ACROSS, _UP
    while True:
        cells: dict[tuple[int, int, Look], list[Lookup]] = defaultdict(list)
        for one, height in zip(lookups, tall, strict=True):
            column = int((one.intended - first) / ((last - first) or 1) * across)
            row = int((height - low) / ((high - low) or 1) * up)
            cells[column, row, look(one.status)].append(one)
        if len(cells) <= most or (across, up) == (1, 1):
            return [Point(ones[0], key[2], len(ones)) for key, ones in cells.items()]
        across, up = max(1, across * 3 // 4), max(1, up * 3 // 4)
