"""stop: a node's program is ended in an orderly way; its address leaves the network."""

from __future__ import annotations

from lab.faults.node import NodeKind

FAULT = NodeKind(
    name="stop",
    summary="The program is ended in an orderly way; the address leaves the network, ARP and ND fail.",
    does=lambda node: node.stop(),
    words=lambda _values: "is stopped: its program is asked to end, its address leaves the network",
    state="stopped",
    example="stop gtld-1",
)
