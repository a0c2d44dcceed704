"""fault, faults, heal: break something, see what is broken, mend it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.options import AsJson, LabName, pairs
from lab.cli.output import duration, emit, grid, plain, say
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.faults.fault import Fault
    from lab.faults.kind import Kind

_LEVELS = {
    "node": "Whole nodes",
    "link": "Packets of a link",
    "message": "DNS messages",
    "zone": "Zone data",
    "clock": "Clocks",
}
_LOOK = 0.5  # seconds between looks whether somebody else has healed it


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(fault)
    app.command()(faults)
    app.command()(heal)


def fault(
    name: Annotated[str, typer.Argument(metavar="NAME|list|show", help="Which fault; `list` tells them all.")],
    target: Annotated[
        str | None, typer.Argument(metavar="NODE", help="Where: a node, several, a role, a zone.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="Only the link to this node; repeatable.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE")] = None,
    direction: Annotated[
        str | None, typer.Option(metavar="in|out|both", help="Seen from the node; in: what arrives at it.")
    ] = None,
    transport: Annotated[str | None, typer.Option(metavar="udp|tcp|both")] = None,
    lasts: Annotated[str | None, typer.Option("--for", metavar="TIME", help="As in 30s; else until Ctrl-C.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is left to chance; 1 if not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Break a node or a link, measure that it bites, hold it for a time or until Ctrl-C, heal it."""
    if name == "list":
        _list()
        return
    if target is None:
        raise BadInput("`dnslab fault show NAME`: which?" if name == "show" else f"{name} where? Add a node")
    if name == "show":
        _show(target)
        return
    from lab.faults import inject, plan
    from lab.lab import Lab

    how: dict[str, Any] = {
        **_parameters(param or []),
        "to": to or None,
        "direction": direction,
        "transport": transport,
        "lasts": lasts,
        "seed": seed,
    }
    with Lab.attach(lab) as here:
        made = plan(here.topology, name, target, how)
        if dry_run:
            emit(made.about(), lambda: say(plain(made.describe())))
            return
        begun = time.monotonic()
        with inject(here, made) as active:
            _hold(active, begun, endless=lasts is None)


def faults(lab: LabName = None, as_json: AsJson = False) -> None:
    """List what is broken now, whoever broke it."""
    from lab.faults.active import active
    from lab.lab import Lab

    with Lab.attach(lab) as here:
        found = active(here)

    def show() -> None:
        if not found:
            say("Nothing is broken.")
            return
        rows = [
            (
                entry.fault,
                entry.node,
                duration(entry.left) if entry.left is not None else "",
                f"{entry.acted} of {entry.matched}" if entry.matched is not None else "",
                entry.words,
            )
            for entry in found
        ]
        for line in grid([("FAULT", "NODE", "LEFT", "PACKETS", ""), *rows]):
            say(line)

    emit([entry.to_json() for entry in found], show)


def heal(
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE...]", help="Which nodes.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole lab.")] = False,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Heal all faults of some nodes, or of the whole lab, whoever injected them."""
    from lab.faults.active import heal as heal_nodes
    from lab.lab import Lab

    if bool(nodes) == everything:
        raise BadInput("say which nodes to heal, or --all; `dnslab faults` lists what is broken")
    with Lab.attach(lab) as here:
        healed = heal_nodes(here, None if everything else [node.name for node in here.topology.select(nodes or [])])
    emit({"healed": healed}, lambda: say("\n".join(f"{node} is healed." for node in healed) or "Nothing was broken."))


def _hold(fault: Fault, begun: float, *, endless: bool) -> None:
    """Tell what was measured, and wait until the time is over, or Ctrl-C, or somebody else heals it."""

    def show() -> None:
        say(plain(fault.plan.describe()))
        rows = (("  before", str(fault.before or "")), ("  asked", fault.asked), ("  got", fault.got))
        for line in grid(rows):
            say(line)
        if not event:
            say("Ctrl-C heals it.")

    event = fault.plan.kind.is_event
    emit(fault.to_json(), show)
    sys.stdout.flush()
    if event:
        return
    waiting, until = threading.Event(), time.monotonic() + fault.plan.lasts
    try:
        while (left := until - time.monotonic()) > 0:
            waiting.wait(min(left, _LOOK))
            if left > _LOOK and not fault.active:
                by_itself = time.monotonic() - begun >= fault.plan.lasts
                say("Healed." if by_itself else "It was healed by somebody else.")
                return
    except KeyboardInterrupt:
        fault.heal()
        say("Healed.")
        if not endless:
            raise
    else:
        fault.heal()
        say("Healed.")


def _list() -> None:
    from lab.faults import kinds

    places = list(_LEVELS)
    found = sorted(kinds().values(), key=lambda kind: (places.index(kind.level), kind.name))

    def show() -> None:
        lines = grid([(f"  {kind.name}", kind.summary) for kind in found])
        for level, group in groupby(zip(found, lines, strict=True), key=lambda pair: pair[0].level):
            say(_LEVELS.get(level, level))
            for _, line in group:
                say(line)

    emit([_about(kind) for kind in found], show)


def _show(name: str) -> None:
    from lab.faults import kind

    found = kind(name)

    def show() -> None:
        say(plain(f"{found.name}: {found.summary}"))
        rows = [
            (f"  {parameter.name}", parameter.meaning, parameter.unit, _default(parameter.default))
            for parameter in found.parameters
        ]
        if rows:
            say("Parameters:")
        for line in grid(rows) if rows else ():
            say(line)
        say(f"Example:\n  dnslab fault {plain(found.example)} --for 30s")

    emit(_about(found), show)


def _about(kind: Kind) -> dict[str, Any]:
    return {
        "fault": kind.name,
        "level": kind.level,
        "summary": kind.summary,
        "parameters": [
            {
                "name": parameter.name,
                "meaning": parameter.meaning,
                "unit": parameter.unit,
                "required": parameter.required,
                **({} if parameter.required else {"default": parameter.default}),
            }
            for parameter in kind.parameters
        ],
        "example": f"dnslab fault {kind.example} --for 30s",
    }


def _default(value: object) -> str:
    if value is ...:
        return "required"
    if isinstance(value, bool):
        return f"default {'yes' if value else 'no'}"
    return "" if value is None else f"default {value}"


def _parameters(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs(given, "delay=80ms"):
        if name in ("to", "direction", "transport", "lasts", "seed"):
            raise BadInput(f"--param {name}: it is an option of its own: --{'for' if name == 'lasts' else name}")
        found[name] = value
    return found
