"""Checks on a history: one small module a subject, all of one shape, each with its `MEASURES`.

`measures` has them all by the name by which expressions call them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from lab.experiments.checks.measure import Case, Measure

__all__ = ["Case", "Measure", "measures"]


@cache
def measures() -> Mapping[str, Measure]:
    """All measures by name: every module of this package that has `MEASURES`."""
    found: dict[str, Measure] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for measure in getattr(import_module(f"{__name__}.{module.name}"), "MEASURES", ()):
            found[measure.name] = measure
    return MappingProxyType(found)
