"""An echo service over UDP (RFC 862): `echo_udp.py serve PORT`, `echo_udp.py ask NAME PORT TEXT [4|6]`."""

from __future__ import annotations

import socket
import sys

FAMILIES = {"": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}
TRIES, PATIENCE = 3, 1.0  # a datagram may get lost; seconds for each


def serve(port: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as here:
        here.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 too
        here.bind(("::", int(port)))
        print(f"listening on UDP port {port}", flush=True)
        while True:
            text, sender = here.recvfrom(65535)
            print(f"{text.decode()} from {sender[0]}", flush=True)
            here.sendto(text, sender)


def ask(name: str, port: str, text: str, family: str = "") -> str:
    """What the service says; each address of the name is tried in turn."""
    problem: OSError | None = None
    for kind, transport, protocol, _, address in socket.getaddrinfo(name, port, FAMILIES[family], socket.SOCK_DGRAM):
        with socket.socket(kind, transport, protocol) as here:
            here.settimeout(PATIENCE)
            here.connect(address)  # so that a port that refuses is told (ICMP), and only the server is heard
            for _ in range(TRIES):
                try:
                    here.send(text.encode())
                    return here.recv(65535).decode() + "\n"
                except OSError as error:
                    problem = error
    raise problem or OSError(f"no address for {name}")


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    try:
        sys.stdout.write({"serve": serve, "ask": ask}[verb](*arguments) or "")
    except socket.gaierror as error:
        sys.exit(f"name: {error.strerror}")
    except OSError as error:
        sys.exit(f"connection: {error.strerror or error}")
