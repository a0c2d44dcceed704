"""Values of a fault's parameters: what a person may write, in which unit, between which limits.

Python users give numbers in the base unit (seconds, octets, bits a second, shares from 0 to 1) only where that cannot
be misread; times need their unit, as `"80ms"`, or are a `timedelta`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lab.errors import BadInput
from lab.units import number, one_of, rate, share, show_rate, show_share, show_time, size, time, whole

__all__ = [
    "Parameter",
    "Values",
    "number",
    "one_of",
    "parse",
    "rate",
    "share",
    "show_rate",
    "show_share",
    "show_time",
    "size",
    "time",
    "whole",
]

Values = Mapping[str, Any]
"""A fault's parameters by name, parsed: times in seconds, shares from 0 to 1, sizes in octets, rates in bits/s."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fault. Without a default it has to be given; None as a default: it may be left out."""

    name: str
    meaning: str
    unit: str  # what to write, with the limits
    read: Callable[[Any], Any]  # raises ValueError that says what would be right
    default: Any = ...

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is ...


def parse(what: str, parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> Values:
    """All values of a fault called `what`. Raises `BadInput` that says what would be right."""
    from lab.topology.suggest import did_you_mean

    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise BadInput(f"{what} has no parameter {name!r}{did_you_mean(name, known)} (parameters: {takes})")
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        if given.get(name) is None:
            if parameter.required:
                raise BadInput(f"{what} needs {name}: {parameter.meaning} ({parameter.unit})")
            values[name] = parameter.default
            continue
        try:
            values[name] = parameter.read(given[name])
        except ValueError as error:
            raise BadInput(f"{what}: {name} {given[name]!r}: {error}") from None
    return MappingProxyType(values)
