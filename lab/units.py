"""Quantities as people write them, in lab files and for faults: read with their limits, and shown again.

A reader takes what somebody wrote and returns the base unit: seconds, octets, bits a second, shares from 0 to 1. It
raises ValueError that says what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SIZES = {"B": 1.0, "kB": 1e3, "MB": 1e6}
_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+) ?([A-Za-z%]*)")


def time(least: float, most: float) -> Callable[[Any], float]:
    """A reader of times: `"80ms"` or a timedelta, as seconds."""

    def read(value: Any) -> float:
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        elif isinstance(value, str):
            seconds = _quantity(value, _TIMES, "a time", "80ms, 1.5s or 2m")
        else:
            raise ValueError(f"a time needs its unit: {value}ms or {value}s, as text")  # noqa: TRY004 - for people
        if not least <= seconds <= most:
            raise ValueError(f"it goes from {show_time(least)} to {show_time(most)}")
        return seconds

    return read


def share(*, above: float = 0.0) -> Callable[[Any], float]:
    """A reader of probabilities: 0.05 or `"5%"`, above `above`, to 1."""

    def read(value: Any) -> float:
        text = str(value).strip()
        try:
            number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            raise ValueError("a share is written 5% or 0.05") from None
        if not above < number <= 1:
            advice = f"; did you mean {text}%?" if 1 < number <= 100 and not text.endswith("%") else ""
            raise ValueError(f"a share is above {above:g}, to 1 (100%){advice}")
        return number

    return read


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A reader of whole numbers."""

    def read(value: Any) -> int:
        if not re.fullmatch(r"-?[0-9]+", str(value)):
            raise ValueError("it is a whole number")
        if not least <= int(value) <= most:
            raise ValueError(f"it goes from {least} to {most}")
        return int(value)

    return read


def number(least: float, below: float) -> Callable[[Any], float]:
    """A reader of plain numbers from `least` to below `below`."""

    def read(value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            raise ValueError("it is a number") from None
        if not least <= found < below:
            raise ValueError(f"it goes from {least:g} to below {below:g}")
        return found

    return read


def one_of(*words: str) -> Callable[[Any], str]:
    """A reader of one of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return str(value)

    return read


def yes_or_no(value: Any) -> bool:
    """Read `yes` or `no`, or a truth value."""
    if isinstance(value, bool):
        return value
    if value not in ("yes", "no"):
        raise ValueError("it is yes or no")
    return bool(value == "yes")


def spread_problem(delay: float, jitter: float, distribution: str) -> str:
    """What is wrong with a delay of this mean, spread and distribution, as effects draw it; empty when nothing is."""
    if jitter and distribution == "constant":
        return "a constant delay has no jitter; add distribution=uniform, normal or pareto"
    if distribution != "constant" and not jitter:
        return f"{distribution} needs a jitter above 0"
    most = {"uniform": delay, "normal": delay / 3}.get(distribution)
    if most is not None and jitter > most:
        why = "no delay is negative" if distribution == "uniform" else "the part cut off at 0 would shift the mean"
        return f"for {distribution} the jitter is at most {show_time(most)} here: {why}"
    return ""


def rate(least: float, most: float) -> Callable[[Any], float]:
    """A reader of bit rates: `"64kbit"`, as bits a second."""

    def read(value: Any) -> float:
        bits = _quantity(str(value), _RATES, "a rate", "64kbit, 1mbit or 800bit (a second)")
        if not least <= bits <= most:
            raise ValueError(f"it goes from {show_rate(least)} to {show_rate(most)}")
        return bits

    return read


def size(least: float, most: float) -> Callable[[Any], float]:
    """A reader of sizes: `"64kB"`, as octets."""

    def read(value: Any) -> float:
        octets = _quantity(str(value), _SIZES, "a size", "1500B, 64kB or 1MB")
        if not least <= octets <= most:
            raise ValueError(f"it goes from {least:g} to {most:g} octets")
        return octets

    return read


def show_time(seconds: float) -> str:
    """A time as a person would write it."""
    for unit, least in (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= least and (unit not in "hm" or seconds % least == 0):
            return f"{seconds / _TIMES[unit]:.4g}{unit}"
    return "0s" if seconds == 0 else f"{seconds / 1e-6:.4g}us"


def show_share(value: float) -> str:
    """A share as a percentage."""
    return f"{value * 100:.3g}%"


def show_rate(bits: float) -> str:
    """A rate as a person would write it."""
    unit = next(unit for unit in ("gbit", "mbit", "kbit", "bit") if bits >= _RATES[unit] or unit == "bit")
    return f"{bits / _RATES[unit]:.4g}{unit}"


def _quantity(text: str, units: Mapping[str, float], what: str, examples: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if text.strip().startswith("-"):
        raise ValueError(f"{what} is not negative")
    if match is None:
        raise ValueError(f"{what} is written {examples}")
    if not match[2]:
        raise ValueError(f"the unit is missing: write {examples}")
    if match[2] not in units:
        raise ValueError(f"no unit {match[2]!r}: write {examples}")
    return float(match[1]) * units[match[2]]
