"""A lab that several test processes use at the same time: it may only be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from lab.errors import BadInput
from lab.node import Node
from lab.runtime.clock import Clock
from lab.testing.undertest import LabUnderTest

if TYPE_CHECKING:
    from lab.faults.fault import Fault
    from lab.observe.observation import Observation
    from lab.topology import model


class SharedLab(LabUnderTest):
    """A lab in which nobody may break, change or empty anything: it is another one's too."""

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self.clock = _SharedClock(self.prober, self.name)

    def watched(self) -> Observation:
        """Refused: it would count what others ask at the same time."""
        refuse(self.name, "counting messages")

    def finish(self) -> list[str]:
        """The programs of the test are gone; there is nothing else that it could have left."""
        self._dismiss()
        return []

    def fault(self, name: str, _node: str | Sequence[str], /, **_how: Any) -> Fault:
        """Refused."""
        refuse(self.name, f"the fault {name}")

    def flush(self, resolver: str | None = None, *, name: str | None = None) -> None:  # noqa: ARG002
        """Refused."""
        refuse(self.name, "flushing caches")

    def reset(self) -> None:
        """Refused."""
        refuse(self.name, "a reset")

    def reset_clock(self) -> None:
        """Refused."""
        refuse(self.name, "putting the clock back")

    def _handle(self, node: model.Node) -> Node:
        return _SharedNode(self, node, self._wait_node)


def refuse(lab: str, what: str) -> NoReturn:
    """Raises `BadInput`: that is not for a lab which others use too."""
    raise BadInput(
        f"{what}: lab {lab} is shared by several test processes at once, and only to be asked; "
        "tests that break or change something need one of their own: mark them dnslab(..., share=False)"
    )


def _refused(verb: str) -> Callable[..., NoReturn]:
    def verb_refused(node: Node, *_how: Any) -> NoReturn:
        refuse(node.lab, f"{verb} {node.name}")

    return verb_refused


class _SharedNode(Node):
    """A node that goes on as it is."""

    stop = _refused("stopping")
    kill = _refused("killing")
    start = _refused("starting")
    restart = _refused("restarting")
    pause = _refused("pausing")
    unpause = _refused("unpausing")
    heal = _refused("healing")
    flush = _refused("flushing")


class _SharedClock(Clock):
    """A clock that goes on as it is."""

    def _set(self, *_how: Any, **_more: Any) -> NoReturn:
        refuse(self._lab, "moving the clock")
