"""Experiments: a workload, faults and expectations as a file or a mapping; run on a lab, judged from what happened.

from lab.experiments import load, run

found = run(load("tld-outage"), {"how": "stop"})
print(found.outcome, found.journal.why)
found.history.groupby("phase").latency.median()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.experiments.loading import Source, define, load
    from lab.experiments.run import Run

__all__ = ["Run", "Source", "define", "load"]

_WHERE = {"Run": "run", "Source": "loading", "define": "loading", "load": "loading"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
