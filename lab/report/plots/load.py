"""What resolvers asked of the servers."""

from __future__ import annotations

from collections import Counter

from lab.experiments.journal import LabRecord
from lab.report.look import light, series
from lab.report.plots.canvas import Canvas, Case, Plot, legend
from lab.report.scale import time_unit

_MOST = 16  # servers
_TIERS = ("root", "tld", "authority")


def _paint(canvas: Canvas, case: Case) -> None:
    history = case.history
    phases = [phase for phase in history.phases if phase.duration > 0]
    counts = {
        phase.name: Counter(message.server for message in history.messages(phase.name) if message.is_query)
        for phase in phases
    }
    total: Counter[str] = Counter()
    for one in counts.values():
        total.update(one)
    servers = _servers(case.lab, total)
    shown, rest = servers[:_MOST], servers[_MOST:]
    labels = [*shown, *([f"{len(rest)} others"] if rest else [])]
    thick = 0.8 / max(1, len(phases))
    axes = canvas.axes(
        0.1 + len(labels) * max(0.26, 0.13 * len(phases)),
        left=1.25,
        top=0.6 if canvas.narrow and len(phases) > 3 else 0.3,
    )
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=light("line"), linewidth=0.8)
    highest = 0.0
    fastest = max((sum(counts[phase.name].values()) / phase.duration for phase in phases), default=1.0)
    per = time_unit(min(30 / fastest, 3 * 86400)) if fastest > 0 else time_unit(1)
    for place, phase in enumerate(phases):
        found = counts[phase.name]
        queries = [found[name] for name in shown] + ([sum(found[name] for name in rest)] if rest else [])
        rates = [one / phase.duration * per.seconds for one in queries]
        colour, _ = series(place)
        at = [row + (place - (len(phases) - 1) / 2) * thick for row in range(len(labels))]
        axes.barh(at, rates, height=thick * 0.86, color=light(colour), alpha=0.9, label=phase.name)
        for where, rate, count in zip(at, rates, queries, strict=True):
            axes.annotate(
                f"{count}", (rate, where), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5,
                color=light("soft"),
            )  # fmt: skip
        highest = max(highest, *rates, 0.0)
    axes.set_xlim(0, highest * 1.12 or 1)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(f"queries per {per.name}; beside each bar: how many")
    axes.tick_params(axis="y", length=0)
    legend(axes)


def _servers(lab: LabRecord | None, total: Counter[str]) -> list[str]:
    """Those of the lab by tier, asked or not, as long as they fit; of too many those that were asked most."""
    nodes = lab.nodes if lab is not None else ()
    known = [node.name for tier in _TIERS for node in nodes if node.role == tier]
    known += [name for name in sorted(total) if name not in known]
    return known if len(known) <= _MOST else sorted(known, key=lambda name: -total[name])


PLOT = Plot(
    "load",
    "What the servers were asked",
    "Queries that resolvers sent to each server, as rates, phase by phase; the small numbers count them.",
    lambda case: any(message.is_query for message in case.history.messages()),
    _paint,
)
