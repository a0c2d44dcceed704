"""The orchestrator's end of a dnsperf that runs in a host of the lab."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from lab.agent.dnsperf import Counts, Order
from lab.errors import EnvironmentProblem
from lab.runtime import labels
from lab.runtime.stream import Stream, StreamClosed

if TYPE_CHECKING:
    from lab.runtime.lab import RunningLab

_COMMAND = ["python3", "-m", "agent.dnsperf"]
_TICK = 0.25  # seconds
_PATIENCE = 30.0  # seconds beyond what was ordered, before it is held to be stuck


class Dnsperf:
    """Runs dnsperf in a host (None: the first), one after the other; ready when it is made, so that none begins late.

    Raises `EnvironmentProblem`, for one when the host does not run.
    """

    def __init__(self, lab: RunningLab, host: str | None) -> None:
        self._node = lab.host(host).name
        self._stream = Stream(lab.api, labels.container_name(lab.name, self._node), _COMMAND)
        try:
            self._stream.readline(_PATIENCE)
        except (StreamClosed, TimeoutError) as error:
            self._stream.close()
            raise self._gone(error) from None

    def run(self, order: Order, tick: Callable[[], object]) -> tuple[float, Counts]:
        """When it began to ask, seconds since 1970 there, and what it counted.

        `tick` is called now and then meanwhile. Raises `EnvironmentProblem` when it cannot be run, or the host is gone.
        """
        until = time.monotonic() + order.seconds + order.timeout + _PATIENCE
        began: float | None = None
        try:
            self._stream.send(json.dumps(asdict(order)).encode() + b"\n")
            while time.monotonic() < until:
                try:
                    said = json.loads(self._stream.readline(_TICK))
                except TimeoutError:
                    tick()
                    continue
                if "error" in said:
                    raise EnvironmentProblem(f"dnsperf in {self._node}: {said['error']}")
                if "began" in said:
                    began = float(said["began"])
                elif began is not None:
                    return began, Counts(**said)
        except StreamClosed as error:
            raise self._gone(error) from None
        raise EnvironmentProblem(f"dnsperf in {self._node} said nothing for too long; is the machine too busy?")

    def close(self) -> None:
        """End it; one that runs is ended too."""
        self._stream.close()

    def _gone(self, why: Exception) -> EnvironmentProblem:
        return EnvironmentProblem(f"dnsperf in {self._node} is gone: {why or 'no word'}; is the node running?")
