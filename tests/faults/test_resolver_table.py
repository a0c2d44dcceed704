"""docs/resolvers-under-faults.md, measured once more: each cell, with room for what programs draw by lot."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping

import pytest

from lab import Lab
from tests.faults.resolver_table import (
    DOCUMENT,
    MESSAGES,
    PROGRAMS,
    SILENCE,
    TOLD_APART,
    Seen,
    broken,
    declaration,
    measure,
    row,
    tables,
)

ALIKE = {  # what a resolver cannot tell apart, by what it does
    "unbound": [{"stop"}, {"pause", "blackhole", "reject"}, {"servfail", "refused"}, {"lame"}],
    "bind": [{"stop"}, {"pause", "blackhole"}, {"reject", "servfail", "refused", "lame"}],
}
BUSY = 2.0  # seconds that a busy machine may add to what takes no time
Rounds = Mapping[str, Mapping[str, Seen]]


@pytest.fixture(scope="module")
def measured() -> Rounds:
    with Lab.temporary(declaration(), name=f"msg-table-{os.getpid()}") as lab, broken(lab):
        return measure(lab)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def documented(number: int, cases: list[str]) -> dict[str, list[str]]:
    """The cells of each case's line in the table of that number."""
    lines = tables(DOCUMENT.read_text(encoding="utf-8"))[number]
    assert len(lines) == len(cases), "the document has a line for each case and no other"
    return {case: cells(line) for case, line in zip(cases, lines, strict=True)}


def bounds(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def agrees(written: list[str], seen: Seen) -> str:
    """What is not as the document has it, in words; nothing if all is."""
    client, seconds, queries = written
    if seen.client not in client.split(" or "):
        return f"the client sees {seen.client}"
    if seconds == "at once":
        late = seen.seconds > BUSY
    elif seconds.startswith("over"):
        late = seen.client != SILENCE
    else:
        low, high = bounds(seconds)
        late = not 0.7 * low <= seen.seconds <= 1.5 * high + BUSY
    if late:
        return f"it took {seen.seconds:.1f} s"
    match = re.fullmatch(r"([0-9-]+)(?: \+ ([0-9-]+) TCP)?", queries)
    assert match is not None, f"{queries!r} counts no queries"
    for text, count in ((match[1], seen.udp), (match[2] or "0", seen.tcp)):
        low, high = bounds(text)
        if not math.ceil(0.7 * low) <= count <= math.ceil(1.3 * high):
            return f"there were {seen.udp} queries over UDP and {seen.tcp} over TCP"
    return ""


@pytest.mark.parametrize(("number", "cases"), [(0, list(MESSAGES)), (1, list(TOLD_APART))], ids=["messages", "apart"])
def test_the_tables_hold(measured: Rounds, number: int, cases: list[str]) -> None:
    wrong = []
    for case, (_, *rest) in documented(number, cases).items():
        for place, program in enumerate(PROGRAMS):
            if difference := agrees(rest[3 * place : 3 * place + 3], measured[case][program]):
                wrong.append(
                    f"{program}: {difference}\n  written:  {rest}\n  measured: {row(case, _rounds(measured, case))}"
                )
    assert not wrong, "\n".join(wrong)


def _rounds(measured: Rounds, case: str) -> dict[str, list[Seen]]:
    return {program: [measured[case][program]] for program in PROGRAMS}


def signature(seen: Seen) -> tuple[str, bool, str]:
    """What a resolver did: what it told its client, whether soon, and how often it had asked."""
    often = "never" if seen.udp == 0 else "some times" if seen.udp <= 12 else "many times"
    return seen.client, seen.seconds < 5, often


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_told_apart(measured: Rounds, program: str) -> None:
    found: dict[tuple[str, bool, str], set[str]] = {}
    for case in TOLD_APART:
        found.setdefault(signature(measured[case][program]), set()).add(case)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, ALIKE[program])), found
