"""doctor and gc: this machine, and what was left on it."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.cli.options import AsJson
from lab.cli.output import emit, out, say
from lab.errors import EnvironmentProblem


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(doctor)
    app.command()(gc)


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine lacks for a lab, and the command that mends it."""
    from lab.runtime.doctor import examine

    findings = examine()

    def show() -> None:
        marks = {"ok": "[green]ok[/]     ", "note": "[yellow]note[/]   ", "missing": "[bold red]missing[/]"}
        for finding in findings:
            out().print(f"{marks[finding.verdict]}  {finding.subject}: {finding.text}", soft_wrap=True)
            if finding.mend:
                out().print(f"           mend it: [cyan]{finding.mend}[/]", soft_wrap=True)

    emit([vars(finding) for finding in findings], show)
    if any(finding.verdict == "missing" for finding in findings):
        raise typer.Exit(EnvironmentProblem.exit_code)


def gc(
    everything: Annotated[bool, typer.Option("--all", help="Every lab, also those in use.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what dead owners left: labs of killed tests, half-made labs, outdated images. Only dnslab's own."""
    from lab.runtime.engine import connect
    from lab.runtime.gc import collect

    removed = collect(connect(), everything=everything)

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
