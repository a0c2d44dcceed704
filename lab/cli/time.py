"""time: the lab's clock."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from lab.cli.options import AsJson, LabName, examples
from lab.cli.output import duration, emit, grid, say
from lab.errors import BadInput

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
_STEP = re.compile(rf"[+]?({_PART.pattern})+")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        "time",
        # A step like -1h must arrive here, to be refused with a reason, and not look like options.
        context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
        epilog=examples(
            ("time", "what time it is in the lab"),
            ("time +47h", "let 47 hours pass: a delegation of two days is about to expire"),
            ("time +5m --node resolver-1", "let one node be five minutes ahead of the others"),
            ("time reset", "back to real time"),
        ),
    )(time)


def time(
    step: Annotated[
        str | None, typer.Argument(metavar="STEP", help="How far to move on: +47h, +2d, +1h30m, +90s; or `reset`.")
    ] = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Move only this node's: a skew.")] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Show or move the lab's clock, by which caches age.

    It goes forward only, and at once; `reset` puts it back to real time by restarting the nodes that are on it.
    """
    from lab.lab import Lab

    ahead = None if step is None or step == "reset" else parse_step(step)
    if step == "reset" and node is not None:
        raise BadInput("`reset` puts the clocks of all nodes back; leave --node out")
    with Lab.attach(lab) as here:
        chosen = here.node(node).name if node else None
        if step == "reset":
            here.reset_clock()
        elif ahead is not None:
            here.clock.advance(seconds=ahead.total_seconds(), node=chosen)
        offsets = here.clock.offsets()
    if chosen is not None and step is None:
        offsets = {name: offset for name, offset in offsets.items() if name == chosen}
    now = datetime.now(timezone.utc)

    def show() -> None:
        if not offsets:
            say(f"{chosen or 'Every node'} is on the machine's clock, not the lab's.")
        for line in grid([(name, _spoken(now + offset), _ahead(offset)) for name, offset in offsets.items()]):
            say(line)

    ahead_seconds = {name: offset.total_seconds() for name, offset in offsets.items()}
    emit({"now": now.isoformat(), "ahead_seconds": ahead_seconds}, show)


def parse_step(text: str) -> timedelta:
    """The span that `+47h`, `+2d` or `+1h30m` stands for. Raises `BadInput`."""
    if text.startswith("-"):
        raise BadInput(f"the lab's clock only goes forward, not {text}; `dnslab time reset` puts it back")
    if not _STEP.fullmatch(text):
        raise BadInput(f"{text!r} is no step of time; write +47h, +2d, +90s or +1h30m, or `reset`")
    try:
        return sum((timedelta(**{_UNITS[unit]: float(count)}) for count, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        raise BadInput(f"{text} is more than any clock can show") from None


def _spoken(moment: datetime) -> str:
    return f"{moment:%a %d %b %Y %H:%M:%S} UTC"


def _ahead(offset: timedelta) -> str:
    return f"{duration(offset.total_seconds())} ahead" if offset else "real time"
