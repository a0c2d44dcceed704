"""Quantities as people write them in an experiment: lengths of time, rates, shares, numbers of queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lab.experiments.expressions import UNITS, ExpressionError, Number, parse_value

_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?(us|ms|s|m|h|d)")
_QUERIES = re.compile(r"(\d+) ?quer(?:y|ies)")
_RATE = re.compile(r"([\d.eE+-]+) ?/ ?([\d.]*) ?(us|ms|s|m|h|d)")


@dataclass(frozen=True)
class Length:
    """How long a phase lasts: a time in seconds, or a number of queries, whose time follows from the rate."""

    seconds: float | None = None
    queries: int | None = None

    def at_rate(self, rate: float) -> float:
        """Seconds at a rate in queries a second."""
        if self.seconds is not None:
            return self.seconds
        assert self.queries is not None
        return self.queries / rate


def duration(value: Any) -> float:
    """Seconds: `10s`, `1h30m`, `2d`. Raises `ValueError` that says what would be right."""
    text = str(value).strip()
    parts = _TIME.findall(text)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"the unit is missing: write {value}s, {value}m or {value}h")  # noqa: TRY004 - for people
    if not parts or _TIME.sub("", text).strip():
        what = "nothing" if value is None else repr(text)
        raise ValueError(f"{what} is not a length of time: write 80ms, 10s, 1h30m or 2d")
    return sum(float(count) * UNITS[unit] for count, unit in parts)


def length(value: Any) -> Length:
    """A length of time, or `1000 queries`. Raises `ValueError`."""
    if isinstance(value, Length):
        return value
    if match := _QUERIES.fullmatch(str(value).strip()):
        if int(match[1]) == 0:
            raise ValueError("a phase of 0 queries measures nothing")
        return Length(queries=int(match[1]))
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError("a phase lasts longer than that: write 10s, 6h or `1000 queries`")
    return Length(seconds=seconds)


def rate(value: Any) -> float:
    """Queries a second: `100/s`, `6/h`, `1/10m`. Raises `ValueError`."""
    match = _RATE.fullmatch(str(value).strip())
    try:
        found = float(match[1]) / (float(match[2] or 1) * UNITS[match[3]]) if match else 0.0
    except (ValueError, ZeroDivisionError):
        found = 0.0
    if found <= 0:
        raise ValueError(f"{value!r} is not a rate: write 100/s, 6/h or 1/10m")
    return found


def share(value: Any) -> float:
    """A share between 0 and 1, both excluded: `99%` or 0.99. Raises `ValueError`."""
    found = as_number(value)
    if found is None or not 0 < found < 1:
        raise ValueError(f"{value!r} is not a share: write 99% or 0.99")
    return found


def as_number(value: Any) -> float | None:
    """What a value is worth in an expression: 50% is 0.5, 30s is 30; None when it is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        found = parse_value(str(value))
    except ExpressionError:
        return None
    return found.value if isinstance(found, Number) else None
