"""What all plots share: paper of two widths, the palette, axes of time, shaded faults; and the way to SVG and PNG.

Matplotlib draws; the page gets its SVG with the colours as CSS variables, so that one drawing is right in light and
dark, and with texts as texts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from lab.experiments.history import History
from lab.experiments.journal import Journal, LabRecord, Trial
from lab.report.look import PALETTE, light
from lab.report.scale import TimeUnit, Window, extent, time_unit, windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 9.2, 4.4
"""Inches: for a screen and paper, and for a phone; on the page a drawing is scaled to its column."""
_FONT = 9.5


@dataclass(frozen=True)
class Case:
    """What a plot is drawn from."""

    journal: Journal
    trials: tuple[tuple[Trial, History], ...]  # one, for the plots of a trial
    most_points: int = 3000  # of a scatter

    @property
    def trial(self) -> Trial:
        """The trial, or the first."""
        return self.trials[0][0]

    @property
    def history(self) -> History:
        """What happened in it."""
        return self.trials[0][1]

    @property
    def lab(self) -> LabRecord | None:
        """The lab of the run; of several the first."""
        return next(iter(self.journal.labs), None)


@dataclass(frozen=True)
class Plot:
    """One kind of plot."""

    name: str  # of its file
    title: str
    about: str  # what is to be seen, in a sentence, and for those who cannot see it
    has: Callable[[Case], bool]  # whether there is anything to draw
    paint: Callable[[Canvas, Case], None]


@dataclass
class Canvas:
    """One drawing being made."""

    figure: Figure
    narrow: bool
    key: str  # of what can be pointed at: unique in the page
    points: list[list[Any]] = field(default_factory=list)  # what is said of each mark, in the order of drawing

    def axes(self, inner: float, *, left: float = 0.86, bottom: float = 0.45, top: float = 0.4) -> Axes:
        """The one set of axes of a plot, `inner` inches high; the left margin is that of all, so that times align."""
        height = inner + top + bottom
        self.figure.set_figheight(height)
        width = self.figure.get_figwidth()
        axes = self.figure.add_axes(
            (left / width, bottom / height, 1 - (left + 0.12) / width, 1 - (bottom + top) / height)
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=light("line"), linewidth=0.8)
        axes.set_axisbelow(True)
        return axes

    def time_axis(self, axes: Axes, history: History) -> TimeUnit:
        """Put experiment time on the horizontal axis, phases named below it and faults shaded and named above."""
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        start, end = extent(history)
        unit = time_unit(end - start)
        axes.set_xlim(start, end + (end - start) * 0.005)
        axes.xaxis.set_major_locator(_Times(unit.seconds, 5 if self.narrow else 10, MaxNLocator))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit.seconds:g}"))
        clock = "experiment time" if self.narrow else "time from the beginning of the first phase"
        axes.set_xlabel(f"{clock}, {unit.name}")
        for phase in history.phases:
            for moment in (phase.start, phase.end):
                axes.axvline(moment, color=light("soft"), linewidth=0.6, linestyle=(0, (1, 2)), zorder=0.5)
        _name(axes, [(one.start, one.end, one.name) for one in history.phases], 1.015, self._room(axes), "soft")
        self._shade(axes, windows(history))
        return unit

    def _shade(self, axes: Axes, found: Sequence[Window]) -> None:
        colour = light("fault")
        for window in found:
            bites = window.start if window.bites is None else window.bites
            if window.bites is not None:
                axes.axvspan(bites, window.end, color=colour, alpha=0.13, linewidth=0, zorder=0.2)
            axes.axvspan(window.start, window.healed, color=colour, alpha=0.07, linewidth=0, zorder=0.1)
        room = self._room(axes)
        for row, window in enumerate(found[:4]):
            share = (window.healed - window.start) / (axes.get_xlim()[1] - axes.get_xlim()[0])
            text = window.words(max(8, int(room * max(share, 0.3))))
            text += "" if window.bites is not None else " (no effect)"
            axes.annotate(
                text, (window.start, 1), xycoords=("data", "axes fraction"), xytext=(4, -4 - 12 * row),
                textcoords="offset points", va="top", ha="left", color=colour, fontsize=_FONT - 0.5, weight="bold",
                zorder=6,
            )  # fmt: skip

    def _room(self, axes: Axes) -> int:
        """Characters that fit across the axes."""
        return int(axes.get_position().width * self.figure.get_figwidth() * 72 / (_FONT * 0.56))


class _Times:
    """Ticks at round numbers of a unit; made when Matplotlib is there to be derived from."""

    def __new__(cls, unit: float, bins: int, base: Any) -> Any:
        class Times(base):  # type: ignore[misc]
            def tick_values(self, low: float, high: float) -> Any:
                return super().tick_values(low / unit, high / unit) * unit

        return Times(bins, steps=[1, 2, 2.5, 3, 5, 6, 10])


def _name(axes: Axes, spans: Sequence[tuple[float, float, str]], height: float, room: int, colour: str) -> None:
    low, high = axes.get_xlim()
    for start, end, text in spans:
        fits = int(room * (end - start) / (high - low))
        if fits >= 2:
            axes.text(
                (start + end) / 2, height, text if len(text) <= fits else f"{text[: fits - 1]}…",
                transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=light(colour),
            )  # fmt: skip


def legend(axes: Axes, handles: Sequence[Any] | None = None, *, above: float = 0.08) -> None:
    """The legend, `above` the axes by some inches, at the right; as many columns as its words leave room for."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    size, box = figure.get_size_inches(), axes.get_position()
    words = [str(one.get_label()) for one in handles] if handles is not None else axes.get_legend_handles_labels()[1]
    if not words:
        return
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1 + above / (box.height * size[1])), ncols=columns(size[0], words),
        frameon=False, handlelength=1.3, columnspacing=1.2, handletextpad=0.5, borderaxespad=0, labelspacing=0.25,
        borderpad=0, **({} if handles is None else {"handles": list(handles)}),
    )  # fmt: skip


