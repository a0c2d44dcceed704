"""Runs dnsperf, as told over standard input, and tells what it counted; ``python3 -m agent.dnsperf``.

It says ``{"ready":true}`` first. A request is a line, an object with the fields of :class:`Order`; the next one comes
after the reply. That is a line ``{"began":seconds}`` when dnsperf sends, by the wall clock, and then one with the
fields of :class:`Counts`, or ``{"error":"text"}``. When standard input ends, whoever wanted it is gone: dnsperf is
ended, and so is this.

Why not the prober: dnsperf sends several times as much from one core, as it keeps nothing of a query but its latency.
"""

import contextlib
import json
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

MOST_SECONDS: Final = 30.0
MOST_RATE: Final = 50_000.0  # queries a second
_MOST_WAITING: Final = 65_536  # queries without an answer; then it waits
_SPARE: Final = 10.0  # seconds for dnsperf to begin and end
_NUMBER: Final = r"([\d.]+(?:e-?\d+)?)"


class DnsperfError(ValueError):
    """It cannot be run as ordered, or did not say what it counted; the text says why."""


@dataclass(frozen=True)
class Order:
    """What dnsperf is to do. Raises DnsperfError on values out of range."""

    server: str
    """Address."""
    questions: Sequence[Sequence[str]]
    """Names and types, asked in this order, over and over again."""
    seconds: float
    """For how long it sends."""
    rate: float = MOST_RATE
    """Queries a second at the most."""
    clients: int | None = None
    """A closed loop: so many wait for an answer at any time. None: an open one, as far as there is room to wait."""
    transport: str = "udp"
    timeout: float = 5.0
    """Seconds after which a query counts as lost."""
    port: int = 53

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MOST_SECONDS:
            raise DnsperfError(f"dnsperf is run for {MOST_SECONDS:g} s at the most, not {self.seconds:g}")
        if not 0 < self.rate <= MOST_RATE:
            raise DnsperfError(f"dnsperf sends {MOST_RATE:g} a second at the most, not {self.rate:g}")
        if not self.questions:
            raise DnsperfError("dnsperf needs a question")

    def command(self, file: str) -> list[str]:
        """The command line; see dnsperf(1)."""
        waiting = self.clients or min(_MOST_WAITING, max(100, int(self.rate * self.timeout)))
        return [
            "dnsperf", "-f", "any", "-s", self.server, "-p", str(self.port), "-m", self.transport, "-d", file, "-e",
            "-l", f"{self.seconds:.3f}", "-Q", f"{self.rate:.0f}", "-q", str(waiting), "-c", str(self.clients or 1),
            "-t", f"{self.timeout:g}",
        ]  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """What dnsperf said at its end. Latencies in seconds, of queries that were answered; None when none was."""

    sent: int
    lost: int
    seconds: float
    """From the first query to the last."""
    rcodes: Mapping[str, int] = field(default_factory=dict)
    """Response code -> how many answers had it."""
    latency: float | None = None
    """The mean."""
    least: float | None = None
    most: float | None = None
    deviation: float | None = None
    """The standard deviation."""


def read(output: str) -> Counts:
    """What stands in the statistics of dnsperf 2.x. Raises DnsperfError when they are not there."""
    sent, lost = _number(r"Queries sent:\s+(\d+)", output), _number(r"Queries lost:\s+(\d+)", output)
    seconds = _number(rf"Run time \(s\):\s+{_NUMBER}", output)
    if sent is None or lost is None or seconds is None:
        raise DnsperfError(
            f"dnsperf did not say what it counted: {' '.join(output.split())[-300:] or 'it said nothing'}"
        )
    codes = re.search(r"Response codes:\s+(.+)", output)
    rcodes = dict(re.findall(r"([A-Z]\w*) (\d+)", codes[1])) if codes else {}
    latency = re.search(rf"Average Latency \(s\):\s+{_NUMBER} \(min {_NUMBER}, max {_NUMBER}\)", output)
    mean, least, most = map(float, latency.groups()) if latency and lost < sent else (None, None, None)
    deviation = _number(rf"Latency StdDev \(s\):\s+{_NUMBER}", output) if mean is not None else None
    counts = {code: int(count) for code, count in rcodes.items()}
    return Counts(int(sent), int(lost), seconds, counts, mean, least, most, deviation)


def _number(pattern: str, output: str) -> float | None:
    found = re.search(pattern, output)
    return float(found[1]) if found else None


def run(order: Order, given_up: int) -> Counts:
    """Run it to its end, or until something can be read from the descriptor `given_up`. Raises DnsperfError."""
    with tempfile.NamedTemporaryFile("w", suffix=".questions") as file, tempfile.TemporaryFile("w+") as output:
        file.writelines(f"{name} {type}\n" for name, type in order.questions)
        file.flush()
        try:
            program = subprocess.Popen(order.command(file.name), stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise DnsperfError(f"dnsperf cannot be run: {error.strerror}") from None
        _tell({"began": time.time()})
        try:
            until = time.monotonic() + order.seconds + order.timeout + _SPARE
            while program.poll() is None:
                if time.monotonic() > until:
                    raise DnsperfError("dnsperf did not come to its end")
                if select.select([given_up], (), (), 0.02)[0]:
                    raise DnsperfError("given up")
        finally:
            program.kill()  # nothing happens if it has ended
            program.wait()
        output.seek(0)
        return read(output.read())


def _tell(message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        sys.stdout.write(f"{json.dumps(message)}\n")
        sys.stdout.flush()


def main() -> None:
    """Do what the lines on standard input say."""
    known = {one.name for one in fields(Order)}
    _tell({"ready": True})
    while line := sys.stdin.readline():
        try:
            order = Order(**{name: value for name, value in json.loads(line).items() if name in known})
            _tell(asdict(run(order, sys.stdin.fileno())))
        except (ValueError, TypeError, AttributeError) as error:
            _tell({"error": str(error)})


if __name__ == "__main__":
    main()
