"""time: the lab's clock."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer

from lab.cli.options import AsJson, LabName
from lab.cli.output import duration, emit, say
from lab.errors import BadInput

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_STEP = re.compile(r"[+]?((\d+(\.\d+)?)[dhms])+")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    # A step like -1h must arrive here, to be refused with a reason, and not look like options (-h is one elsewhere).
    settings = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
    app.command("time", context_settings=settings)(time)


def time(
    step: Annotated[str | None, typer.Argument(metavar="[+STEP|reset]", help="As in +47h, +2d, +1h30m.")] = None,
    node: Annotated[str | None, typer.Option(metavar="NODE", help="Only this node: a skew.")] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Show or move the lab's clock, by which caches age. It goes forward; `reset` restarts resolvers at real time."""
    from lab.runtime.lab import Lab

    with Lab.attach(lab) as here:
        chosen = here.node(node).name if node else None
        if step == "reset":
            here.reset_clock()
        elif step is not None:
            here.clock.advance(seconds=parse_step(step).total_seconds(), node=chosen)
        offsets = here.clock.offsets()
    now = datetime.now(timezone.utc)

    def show() -> None:
        if not offsets:
            say("No node is on the lab's clock: the lab file says `clock: host`.")
        for name, offset in offsets.items():
            ahead = f"{duration(offset.total_seconds())} ahead" if offset else "real time"
            say(f"{name:<12} {now + offset:%a %d %b %Y %H:%M:%S} UTC  {ahead}")

    emit({"now": now.isoformat(), "ahead_seconds": {name: o.total_seconds() for name, o in offsets.items()}}, show)


def parse_step(text: str) -> timedelta:
    """The span that `+47h`, `+2d` or `+1h30m` stands for. Raises `BadInput`."""
    if text.startswith("-"):
        raise BadInput(f"the lab's clock only goes forward, not {text}; `dnslab time reset` puts it back")
    if not _STEP.fullmatch(text):
        raise BadInput(f"{text!r} is no step of time; write +47h, +2d, +90s or +1h30m, or `reset`")
    parts = {_UNITS[unit]: float(number) for number, unit in re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)}
    return timedelta(**parts)
