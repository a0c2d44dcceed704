"""up, down, status, labs, render: a lab's life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab import labs
from lab.cli.options import AsJson, LabName, Source, examples
from lab.cli.output import Cell, duration, emit, grid, nearby, out, plain, program_name, progress, say, size
from lab.errors import BadInput

if TYPE_CHECKING:
    from rich.text import Text

    from lab.runtime.status import NodeStatus
    from lab.topology.model import Topology

_LEAST_ZONES = 16  # columns for the zones of a node, before other columns give way


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    verb = app.command
    verb(
        epilog=examples(
            ("up", "the textbook lab"),
            ("up minimal", "another one that comes with dnslab"),
            ("up my.yaml --name two", "one of your own, beside others of its kind"),
        ),
    )(up)
    verb()(down)
    verb()(status)
    verb("labs")(list_labs)
    verb()(render)


def up(
    source: Source = labs.DEFAULT,
    name: Annotated[
        str | None,
        typer.Option(
            "--lab", "-l", "--name", metavar="LAB", help="Its name, to have several of one kind up.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring a lab up, and wait until every node answers.

    What is as the lab file says is left alone: `up` again after a change starts only what the change concerns. Stopped
    and paused nodes go on.
    """
    from lab.lab import Lab
    from lab.runtime import memory

    began = monotonic()
    declaration = labs.load(source)
    with progress(f"Bringing up {name or declaration.lab}") as report:
        lab = Lab.up(declaration, name=name, report=report)
    with lab:
        took, port = monotonic() - began, lab.gateway_port
        alone = memory.labs(lab.api) == [lab.name]
        data = {
            "lab": lab.name,
            "seconds": round(took, 2),
            "changed": list(lab.changed),
            "nodes": list(lab.nodes),
            "gateway": _door(port),
        }
        emit(data, lambda: _welcome(lab.name, lab.topology, len(lab.changed), took, port, alone=alone))


def _welcome(name: str, topology: Topology, changed: int, took: float, port: int | None, *, alone: bool) -> None:
    """The last lines of `up`: what to type next, in a form that works as it stands."""
    nodes = len(topology.nodes)
    made = "nothing had to change" if not changed else f"{changed} started" if changed < nodes else "all started"
    say(f"[bold]Lab {name} is up[/]: {nodes} nodes, {made}, {took:.1f} s.\n")
    dnslab, which, example = program_name(), "" if alone else f" -l {name}", _example(topology)
    suggestions = [
        (f"{dnslab} query{which} {example}", "ask a name, as the host does"),
        (f"{dnslab} status{which}", "see who is there"),
        (f"{dnslab} stop{which} {topology.servers[0].name}", "break something; `start` mends it"),
        (f"{dnslab} shell{which} {topology.hosts[0].name}", "be a user of the lab: dig, drill, getent"),
    ]
    if any(node.on_lab_clock for node in topology.nodes.values()):
        suggestions.insert(3, (f"{dnslab} time{which} +47h", "let two days of TTL pass"))
    if port:
        suggestions.insert(1, (_dig(port, example), "the same from this machine"))
    suggestions.append((f"{dnslab} down{'' if alone else f' {name}'}", "take it away"))
    for line in grid([((command, "cyan"), meaning) for command, meaning in suggestions], indent="  "):
        say(line)


def _door(port: int | None) -> str | None:
    """Where the gateway listens on this machine."""
    return f"127.0.0.1:{port}" if port else None


