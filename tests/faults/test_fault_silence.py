"""Faults that leave a client without an answer, and what tells them apart."""

from __future__ import annotations

import json

import pytest
from faulttools import WIDE, ask, counters, fastest, in_helper, link

from lab import Lab
from lab.errors import NoEffect
from lab.faults.active import active

CONNECT = """python3 -c '
import socket
try:
    socket.create_connection(("{address}", 53), 5).close()
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("connected")
'"""


def signature(lab: Lab) -> tuple[str, str]:
    """What comes of a UDP query, and of a TCP connection from a node that has no business with this one."""
    [udp] = ask(lab, count=1, timeout=1.0)
    tcp = in_helper(lab, "authority", CONNECT.format(address=lab.topology.nodes["tld"].ipv4))
    return udp.status, tcp.strip()


def test_silent_faults_are_told_apart(lab: Lab) -> None:
    signatures = {}
    # A new life is a new namespace, with an empty neighbour cache: tests before this one may have had it ask `tld`.
    lab.node("authority").restart()
    lab.links.helper("authority")
    # `stop` first: to who knows its Ethernet address a stopped node is silent until the neighbour cache gives it up.
    for name in ("stop", "pause", "blackhole", "reject"):
        with lab.fault(name, "tld"):
            signatures[name] = signature(lab)
    signatures["healthy"] = signature(lab)
    print(json.dumps(signatures, indent=2))
    assert signatures == {
        "stop": ("TIMEOUT", "OSError 113"),  # EHOSTUNREACH: nobody answers ARP, for three seconds
        "pause": ("TIMEOUT", "connected"),  # the kernel takes the connection, the program never does
        "blackhole": ("TIMEOUT", "TimeoutError None"),
        "reject": ("UNREACHABLE", "ConnectionRefusedError 111"),
        "healthy": ("REFUSED", "connected"),  # a TLD server is not authoritative for the root
    }


@pytest.mark.parametrize("direction", ["in", "out", "both"])
def test_blackholes_one_way_and_both(lab: Lab, direction: str) -> None:
    with link(lab, "blackhole", direction=direction) as fault:
        assert not any(answer.answered for answer in ask(lab, count=3, window=3, timeout=0.2))
        assert counters(fault) == (3, 3), "a query that is lost has no answer to be lost"
    assert fastest(lab) < WIDE


@pytest.mark.parametrize("name", ["stop", "kill", "pause"])
def test_node_faults(lab: Lab, name: str) -> None:
    with lab.fault(name, "tld") as fault:
        assert fault.active
        assert fault.got.startswith("paused" if name == "pause" else "stopped")
        assert not ask(lab, count=1, timeout=0.2)[0].answered
        assert [(entry.fault, entry.node) for entry in active(lab)] == [
            ("paused" if name == "pause" else "stopped", "tld")
        ]
        with pytest.raises(NoEffect, match="already"):
            lab.fault(name, "tld")
    assert fastest(lab) < WIDE
