"""Which of [address, port] can be reached from here, over TCP and UDP: `["10.0.0.1 tcp", ..]`.

A refusal counts as well: somebody was there to refuse.
"""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 1.5  # seconds; an answer from the same machine takes less than a millisecond
# A DNS query for the name servers of the root: whoever speaks DNS answers it, the listener echoes anything.
QUERY = bytes.fromhex("5300 0000 0001 0000 0000 0000 00 0002 0001")


def reaches(target: tuple[str, int, str]) -> bool:
    address, port, transport = target
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    try:
        [(family, _, _, _, place)] = socket.getaddrinfo(address, port, type=kind, flags=socket.AI_NUMERICHOST)
        with socket.socket(family, kind) as probe:
            probe.settimeout(PATIENCE)
            probe.connect(place)
            if transport == "udp":
                probe.send(QUERY)
                probe.recv(4096)
    except ConnectionRefusedError:
        return True
    except OSError:  # no route, no answer, no such address family
        return False
    return True


targets = [(address, port, transport) for address, port in json.loads(sys.argv[1]) for transport in ("tcp", "udp")]
with ThreadPoolExecutor(len(targets)) as pool:
    verdicts = zip(targets, pool.map(reaches, targets), strict=True)
    print(json.dumps([f"{address} {transport}" for (address, _, transport), reached in verdicts if reached]))
