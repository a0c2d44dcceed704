"""A story as text: an indented sequence with arrows, and at the end where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.observe.drawing import words
from lab.observe.story import Step, Story

Piece = tuple[str, str]  # text, and its style as Rich names it
Line = list[Piece]

_BAR = 32  # characters of the longest bar
_COLOURS = {
    "answer": "green",
    "alias": "green",
    "referral": "cyan",
    "nodata": "yellow",
    "nxdomain": "yellow",
    "truncated": "yellow",
    "silence": "bold red",
    "refused": "bold red",
    "lame": "bold red",
    "error": "bold red",
    "malformed": "bold red",
}


def text(story: Story) -> str:
    """The story without colours."""
    return "\n".join("".join(piece for piece, _ in line).rstrip() for line in lines(story))


def lines(story: Story) -> Iterator[Line]:
    """The story, line by line."""
    yield [(words.title(story), "bold")]
    yield []
    yield from _steps(story)
    yield []
    yield [(words.result(story), "bold green" if story.status == "NOERROR" else "bold red")]
    if any(seconds for _, seconds in words.shares(story)):
        yield []
        yield [("Where the time went", "bold")]
        yield from _bars(words.shares(story))
    yield []
    yield from _listed("Messages on the wire", words.messages(story))
    yield from _listed("Cache", [str(entry) for entry in story.cache])
    yield from _listed("Learnt", words.learnt(story))
    if story.unrelated:
        yield [(f"{story.unrelated} messages of other questions were seen at the same time", "yellow")]
    if story.dropped:
        yield [(f"The taps lost {story.dropped} packets: this is not the whole story", "bold red")]


def _steps(story: Story) -> Iterator[Line]:
    rows = [_row(step, story) for step in story.steps]
    if not rows:
        yield [("  nothing was seen on the wire", "dim")]
        return
    who, what, when = (max(len(row[column][0]) for row in rows) for column in (0, 1, 2))
    for (arrow, asked, rtt, remark, came), step in zip(rows, story.steps, strict=True):
        yield [
            (f"{step.number:>3}  ", "dim"),
            (f"{arrow[0]:<{who}}  ", arrow[1]),
            (f"{asked[0]:<{what}}  ", asked[1]),
            (f"{rtt[0]:>{when}}  ", rtt[1]),
            came,
            (f"  [{remark[0]}]" if remark[0] else "", remark[1]),
        ]
        if story.iterative:
            yield [(f"     {words.explanation(step)}", "dim")]


def _row(step: Step, story: Story) -> tuple[Piece, Piece, Piece, Piece, Piece]:
    style = "" if step.category == "textbook" else "dim"
    return (
        ("  " * step.depth + f"{step.client} → {step.server}", style or "bold"),
        (words.question(step), style),
        (words.time(step.rtt), style),
        (words.remark(step), "dim"),
        (words.came(step, story), style if step.outcome.useful and style else _COLOURS[step.outcome.kind]),
    )


def _bars(shares: Sequence[tuple[str, float]]) -> Iterator[Line]:
    longest = max(seconds for _, seconds in shares)
    name = max(len(label) for label, _ in shares)
    whole = sum(seconds for _, seconds in shares)
    for label, seconds in shares:
        bar = "█" * max(round(seconds / longest * _BAR), 0) or "▏"
        yield [
            (f"  {label:<{name}}  ", ""),
            (f"{words.time(seconds):>7}  {seconds / whole * 100:3.0f} %  ", ""),
            (bar, "cyan"),
        ]


def _listed(heading: str, entries: Sequence[str]) -> Iterator[Line]:
    for place, entry in enumerate(entries):
        yield [(f"{heading if place == 0 else '':<22}", "bold"), (entry, "")]


def table(stories: Sequence[Story]) -> Iterator[Line]:
    """What differs between stories, side by side."""
    categories = [category for category in words.CATEGORIES if any(category in story.counts for story in stories)]
    rows = [
        ("", [", ".join(story.resolvers) for story in stories]),
        ("status", [story.status for story in stories]),
        ("the host waited", [words.time(story.latency) for story in stories]),
        *(
            (f"messages {words.CATEGORIES[category]}", [str(story.counts.get(category, 0)) for story in stories])
            for category in categories
        ),
    ]
    first = max(len(label) for label, _ in rows)
    width = max(len(cell) for _, cells in rows for cell in cells)
    for label, cells in rows:
        style = "" if label else "bold"
        yield [(f"{label:<{first}}  ", ""), ("  ".join(f"{cell:>{width}}" for cell in cells), style)]
