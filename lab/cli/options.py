"""Options that many verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli.output import Wanted


def _json(value: bool) -> bool:
    Wanted.json = value
    return value


def _debug(value: bool) -> bool:
    Wanted.debug = Wanted.debug or value
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", callback=_json)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.", callback=_debug)]
LabName = Annotated[
    str | None,
    typer.Option("--lab", "-l", metavar="LAB", envvar="DNSLAB_LAB", help="Which lab, when several are up."),
]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Node name, its name in the DNS, or its address.")]
Source = Annotated[
    str, typer.Argument(metavar="[LAB|FILE]", help="A lab that comes with dnslab, or the path of a lab file.")
]
