"""up, down, status, labs, render: a lab's life."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from lab import labs
from lab.cli.options import AsJson, LabName, Source
from lab.cli.output import duration, emit, out, program_name, progress, say, size
from lab.topology.model import Topology


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command("labs")(list_labs)
    app.command()(render)


def up(
    source: Source = labs.DEFAULT,
    name: Annotated[str | None, typer.Option(help="Another name for it, to have several of one kind.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a lab up, and wait until every node answers. Changes only what is not yet as the lab file says."""
    from lab.runtime.lab import Lab

    began = monotonic()
    declaration = labs.load(source)
    with progress(f"Bringing up {name or declaration.lab}") as report:
        lab = Lab.up(declaration, name=name, report=report)
    with lab:
        took, port = monotonic() - began, lab.gateway_port
        data = {
            "lab": lab.name,
            "seconds": round(took, 2),
            "changed": lab.changed,
            "nodes": list(lab.nodes),
            "gateway": f"127.0.0.1:{port}" if port else None,
        }
        emit(data, lambda: _welcome(lab.name, lab.topology, len(lab.changed), took, port))


def _welcome(name: str, topology: Topology, changed: int, took: float, port: int | None) -> None:
    nodes = len(topology.nodes)
    made = "nothing had to change" if not changed else f"{changed} started" if changed < nodes else "all started"
    say(f"[bold]Lab {name} is up[/]: {nodes} nodes, {made}, {took:.1f} s.\n")
    dnslab, example = program_name(), _example(topology)
    suggestions = [
        (f"{dnslab} query {example}", "ask a name, as the host does"),
        (f"{dnslab} status", "see who is there"),
        (f"{dnslab} stop {topology.servers[0].name}", "break something; `start` mends it"),
        (f"{dnslab} time +47h", "let two days of TTL pass"),
        (f"{dnslab} shell {topology.hosts[0].name}", "be a user of the lab: dig, drill, getent"),
    ]
    if port:
        suggestions.insert(1, (f"dig @127.0.0.1 -p {port} {example}", "the same from this machine"))
    suggestions.append((f"{dnslab} down", "take it away"))
    width = max(len(command) for command, _ in suggestions)
    for command, meaning in suggestions:
        say(f"  [cyan]{command:<{width}}[/]  {meaning}")


def _example(topology: Topology) -> str:
    """A name that people know: the first www of the lab, else any with an address."""
    owners = [
        record.owner.to_text(omit_final_dot=True)
        for zone in topology.zones.values()
        for record in zone.records
        if record.type == "A" and record.origin.value == "declared"
    ]
    return next((owner for owner in owners if owner.startswith("www.")), owners[0] if owners else ".")


def down(
    lab: LabName = None,
    name: Annotated[str | None, typer.Argument(metavar="[LAB]", help="Which lab; default: the one that is up.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every lab.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a lab down: every container, network and volume of it, whatever state it is in."""
    from lab.runtime import memory
    from lab.runtime.engine import connect
    from lab.runtime.lab import Lab

    api = connect().api
    if everything:
        names = memory.labs(api)
    elif (wanted := name or lab) is None and not memory.labs(api):
        names = []  # nothing is up: that is what was asked for
    else:
        names = [memory.choose(api, wanted)] if wanted is None or wanted in memory.labs(api) else []
        if wanted is not None and not names:
            labs_up = ", ".join(memory.labs(api)) or "none"
            say(f"Lab {wanted} was not up (up: {labs_up}).")
    removed = {known: Lab.down(known) for known in names}
    emit({"down": removed}, lambda: _farewell(removed))


def _farewell(removed: dict[str, int]) -> None:
    for name, count in removed.items():
        say(f"Lab {name} is down; {count} containers removed.")
    if not removed:
        say("Nothing to take down.")


def status(lab: LabName = None, as_json: AsJson = False) -> None:
    """Show every node: role, program, addresses, health, uptime, memory, zones."""
    from lab.runtime.lab import Lab
    from lab.runtime.status import NodeStatus
    from lab.runtime.status import status as look

    def show() -> None:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        numbers = ("up", "memory")
        for heading in ("node", "role", "program", "name", "addresses", "health", *numbers, "zones"):
            table.add_column(heading, justify="right" if heading in numbers else "left")
        for node in nodes:
            table.add_row(*_row(node))
        out().print(table)
        total = sum(node.memory or 0 for node in nodes)
        port = here.gateway_port
        subnets = f"{here.topology.ipv4} and {here.topology.ipv6}"
        say(f"Lab {here.name}: {len(nodes)} nodes, {size(total)} resident, {subnets}.")
        if port:
            say(f"From this machine: dig @127.0.0.1 -p {port} {_example(here.topology)}")

    def _row(node: NodeStatus) -> tuple[str, ...]:
        colour = "green" if node.health == "ok" else "bold red"
        version = node.version.split(":")[-1].split("-")[0].split("+")[0]
        return (
            node.node,
            node.role,
            f"{node.program} {version}".strip() if node.program else "",
            node.name,
            f"{node.ipv4} {node.ipv6}",
            f"[{colour}]{node.health}[/]",
            duration(node.uptime) if node.uptime is not None else "",
            size(node.memory) if node.memory is not None else "",
            " ".join(zone for zone in node.zones if not zone.endswith(".arpa")),
        )

    with Lab.attach(lab) as here:
        nodes = look(here)
        data: dict[str, Any] = {
            "lab": here.name,
            "ipv4": str(here.topology.ipv4),
            "ipv6": str(here.topology.ipv6),
            "gateway": here.gateway_port,
            "nodes": [node.to_json() for node in nodes],
        }
        emit(data, show)


def list_labs(as_json: AsJson = False) -> None:
    """List the labs that come with dnslab, and those that are up."""
    from lab.runtime import memory
    from lab.runtime.engine import connect

    running = memory.labs(connect().api)

    def show() -> None:
        for name in labs.names():
            say(f"{name:<12} {_first_comment(labs.find(name))}")
        say(f"\nUp: {', '.join(running) or 'none'}")

    emit({"labs": labs.names(), "up": running}, show)


def _first_comment(file: Path) -> str:
    """The first sentence of the comment that a lab file begins with."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).split(". ")[0].rstrip(".")


def render(
    source: Source = labs.DEFAULT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default: beside the lab file.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the rendering is not current.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a lab as a Compose file and a folder of configuration: the same lab without Python."""
    from lab.runtime import compose

    declaration = labs.load(source)
    folder = output or labs.find(source).parent
    changed = compose.stale(declaration, folder) if check else compose.write(declaration, folder)
    verb = "not current" if check else "written"
    emit(
        {"folder": str(folder), "changed": [str(path) for path in changed]},
        lambda: say("\n".join(f"{verb}: {path}" for path in changed) or f"{folder} is current."),
    )
    if check and changed:
        raise typer.Exit(1)
