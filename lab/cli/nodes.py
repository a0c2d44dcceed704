"""stop, start, restart, pause, unpause, logs, shell: one node."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from lab.cli.options import AsJson, LabName, NodeName, examples
from lab.cli.output import emit, say
from lab.errors import EnvironmentProblem

_MEANING = {
    "stop": "Stop a node's program; its address leaves the network.",
    "start": "Start a stopped node, and wait until it answers.",
    "restart": "Stop and start a node; what it kept in memory is gone.",
    "pause": "Freeze a node: it takes packets and never answers.",
    "unpause": "Let a frozen node go on, and wait until it answers.",
}
_SHELL = "command -v bash >/dev/null && exec bash || exec sh"


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb, meaning in _MEANING.items():
        app.command(verb, help=meaning)(_verb(verb))
    app.command(
        epilog=examples(
            ("logs resolver-1 -n 20", "its last twenty lines"), ("logs root-a -f", "go on with what comes, to Ctrl-C")
        ),
    )(logs)
    app.command(
        # What follows NODE belongs to the command there, as with ssh: `dnslab shell host ls -l`.
        context_settings={"allow_interspersed_args": False},
        epilog=examples(
            ("shell host", "a shell on the host; dig, drill and getent are there"),
            ("shell host dig -t MX example.com", "one command; it ends with that command's exit code"),
            ("shell -l mine host ls -l /lab", "options of dnslab come before NODE"),
        ),
    )(shell)


def _verb(verb: str) -> Callable[..., None]:
    def act(
        nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="Node names, DNS names or addresses.")],
        lab: LabName = None,
        as_json: AsJson = False,
    ) -> None:
        from lab.lab import Lab
        from lab.runtime.parallel import each

        with Lab.attach(lab) as here:
            chosen = list({handle.name: handle for handle in map(here.node, nodes)}.values())
            each(lambda handle: getattr(handle, verb)(), chosen)
            states = {handle.name: handle.state for handle in chosen}
            emit({"states": states}, lambda: say("\n".join(f"{node} is {state}." for node, state in states.items())))

    return act


def logs(
    node: NodeName,
    lab: LabName = None,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last N lines.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes; with --json, one object a line.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a node's program has logged.

    A program on the lab's clock writes the lab's time.
    """
    from lab.lab import Lab

    with Lab.attach(lab) as here:
        handle = here.node(node)
        lines = handle.logs(tail=tail, follow=follow)
        if as_json and not follow:
            emit({"node": handle.name, "lines": list(lines)}, lambda: None)
            return
        for line in lines:
            sys.stdout.write((json.dumps({"node": handle.name, "line": line}) if as_json else line) + "\n")
            sys.stdout.flush()


def shell(
    node: NodeName,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND...", help="Run this instead.")] = None,
    lab: LabName = None,
) -> None:
    """Open a shell in a node, or run a command there.

    What follows NODE is the command, options and all; its exit code is that of dnslab.
    """
    from lab.lab import Lab

    with Lab.attach(lab) as here:
        handle = here.node(node)
        if (state := handle.state) != "running":
            mend = {"paused": f"dnslab unpause {handle.name}", "missing": "dnslab up"}.get(
                state, f"dnslab start {handle.name}"
            )
            raise EnvironmentProblem(f"{handle.name} is {state}; `{mend}` mends it")
        container = handle.container
    docker = shutil.which("docker")
    if docker is None:
        raise EnvironmentProblem("`shell` needs the `docker` command on the PATH: a terminal is its business")
    flags = ["-i", "-t"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
    sys.stdout.flush()
    os.execv(docker, [docker, "exec", *flags, container, *(command or ["sh", "-c", _SHELL])])
