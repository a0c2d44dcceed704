"""explain: one message taken apart octet by octet."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.asking import question_of
from lab.cli.options import AsJson, LabName, examples
from lab.cli.output import Cell, emit, grid, plain, say
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.observe.anatomy import Anatomy
    from lab.observe.fields import Part
    from lab.runtime.answer import Answer

_ROW = 8  # octets a line
_MOST = 65535  # octets of a message (RFC 1035 section 4.2.2)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("explain www.example.com", "the query and the response, octet by octet"),
            ("explain gaia.cs.umass.edu --at root-a --no-recurse", "a referral with its glue"),
            ("explain --hex message.txt", "a message from elsewhere, in hexadecimal; `-` reads standard input"),
        ),
    )(explain)


def explain(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A name, or an address.")] = None,
    type: Annotated[str | None, typer.Argument(metavar="TYPE", help="A (the default), AAAA, MX, ...")] = None,
    lab: LabName = None,
    host: Annotated[str | None, typer.Option("--from", metavar="HOST", help="Ask from this host.")] = None,
    at: Annotated[str | None, typer.Option(metavar="SERVER", help="Ask this node, not the host's resolvers.")] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="Over TCP.")] = False,
    recurse: Annotated[
        bool, typer.Option("--recurse/--no-recurse", help="Ask for the answer itself, or for the next step to it.")
    ] = True,
    source: Annotated[
        str | None, typer.Option("--hex", metavar="FILE|-", help="Explain these octets, in hexadecimal.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask, and take the query and the response apart: every octet, what it is and what it says.

    With --hex a message from elsewhere; a malformed one is explained up to where it breaks, and the exit code is 1.
    """
    from lab.observe.anatomy import dissect

    if (name is None) == (source is None):
        raise BadInput("`explain NAME` asks and explains; `explain --hex FILE` explains a message that is there")
    if source is not None:
        anatomy = dissect(_octets(source))
        emit(anatomy.to_json(), lambda: _show(anatomy))
        if anatomy.broken is not None:
            raise typer.Exit(1)
        return
    assert name is not None
    query, answer = _ask(lab, *question_of(name, type), host=host, at=at, tcp=tcp, recurse=recurse)
    asked, came = dissect(query), dissect(answer.wire)
    response = came.to_json() if answer.answered else None

    def show() -> None:
        transport = answer.attempts[-1].transport.upper()
        say(f"[bold]Query[/]: {answer.host} to {answer.server} over {transport}, {len(query)} octets")
        _show(asked)
        if not answer.answered:
            say(f"[bold red]{answer.status}[/]: there is no response to explain")
            return
        say(f"\n[bold]Response[/]: {answer.server} to {answer.host} over {transport}, {answer.size} octets")
        _show(came)

    emit({"from": answer.host, "to": answer.server, "query": asked.to_json(), "response": response}, show)
    if not answer.answered:
        raise typer.Exit(1)


def _ask(
    lab: str | None, name: str, type: str, *, host: str | None, at: str | None, tcp: bool, recurse: bool
) -> tuple[bytes, Answer]:
    """The message of the query, as it was sent, and what came back."""
    from lab.agent.message import query_message
    from lab.lab import Lab

    with Lab.attach(lab) as here:
        question = here.question(name, type, host=host, at=at, transport="tcp" if tcp else "udp", recurse=recurse)
        [answer] = here.ask([question], host=host)
    # The prober keeps no number of a query; the response repeats it (and without one any will do).
    return (answer.wire[:2] or bytes(2)) + query_message(question).body, answer


def _octets(source: str) -> bytes:
    """The octets written in hexadecimal in a file; blanks, colons and `0x` between them are fine."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot read {source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{source} is no text; write the octets in hexadecimal: xxd -p FILE") from None
    digits = re.sub(r"0x|[\s:,]", "", text, flags=re.IGNORECASE)
    if wrong := re.search(r"[^0-9a-fA-F]", digits):
        line = text[: text.index(wrong[0])].count("\n") + 1
        raise BadInput(f"{source}, line {line}: {wrong[0]!r} is no hexadecimal digit")
    if len(digits) % 2:
        raise BadInput(f"{source}: an odd number of hexadecimal digits ({len(digits)}); two make an octet")
    if not 0 < len(digits) // 2 <= _MOST:
        raise BadInput(f"{source}: {len(digits) // 2} octets; a message has 1 to {_MOST}")
    return bytes.fromhex(digits)


def _show(anatomy: Anatomy) -> None:
    shown = [
        (part.label if at == 0 else "", row) for part in anatomy.parts for at, row in enumerate(_section(part, anatomy))
    ]
    for (title, _), line in zip(shown, grid([row for _, row in shown], right=[0], indent="  "), strict=True):
        if title:
            say(f"[bold]{title}[/]")
        say(line)
    if anatomy.broken is not None:
        say(f"[bold red]It breaks at octet {anatomy.broken.offset}[/]: {plain(anatomy.broken.reason)}")


def _section(part: Part, anatomy: Anatomy) -> Iterator[tuple[Cell, ...]]:
    for inner in part.parts if part.kind == "section" else (part,):
        yield from _rows(anatomy.wire, inner, 0)


def _rows(wire: bytes, part: Part, depth: int) -> Iterator[tuple[Cell, ...]]:
    """The lines of one part: where it is, its octets or bits, what it is called, what it says."""
    label = "  " * depth + part.label
    if part.bits is not None:
        yield ("", ""), (_bits(wire, part), "dim"), (label, ""), (_printable(part), "")
        return
    where = f"{part.start}" if part.end - part.start == 1 else f"{part.start}-{part.end - 1}"
    style = {"record": "bold cyan", "question": "bold cyan", "name": "cyan", "unread": "red"}.get(part.kind, "")
    below, said = part.parts, _printable(part)
    if part.kind == "name" and len(below) == 1:  # only a pointer, or only the root: one line says it
        said = f"pointer {below[0].value}" if below[0].kind == "pointer" else said
        below = ()
    whole = all(child.bits is not None for child in below)
    octets = [wire[at : min(at + _ROW, part.end)] for at in range(part.start, part.end, _ROW)] if whole else []
    lines = [" ".join(f"{octet:02x}" for octet in row) for row in octets] or [""]
    yield (where, "dim"), (lines[0], "yellow"), (label, style), (said, style)
    for line in lines[1:]:
        yield ("", ""), (line, "yellow"), ("", ""), ("", "")
    for child in below:
        yield from _rows(wire, child, depth + 1)


def _printable(part: Part) -> str:
    """What a part says, with no control character in it."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in part.value)


def _bits(wire: bytes, part: Part) -> str:
    """The bits of a field, those of others as dots: `.... .1.. .... ....`."""
    assert part.bits is not None
    first, width = part.bits
    whole = "".join(f"{octet:08b}" for octet in wire[part.start : part.end])
    shown = "".join(bit if first <= place < first + width else "." for place, bit in enumerate(whole))
    return " ".join(shown[at : at + 4] for at in range(0, len(shown), 4))
