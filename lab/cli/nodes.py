"""stop, start, restart, pause, unpause, logs, shell: one node."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer

from lab.cli.options import AsJson, LabName, NodeName
from lab.cli.output import emit, say
from lab.errors import EnvironmentProblem

_MEANING = {
    "stop": "Stop a node's program; its address leaves the network.",
    "start": "Start a stopped node, and wait until it answers.",
    "restart": "Stop and start a node; what it kept in memory is gone.",
    "pause": "Freeze a node: it takes packets and never answers.",
    "unpause": "Let a frozen node go on, and wait until it answers.",
}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb, meaning in _MEANING.items():
        app.command(verb, help=meaning)(_verb(verb))
    app.command()(logs)
    app.command(context_settings={"ignore_unknown_options": True})(shell)


def _verb(verb: str):  # type: ignore[no-untyped-def]  # Typer reads the signature of what is returned
    def act(
        nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="Node names, DNS names or addresses.")],
        lab: LabName = None,
        as_json: AsJson = False,
    ) -> None:
        from lab.runtime.lab import Lab
        from lab.runtime.parallel import each

        with Lab.attach(lab) as here:
            chosen = [here.node(node) for node in nodes]
            each(lambda handle: getattr(handle, verb)(), chosen)
            states = {handle.name: handle.state for handle in chosen}
            emit({"states": states}, lambda: say("\n".join(f"{node} is {state}." for node, state in states.items())))

    return act


def logs(
    node: NodeName,
    lab: LabName = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last N lines.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a node's program has logged. A program on the lab's clock writes the lab's time."""
    from lab.runtime.lab import Lab

    with Lab.attach(lab) as here:
        lines = here.node(node).logs(tail=tail, follow=follow and not as_json)
        if as_json:
            emit({"node": node, "lines": list(lines)}, lambda: None)
            return
        for line in lines:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def shell(
    node: NodeName,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND...]", help="Run this instead.")] = None,
    lab: LabName = None,
) -> None:
    """Open a shell in a node, or run a command there: `dnslab shell host dig www.example.com`."""
    from lab.runtime.lab import Lab

    with Lab.attach(lab) as here:
        handle = here.node(node)
        if handle.state != "running":
            raise EnvironmentProblem(f"{handle.name} is {handle.state}; `dnslab start {handle.name}` starts it")
        container = handle.container
    docker = shutil.which("docker")
    if docker is None:
        raise EnvironmentProblem("`shell` needs the `docker` command on the PATH: a terminal is its business")
    flags = ["-i", "-t"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    sys.stdout.flush()
    os.execv(docker, [docker, "exec", *flags, container, *(command or ["sh"])])
