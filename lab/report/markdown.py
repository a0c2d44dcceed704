"""A run as Markdown, for the summary of a CI job: verdict, expectations, matrix, how to run it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.experiments import telling
from lab.experiments.journal import Finding
from lab.experiments.run import Run
from lab.report.environment import environment
from lab.report.look import MARKS
from lab.report.matrix import Matrix, matrices
from lab.report.view import Seen, fault_words, heading, seen, words_of

_MOST = 24  # trials told in full; GitHub cuts a summary off at 1 MiB


def render(run: Run) -> str:
    """The Markdown of a run."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    journal, trials = run.journal, seen(run)
    yield f"## {MARKS[journal.outcome]} {_text(heading(journal))}"
    yield f"\n**{journal.outcome}**: {_text(journal.why)}"
    if journal.question:
        yield f"\n> {_text(' '.join(journal.question.split()))}"
    for matrix in matrices(journal):
        yield from _matrix(matrix)
    for one in trials[:_MOST]:
        yield from _trial(one, alone=len(trials) == 1)
    if len(trials) > _MOST:
        yield f"\n{len(trials) - _MOST} more trials are in the journal."
    yield f"\nAgain: {_code(journal.command)}, seed {journal.seed}."
    yield "\n<details><summary>Where it ran</summary>\n"
    yield from _table(("", ""), [(_text(name), _code(value)) for name, value in environment(run)])
    yield "\n</details>"


def _trial(one: Seen, *, alone: bool) -> Iterator[str]:
    trial = one.trial
    if not alone:
        yield f"\n### {MARKS[trial.outcome]} Trial {trial.number}: {_text(words_of(trial))}"
        yield f"\n{trial.outcome}: {_text(trial.why)}"
    rows = [_row("gate", finding) for finding in trial.gate]
    rows += [_row("", finding) for finding in trial.findings]
    if rows:
        yield ""
        yield from _table(("", "expected", "measured", "why"), rows)
    yield ""
    for fault in one.faults:
        yield f"- {MARKS['held' if fault.bit else 'inconclusive']} {_text(fault_words(fault))}"


def _row(part: str, finding: Finding) -> tuple[str, ...]:
    measured = "nothing" if finding.measured is None else telling.number(finding.measured.value, finding.measured.unit)
    outcome = f"{MARKS[finding.outcome]} {part or finding.outcome}"
    return outcome, _code(finding.text), _text(measured), _text(finding.why)


def _matrix(matrix: Matrix) -> Iterator[str]:
    yield f"\n**{_text(matrix.title)}**, by {_text(matrix.column)}\n"
    rows = [
        (_text(row), *(" ".join(f"{MARKS[cell.outcome]} {_text(cell.text)}" for cell in cells) for cells in line))
        for row, line in zip(matrix.rows, matrix.cells, strict=True)
    ]
    yield from _table((_text(matrix.row), *map(_text, matrix.columns)), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _text(text: str) -> str:
    """Text of others: nothing in it is markup, and it stays on its line."""
    line = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        line = line.replace(sign, {"<": "&lt;", ">": "&gt;"}.get(sign, f"\\{sign}"))
    return line


def _code(text: str) -> str:
    """Text as code, which a table's bars and its own back quotes do not end."""
    line = " ".join(text.split()).replace("|", "\\|")
    fence = "``" if "`" in line else "`"
    return f"{fence}{' ' * (len(fence) - 1)}{line}{' ' * (len(fence) - 1)}{fence}" if line else ""
