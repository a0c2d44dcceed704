"""slow-start: a node's program is restarted, and takes its time before it answers.

It is frozen as soon as its process is there, tens of milliseconds after its start. By then none of the programs listens
(measured: 25 of 25 starts): the address is up and the port refuses, as with a program that is still reading its zones.
"""

from __future__ import annotations

from lab.faults.node import NodeKind
from lab.faults.values import Parameter, show_time, time
from lab.runtime.node import NodeHandle


def _start_frozen(node: NodeHandle) -> None:
    """Start the program and freeze it at once."""
    node.stop()
    node.begin()
    node.pause()


FAULT = NodeKind(
    name="slow-start",
    summary="The program is restarted and takes its time: the address is up, the port refuses until then.",
    parameters=(Parameter("delay", "from the start to the first answer", "time: 0.1s to 1h", time(0.1, 3600.0)),),
    does=_start_frozen,
    words=lambda values: f"is restarted, and answers {show_time(values['delay'])} after its start",
    state="paused",
    asked=lambda values: f"no answer for {show_time(values['delay'])}",
    lasts=lambda values: float(values["delay"]),
    example="slow-start gtld-1 --param delay=20s",
)
