"""A fault that is active, and how it gets there: checked, injected, measured; healed in any case."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from lab.faults.kind import Verdict
from lab.faults.plan import Plan

if TYPE_CHECKING:
    from lab.agent.conditions import State
    from lab.runtime.lab import RunningLab


class Seen(Protocol):
    """What was measured: text for people, and plain data."""

    def to_json(self) -> Any:
        """As plain data."""


def inject(lab: RunningLab, made: Plan) -> Fault:
    """Do what was planned, and measure that it bites; see `lab.Lab.fault`. Raises `EnvironmentProblem`, `NoEffect`."""
    fault = made.fault(lab)
    try:
        fault.begin()
    except BaseException:
        fault.heal()
        raise
    return fault


class Fault(ABC):
    """A fault that was injected and found to bite. Healed by `heal`, or at the end of a `with` block."""

    def __init__(self, lab: RunningLab, made: Plan) -> None:
        self._lab = lab
        self.plan = made
        self.before: Seen | None = None
        self.after: Seen | None = None
        self.verdict = Verdict("", "", bites=False)

    @property
    def name(self) -> str:
        """The kind of fault: "latency"."""
        return self.plan.kind.name

    @property
    def asked(self) -> str:
        """What was asked for, in words."""
        return self.verdict.asked

    @property
    def got(self) -> str:
        """What was measured, in words."""
        return self.verdict.got

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether it has neither been healed nor ended by itself."""

    @property
    def states(self) -> Mapping[str, State]:
        """The counters of its rules on links, by node: packets seen, matched, acted on. None of a fault of a node."""
        return {}

    @abstractmethod
    def begin(self) -> None:
        """Inject and measure. Raises `NoEffect`, `EnvironmentProblem`."""

    @abstractmethod
    def heal(self) -> None:
        """Undo it; once more is fine."""

    def to_json(self) -> dict[str, Any]:
        """Everything about it, as plain data."""
        return {
            **self.plan.about(),
            "asked": self.asked,
            "got": self.got,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json() if self.after else None,
            "lasts_s": self.plan.lasts,
            "packets": {
                node: {"seen": state.seen, "matched": state.matched, "acted": state.acted}
                for node, state in self.states.items()
            },
        }

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
