"""What one kind of fault is: the shape of every module here that has a `FAULT`."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lab.errors import BadInput
from lab.faults.values import Parameter, Values
from lab.topology.suggest import did_you_mean

if TYPE_CHECKING:
    from lab.faults.plan import Options, Plan
    from lab.topology.model import Node, Topology


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """One fault: what it is called, what it takes, what it does.

    What the faults of a level have in common is in its subclass: `LinkKind` for the packets of a link, `NodeKind` for a
    whole node, `ZoneKind` for zone data.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    example: str  # of the command line, as it works on the textbook lab

    @property
    @abstractmethod
    def level(self) -> str:
        """What it is a fault of: "node", "link", "zone", "clock"."""

    @property
    def is_event(self) -> bool:
        """Whether it is over when it has been injected, and there is nothing to heal."""
        return False

    @property
    def options(self) -> Sequence[str]:
        """Which of the options in `lab.faults.plan.OPTIONS` it takes, besides `lasts`."""
        return ()

    def at(self, topology: Topology, target: str | Sequence[str], values: Values, options: Options) -> Plan:
        """What it would do at `target`, as people name it. Raises `BadInput` when that cannot be.

        A kind for which the target is more than nodes has an `at` of its own; for the others `plan` is enough.
        """
        return self.plan(topology.select(target), values, options)

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """What it would do at these nodes, at least one. Raises `BadInput` when that cannot be."""
        raise NotImplementedError


@dataclass(frozen=True)
class Verdict:
    """Asked against got, in words, and whether the fault bites."""

    asked: str
    got: str
    bites: bool


@cache
def kinds() -> Mapping[str, Kind]:
    """All faults by name, sorted: every module of this package that has a `FAULT`, or a family of them in `FAULTS`."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = import_module(f"lab.faults.{module.name}")
        for candidate in (getattr(loaded, "FAULT", None), *getattr(loaded, "FAULTS", ())):
            if isinstance(candidate, Kind):
                found[candidate.name] = candidate
    return MappingProxyType(dict(sorted(found.items())))


def kind(name: str) -> Kind:
    """The fault called `name`; raises `BadInput` that names the nearest one when there is none."""
    if name not in kinds():
        raise BadInput(f"no fault {name!r}{did_you_mean(name, kinds())} (faults: {', '.join(kinds())})")
    return kinds()[name]
