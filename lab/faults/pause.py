"""pause: a node's program is frozen; its address takes packets, TCP connections open, and nothing answers."""

from __future__ import annotations

from lab.faults.node import NodeKind

FAULT = NodeKind(
    name="pause",
    summary="The program is frozen: its address takes packets, TCP connections open, and nothing answers.",
    does=lambda node: node.pause(),
    words=lambda _values: "is frozen: the kernel takes its packets, and nothing answers",
    state="paused",
    example="pause gtld-1",
)
