"""partition: two sets of nodes hear nothing of each other; a node in both keeps its links to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.errors import BadInput
from lab.faults.link import LinkKind
from lab.faults.measuring import judge_lost
from lab.faults.values import Values

if TYPE_CHECKING:
    from lab.faults.plan import Options, Plan
    from lab.topology.model import Node


@dataclass(frozen=True, kw_only=True)
class PartitionKind(LinkKind):
    """A fault between the nodes of one set and those of another."""

    def plan(self, nodes: Sequence[Node], values: Values, options: Options) -> Plan:
        """A rule at each node of the first set. Raises `BadInput` when the sets leave nothing to be cut."""
        if not options.to:
            raise BadInput("partition has two sides: say with `to` which nodes are on the other one")
        # What is on both sides bridges them, as in Jepsen's nemesis of that name.
        here = [node for node in nodes if node not in options.to]
        there = tuple(node for node in options.to if node not in nodes)
        if not here or not there:
            raise BadInput("partition: one side lies within the other, and who is on both sides keeps all its links")
        return super().plan(here, values, replace(options, to=there))


FAULT = PartitionKind(
    name="partition",
    summary="Two sets of nodes hear nothing of each other; a node in both keeps all its links.",
    effect=lambda _values: {"kind": "drop"},
    words=lambda _values: "is lost, without a word to anybody",
    judge=lambda _values, evidence: judge_lost(evidence, "cut off"),
    example="partition tld --to resolver-1,resolver-2",
    probes=lambda _values: 1,
    patience=lambda _values: 0.2,
    direction="both",
    every_peer=True,
)
