"""What links cost, healthy, disturbed and declared, and how exact they are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from lab import Lab, labs
from lab.faults.link import LinkFault
from lab.labs import load
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from lab.topology.declaration import Declaration, Link, Zone
from tests.bench.figures import Figure, spread, throughput, timed

SUMS = (5, 30, 50, 80)  # ms: client to resolver, resolver to root, TLD, authority


def faults() -> Iterator[Figure]:
    """Faults on links: to inject and to heal, how exact a delay is, how many packets a conditioner takes."""
    ensure_images(connect(), ["conditioner"])
    with Lab.temporary("minimal", name=f"bench-{os.getpid()}") as lab:
        yield cost(lab)
        took: list[tuple[float, float]] = []
        for _ in range(20):
            began = time.perf_counter()
            fault = lab.fault("latency", "tld", delay="1ms")
            took.append((time.perf_counter() - began, timed(fault.heal)))
        (first, _), *later = took
        yield Figure("first fault on a node", f"{first * 1000:.0f} ms", "helper started, measured before and after")
        inject, heal = (median(values) for values in zip(*later, strict=True))
        yield Figure("later ones", f"{inject * 1000:.0f} ms, healed in {heal * 1000:.0f} ms (median of 19)")
        healthy, latest = latencies(lab)
        for asked in (5, 50, 200):
            with lab.fault("latency", "tld", delay=f"{asked}ms"):
                middle, late = latencies(lab)
            yield Figure(
                f"{asked} ms at 2000 q/s",
                f"median {middle:.2f} ms, 99 % below {late:.2f} ms",
                f"healthy: median {healthy:.2f} ms, 99 % below {latest:.2f} ms",
            )
        yield from ramp(lab, healthy)


def ramp(lab: Lab, healthy: float) -> Iterator[Figure]:
    """More and more packets a second: until some are not taken, the delay is 5 ms off, or the sender is at its end."""
    for rate in (5000, 10000, 20000, 40000, 60000, 80000, 120000, 160000):
        sent, taken, error = flood(lab, rate, healthy)
        limit = ""
        if sent < 0.9 * rate:
            limit = f"; {rate} asked for: the sender is at its end"
        elif taken < 0.999 or error > 5:
            limit = "; saturated"
        yield Figure(
            f"{sent:.0f} packets/s offered", f"{taken:.2%} taken, median {50 + error:.2f} ms", f"50 ms asked{limit}"
        )
        if limit:
            return


def cost(lab: Lab) -> Figure:
    """Queries a second of a link before its first fault, and after one has been healed."""
    question = lab.question(".", "NS", at="authority", recurse=False)
    throughput(lab, question)
    before = [throughput(lab, question) for _ in range(5)]
    lab.fault("latency", "authority", delay="1ms").heal()
    after = [throughput(lab, question) for _ in range(5)]
    return Figure(
        "a link before a fault and after one was healed",
        f"{median(before):.0f} and {median(after):.0f} q/s",
        f"{median(after) / median(before):.2f} x (nothing else changed: what is not 1 is the machine)",
    )


def latencies(lab: Lab, rate: int = 2000, seconds: float = 3.0) -> tuple[float, float]:
    """Median and 99th percentile of the round trips of an open loop, milliseconds, from the actual send times."""
    queries = [
        lab.question(".", "NS", at="tld", recurse=False, when=number / rate) for number in range(int(rate * seconds))
    ]
    taken = sorted(answer.attempts[-1].latency for answer in lab.ask(queries) if answer.answered)
    return median(taken) * 1000, taken[len(taken) * 99 // 100] * 1000


FLOOD = """python3 -c '
import socket, time
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flood.connect(("{address}", 53))
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < 3:
    for _ in range(int(now * {rate}) - sent):
        flood.send(b"flood")
        sent += 1
    time.sleep(0.0005)
print(sent)
'"""


def flood(lab: Lab, rate: int, healthy: float) -> tuple[float, float, float]:
    """Packets offered a second, the share of them that was taken, and by how many ms the median is off.

    Datagrams too short for DNS through a delay of 50 ms; some queries among them show how exact it still is.
    """
    fault = lab.fault("latency", "tld", delay="50ms", transport="udp")
    assert isinstance(fault, LinkFault)
    with fault, ThreadPoolExecutor(1) as pool:
        address = lab.topology.nodes["tld"].ipv4
        sending = pool.submit(lab.node("host").run, FLOOD.format(address=address, rate=rate))
        middle, _ = latencies(lab, rate=100)
        sent = int(sending.result()) + 300
        state = fault.state
    taken = state.matched / sent if state else 0.0
    return sent / 3, taken, middle - healthy - 50


def declared() -> Iterator[Figure]:
    """Declared links: what the round trips add up to, and what they cost at `up`."""
    ensure_images(connect(), ["conditioner"])
    with Lab.temporary(matrix(), name=f"bench-{os.getpid()}") as lab:
        client, root, tld, authority = SUMS
        sums = {
            "cold": client + root + tld + authority,
            "TLD known": client + tld + authority,
            "zone known": client + authority,
            "hit": client,
        }
        taken: dict[str, list[float]] = {kind: [] for kind in sums}
        for _ in range(20):
            lab.flush()
            lab.query("nowhere.arpa")  # priming is not part of the sum
            names = ("www.example.com", "www.other.com", "ftp.example.com", "www.example.com")
            for kind, name in zip(sums, names, strict=True):
                taken[kind].append(lab.query(name).latency * 1000)
        for kind, expected in sums.items():
            middle = median(taken[kind])
            yield Figure(
                f"{kind}: {expected} ms declared", f"{middle:.1f} ms", f"{middle - expected:+.1f} ms, median of 20"
            )
    wide = labs.load("wide-area")
    ups: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(3):
        for kind, declaration in (("without", wide.model_copy(update={"links": ()})), ("with", wide)):
            name = f"bench-{kind}-{os.getpid()}"
            ups[kind].append(timed(lambda name=name, made=declaration: Lab.up(made, name=name).close()))  # type: ignore[misc]
            Lab.down(name)
    for kind, values in ups.items():
        yield Figure(f"up of wide-area {kind} its links", spread(values), f"{len(wide.members)} nodes, 11 helpers")


def matrix() -> Declaration:
    """The minimal lab with the textbook's distances and a second zone on the same server."""
    minimal = load("minimal")
    other = Zone(servers=("authority",), records="www A 192.0.2.82")
    ends = (("host", "resolver"), ("resolver", "root"), ("resolver", "tld"), ("resolver", "authority"))
    links = tuple(Link(between=((one,), (two,)), rtt=f"{rtt}ms") for (one, two), rtt in zip(ends, SUMS, strict=True))
    zones = {**minimal.zones, "other.com": other}
    return minimal.model_copy(update={"zones": zones, "links": links})
