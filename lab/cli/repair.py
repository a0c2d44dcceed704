"""doctor, images and gc: this machine, what is made on it, and what was left."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from lab.cli.options import AsJson
from lab.cli.output import emit, grid, plain, progress, say
from lab.errors import EnvironmentProblem


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(doctor)
    app.command()(images)
    app.command()(gc)


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine lacks, and the command that mends it.

    The exit code is 3 when something is missing without which no lab can be up.
    """
    from lab.runtime.doctor import examine

    findings = examine()

    def show() -> None:
        colours = {"ok": "green", "note": "yellow", "missing": "bold red"}
        lines = grid([((found.verdict, colours[found.verdict]), found.subject, found.text) for found in findings])
        for found, line in zip(findings, lines, strict=True):
            say(line)
            if found.mend:
                say(f"         mend it: [cyan]{plain(found.mend)}[/]")
        say("\nA lab can be up here." if able else "\nNo lab can be up here until what is missing is mended.")

    able = all(found.verdict != "missing" for found in findings)
    emit({"able": able, "findings": [vars(found) for found in findings]}, show)
    if not able:
        raise typer.Exit(EnvironmentProblem.exit_code)


def images(
    build: Annotated[bool, typer.Option("--build", help="Build those that are missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the images that labs are made of, the base first; the tag of each is a digest of what it is built from.

    For the cache of a CI: `docker save $(dnslab images)` is a copy of all, and the list the key to it.
    """
    from lab.runtime.conditioner import CONDITIONER
    from lab.runtime.engine import connect
    from lab.runtime.images import BASE, ensure_images, image_reference
    from lab.runtime.tap import TAP
    from lab.software import host
    from lab.software.program import programs

    names = sorted({host.IMAGE, CONDITIONER.image, TAP.image, *(program.image for program in programs().values())})
    references = [image_reference(name) for name in (BASE, *names)]
    if build:
        with closing(connect()) as client, progress("Building images") as report:
            ensure_images(client, names, report)
    emit({"images": references}, lambda: say("\n".join(references)))


def gc(
    everything: Annotated[bool, typer.Option("--all", help="Every lab, also those in use.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what dead owners left: labs of killed tests, old images.

    Labs that were never finished go too. A lab that a person brought up stays, and so does all that is not dnslab's.
    """
    from lab.runtime.engine import connect
    from lab.runtime.gc import collect

    client = connect()
    try:
        removed = collect(client, everything=everything)
    finally:
        client.close()

    def show() -> None:
        for lab in removed.labs:
            say(f"lab {lab} removed")
        for image in removed.images:
            if not image.startswith("sha256:"):
                say(f"image {image} removed")
        if unnamed := sum(image.startswith("sha256:") for image in removed.images):
            say(f"{unnamed} leftovers of builds removed")
        if not removed.labs and not removed.images:
            say("Nothing to remove.")

    emit({"labs": removed.labs, "images": removed.images}, show)
