"""What watching costs: to begin, to the node that is watched, and up to which rate nothing is lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from statistics import median

import tenacity

from lab import Lab
from lab.runtime import helper
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from lab.runtime.tap import TAP
from tests.bench.figures import Figure, timed

NAME = "www.example.com"
QUERIES = 4_000  # of one round; a second or so
PAIRS = 15  # rounds watched and not
ROUNDS = 5  # of starts
SECONDS = 3  # of one flood


def figures() -> Iterator[Figure]:
    """What was measured, the figure, and what stands beside it."""
    ensure_images(connect(), ["tap"])
    with Lab.temporary("minimal", name=f"bench-{os.getpid()}") as lab:
        lab.query(NAME)
        yield from starts(lab)
        yield from cost(lab)
        for rate in (5000, 10000, 20000, 40000, 80000, 160000):
            yield flood(lab, rate)


def starts(lab: Lab) -> Iterator[Figure]:
    """To begin where no tap runs, and where one does: within a second after its last observer, or beside another."""
    cold, stops, beside, syncs = [], [], [], []
    for _ in range(ROUNDS):
        first, second = lab.observe("resolver"), lab.observe("resolver")
        cold.append(timed(first.start))
        beside.append(timed(second.start))
        syncs.append(timed(second.sync))
        stops += [timed(second.stop), timed(first.stop)]
        gone(lab)
    yield Figure("first observer of a node", spread(cold), "its tap is started")
    yield Figure("another one", spread(beside), "the tap runs already")
    yield Figure("sync, nothing under way", f"{median(syncs) * 1000:.1f} ms")
    yield Figure("stop", spread(stops), "to the last packet")


def spread(values: list[float]) -> str:
    low, high = min(values) * 1000, max(values) * 1000
    return f"{median(values) * 1000:.0f} ms ({low:.0f} to {high:.0f})"


@tenacity.retry(wait=tenacity.wait_fixed(0.05), stop=tenacity.stop_after_delay(20), reraise=True)
def gone(lab: Lab) -> None:
    assert not helper.running(lab.api, lab.name, TAP)


def cost(lab: Lab) -> Iterator[Figure]:
    """Cached queries as fast as they are answered, watched and not, in turn, so that drift hits both alike."""
    bare, watched, asked, seen, packets, spent = [], [], 0, 0, 0, 0.0
    for _ in range(PAIRS):
        bare.append(rate(lab)[0])
        with lab.observe() as looking:
            before = processor_time(lab)
            reached, attempts = rate(lab)
            looking.sync()
            spent += processor_time(lab) - before
        watched.append(reached)
        asked += attempts
        seen += len(looking.queries(sender="host"))
        packets += len(looking.messages)
    share = median(with_it / without for with_it, without in zip(watched, bare, strict=True))
    yield Figure("cached queries, not watched", f"{median(bare):.0f} q/s", f"{PAIRS} rounds of {QUERIES} each, in turn")
    yield Figure("the same, watched", f"{median(watched):.0f} q/s", f"{share:.2f} x (median of the pairs)")
    yield Figure("queries not seen", f"{asked - seen} of {asked}")
    yield Figure("processor time of the tap", f"{spent / packets * 1e6:.1f} µs a packet", f"{packets} packets")


def processor_time(lab: Lab) -> float:
    """Seconds that the tap has been running on a processor: what others do does not count."""
    container = helper.name(lab.name, "resolver", TAP)
    done = subprocess.run(
        ["docker", "exec", container, "cat", "/proc/1/schedstat"], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[0]) / 1e9


def rate(lab: Lab) -> tuple[float, int]:
    """Queries a second, and how many were sent for them."""
    question = lab.question(NAME, at="resolver")
    began = time.perf_counter()
    answers = lab.ask([question] * QUERIES)
    return QUERIES / (time.perf_counter() - began), sum(len(answer.attempts) for answer in answers)


FLOOD = """python3 -c '
import socket, time
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.connect(("{address}", 53))
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < {seconds}:
    for _ in range(min(int(now * {rate}) - sent, 2000)):
        flood.send(bytes(2) + bytes([0x80]) + bytes(45))
        sent += 1
    time.sleep(0.0005)
print(sent)
'"""


def flood(lab: Lab, rate: int) -> Figure:
    """Responses to nothing, which a resolver throws away: more than a prober could ask."""
    address = lab.topology.nodes["resolver"].ipv4
    with lab.observe() as looking:
        sent = int(lab.node("host").run(FLOOD.format(address=address, rate=rate, seconds=SECONDS)))
        seen = len(looking.responses(sender="host"))
        lost = looking.dropped["resolver"]
    note = f"{lost} lost, and counted" if seen + lost == sent else f"{lost} lost, {sent - seen - lost} not counted"
    return Figure(f"{sent / SECONDS:.0f} packets/s to a watched node", f"{seen / sent:.2%} seen", note)
