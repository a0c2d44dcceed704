"""The report of a run: its journal and history as a page to look at, as JUnit XML, as Markdown, as pictures.

One module a format, one a plot. Nothing is judged here: what the journal says is shown, what the history says is drawn.

    write(folder)            # report.html, junit.xml and summary.md beside journal.json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.experiments.run import Run

FILES = {"html": "report.html", "junit": "junit.xml", "markdown": "summary.md"}
"""What each format is called in a run's folder."""


def write(run_folder: Path) -> list[Path]:
    """Write every report of a run into its folder and return the files.

    Raises `BadInput` when there is no run there, or a file cannot be written. Without the extra `report` (Matplotlib)
    the page has no plots and says what to install.
    """
    from lab.experiments.run import Run

    run = Run.load(run_folder)
    return [save(run_folder / file, render(run, format)) for format, file in FILES.items()]


def render(run: Run, format: str, *, trial: int | None = None) -> str:
    """A report as text: "html", "junit" or "markdown". Raises `BadInput`.

    `trial`: of a page, draw the plots of this trial only; by default those of the first dozen that matter most.
    """
    from lab.report import html, junit, markdown

    if format == "html":
        return html.render(run, trial=trial)
    return {"junit": junit.render, "markdown": markdown.render}[format](run)


def save(file: Path, text: str) -> Path:
    """Write a file. Raises `BadInput` when that is not possible."""
    from lab.errors import BadInput

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None
    return file
