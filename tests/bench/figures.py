"""What the groups of the benchmark share: a figure, a stopwatch, queries a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from lab import Lab
from lab.agent.protocol import Query

QUERIES = 5000


@dataclass(frozen=True)
class Figure:
    """One measured figure; `note` says beside what it stands."""

    what: str
    value: str
    note: str = ""


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def throughput(lab: Lab, question: Query) -> float:
    return QUERIES / timed(lambda: lab.ask([question] * QUERIES, window=64))
