"""What is broken in a lab right now, whoever broke it, and mending all of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lab.agent.conditions import State
from lab.faults.written import undo
from lab.runtime.parallel import each
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab


@dataclass(frozen=True)
class ActiveFault:
    """One fault; `left` in seconds and counters in packets, None where there is no telling: of a node."""

    fault: str
    node: str
    words: str
    process: int | None = None  # that owns it, on the machine where it runs
    left: float | None = None
    matched: int | None = None
    acted: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def active(lab: RunningLab) -> list[ActiveFault]:
    """All faults of a lab: nodes that do not run, what its ledger has, and rules on its links."""
    found, entries = lab.containers(), lab.ledger.entries()
    states = {name: found[name].state if name in found else "missing" for name in lab.nodes}
    explained = {(node, entry.state) for entry in entries for node in entry.nodes}
    nodes = [
        ActiveFault(_NODE_FAULTS.get(state, state), name, f"{name} is {_NODE_FAULTS.get(state, state)}")
        for name, state in states.items()
        if state != "running" and (name, state) not in explained
    ]
    written = [
        ActiveFault(entry.fault, ",".join(entry.nodes), entry.words, entry.process, entry.left) for entry in entries
    ]
    links = [_link(node, state) for node, rules in lab.links.disturbed().items() for state in rules]
    return nodes + written + links


def heal(lab: RunningLab, nodes: Collection[str] | None = None) -> list[str]:
    """Heal all faults of these nodes, or of all; the names of those that had any."""
    wanted = [handle for handle in lab.nodes.values() if nodes is None or handle.name in nodes]
    helpers = set(lab.links.helpers())
    disturbed = [handle.name for handle in wanted if handle.name in helpers]
    healed = {node for node, had in zip(disturbed, each(lab.links.heal, disturbed), strict=True) if had}
    # Hosts first: whether the others answer is asked from there.
    for is_host in (True, False):
        some = [handle for handle in wanted if (handle.node.role is Role.HOST) is is_host]
        mended = each(lambda handle: handle.heal(), some)
        healed |= {handle.name for handle, had in zip(some, mended, strict=True) if had}
    # Then what takes a running node to undo; one fault may be at more nodes than were asked for.
    for entry in reversed(lab.ledger.entries()):
        if nodes is None or not set(nodes).isdisjoint(entry.nodes):
            healed |= set(entry.nodes) if undo(lab, entry.id) else set()
    return [name for name in lab.nodes if name in healed]


_NODE_FAULTS = {"exited": "stopped", "dead": "stopped", "created": "stopped"}


def _link(node: str, state: State) -> ActiveFault:
    about = state.rule.about
    name, words = str(about.get("fault", state.rule.id)), str(about.get("words", state.rule.id))
    return ActiveFault(name, node, words, about.get("process"), state.left, state.matched, state.acted)
