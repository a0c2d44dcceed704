"""How dnslab speaks: answers on stdout, progress and news on stderr, JSON when asked, no colour when not wanted."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from lab.runtime.events import Event, Report

_WIDE = 200  # columns when nobody looks: a pipe must not get tables folded to 80


@cache
def out() -> Console:
    """Answers; Rich honours NO_COLOR, and gives no colour where there is no terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _WIDE)


@cache
def err() -> Console:
    """Everything that is not the answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)


class Wanted:
    """What the command line asked for; one process runs one command."""

    json = False
    debug = bool(os.environ.get("DNSLAB_DEBUG"))


def emit(data: Any, show: Callable[[], None]) -> None:
    """Print `data` as JSON where that was asked for, else call `show`, which prints it for people."""
    if Wanted.json:
        sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
    else:
        show()


def say(text: str) -> None:
    """A line for people, unless JSON was asked for."""
    if not Wanted.json:
        out().print(text)


def complain(text: str) -> None:
    """An error, on stderr; text of others may look like markup and is not taken for it."""
    from rich.text import Text

    err().print(Text("dnslab: ", style="bold red") + Text(text), soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A listener for events: bars on a terminal, elsewhere only the news, line by line."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    bars: dict[str, Any] = {}
    columns = (TextColumn("{task.fields[subject]}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=err(), transient=True) as shown:

        def listen(event: Event) -> None:
            if not event.total:
                shown.console.print(Text(f"{event.subject}: {event.text}"), soft_wrap=True)
            elif err().is_terminal:
                if event.subject not in bars:
                    bars[event.subject] = shown.add_task("", total=event.total, subject=event.subject)
                shown.update(bars[event.subject], completed=event.step, total=event.total, description=event.text[:60])

        if err().is_terminal:
            shown.console.print(Text(title))
        yield listen


def program_name() -> str:
    """How the person has to call this program: its name where it is on the PATH, else the way to it."""
    called = Path(sys.argv[0])
    found = shutil.which("dnslab")
    if called.name != "dnslab" or (found is not None and Path(found).resolve() == called.resolve()):
        return "dnslab"
    try:
        return str(called.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(called)


def milliseconds(seconds: float) -> str:
    """A latency for people: three significant digits, in seconds from one second on."""
    value = seconds * 1000
    if value >= 1000:
        return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def duration(seconds: float) -> str:
    """A span of time for people, as in `2d 3h` or `45s`: the two largest units."""
    left, parts = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def size(octets: int) -> str:
    """A size for people."""
    return f"{octets / 2**20:.1f} MiB"
