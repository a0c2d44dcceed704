"""An echo service over TCP (RFC 862): `echo_tcp.py serve PORT`, `echo_tcp.py ask NAME PORT TEXT [4|6]`."""

from __future__ import annotations

import socket
import sys
from socketserver import StreamRequestHandler, ThreadingTCPServer

FAMILIES = {"": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}


class Echo(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            print(f"{line.decode().strip()} from {self.client_address[0]}", flush=True)
            self.wfile.write(line)


class Server(ThreadingTCPServer):
    address_family = socket.AF_INET6  # takes IPv4 too: "::" is dual-stack (RFC 3493 section 3.7)
    allow_reuse_address = True
    daemon_threads = True


def serve(port: str) -> None:
    with Server(("::", int(port)), Echo) as server:
        print(f"listening on TCP port {port}", flush=True)
        server.serve_forever()


def ask(name: str, port: str, text: str, family: str = "") -> str:
    """What the service says; each address of the name is tried in turn."""
    problem: OSError | None = None
    for kind, transport, protocol, _, address in socket.getaddrinfo(name, port, FAMILIES[family], socket.SOCK_STREAM):
        with socket.socket(kind, transport, protocol) as connection:
            connection.settimeout(2)
            try:
                connection.connect(address)
                connection.sendall(f"{text}\n".encode())
                return connection.makefile().readline()
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
