"""Progress as events that a terminal, a log or a test can listen to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One thing that has happened, or goes on.

    `subject` is what it is about (a lab, a node, an image). With `total` above 0 it is a step: `step` of `total` of
    `subject` is done; without, it is news that a person should see.
    """

    subject: str
    text: str
    step: int = 0
    total: int = 0


Report = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A listener that does not care."""
