"""kill: a node's program is ended at once, as by a crash; its address leaves the network."""

from __future__ import annotations

from lab.faults.node import NodeKind

FAULT = NodeKind(
    name="kill",
    summary="The program is ended at once (SIGKILL), as by a crash; the address leaves the network.",
    does=lambda node: node.kill(),
    words=lambda _values: "is killed: its program ends at once, its address leaves the network",
    state="stopped",
    example="kill gtld-1",
)
