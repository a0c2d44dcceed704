"""Every look-up: when it was asked and how long it took."""

from __future__ import annotations

from lab.report.look import LOOKS, light
from lab.report.plots.canvas import Canvas, Case, Plot, latency_axis, legend
from lab.report.scale import LEAST, Point, points, windows

_SIZES = ((1, 3.4), (2, 4.6), (10, 6.2))
"""Diameter of a mark, in points, from this many look-ups on."""


def _paint(canvas: Canvas, case: Case) -> None:
    history = case.history
    lookups = history.sorted_lookups
    marks = points(lookups, case.most_points)
    axes = canvas.axes(2.75, top=0.62 if canvas.narrow else 0.5)
    # The names of the faults stand above the marks, where time-outs would be in their way.
    rows = min(len(windows(history)), 4)
    latency_axis(axes, [one.latency for one in lookups], headroom=1.9 * 2.2**rows)
    axes.set_ylabel("latency")
    canvas.time_axis(axes, history)
    for kind in LOOKS:
        for size, _ in _SIZES:
            ones = [mark for mark in marks if mark.look is kind and _size(mark) == size]
            if not ones:
                continue
            edge = 1.3 if kind.marker in "x+" else 0
            group = f"points-{canvas.key}-{kind.colour}-{size}"
            axes.plot(
                [mark.lookup.intended for mark in ones],
                [max(mark.lookup.latency, LEAST) for mark in ones],
                linestyle="none", marker=kind.marker, markersize=dict(_SIZES)[size], color=light(kind.colour),
                alpha=0.62 if kind.marker in "oD" else 0.85, markeredgewidth=edge, gid=group,
                zorder=2 if kind.marker in "oD" else 3,
            )  # fmt: skip
            canvas.points += [_record(mark) for mark in ones]
    legend(axes, _handles([mark.look.words for mark in marks]), above=0.26)


def _handles(words: list[str]) -> list[object]:
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [], [], linestyle="none", marker=kind.marker, color=light(kind.colour), markersize=5, label=kind.words,
            markeredgewidth=1.3 if kind.marker in "x+" else 0,
        )
        for kind in LOOKS
        if kind.words in words
    ]  # fmt: skip


def _size(mark: Point) -> int:
    return max(size for size, _ in _SIZES if mark.count >= size)


def _record(mark: Point) -> list[object]:
    one = mark.lookup
    question = f"{one.name} {one.type}"
    return [round(one.intended, 4), float(f"{one.latency:.4g}"), question, one.status, one.server, mark.count]


PLOT = Plot(
    "latency",
    "Latency of each look-up",
    "One mark a look-up, by the time at which it was to be sent; latency on a logarithmic axis.",
    lambda case: bool(case.history.sorted_lookups),
    _paint,
)
