"""What is wrong with a file that people wrote, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import BadInput

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where in the declaration, what, and what would be right."""

    path: Path
    text: str
    below: int = 0  # lines below the start of the value at `path`, for the inside of a block of records

    @property
    def place(self) -> str:
        """The path as people would say it: `zones.example.com.servers`."""
        return ".".join(str(part) for part in self.path)


class DeclarationError(BadInput):
    """A lab file, or another, that cannot be what it is to be; one line `file:line: place: what` for each problem."""

    def __init__(self, source: str, problems: Sequence[tuple[int, Problem]], what: str = "lab file") -> None:
        self.source, self.what = source, what
        self.problems = tuple(sorted(problems, key=lambda found: found[0]))
        super().__init__(
            "\n".join(
                f"{source}:{line}: {problem.place + ': ' if problem.path else ''}{problem.text}"
                for line, problem in self.problems
            )
        )
