"""The plots of a run as files of their own, for slides and papers."""

from __future__ import annotations

from pathlib import Path

from lab.errors import BadInput, EnvironmentProblem
from lab.experiments.run import Run
from lab.report import plots
from lab.report.plots.canvas import picture
from lab.report.view import seen


def write(run: Run, folder: Path, format: str, *, trial: int | None = None) -> list[Path]:
    """Write each plot, "png" or "svg", into a folder and return the files.

    `trial`: those of this trial only, else those of all. Raises `EnvironmentProblem` without Matplotlib, and
    `BadInput`.
    """
    if (what := plots.missing()) is not None:
        raise EnvironmentProblem(what)
    found = seen(run)
    chosen = [one for one in found if trial in (None, one.trial.number)]
    if trial is not None and not chosen:
        raise BadInput(f"no trial {trial} in {run.folder} (trials: 1 to {len(found)})")
    whole = plots.Case(run.journal, tuple((one.trial, one.history) for one in found))
    cases = [("", plot, whole) for plot in plots.of_run(whole)] if found else []
    for one in chosen:
        case = plots.Case(run.journal, ((one.trial, one.history),))
        before = f"trial-{one.trial.number}-" if len(found) > 1 else ""
        cases += [(before, plot, case) for plot in plots.of_trial()]
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for before, plot, case in cases:
            if plot.has(case):
                file = folder / f"{before}{plot.name}.{format}"
                file.write_bytes(picture(plot, case, format))
                written.append(file)
    except OSError as error:
        raise BadInput(f"cannot write into {folder}: {error.strerror}") from None
    return written
