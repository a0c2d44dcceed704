"""How dnslab speaks: answers on stdout, progress and news on stderr, JSON when asked, no colour when not wanted."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from lab.experiments.journal import Outcome
    from lab.runtime.events import Event, Report

Cell = str | tuple[str, str]  # text, or text and its style

OUTCOMES: Mapping[Outcome, str] = {"deviated": "bold red", "inconclusive": "yellow", "held": "green"}
"""Outcomes of experiments, the worst first, and the styles in which they are said."""

_ENDLESS = 10_000  # columns where nobody looks: a pipe must not get lines folded to 80


@cache
def out() -> Console:
    """Answers; without colour where there is no terminal, or NO_COLOR is set."""
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError  # Rich would end the process with 1; see `lab.cli.main.run`

    return _Console(**_settings(sys.stdout))


@cache
def err() -> Console:
    """Everything that is not the answer."""
    from rich.console import Console

    return Console(stderr=True, **_settings(sys.stderr))


def _settings(stream: TextIO) -> dict[str, Any]:
    return {
        "highlight": False,
        "emoji": False,
        "width": None if stream.isatty() else _ENDLESS,
        # By itself Rich keeps bold and dim under NO_COLOR: escape codes all the same.
        "color_system": None if os.environ.get("NO_COLOR") else "auto",
    }


class Wanted:
    """What the command line asked for; one process runs one command."""

    json = False
    debug = False

    @classmethod
    def reset(cls) -> None:
        """As before the command line was read."""
        cls.json, cls.debug = False, bool(os.environ.get("DNSLAB_DEBUG"))


def emit(data: Any, show: Callable[[], None]) -> None:
    """Print `data` as JSON where that was asked for, else call `show`, which prints it for people."""
    if Wanted.json:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
    else:
        show()


def say(text: str | Text = "") -> None:
    """A line for people, unless JSON was asked for; a string is Rich markup, so texts of others go through `plain`."""
    if not Wanted.json:
        out().print(text, soft_wrap=True)


def plain(text: str) -> str:
    """Text of others, made safe: what looks like markup in it is printed, not obeyed, and so are control characters."""
    from rich.markup import escape

    return escape("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def complain(text: str) -> None:
    """An error, on stderr; text of others may look like markup and is not taken for it."""
    from rich.text import Text

    err().print(Text("dnslab: ", style="bold red") + Text(text), soft_wrap=True)


def grid(rows: Sequence[Sequence[Cell]], *, right: Sequence[int] = (), indent: str = "") -> Iterator[Text]:
    """Rows as lines with aligned columns; those numbered in `right` are aligned to the right. No trailing space."""
    from rich.cells import cell_len
    from rich.text import Text

    texts = [[Text(*((cell, "") if isinstance(cell, str) else cell)) for cell in row] for row in rows]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*texts, strict=True)]
    for row in texts:
        line = Text(indent)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell_len(cell.plain))
            line.append_text(Text(pad) + cell if number in right else cell + Text(pad)).append("  ")
        line.rstrip()
        yield line


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A listener for events: bars on a terminal, elsewhere only the news, line by line."""
    from rich.text import Text

    if not err().is_terminal:

        def tell(event: Event) -> None:
            if not event.total:
                err().print(Text(f"{event.subject}: {event.text}"), soft_wrap=True)

        yield tell
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars: dict[str, Any] = {}
    columns = (
        TextColumn("{task.fields[subject]}", markup=False),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    err().print(Text(title))
    with Progress(*columns, console=err(), transient=True) as shown:

        def listen(event: Event) -> None:
            if not event.total:
                shown.console.print(Text(f"{event.subject}: {event.text}"), soft_wrap=True)
                return
            if event.subject not in bars:
                bars[event.subject] = shown.add_task("", total=event.total, subject=event.subject)
            shown.update(bars[event.subject], completed=event.step, total=event.total, description=event.text[:60])

        yield listen


def program_name() -> str:
    """How the person has to call this program: its name where it is on the PATH, else the way to it."""
    called = Path(sys.argv[0])
    found = shutil.which("dnslab")
    if called.name != "dnslab" or (found is not None and Path(found).resolve() == called.resolve()):
        return "dnslab"
    return nearby(called)


def nearby(path: Path) -> str:
    """A path as people would type it here: relative where it lies below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def milliseconds(seconds: float) -> str:
    """A latency for people: three significant digits, in seconds from one second on."""
    value = seconds * 1000
    if value >= 999.5:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    return f"{value:.0f} ms" if value >= 99.95 else f"{value:.1f} ms" if value >= 9.995 else f"{value:.2f} ms"


def duration(seconds: float) -> str:
    """A span of time for people, as in `2d 3h` or `45s`: the largest unit and the one below it."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def size(octets: int) -> str:
    """A size for people."""
    return f"{octets / 2**20:.1f} MiB"
