"""Faults: one vocabulary for what can go wrong, each measured when injected and healed by itself.

    with lab.fault("latency", "gtld-1", delay="80ms") as fault:
        print(fault.asked, "->", fault.got)

One small module a fault (`latency`, `loss`, `stop`, ...), all of one shape: a `FAULT` that says what the parameters
are, what is done, in words, and how it is told whether it bit.
"""

from __future__ import annotations

from lab.faults.fault import Fault, inject
from lab.faults.kind import kind, kinds
from lab.faults.plan import plan

__all__ = ["Fault", "inject", "kind", "kinds", "plan"]
