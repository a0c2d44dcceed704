"""report: a run as a page, as JUnit XML, as Markdown, as pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.options import AsJson, examples
from lab.cli.output import Wanted, emit, nearby, plain, say
from lab.errors import BadInput

RUNS = Path("runs")
"""Where `dnslab run` keeps runs, in the current folder."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("report", "the reports of the latest run, in its folder"),
            ("report tld-outage --open", "the latest run of an experiment, shown in the browser"),
            ("report --html page.html --trial 3", "the page alone, with the plots of one trial"),
            ("report --markdown - >> $GITHUB_STEP_SUMMARY", "the summary of a CI job"),
            ("report --png pictures", "the plots as pictures"),
        )
    )(report)


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, an experiment's name, or `latest`.")
    ] = "latest",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="The page alone; `-` prints it.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="JUnit XML; `-` prints it.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="A summary; `-` prints it.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Each plot as a PNG file.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Each plot as an SVG file.")] = None,
    trial: Annotated[int | None, typer.Option(min=1, metavar="N", help="Draw this trial only.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    folder: Annotated[Path, typer.Option("--runs", metavar="FOLDER", help="Where runs are kept.")] = RUNS,
    as_json: AsJson = False,
) -> None:
    """Make the reports of a run: by default report.html, junit.xml and summary.md, in its folder."""
    from lab.experiments.run import Run
    from lab.report import FILES, render, save

    found = Run.load(_find(run, folder))
    wanted = {"html": html, "junit": junit, "markdown": markdown}
    files = {format: file for format, file in wanted.items() if file is not None}
    if list(files.values()).count(Path("-")) + Wanted.json * (Path("-") in files.values()) > 1:
        raise BadInput("only one thing can be printed: give the others a file")
    if not files and png is None and svg is None:
        files = {format: found.folder / name for format, name in FILES.items()}
    if show and ("html" not in files or files["html"] == Path("-")):
        files["html"] = found.folder / FILES["html"]
    written = []
    for format, file in files.items():
        text = render(found, format, trial=trial)
        if file == Path("-"):
            sys.stdout.write(text)
        else:
            written.append(save(file, text))
    for format, place in (("png", png), ("svg", svg)):
        if place is not None:
            from lab.report.pictures import write

            written += write(found, place, format, trial=trial)
    if written or Wanted.json:
        emit({"run": str(found.folder), "files": [str(file) for file in written]}, lambda: _tell(written))
    if show:
        typer.launch(files["html"].absolute().as_uri())


def _tell(written: list[Path]) -> None:
    from lab.report.plots import missing

    for file in written:
        say(plain(nearby(file)))
    if (what := missing()) and any(file.suffix == ".html" for file in written):
        say(f"[yellow]The page has no plots: {plain(what)}[/]")


def _find(run: str, runs: Path) -> Path:
    """The folder of a run: as given, or the latest of an experiment, or the latest of all. Raises `BadInput`."""
    from lab.experiments.run import LATEST

    journal = "journal.json"
    if run == LATEST and not (Path(run) / journal).is_file():
        ones = [file.parent for file in runs.glob(f"*/*/{journal}") if file.parent.name != LATEST]
        if not ones:
            raise BadInput(f"no run is in {runs}; `dnslab run EXPERIMENT` makes one, or name the folder of a run")
        return max(ones, key=lambda one: (one.name, (one / journal).stat().st_mtime))
    places = [Path(run), Path(run) / LATEST, runs / run / LATEST, runs / run]
    for place in places:
        if (place / journal).is_file():
            return place.resolve() if place.name == LATEST else place
    raise BadInput(f"no run is at {run}: there is neither {places[0] / journal} nor {places[2] / journal}")
