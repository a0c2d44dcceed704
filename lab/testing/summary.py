"""A run of pytest as Markdown, for the summary of a CI job."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LINES = 12  # of the text of a failure
_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def markdown(run: str, stats: Mapping[str, Sequence[Any]]) -> str:
    """The summary; `stats` are the reports by outcome, as pytest's terminal reporter keeps them."""
    return "\n".join(_lines(run, stats)) + "\n"


def _lines(run: str, stats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    counted = [f"{len(stats[outcome])} {outcome}" for outcome in _OUTCOMES if stats.get(outcome)]
    reports = [report for outcome in _OUTCOMES for report in stats.get(outcome, ())]
    labs = sorted(
        {value for report in reports for key, value in getattr(report, "user_properties", ()) if key == "dnslab"}
    )
    bad = [report for outcome in ("failed", "error") for report in stats.get(outcome, ())]
    yield f"## {'✅' if counted and not bad else '❌'} DNS lab tests: {', '.join(counted) or 'none ran'}"
    yield ""
    yield f"Run `{run}`{', labs ' + ', '.join(f'`{lab}`' for lab in labs) if labs else ', no lab was used'}."
    for report in bad:
        yield ""
        yield f"<details><summary><code>{_escaped(report.nodeid)}</code> ({report.when})</summary>"
        yield ""
        yield "```"
        yield from _ending(str(report.longrepr))
        for heading, text in getattr(report, "sections", ()):
            if heading.startswith("dnslab: what was broken"):
                yield f"{heading}:"
                yield from text.replace("```", "'''").splitlines()
        yield "```"
        yield "</details>"


def _ending(text: str) -> list[str]:
    """The lines of a failure that pytest marks as such, or the first ones; without the story that may follow."""
    lines = text.replace("```", "'''").splitlines()
    marked = [line[1:].removeprefix("       ").rstrip() for line in lines if line.startswith("E")] or lines
    return list(itertools.takewhile(str.strip, marked))[:_LINES]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
