"""slow-start: a node's program is restarted, and takes its time before it answers."""

from __future__ import annotations

from lab.faults.node import NodeKind
from lab.faults.values import Parameter, show_time, time
from lab.runtime.node import NodeHandle


def _start_frozen(node: NodeHandle) -> None:
    """Start the program and freeze it at once; some queries of the first moment may be answered."""
    node.stop()
    node.begin()
    node.pause()


FAULT = NodeKind(
    name="slow-start",
    summary="The program is restarted and answers late, as with big zones: its address is up, queries wait.",
    parameters=(Parameter("delay", "from the start to the first answer", "time: 0.1s to 1h", time(0.1, 3600.0)),),
    does=_start_frozen,
    words=lambda values: f"is restarted, and answers {show_time(values['delay'])} after its start",
    state="paused",
    lasts=lambda values: float(values["delay"]),
    example="slow-start gtld-1 --param delay=20s",
)
