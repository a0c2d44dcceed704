"""The verbs put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lab.cli import asking, experiments, explaining, faults, life, nodes, observing, repair, reports, stories, time
from lab.cli.options import Debug

_SECTIONS = {
    "A lab's life": ("up", "down", "status", "labs"),
    "Ask it": ("query", "flush"),
    "See it": ("trace", "explain", "watch", "capture"),
    "Break it and mend it": ("stop", "start", "restart", "pause", "unpause", "fault", "faults", "heal", "time"),
    "Experiment": ("run", "experiment", "report"),
    "Look into it": ("logs", "shell", "render"),
    "This machine": ("doctor", "images", "gc"),
}


class _Sections(TyperGroup):
    """The verbs by what they are for, instead of one long list."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is Click's
        for title, verbs in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, self.commands[verb].get_short_help_str(100)) for verb in verbs])


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dnslab {version('dnslab')}")
        raise typer.Exit


app = typer.Typer(
    name="dnslab",
    cls=_Sections,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: compact, and there in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 as asked, 1 the DNS said no, or an experiment deviated, 2 it is inconclusive, 3 environment, "
    "4 bad input, 130 interrupted.",
)


@app.callback()
def _options(
    context: typer.Context,
    debug: Debug = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A private Internet name system in containers: to look at, to break, to test against."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for group in (life, asking, stories, explaining, observing, nodes, faults, time, experiments, reports, repair):
    group.register(app)