def _dig(port: int, name: str) -> str:
    return f"dig @127.0.0.1 -p {port} {name}"


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
    positional: Annotated[
        str | None, typer.Argument(metavar="LAB", help="Which lab; by default the one that is up.", show_default=False)
    ] = None,
    lab: Annotated[
        str | None,
        typer.Option("--lab", "-l", "--name", metavar="LAB", envvar="DNSLAB_LAB", help="The same, as in other verbs."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every lab on this machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a lab down, all of it, whatever state it is in.

    Every container, network and volume of it goes. When it is not up there is nothing to do, and that is no error.
    """
    from lab.lab import Lab
    from lab.runtime import memory
    from lab.runtime.engine import connect
    from lab.topology.suggest import did_you_mean

    client = connect()
    known = memory.labs(client.api)
    client.close()
    wanted = positional or lab  # what is typed goes before DNSLAB_LAB
    if everything:
        names = known
    elif wanted is not None:
        names = [wanted] if wanted in known else []
        if not names:
            say(f"Lab {plain(wanted)} is not up{plain(did_you_mean(wanted, known))}")
    elif len(known) > 1:
        raise BadInput(f"several labs are up ({', '.join(known)}); say which: `dnslab down {known[0]}`, or --all")
    else:
        names = known
    removed = {name: Lab.down(name) for name in names}
    emit({"down": removed}, lambda: _farewell(removed, known))


def _farewell(removed: dict[str, int], known: Sequence[str]) -> None:
    for name, count in removed.items():
        say(f"Lab {name} is down; {count} containers removed.")
    if not removed:
        say("Nothing to take down.")
    if left := [name for name in known if name not in removed]:
        say(f"Up: {', '.join(left)}")


def status(lab: LabName = None, as_json: AsJson = False) -> None:
    """Show every node: what it is, whether it answers, what it uses.

    Health is asked for by queries: a server for the SOA of each of its zones, a resolver for anything. Where the
    terminal is too narrow, columns are left out; a pipe and --json have all of them.
    """
    from lab.lab import Lab
    from lab.runtime.status import status as look

    with Lab.attach(lab) as here:
        nodes, port, topology = look(here), here.gateway_port, here.topology
        programs = [program.to_json() for program in here.programs]
    data = {
        "lab": here.name,
        "ipv4": str(topology.ipv4),
        "ipv6": str(topology.ipv6),
        "gateway": _door(port),
        "nodes": [node.to_json() for node in nodes],
        "programs": programs,
    }

    def show() -> None:
        for line in _table(nodes):
            say(line)
        total = size(sum(node.memory or 0 for node in nodes))
        say(f"\nLab {here.name}: {len(nodes)} nodes, {total} resident, {topology.ipv4} and {topology.ipv6}")
        if programs:
            say(f"Programs: {', '.join(map(_program, programs))}")
        if port:
            say(f"From this machine: {_dig(port, _example(topology))}")

    emit(data, show)


def _program(program: Mapping[str, Any]) -> str:
    """A program that joined the lab, in words."""
    ended = "" if program["exit_code"] is None else f" (ended, exit code {program['exit_code']})"
    return f"{program['name']} at {program['at']}{ended}"


_GIVE_WAY = ("links", "ipv6", "name", "memory", "up", "ipv4")  # the first goes first, where a terminal is too narrow


def _table(nodes: Sequence[NodeStatus]) -> list[Text]:
    """The nodes as lines that fit the terminal: columns give way, and the zones of a node are cut short at last."""
    columns: dict[str, list[Cell]] = {
        "node": [node.node for node in nodes],
        "role": [node.role for node in nodes],
        "program": [f"{node.program} {_release(node.version)}".strip() if node.program else "" for node in nodes],
        "name": [node.name for node in nodes],
        "ipv4": [node.ipv4 for node in nodes],
        "ipv6": [node.ipv6 for node in nodes],
        "health": [(node.health, "green" if node.health == "ok" else "bold red") for node in nodes],
        "up": ["" if node.uptime is None else duration(node.uptime) for node in nodes],
        "memory": ["" if node.memory is None else size(node.memory) for node in nodes],
        "zones": [" ".join(zone for zone in node.zones if not zone.endswith(".arpa")) for node in nodes],
    }
    if any(node.links for node in nodes):
        columns["links"] = [_links(node) for node in nodes]

    def lines() -> list[Text]:
        rows = [[(heading, "bold") for heading in columns], *zip(*columns.values(), strict=True)]
        return list(grid(rows, right=[index for index, heading in enumerate(columns) if heading in ("up", "memory")]))

    width, zones = out().width, columns["zones"]
    columns["zones"] = [zone[:_LEAST_ZONES] for zone in zones if isinstance(zone, str)]
    for heading in (heading for heading in _GIVE_WAY if heading in columns):
        if max(line.cell_len for line in lines()) <= width:
            break
        del columns[heading]
    columns["zones"] = zones
    table = lines()
    for line in table:
        line.truncate(width, overflow="ellipsis")
    return table


def _links(node: NodeStatus) -> Cell:
    """The declared links of a node: what is on the way to whom."""
    text = "; ".join(f"{link.to} {link.words}" for link in node.links)
    return text if all(link.on for link in node.links) else (f"off (`dnslab up` mends it): {text}", "bold red")


def _release(version: str) -> str:
    """The version of the program in that of its package: 9.18.49 of 1:9.18.49-1~deb12u1."""
    return version.split(":")[-1].split("-")[0].split("+")[0]


def list_labs(as_json: AsJson = False) -> None:
    """List the labs that come with dnslab, and those that are up."""
    from lab.runtime import memory
    from lab.runtime.engine import connect

    client = connect()
    running = memory.labs(client.api)
    client.close()
    about = {name: _first_sentence(labs.find(name)) for name in labs.names()}

    def show() -> None:
        for line in grid([((name, "bold"), text) for name, text in about.items()]):
            say(line)
        say(f"\nUp: {', '.join(running) or 'none'}")

    emit({"labs": [{"name": name, "about": text} for name, text in about.items()], "up": running}, show)


def _first_sentence(file: Path) -> str:
    """The first sentence of the comment that a lab file begins with."""
    comment = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).split(". ")[0].rstrip(".")


def render(
    source: Source = labs.DEFAULT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where; by default beside the lab file.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the rendering is not current.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a lab as a Compose file: the same lab without Python.

    With it goes a folder of configuration and zone files, one subfolder a node.
    """
    from lab.runtime import compose

    declaration = labs.load(source)
    folder = output or labs.find(source).parent
    try:
        changed = compose.stale(declaration, folder) if check else compose.write(declaration, folder)
    except OSError as error:
        raise BadInput(f"cannot {'read' if check else 'write'} {error.filename}: {error.strerror}") from None
    verbs = ("not current", "missing") if check else ("written", "removed")

    def show() -> None:
        for path in changed:
            say(f"{verbs[not path.exists()]}: {plain(nearby(path))}")
        if not changed:
            say(f"{plain(nearby(folder))} is current.")
        elif not check:
            say(f"\nStart it with: docker compose (or docker-compose) -f {plain(nearby(folder / compose.FILE))} up -d")

    emit({"folder": str(folder), "changed": [str(path) for path in changed]}, show)
    if check and changed:
        raise typer.Exit(1)
