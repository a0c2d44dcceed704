"""The distribution of latency in each phase."""

from __future__ import annotations

import math

from lab.report.look import light, series
from lab.report.plots.canvas import Canvas, Case, Plot, latency_axis, legend

_MOST = 160  # points of a line


def _paint(canvas: Canvas, case: Case) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    phases = [(phase.name, case.history.lookups(phase.name)) for phase in case.history.phases]
    phases = [(name, lookups) for name, lookups in phases if lookups]
    axes = canvas.axes(2.1, top=0.62 if canvas.narrow else 0.35)
    axes.grid(axis="x", color=light("line"), linewidth=0.8)
    answered = [one.latency for _, lookups in phases for one in lookups if one.answered]
    silent = sum(not all(one.answered for one in lookups) for _, lookups in phases)
    latency_axis(axes, answered, headroom=1.9 * 2.2**silent)  # what is said of them stands above the lines
    top, most = axes.get_ylim()[1], max((len(lookups) for _, lookups in phases), default=1)
    for place, (name, lookups) in enumerate(phases):
        colour, style = series(place)
        times = sorted(one.latency for one in lookups if one.answered)
        places = _spread(len(times), len(lookups))
        share = len(times) / len(lookups)
        axes.plot(
            [_nines((index + 0.5) / len(lookups)) for index in places], [times[index] for index in places],
            color=light(colour), linestyle=style, linewidth=1.9, label=f"{name} ({len(lookups)})",
        )  # fmt: skip
        if share < 1:  # from here on there is no answer, however long one waits
            at = _nines(share)
            axes.plot(
                [at, at],
                [times[-1] if times else axes.get_ylim()[0], top],
                color=light(colour),
                linestyle=":",
                linewidth=1.9,
            )
            axes.annotate(
                f"no answer to {1 - share:.2g}" if share > 0.999 else f"no answer to {(1 - share) * 100:.3g} %",
                (at, top), xytext=(4, -3 - 12 * place), textcoords="offset points", va="top", color=light(colour),
                annotation_clip=False, ha="left" if share < 0.9 else "right",
            )  # fmt: skip
    axes.set_xlim(0, _nines(1 - 0.4 / most))
    axes.xaxis.set_major_locator(FixedLocator([_nines(share) for share in _TICKS if 1 - share > 0.4 / most]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{(1 - 10**-value) * 100:.6g}"))
    axes.set_xlabel("percentile of look-ups, %")
    axes.set_ylabel("latency, at most")
    legend(axes)


_TICKS = (0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def _nines(share: float) -> float:
    """Where a share lies on the axis: each nine is as wide as the one before."""
    return -math.log10(max(1 - share, 1e-9))


def _spread(count: int, of: int) -> list[int]:
    """Which of `count` ordered values to draw: some, evenly on the axis, the last among them."""
    if count <= _MOST:
        return list(range(count))
    last = _nines((count - 0.5) / of)
    wanted = {int((1 - 10 ** -(last * step / _MOST)) * of) for step in range(_MOST)}
    return sorted({*(index for index in wanted if index < count), count - 1})


PLOT = Plot(
    "percentiles",
    "Latency by percentile",
    "How many of the look-ups of a phase took at most so long; where a line ends, the rest had no answer.",
    lambda case: any(one.answered for one in case.history.lookups()),
    _paint,
)
