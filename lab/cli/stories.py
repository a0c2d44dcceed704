"""trace: the story of one resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.asking import question_of
from lab.cli.options import AsJson, LabName, examples
from lab.cli.output import emit, nearby, say
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.observe.drawing.text import Line
    from lab.observe.story import Story


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("trace www.example.com --cold", "the whole way, from the root"),
            ("trace www.example.com", "again: what the cache is worth"),
            ("trace www.example.org --iterative", "walk yourself, one referral after the other"),
            ("trace www.example.com --at resolver-1 --at resolver-2 --cold", "two resolvers side by side"),
            ("trace www.example.com --cold --html trace.html", "a page with a sequence diagram"),
        ),
    )(trace)


def trace(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, or an address for its reverse name.")],
    type: Annotated[str | None, typer.Argument(metavar="TYPE", help="A (the default), AAAA, MX, TXT, ...")] = None,
    lab: LabName = None,
    host: Annotated[str | None, typer.Option("--from", metavar="HOST", help="Ask from this host.")] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="RESOLVER", help="Ask this one; twice or more: compare them.")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Ask each resolver of the lab, side by side.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Empty the caches first.")] = False,
    iterative: Annotated[
        bool, typer.Option("--iterative", help="Walk from the root yourself, without a resolver.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.01, max=3600, help="How long to wait for each server.")
    ] = None,
    page: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write it as a page, which needs nothing else.")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print it as a Mermaid sequence diagram.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask, and tell who asked whom for it, what came back, and where the time went.

    It is told from the packets on the network, whatever programs the servers run. The exit code is 1 unless the answer
    is NOERROR.
    """
    from lab.lab import Lab

    if iterative and (at or compare or cold):
        raise BadInput("--iterative asks no resolver and uses no cache: leave --at, --compare and --cold out")
    if at and compare:
        raise BadInput("--compare asks every resolver; leave --at out, or name them all")
    if mermaid and as_json:
        raise BadInput("--mermaid or --json: one of them")
    target = None if page is None else _writable(page)
    asked, wanted = question_of(name, type)
    with Lab.attach(lab) as here:
        if iterative:
            stories = [here.walk(asked, wanted, host=host, timeout=timeout)]
        else:
            places: list[str | None] = [*(at or [])] or [None]
            if compare:
                places = [node.name for node in here.topology.resolvers]
            for place in places:
                if place is not None:
                    here.node(place)  # all of them are there before any is asked
            stories = [here.trace(asked, wanted, cold=cold, host=host, at=place, timeout=timeout) for place in places]
    if target is not None:
        from lab.observe.drawing.html import html

        target.write_text(html(stories), encoding="utf-8")
    data = [story.to_json() for story in stories]
    emit(data if len(data) > 1 else data[0], lambda: _show(stories, mermaid=mermaid, page=target))
    if any(story.status != "NOERROR" for story in stories):
        raise typer.Exit(1)


def _writable(page: str) -> Path:
    """The file for the page, found to be possible before anything is asked."""
    path = Path(page)
    if path.is_dir():
        raise BadInput(f"{page} is a folder; name a file in it")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"there is no folder {path.parent} for {page}")
    return path


def _show(stories: list[Story], *, mermaid: bool, page: Path | None) -> None:
    if mermaid:
        import sys

        sys.stdout.write("\n".join(story.mermaid() for story in stories) + "\n")
    else:
        from lab.observe.drawing.text import lines, table

        for place, story in enumerate(stories):
            if place:
                say()
            for line in lines(story):
                _say(line)
        if len(stories) > 1:
            say()
            for line in table(stories):
                _say(line)
    if page is not None and not mermaid:
        say(f"\nWritten: {nearby(page)}")


def _say(line: Line) -> None:
    from rich.text import Text

    text = Text()
    for piece, style in line:
        text.append("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in piece), style=style)
    text.rstrip()
    say(text)
