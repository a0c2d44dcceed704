"""The lab, tier by tier, with what was broken marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.experiments.history import FaultWindow
from lab.experiments.journal import LabRecord, NodeRecord
from lab.report.look import light
from lab.report.plots.canvas import Canvas, Case, Plot

_TIERS = (("root", "root"), ("tld", "TLD"), ("authority", "authority"), ("resolver", "resolver"), ("host", "host"))
_MOST = 60  # nodes; more are not told apart in a picture
_ROW, _BOX = 0.86, 0.46  # inches: from row to row, height of a box


@dataclass(frozen=True)
class _Place:
    node: NodeRecord
    x: float  # inches, centre
    y: float
    width: float


def _paint(canvas: Canvas, case: Case) -> None:
    from matplotlib.patches import FancyBboxPatch

    lab = case.lab
    assert lab is not None
    broken = faults([fault for _, history in case.trials for fault in history.faults])
    width, left = canvas.figure.get_figwidth(), 0.12 if canvas.narrow else 0.95
    places, labels, height = _arrange(lab, width, left, most=3 if canvas.narrow else 6)
    canvas.figure.set_figheight(height)
    axes = canvas.figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    at = {place.node.name: place for place in places}
    for one, other, colour, thick in _edges(lab, broken):
        if one in at and other in at:
            upper, lower = (at[one], at[other]) if colour == "line" else _by_height(at[one], at[other])
            if upper.y >= lower.y:
                continue
            axes.plot(
                [upper.x, lower.x], [upper.y + _BOX / 2, lower.y - _BOX / 2], color=light(colour), linewidth=thick,
                zorder=2 if colour == "fault" else 1,
            )  # fmt: skip
    for y, text in labels:
        where = (0.12, y - _BOX / 2 - 0.07) if canvas.narrow else (0.12, y + 0.04)
        axes.text(*where, text, color=light("soft"), fontsize=8.5, ha="left")
    for place in places:
        found = broken.get(place.node.name, ())
        bit = any(fault.bit for fault in found)
        colour = light("fault") if found else light("soft")
        box = FancyBboxPatch(
            (place.x - place.width / 2, place.y - _BOX / 2), place.width, _BOX,
            boxstyle="round,pad=0,rounding_size=0.07", facecolor=light("card"), edgecolor=colour, zorder=3,
            linewidth=2.2 if found else 0.8, linestyle="-" if bit or not found else (0, (3, 2)),
        )  # fmt: skip
        axes.add_patch(box)
        second = _second(found) if found else place.node.program or ""
        centred: dict[str, Any] = {"ha": "center", "zorder": 4}
        top = place.y - (0.015 if second else -0.055)
        name_colour = light("fault" if found else "ink")
        axes.text(place.x, top, place.node.name, va="bottom", weight="bold", fontsize=8.5, color=name_colour, **centred)
        axes.text(place.x, place.y + 0.035, second, va="top", fontsize=7.5, color=colour, **centred)


def _by_height(one: _Place, other: _Place) -> tuple[_Place, _Place]:
    return (one, other) if one.y <= other.y else (other, one)


def _second(found: Sequence[FaultWindow]) -> str:
    kinds = list(dict.fromkeys(fault.fault for fault in found))
    words = ", ".join(kinds) if len(kinds) < 3 else f"{len(kinds)} faults"
    return f"✗ {words}" if any(fault.bit for fault in found) else f"({words}: no effect)"


def faults(found: Sequence[FaultWindow]) -> Mapping[str, list[FaultWindow]]:
    """The faults of each node; those of one kind that never bit come after those that did."""
    by_node: dict[str, list[FaultWindow]] = defaultdict(list)
    for fault in sorted(found, key=lambda one: not one.bit):
        by_node[fault.node].append(fault)
    return by_node


def _arrange(
    lab: LabRecord, width: float, left: float, most: int
) -> tuple[list[_Place], list[tuple[float, str]], float]:
    """Where each node stands, the names of the tiers with their heights, and the height of it all."""
    y, places, labels = 0.5, [], []
    for role, text in _TIERS:
        nodes = [node for node in lab.nodes if node.role == role]
        if not nodes:
            continue
        labels.append((y, text))
        rows = -(-len(nodes) // most)
        each = -(-len(nodes) // rows)
        for row in range(rows):
            ones = nodes[row * each : (row + 1) * each]
            room = (width - left - 0.12) / max(len(ones), 3 if width < 6 else 5)
            start = left + ((width - left - 0.12) - room * len(ones)) / 2
            box = min(room - 0.12, 0.34 + 0.082 * max(len(node.name) for node in lab.nodes))
            places += [_Place(node, start + room * (column + 0.5), y, box) for column, node in enumerate(ones)]
            y += _ROW if row == rows - 1 else _BOX + 0.12
    return places, labels, y - _ROW + 0.42


def _edges(lab: LabRecord, broken: Mapping[str, Sequence[FaultWindow]]) -> list[tuple[str, str, str, float]]:
    """Delegations between servers, and who asks whom; those that a fault of a link concerns are marked."""
    serving: dict[str, list[str]] = defaultdict(list)
    for node in lab.nodes:
        for zone in node.zones:
            serving[zone].append(node.name)
    found = {
        (upper, lower): ("line", 1.0)
        for parent, child in lab.delegations
        for upper in serving[parent]
        for lower in serving[child]
        if upper != lower
    }
    found |= {(asked, node.name): ("soft", 0.9) for node in lab.nodes for asked in node.resolvers}
    for name, ones in broken.items():
        for fault in ones:
            found |= {(other, name): ("fault", 1.6) for other in fault.to}
    return [(one, other, colour, thick) for (one, other), (colour, thick) in found.items()]


PLOT = Plot(
    "topology",
    "The lab",
    "Servers by tier, resolvers and hosts below them. Lines are delegations to a lower tier, and which resolvers a host"
    " asks. What was broken is marked.",
    lambda case: case.lab is not None and 0 < len(case.lab.nodes) <= _MOST,
    _paint,
)
