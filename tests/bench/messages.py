"""What faults on DNS messages cost: to inject, to heal, and each message that is rewritten on its way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from statistics import median

from lab import Lab
from lab.faults.message import MessageFault
from lab.runtime.engine import connect
from lab.runtime.images import ensure_images
from tests.bench.figures import QUERIES, Figure, throughput, timed

_CYCLES = 20
_RATE = 1000  # queries a second, of which the delay is measured
_SCRIPT = """python3 -c '
import socket, time
query = bytes.fromhex("0021 1234 0000 0001 0000 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001")
connection = socket.create_connection(("{address}", 53))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
stream = connection.makefile("rb")
began = time.monotonic()
for turn in range({count} // 50):
    connection.sendall(query * 50)
    for _ in range(50):
        stream.read(int.from_bytes(stream.read(2), "big"))
print(time.monotonic() - began)
'"""


def figures() -> Iterator[Figure]:
    """Faults on DNS messages."""
    ensure_images(connect(), ["conditioner"])
    with Lab.temporary("minimal", name=f"bench-messages-{os.getpid()}") as lab:
        yield from _injecting(lab)
        yield from _passing(lab)
        yield from _exactness(lab)


def _injecting(lab: Lab) -> Iterator[Figure]:
    took: list[tuple[float, float]] = []
    for _ in range(_CYCLES):
        began = time.perf_counter()
        fault = lab.fault("servfail", "authority")
        took.append((time.perf_counter() - began, timed(fault.heal)))
    (first, _), *later = took
    inject, heal = (median(values) * 1000 for values in zip(*later, strict=True))
    yield Figure("first message fault on a node", f"{first * 1000:.0f} ms", "helper started; measured over UDP and TCP")
    yield Figure("later ones", f"{inject:.0f} ms, healed in {heal:.0f} ms", f"median of {_CYCLES - 1}")


def _passing(lab: Lab) -> Iterator[Figure]:
    udp, tcp = _udp_rate(lab), _tcp_rate(lab)
    for name, how in (("servfail", {}), ("ttl", {"ttl": 5}), ("servfail", {"name": "other.example.com"})):
        what = f"{name}{' of another name' if 'name' in how else ''}"
        with lab.fault(name, "authority", **how) as fault:
            assert isinstance(fault, MessageFault)
            yield Figure(f"{what}, over UDP", f"{_udp_rate(lab):.0f} messages/s", f"healthy: {udp:.0f}")
            yield Figure(f"{what}, on one TCP connection", f"{_tcp_rate(lab):.0f} messages/s", f"healthy: {tcp:.0f}")


def _exactness(lab: Lab) -> Iterator[Figure]:
    healthy = {transport: _latency(lab, transport) for transport in ("udp", "tcp")}
    with lab.fault("dns-delay", "authority", delay="50ms"):
        for transport, before in healthy.items():
            beyond = _latency(lab, transport) - 50 - before
            yield Figure(
                f"50 ms of dns-delay over {transport.upper()}",
                f"median {beyond:+.2f} ms beyond it",
                f"{_RATE if transport == 'udp' else _RATE // 10} queries/s; healthy: {before:.2f} ms",
            )


def _udp_rate(lab: Lab) -> float:
    question = lab.question("www.example.com", at="authority", recurse=False)
    return throughput(lab, question)


def _tcp_rate(lab: Lab) -> float:
    script = _SCRIPT.format(address=lab.topology.nodes["authority"].ipv4, count=QUERIES)
    return QUERIES / float(lab.node("host").run(script))


def _latency(lab: Lab, transport: str) -> float:
    """Median milliseconds of an open loop."""
    rate = _RATE if transport == "udp" else _RATE // 10  # each query over TCP is a connection of its own
    questions = [
        lab.question("www.example.com", at="authority", recurse=False, transport=transport, when=number / rate)  # type: ignore[arg-type]
        for number in range(2 * rate)
    ]
    return median(answer.attempts[-1].latency for answer in lab.ask(questions) if answer.answered) * 1000
