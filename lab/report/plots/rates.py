"""How look-ups ended, over time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter

from lab.report.look import LOOKS, Look, light, look
from lab.report.plots.canvas import Canvas, Case, Plot, legend
from lab.report.scale import extent, time_unit

_BINS = 72
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def _paint(canvas: Canvas, case: Case) -> None:
    history = case.history
    lookups = history.sorted_lookups
    start, end = extent(history)
    width = _width((end - start) / (_BINS // 2 if canvas.narrow else _BINS))
    edges = [start, *_between(start, end, width), end]
    counts: dict[Look, Counter[int]] = {kind: Counter() for kind in LOOKS}
    for one in lookups:
        counts[look(one.status)][min(len(edges) - 2, max(0, bisect_right(edges, one.intended) - 1))] += 1
    per = time_unit(width * 20)
    axes = canvas.axes(1.7, top=0.62 if canvas.narrow else 0.5)
    below = [0.0] * (len(edges) - 1)
    for kind in LOOKS:
        if not counts[kind]:
            continue
        above = [
            base + counts[kind][place] / (edges[place + 1] - edges[place]) * per.seconds
            for place, base in enumerate(below)
        ]
        axes.stairs(
            above, edges, baseline=below, fill=True, color=light(kind.colour), alpha=0.85, label=kind.words, linewidth=0
        )
        below = above
    axes.set_ylim(0, max(below, default=1) * 1.28 or 1)
    axes.set_ylabel(f"look-ups per {per.name}")
    canvas.time_axis(axes, history)
    legend(axes, above=0.26)


def _between(start: float, end: float, width: float) -> list[float]:
    """The edges of bins inside a span: round numbers, the first and last bin as wide as others, or wider."""
    first = math.ceil(start / width + 0.5)
    last = math.floor(end / width - 0.5)
    return [number * width for number in range(first, last + 1) if start < number * width < end]


def _width(least: float) -> float:
    """A round width of bins, at least so many seconds."""
    if least >= _STEPS[-1]:
        return (least // 86400 + 1) * 86400
    return float(next((step for step in (0.1, 0.2, 0.5, *_STEPS) if step >= least), _STEPS[-1]))


PLOT = Plot(
    "rates",
    "How look-ups ended",
    "Look-ups by the time at which they were to be sent, stacked by how they ended: what is not blue or green failed.",
    lambda case: bool(case.history.sorted_lookups),
    _paint,
)
