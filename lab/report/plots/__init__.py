"""The plots of a report, one module each: `PLOT` says what it is called, when there is something to draw, and draws."""

from __future__ import annotations

from lab.report.plots.canvas import Case, Drawing, Plot, draw, missing

__all__ = ["Case", "Drawing", "Plot", "draw", "missing", "of_run", "of_trial"]


def of_trial() -> tuple[Plot, ...]:
    """The plots of one trial, in the order of the page."""
    from lab.report.plots import latency, load, percentiles, rates

    return rates.PLOT, latency.PLOT, percentiles.PLOT, load.PLOT


def of_run(case: Case) -> tuple[Plot, ...]:
    """The plots of a whole run: the lab, and each measurement that has something to be compared with."""
    from lab.report.plots import comparison, topology

    return topology.PLOT, *comparison.plots(case)
