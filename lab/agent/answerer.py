"""Answers every DNS query with nothing, over UDP and TCP; ``python3 -m agent.answerer ADDRESS``.

A host has no server, and a fault between two hosts is measured as any other: one asks, the other answers. It takes a
free port, prints its number, and ends when its standard input does: whoever started it is gone.
"""

import socketserver
import sys
import threading
from contextlib import ExitStack
from typing import Final

_HEADER: Final = 12  # octets (RFC 1035 section 4.1.1)
_QR: Final = 0x80
_RD_AND_OPCODE: Final = 0x79
_CLASS_AND_TYPE: Final = 4


def empty_answer(query: bytes) -> bytes:
    """NOERROR without records, to this query with one question. Raises ValueError for what is none."""
    end = query.index(0, _HEADER) + 1 + _CLASS_AND_TYPE  # no pointers in a question: the name ends with the root
    if len(query) < end or query[2] & _QR:
        raise ValueError("no query")
    flags = bytes([_QR | query[2] & _RD_AND_OPCODE, 0])
    return query[:2] + flags + b"\0\1" + bytes(6) + query[_HEADER:end]


class _Udp(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        try:
            self.wfile.write(empty_answer(self.rfile.read()))
        except ValueError:
            return


class _Tcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(length := self.rfile.read(2)) == 2:  # RFC 1035 section 4.2.2
            try:
                answer = empty_answer(self.rfile.read(int.from_bytes(length, "big")))
            except ValueError:
                return
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128  # a measurement asks all at once


def main() -> None:
    """Answer until standard input ends."""
    [address] = sys.argv[1:]
    with ExitStack() as servers:
        tcp = servers.enter_context(_TcpServer((address, 0), _Tcp))
        port = tcp.server_address[1]
        udp = servers.enter_context(socketserver.UDPServer((address, port), _Udp))
        for server in (tcp, udp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
