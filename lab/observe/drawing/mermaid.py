"""A story as a sequence diagram of Mermaid, which GitHub and many editors draw."""

from __future__ import annotations

import re

from lab.observe.drawing import words
from lab.observe.story import Story


def mermaid(story: Story) -> str:
    """The text of the diagram; put it between ```` ```mermaid ```` and ```` ``` ````."""
    events: list[tuple[float, int, str]] = []
    for step in story.steps:
        client, server, remark = _id(step.client), _id(step.server), words.remark(step)
        asked = _safe(words.question(step)) + (f" ({_safe(remark)})" if remark else "")
        events.append((step.exchange.sent, step.number, f"    {client}->>{server}: {asked}"))
        if step.exchange.response is None:
            events.append(
                (step.exchange.sent, step.number, f"    Note over {client}: {_safe(words.came(step, story))}")
            )
        else:
            shown = f"{_safe(words.came(step, story))} · {words.time(step.rtt)}"
            events.append((step.exchange.response.time, step.number, f"    {server}-->>{client}: {shown}"))
    nodes = list(dict.fromkeys(node for step in story.steps for node in (step.client, step.server)))
    declared = [f"    participant {_id(node)} as {node}" for node in nodes]
    return "\n".join(
        ["sequenceDiagram", *declared, *(line for *_, line in sorted(events, key=lambda event: event[:2]))]
    )


def _id(node: str) -> str:
    """A name that Mermaid takes: `end` alone would be a keyword."""
    return "n_" + re.sub(r"\W", "_", node)


def _safe(text: str) -> str:
    """Text of others, in which nothing is a command of Mermaid: it ends lines at `;` and `#` begins an entity."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return printable.translate({35: "#35;", 59: "#59;"}).replace("<", "#lt;").replace(">", "#gt;")