def columns(width: float, words: Sequence[str]) -> int:
    """How many columns a legend with these words can have on paper of some inches."""
    each = max(map(len, words)) * 0.077 + 0.42
    return max(1, min(len(words), int((width - 0.3) / each)))


def latency_axis(axes: Axes, values: Sequence[float], *, headroom: float = 1.9) -> None:
    """A logarithmic axis of seconds, labelled as people say them; `headroom`: how far above the greatest it goes."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from lab.report.scale import LEAST, latency_words

    low, high = min(values, default=1e-3), max(values, default=1.0)
    axes.set_yscale("log")
    axes.set_ylim(max(low, LEAST) / 1.6, max(high, LEAST * 10) * headroom)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: latency_words(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def missing() -> str | None:
    """What to say when plots cannot be drawn; None when they can."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return "the plots need Matplotlib: pip install 'dnslab[report]'"
    return None


@dataclass(frozen=True)
class Drawing:
    """A plot, drawn."""

    plot: Plot
    key: str
    wide: str  # SVG for a page
    narrow: str
    points: tuple[list[Any], ...]


def draw(plot: Plot, case: Case, key: str) -> Drawing:
    """A plot for a page, in both widths."""
    found = []
    for narrow in (False, True):
        with _painted(plot, case, f"{key}-{'n' if narrow else 'w'}", narrow=narrow) as canvas:
            found.append((_for_page(_svg(canvas.figure), canvas.key, plot), canvas.points))
    return Drawing(plot, key, found[0][0], found[1][0], tuple(found[0][1]))


def picture(plot: Plot, case: Case, format: str) -> bytes:
    """A plot as a file of its own, "png" or "svg", on white paper."""
    with _painted(plot, case, plot.name, narrow=False) as canvas:
        if format == "svg":
            return _svg(canvas.figure, facecolor="white").encode()
        file = io.BytesIO()
        canvas.figure.savefig(file, format="png", dpi=160, facecolor="white")
        return file.getvalue()


@contextmanager
def _painted(plot: Plot, case: Case, key: str, *, narrow: bool) -> Iterator[Canvas]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "axes.edgecolor": light("soft"),
        "axes.labelcolor": light("soft"),
        "axes.linewidth": 0.8,
        "font.family": ["DejaVu Sans"],  # comes with Matplotlib: the same widths everywhere
        "font.size": _FONT,
        "legend.fontsize": _FONT,
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "text.color": light("ink"),
        "text.parse_math": False,  # a name may have a $ in it
        "xtick.color": light("soft"),
        "ytick.color": light("soft"),
        "xtick.labelcolor": light("ink"),
        "ytick.labelcolor": light("ink"),
        "ytick.minor.size": 0,
    }
    with rc_context(style):  # type: ignore[arg-type]
        canvas = Canvas(Figure(figsize=(NARROW if narrow else WIDE, 3)), narrow, key)
        plot.paint(canvas, case)
        yield canvas


def _svg(figure: Figure, facecolor: str = "none") -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", facecolor=facecolor, metadata={"Date": None, "Creator": None})
    return file.getvalue()


_NAMES = {colours[0]: name for name, colours in PALETTE.items()}


def _for_page(svg: str, key: str, plot: Plot) -> str:
    """An SVG to be part of a page: colours as CSS variables, no id that another could have, scaled to its column."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<g((?: [^>]*)?)>((?:\s*<use [^>]*/>)+)\s*</g>", _marks, svg)
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if _kept(found[1], used) else "", svg)
    svg = re.sub(r"#[0-9a-f]{6}", lambda found: f"var(--{_NAMES[found[0]]})" if found[0] in _NAMES else found[0], svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1var(--font)", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    head = re.match(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", svg)
    assert head is not None, "Matplotlib's SVG begins with its view box"
    label = escape(f"{plot.title}: {plot.about}", quote=True)
    kind = "narrow" if key.endswith("-n") else "wide"
    return f'<svg class="{kind}" viewBox="{head[1]}" role="img" aria-label="{label}">{svg[head.end() :]}'


def _marks(found: re.Match[str]) -> str:
    """Marks of one kind, with the style that each repeats said once."""
    style = re.search(r'style="([^"]*)"', found[2])
    ones = re.findall(r'<use xlink:href="(#\w+)" x="([-\d.]+)" y="([-\d.]+)"', found[2])
    marks = "".join(f'<use xlink:href="{id}" x="{float(x):.1f}" y="{float(y):.1f}"/>' for id, x, y in ones)
    return f'<g{found[1]} style="{style[1] if style else ""}">{marks}</g>'


def _kept(id: str, used: set[str]) -> bool:
    return id in used or id.startswith("points-")
