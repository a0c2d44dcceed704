"""The front door: a running lab with all that can be done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.node import Node
from lab.runtime.lab import RunningLab

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from lab.faults.fault import Fault
    from lab.observe.observation import Observation
    from lab.observe.story import Story
    from lab.runtime.lab import How
    from lab.topology import model


class Lab(RunningLab):
    """A lab that is up.

    Get one by `Lab.up`, which makes it, `Lab.attach`, which finds it, or `Lab.temporary`, which also removes it.
    As a context manager it closes its connections at the end; the lab stays up.
    """

    nodes: Mapping[str, Node]

    def __repr__(self) -> str:
        return f"<lab {self.name}>"

    def node(self, name: str) -> Node:
        """The node called `name`, by node name, DNS name or address. Raises `BadInput`."""
        return self.nodes[self.topology.node(name).name]

    @property
    def resolvers(self) -> Sequence[Node]:
        """The local resolvers."""
        return [self.nodes[node.name] for node in self.topology.resolvers]

    @property
    def hosts(self) -> Sequence[Node]:
        """The hosts, from which questions are asked."""
        return [self.nodes[node.name] for node in self.topology.hosts]

    def fault(self, name: str, node: str | Sequence[str], /, **how: Any) -> Fault:
        """Break something: inject the fault called `name` at `node` and measure that it bites.

        `node` is a node, or several: a list, a role ("tld"), or a zone for all its servers.

        With `how`: the fault's own parameters, and for a link `to` (as `node`), `direction`, `transport`, `seed`;
        `lasts`, after which it heals by itself. It is healed at the end of a `with` block, by its `heal`, when this
        process dies, and on a link when this lab is closed. See `lab.faults` for all faults.

        Raises `BadInput`, `EnvironmentProblem` and, when it does not bite, `NoEffect`.
        """
        from lab.faults import inject, plan

        return inject(self, plan(self.topology, name, node, how))

    def observe(self, *nodes: str) -> Observation:
        """Watch the messages of some nodes (default: all resolvers): `with lab.observe() as seen:`, then act, then ask.

        It has begun when the block does, and at the end of the block nothing is missing. See
        `lab.observe.observation.Observation`. Raises `BadInput` and, for one when a node does not run,
        `EnvironmentProblem`.
        """
        from lab.observe.observation import Observation

        return Observation(self, nodes)

    def trace(self, name: str, type: str = "A", *, cold: bool = False, **how: Unpack[How]) -> Story:
        """Ask one question, as `query` does, and tell who asked whom for it, what came back and where the time went.

        `cold`: empty all caches first. Raises `BadInput` for what cannot be asked, `EnvironmentProblem`.
        """
        from lab.observe.tracing import trace

        return trace(self, name, type, cold=cold, **how)

    def walk(self, name: str, type: str = "A", *, host: str | None = None, timeout: float | None = None) -> Story:
        """Walk from the root to the answer without a resolver, and tell each step; see `lab.observe.walk`.

        Raises `BadInput` for what cannot be asked, `EnvironmentProblem`.
        """
        from lab.observe.walk import walk

        return walk(self, name, type, host=host, timeout=timeout)

    def reset(self) -> None:
        """As after `up`: no fault is active, every node answers, no cache holds anything.

        The clock stays ahead, and is the same for all nodes again. Raises `EnvironmentProblem`.
        """
        from lab.faults.active import active, heal

        if active(self):  # a look costs a fifth of healing nothing
            heal(self)
        self.clock.level()
        self.flush()

    def _handle(self, node: model.Node) -> Node:
        return Node(self, node, self._wait_node)
