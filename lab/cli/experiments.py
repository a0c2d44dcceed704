"""run and experiment: a failure-injection experiment as a file, run, judged, kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.library import ALL, run_several
from lab.cli.options import AsJson, LabName, examples, pairs
from lab.cli.output import OUTCOMES, Cell, emit, grid, nearby, plain, progress, say
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.experiments.journal import Finding, Journal, Trial
    from lab.experiments.run import Run
    from lab.experiments.runner import Planned

Which = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="One that comes with dnslab, or the path of a file.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(
        epilog=examples(
            ("run tld-outage", "every combination of its parameters, on a lab of its own"),
            ("run tld-outage --param how=stop --seed 7", "one value of a parameter, another seed"),
            ("run my.yaml --dry-run", "what would be done, in words"),
            ("run caching distance", "one after the other"),
            ("run all --quick --jobs 2", "all that come with dnslab, each as a quick run, two at a time"),
            ("run --judge runs/tld-outage/latest", "the verdict again, from the files"),
        )
    )(run)
    group = typer.Typer(help="List, show, check and begin experiments; `dnslab run` runs them.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("new")(new)
    group.command("validate")(validate)
    group.command("measures")(measures_)
    app.add_typer(group, name="experiment")


def run(
    context: typer.Context,
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXPERIMENT...", help="One that comes with dnslab, or some, the path of a file, or `all` that come."
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="One value of a parameter, or some: loss=50%,75%."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of names, times and losses.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How often, each time with another seed.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="What the file says for a quick run.")] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=8, help="Of several, so many at a time; they share the machine.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    judge: Annotated[
        Path | None, typer.Option("--judge", metavar="RUN", help="Judge a run again, from its folder.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--runs", metavar="FOLDER", envvar="DNSLAB_RUNS", help="Where runs are kept.")
    ] = Path("runs"),
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Run an experiment and judge it from what happened.

    It runs on a lab of its own, or with --lab on one that is up. The exit code is 0 when the faults bit and every
    expectation held, 1 when something deviated, 2 when it cannot be said. Ctrl-C heals what is broken.
    """
    if judge is not None:
        _end(_judge_again(judge))
        return
    if not experiments:
        raise BadInput("which experiment? `dnslab experiment list` lists those that come with dnslab")
    if len(experiments) > 1 or ALL in experiments:
        if param or dry_run or _is_typed(context, "lab"):
            raise BadInput("several run as their files say, on labs of their own: no --param, --lab or --dry-run")
        run_several(experiments, folder, seed=seed, repeats=repeats, quick=quick, jobs=jobs)
        return
    from lab.experiments.loading import load

    if jobs > 1:
        raise BadInput("the trials of one experiment come one after the other; --jobs is for several experiments")
    source = load(experiments[0])
    how: dict[str, Any] = {"seed": seed, "repeats": repeats, "quick": quick}
    if dry_run:
        from lab.experiments.runner import plan

        _foresee(plan(source, _parameters(param or []), **how), source.folder)
        return
    from lab.experiments.runner import run as run_it
    from lab.lab import Lab

    with (
        progress(f"{source.name}: running, Ctrl-C heals and ends it") as report,
        Lab.attach(lab) if lab is not None else nullcontext() as here,
    ):
        found = run_it(source, _parameters(param or []), lab=here, folder=folder, report=report, **how)
    _end(found)


