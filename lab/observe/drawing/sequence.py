"""A story laid out as a sequence diagram: lanes from left to right, time from top to bottom, one message a row."""

from __future__ import annotations

from dataclasses import dataclass

from lab.observe.drawing import words
from lab.observe.story import Step, Story
from lab.topology.model import Role

LANE, MARGIN, HEAD, ROW = 206, 142, 62, 38  # pixels: between lanes, left of the first, above the first row, of a row
_LETTER = 6.7  # pixels of a character of a label, at the most
_LONGEST = 32  # characters of the data of an answer
_ROLES = {  # from left to right
    Role.HOST: "stub resolver",
    Role.GATEWAY: "gateway",
    Role.RESOLVER: "local resolver",
    Role.ROOT: "root server",
    Role.TLD: "TLD server",
    Role.AUTHORITY: "authority",
}


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
    took: str  # of a response: since its query
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
    right = lanes[-1].x + MARGIN // 2 + 20 if lanes else 0
    return Sequence(tuple(lanes), tuple(arrows), bars, int(max(right, widest + 16)), HEAD + ROW * (len(arrows) + 1))


def _lanes(story: Story) -> list[Lane]:
    names = list(dict.fromkeys(node for step in story.steps for node in (step.client, step.server)))
    nodes = story.topology.nodes

    def tier(name: str) -> int:
        return list(_ROLES).index(nodes[name].role) if name in nodes else len(_ROLES)

    lanes = []
    for place, name in enumerate(sorted(names, key=tier)):  # stable: in a tier as they come up
        node = nodes.get(name)
        role, program = (_ROLES[node.role], node.program or "") if node is not None else ("no node of the lab", "")
        lanes.append(Lane(name, role, program, MARGIN + LANE * place))
    return lanes


def _arrow(
    story: Story, step: Step, is_response: bool, ends: tuple[int, int], y: int, when: float, number: int | None
) -> Arrow:
    remark, response = words.remark(step), step.exchange.response
    lost, kind = response is None, "query"
    label, note, took = words.question(step), words.came(step, story) if lost else remark, ""
    tip = f"{step.client} asks {step.server}: {label}" + (f" ({remark})" if remark else "")
    if is_response and response is not None:
        kind, (label, _, note) = step.outcome.kind, step.outcome.text.partition(": ")
        if kind == "answer":
            wanted = [record.data for record in response.answer if record.type == step.type] or ["an answer"]
            data = wanted[0].removesuffix(".")
            label = data if len(data) <= _LONGEST else f"{data[: _LONGEST - 1]}…"
            note = f"and {len(wanted) - 1} more" if len(wanted) > 1 else "from the zone itself" if response.aa else ""
        elif kind == "referral":
            note = note.replace(" name servers", " NS").replace(" name server", " NS")
        took, tip = words.time(step.rtt), f"{step.server} answers {step.client}: {step.outcome.text}"
    return Arrow(
        *ends, y, words.time(when) if when else "0", label, note, took, number, kind, number is None,
        lost and not is_response, tip,
    )  # fmt: skip
