"""Stories as one page, side by side, with a sequence diagram each; the page needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.observe.drawing import words
from lab.observe.drawing.sequence import sequence
from lab.observe.story import Story

_SECTIONS = ("answer", "authority", "additional")


def html(stories: Sequence[Story]) -> str:
    """The page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not at import: it costs 40 ms

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    first = stories[0]
    return environment.get_template("story.html.j2").render(
        title=f"{first.name} {first.type}",
        lab=first.topology.lab,
        shown=[(story, sequence(story), _most(story)) for story in stories],
        words=words,
        sections=_SECTIONS,
    )


def _most(story: Story) -> float:
    """Seconds of the longest bar."""
    return max((seconds for _, seconds in words.shares(story)), default=0.0) or 1.0
