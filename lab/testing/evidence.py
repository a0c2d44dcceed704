"""What is kept of a failed test: the story of its last questions, what was broken, the logs, the packets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.observe.drawing.words import title
from lab.runtime.parallel import each

if TYPE_CHECKING:
    from lab.observe.story import Story
    from lab.runtime.node import NodeHandle
    from lab.runtime.program import Program
    from lab.testing.undertest import LabUnderTest

Section = tuple[str, str]
"""A heading and text, as the sections of pytest's reports."""

_STORIES = 3
_LOG_LINES = 5
_SAID = 20  # lines of what a program has printed


def sections(lab: LabUnderTest, said: str = "") -> Iterator[Section]:
    """What there is to say of the lab of a test that has just failed; what cannot be found out says why.

    `said`: the text of the failure. The story that stands there already is not told twice.
    """
    yield f"dnslab: what was broken in {lab.name}", _attempt(lambda: "\n".join(lab.broken()) or "nothing")
    yield "dnslab: the last questions", _attempt(lambda: _stories(lab, said))
    if lab.joined:
        yield "dnslab: what the programs said", _attempt(lambda: _programs(lab))
    yield "dnslab: the last log lines", _attempt(lambda: _logs(lab))


def write(lab: LabUnderTest, told: list[Section], folder: Path) -> list[Path]:
    """Put the sections, whole logs, and packets into a folder; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.txt"
    report.write_text("\n".join(f"{heading}\n\n{text}\n" for heading, text in told), encoding="utf-8")
    files = [report]
    try:
        page = folder / "trace.html"
        if stories := _last(lab):
            from lab.observe.drawing.html import html

            page.write_text(html(stories), encoding="utf-8")
            files.append(page)
        packets = folder / "packets.pcapng"
        with packets.open("wb") as file:
            lab.seen.capture(file)
        files.append(packets)
    except (LabError, OSError) as error:
        report.write_text(f"{report.read_text(encoding='utf-8')}\nno capture: {error}\n", encoding="utf-8")
    for handle in lab.nodes.values():
        log = folder / "logs" / f"{handle.name}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("\n".join(_lines(handle, None)) + "\n", encoding="utf-8")
        files.append(log)
    return files


def folder_name(test: str) -> str:
    """A folder's name for a test, from its node id."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", test.replace("::", "--")).strip("-")[:150]


def _attempt(find: Callable[[], str]) -> str:
    try:
        return find()
    except (LabError, OSError) as error:
        return f"not known: {error}"


def _stories(lab: LabUnderTest, said: str) -> str:
    stories = _last(lab)
    if stories and title(stories[-1]) in said:
        stories = stories[:-1]
        none = "it is above"
    else:
        none = "none was asked in this test"
    return "\n\n".join(story.text() for story in stories) or none


def _last(lab: LabUnderTest) -> list[Story]:
    """Of questions to resolvers: injecting a fault asks servers too, to measure that it bites."""
    return lab.seen.stories(_STORIES, at=[node.name for node in lab.topology.nodes.values() if node.caches])


def _programs(lab: LabUnderTest) -> str:
    return "\n".join(
        "\n".join([f"{program} ({_end(program)}):", *(f"  {line}" for line in program.output.splitlines()[-_SAID:])])
        for program in lab.joined
    )


def _end(program: Program) -> str:
    return "runs" if program.exit_code is None else f"ended with {program.exit_code}"


def _logs(lab: LabUnderTest) -> str:
    handles = list(lab.nodes.values())
    found = each(lambda handle: (handle.name, _lines(handle, _LOG_LINES)), handles)
    return "\n".join("\n".join([f"{name}:", *(f"  {line}" for line in lines)]) for name, lines in found if lines)


def _lines(handle: NodeHandle, tail: int | None) -> list[str]:
    try:
        return list(handle.logs(tail=tail))
    except (LabError, OSError) as error:
        return [f"no log: {error}"]
