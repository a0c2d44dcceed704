"""A story laid out as a sequence diagram: lanes from left to right, time from top to bottom, one message a row."""

from __future__ import annotations

from dataclasses import dataclass

from lab.observe.drawing import words
from lab.observe.story import Step, Story
from lab.topology.model import Role

LANE, MARGIN, HEAD, ROW = 178, 96, 74, 38  # pixels: between lanes, left of the first, above the first row, of a row
_LETTER = 6.7  # pixels of a character of a label, at the most
_ORDER = (Role.HOST, Role.GATEWAY, Role.RESOLVER, Role.ROOT, Role.TLD, Role.AUTHORITY)


@dataclass(frozen=True)
class Lane:
    """One node; `x` is its line."""

    name: str
    role: str
    program: str
    x: int


@dataclass(frozen=True)
class Arrow:
    """One message."""

    x1: int
    x2: int
    y: int
    time: str  # since the first query
    label: str
    note: str
    number: int | None  # as a textbook numbers its messages; None for what its figure does not show
    kind: str  # query, or what the response is
    quiet: bool  # beside the way to the answer
    lost: bool  # it was not answered
    tip: str


@dataclass(frozen=True)
class Busy:
    """A node from a question to its answer, as a bar on its lane."""

    x: int
    y1: int
    y2: int
    quiet: bool


@dataclass(frozen=True)
class Sequence:
    """The diagram."""

    lanes: tuple[Lane, ...]
    arrows: tuple[Arrow, ...]
    bars: tuple[Busy, ...]
    width: int
    height: int


def sequence(story: Story) -> Sequence:
    """Lay the story out."""
    lanes = _lanes(story)
    at = {lane.name: lane.x for lane in lanes}
    told = [(m.time, step.number, m.is_response, step) for step in story.steps for m in step.exchange.messages]
    arrows: list[Arrow] = []
    rows: dict[tuple[int, bool], int] = {}
    number = 0
    begin = story.steps[0].exchange.sent if story.steps else 0.0
    for place, (when, _, is_response, step) in enumerate(sorted(told, key=lambda entry: entry[:3])):
        y = HEAD + ROW * (place + 1)
        rows[step.number, is_response] = y
        textbook = step.category == "textbook"
        number += textbook
        ends = (at[step.server], at[step.client]) if is_response else (at[step.client], at[step.server])
        arrows.append(_arrow(story, step, is_response, ends, y, when - begin, number if textbook else None))
    bars = tuple(
        Busy(at[step.server], rows[step.number, False], rows[step.number, True], step.category != "textbook")
        for step in story.steps
        if (step.number, True) in rows
    )
    widest = max((min(a.x1, a.x2) + 24 + len(a.label) * _LETTER + len(a.note) * 5.9 for a in arrows), default=0)
    right = lanes[-1].x + MARGIN if lanes else 0
    return Sequence(tuple(lanes), tuple(arrows), bars, int(max(right, widest + 16)), HEAD + ROW * (len(arrows) + 1))


def _lanes(story: Story) -> list[Lane]:
    names = list(dict.fromkeys(node for step in story.steps for node in (step.client, step.server)))
    nodes = story.topology.nodes

    def tier(name: str) -> int:
        return _ORDER.index(nodes[name].role) if name in nodes else len(_ORDER)

    lanes = []
    for place, name in enumerate(sorted(names, key=tier)):  # stable: in a tier as they come up
        node = nodes.get(name)
        role, program = (node.role.value, node.program or "") if node is not None else ("no node of the lab", "")
        lanes.append(Lane(name, role, program, MARGIN + LANE * place))
    return lanes


def _arrow(
    story: Story, step: Step, is_response: bool, ends: tuple[int, int], y: int, when: float, number: int | None
) -> Arrow:
    remark = words.remark(step)
    asked = words.question(step) + (f" ({remark})" if remark else "")
    lost = step.exchange.response is None
    kind: str = step.outcome.kind
    if is_response:
        came, _, note = step.outcome.text.partition(": ")
        if step.outcome.kind in ("answer", "alias"):
            came, note = step.outcome.text.removeprefix("answer: ").removeprefix("answer (AA): "), ""
            note = "authoritative answer" if step.exchange.response and step.exchange.response.aa else "answer"
        label = came
        note = ", ".join(filter(None, (note, words.time(step.rtt))))
    else:
        label, note, kind = words.question(step), words.came(step, story) if lost else remark, "query"
    tip = (
        f"{step.server} to {step.client}: {step.outcome.text}"
        if is_response
        else f"{step.client} to {step.server}: {asked}"
    )
    return Arrow(
        *ends, y, words.time(when) if when else "0", label, note, number, kind, number is None,
        lost and not is_response, tip,
    )  # fmt: skip
