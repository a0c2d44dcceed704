"""Options that many verbs share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from lab.cli.output import Wanted
from lab.errors import BadInput

LAB_VARIABLE = "DNSLAB_LAB"
"""In the environment: which lab, as with --lab."""


def _json(value: bool) -> bool:
    Wanted.json = value
    return value


def _debug(value: bool) -> bool:
    Wanted.debug = Wanted.debug or value
    return value


# Eager: read before the others, so that what is wrong with those is told in JSON too.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.", callback=_json, is_eager=True)]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the stack trace of an error.", callback=_debug, is_eager=True)
]
LabName = Annotated[
    str | None,
    typer.Option("--lab", "-l", metavar="LAB", envvar=LAB_VARIABLE, help="Which lab, when several are up."),
]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Node name, its name in the DNS, or its address.")]
Source = Annotated[
    str, typer.Argument(metavar="LAB|FILE", help="A lab that comes with dnslab, or the path of a lab file.")
]


def examples(*lines: tuple[str, str]) -> str:
    """The end of a verb's help: one command and its meaning a line."""
    width = max(len(command) for command, _ in lines)
    shown = (f"  dnslab {command:<{width}}  {meaning}" for command, meaning in lines)
    return "\n".join(("\b", "Examples:", *shown))  # \b, to Click: keep the lines of this paragraph


def pairs(given: Iterable[str], example: str, twice: str = "") -> Iterator[tuple[str, str]]:
    """Each `key=value` of --param, as a pair. Raises `BadInput`; `twice` is added where a key is given again."""
    seen: set[str] = set()
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"--param {text}: write it as --param key=value, as in --param {example}")
        if name in seen:
            raise BadInput(f"--param {name} is given twice{twice.format(name=name)}")
        seen.add(name)
        yield name, value
