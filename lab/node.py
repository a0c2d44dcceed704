"""A node of a running lab with all that can be done to it and asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.runtime.node import NodeHandle
from lab.topology.model import Role

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lab.faults.fault import Fault
    from lab.lab import Lab
    from lab.observe.story import Story
    from lab.runtime.answer import Answer
    from lab.runtime.lab import How
    from lab.topology import model


class Node(NodeHandle):
    """A node, to be asked, broken, stopped, looked into. Get one by `Lab.node`."""

    def __init__(self, lab: Lab, node: model.Node, wait_ready: Callable[[model.Node], None]) -> None:
        super().__init__(lab.api, lab.name, node, wait_ready)
        self._here = lab

    def __repr__(self) -> str:
        return f"<node {self.name} of lab {self.lab}>"

    @property
    def home(self) -> Lab:
        """The lab that it is a node of."""
        return self._here

    def query(self, name: str, type: str = "A", **how: Unpack[How]) -> Answer:
        """Ask one question: as this host, with its resolvers, or at this server; `how` as with `Lab.query`.

        Raises `BadInput` for what cannot be asked.
        """
        return self._here.query(name, type, **self.asking(how))

    def trace(self, name: str, type: str = "A", *, cold: bool = False, **how: Unpack[How]) -> Story:
        """As `query`, and tell who asked whom for it; see `Lab.trace`. Raises `BadInput`, `EnvironmentProblem`."""
        return self._here.trace(name, type, cold=cold, **self.asking(how))

    def fault(self, name: str, /, **how: Any) -> Fault:
        """Break something here; see `Lab.fault`. Raises `BadInput`, `EnvironmentProblem`, `NoEffect`."""
        return self._here.fault(name, self.name, **how)

    def asking(self, how: How) -> How:
        """`how` to ask, with this node in its place: who asks, or who is asked."""
        asked: How = {"host": self.name} if self.node.role is Role.HOST else {"at": self.name}
        return {**how, **asked}