def _is_typed(context: typer.Context, option: str) -> bool:
    """Whether an option stands on the command line: in the environment it is not meant for this run alone."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _end(found: Run) -> None:
    from lab.report import write

    journal, reports = found.journal, [file.name for file in write(found.folder)]
    data = {"run": str(found.folder), "reports": reports, **journal.to_json()}
    emit(data, lambda: _tell(journal, found.folder, reports))
    if journal.exit_code:
        sys.stdout.flush()
        raise typer.Exit(journal.exit_code)


def _judge_again(folder: Path) -> Run:
    from lab.experiments.judging import judge

    return judge(folder)


# What is printed


def _tell(journal: Journal, folder: Path, reports: Sequence[str]) -> None:
    for trial in journal.trials:
        _tell_trial(trial, alone=len(journal.trials) == 1)
    say(f"[{OUTCOMES[journal.outcome]}]{journal.outcome}[/]: {plain(journal.why)}")
    files = ", ".join((*reports, "journal.json", "history.jsonl"))
    say(f"[dim]{plain(nearby(folder))}: {files}; again: {plain(journal.command)}[/]")


def _tell_trial(trial: Trial, *, alone: bool) -> None:
    if not alone:
        what = ", ".join(f"{name}={value}" for name, value in trial.parameters.items())
        repeat = f", repeat {trial.repeat}" if trial.repeat > 1 else ""
        say(f"[bold]Trial {trial.number}[/]: {plain(what)}{repeat}")
    rows = [_row("gate", finding) for finding in trial.gate] + [_row("", finding) for finding in trial.findings]
    for line in grid(rows, indent="  "):
        say(line)
    for name, estimate in trial.measurements.items():
        from lab.experiments.telling import number

        predicted = trial.predictions.get(name)
        against = "" if predicted is None else f", predicted {number(predicted, estimate.unit)}"
        say(f"  {name}: {number(estimate.value, estimate.unit)}{against}")
    if not alone:
        say(f"  [{OUTCOMES[trial.outcome]}]{trial.outcome}[/]: {plain(trial.why)}")


def _row(part: str, finding: Finding) -> tuple[Cell, ...]:
    return (finding.outcome, OUTCOMES[finding.outcome]), part, finding.text, finding.why


def _foresee(trials: list[Planned], folder: Path) -> None:
    from lab.experiments.foreseeing import foresee

    found = [foresee(planned, folder) for planned in trials]

    def show() -> None:
        for number, lines in enumerate(found, 1):
            say(f"[bold]Trial {number} of {len(found)}[/]")
            for line in lines:
                say(f"  {plain(line)}")

    emit([{"trial": number, "steps": lines} for number, lines in enumerate(found, 1)], show)


# experiment


def list_(as_json: AsJson = False) -> None:
    """List the experiments that come with dnslab."""
    from lab.experiments.loading import load, names

    found = [load(name) for name in names()]
    data = [{"experiment": one.name, "title": one.title, "file": one.file} for one in found]

    def show() -> None:
        for line in grid([(one.name, one.title) for one in found]):
            say(line)

    emit(data, show)


def show(experiment: Which, as_json: AsJson = False) -> None:
    """Show an experiment: what it asks, what its source says, and how it is done."""
    from lab.experiments.loading import load

    source = load(experiment)
    cells = source.cells()
    first = cells[0].experiment
    about = {
        "experiment": source.name,
        "title": first.title,
        "question": first.question.strip(),
        "source": first.source.strip(),
        "trials": len(cells) * first.repeats,
        "parameters": [dict(cell.parameters) for cell in cells],
        "file": source.file,
    }

    def tell() -> None:
        say(f"[bold]{plain(source.name)}[/]: {plain(first.title)}")
        say(f"[dim]{len(cells) * first.repeats} trials, {plain(nearby(Path(source.file)))}[/]\n")
        for line in source.text.rstrip().splitlines():
            say(plain(line))

    emit(about, tell)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is to be called; also names the file.")],
    as_json: AsJson = False,
) -> None:
    """Write a file to begin with: a small experiment that runs, every key explained."""
    from lab.experiments.loading import begin

    file = begin(name)
    emit({"file": str(file)}, lambda: say(f"{plain(str(file))} is written; `dnslab run {plain(str(file))}` runs it."))


def validate(experiment: Which, as_json: AsJson = False) -> None:
    """Check an experiment without running it; every mistake is shown with its line."""
    from lab.experiments.loading import load

    source = load(experiment)
    cells = source.cells()
    if source.has_quick:
        source.cells(quick=True)
    trials = len(cells) * cells[0].experiment.repeats
    emit(
        {"experiment": source.name, "valid": True, "trials": trials},
        lambda: say(f"{plain(source.name)} is sound: {trials} {'trials' if trials > 1 else 'trial'}."),
    )


def measures_(as_json: AsJson = False) -> None:
    """List what can be measured, as it is written in expectations."""
    from lab.experiments.checks import measures
    from lab.experiments.evaluating import FUNCTIONS

    rows = {measure.signature: measure.summary for measure in measures().values()}
    rows |= {f"{name}({', '.join('xyz'[:count])})": what for name, (count, what) in FUNCTIONS.items()}

    def show() -> None:
        for line in grid(list(rows.items())):
            say(line)

    emit([{"measure": name, "summary": what} for name, what in rows.items()], show)


def _parameters(given: list[str]) -> dict[str, Any]:
    """`loss=50%,75%` as a parameter and its values; numbers are numbers."""
    found: dict[str, Any] = {}
    for name, value in pairs(given, "loss=50%", "; several values are written {name}=a,b"):
        values = [_scalar(one.strip()) for one in value.split(",")]
        found[name] = values if len(values) > 1 else values[0]
    return found


def _scalar(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
