"""Fake DNS servers on loopback, shared by the tests of lab.agent, and tests of their own."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

LOCALHOST = "127.0.0.1"
SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 2, 3, 4, 5

Udp = Callable[[bytes], list[bytes]]
Tcp = Callable[[socket.socket, bytes], None]


def reply(query: bytes, *, rcode: int = 0, flags: int = 0x8400, id: bytes | None = None, tail: bytes = b"") -> bytes:
    """Return a response that repeats the query's sections; QR and AA unless other flags are given."""
    flags |= (query[2] & 1) << 8 | rcode
    return (query[:2] if id is None else id) + flags.to_bytes(2, "big") + query[4:] + tail


def other_id(query: bytes) -> bytes:
    return bytes([query[0] ^ 0xFF, query[1]])


def answers(**kwargs: Any) -> Udp:
    return lambda query: [reply(query, **kwargs)]


def silent(_: bytes) -> list[bytes]:
    return []


def truncated(query: bytes) -> list[bytes]:
    return [reply(query, flags=0x8600)]


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def tcp_answers(connection: socket.socket, query: bytes) -> None:
    connection.sendall(framed(reply(query, tail=b"over TCP")))


def tcp_closes(connection: socket.socket, query: bytes) -> None:
    connection.sendall(framed(reply(query))[:-1])
    connection.shutdown(socket.SHUT_WR)


class FakeServer:
    """Listens on UDP and, if told what to do there, on the same port of TCP; remembers the queries."""

    def __init__(self, udp: Udp = silent, tcp: Tcp | None = None, host: str = LOCALHOST, port: int = 0) -> None:
        self.host = host
        self.udp_queries: list[bytes] = []
        self.tcp_queries: list[bytes] = []
        self.ports: set[int] = set()
        self._changed = threading.Condition()
        self._answer_udp, self._answer_tcp = udp, tcp
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.bind((host, port))
        self.port: int = self._tcp.getsockname()[1]
        self._udp.bind((host, self.port))
        if tcp is not None:
            self._tcp.listen()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._thread.join()
        for sock in (self._udp, self._tcp, self._stopped):
            sock.close()

    def wait_for_queries(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.udp_queries) >= number, 5), len(self.udp_queries)

    def _serve(self) -> None:
        listening = [self._udp, self._stopped] + ([self._tcp] if self._answer_tcp else [])
        while True:
            ready = select.select(listening, [], [])[0]
            if self._stopped in ready:
                return
            if self._udp in ready:
                query, client = self._udp.recvfrom(65535)
                with self._changed:
                    self.udp_queries.append(query)
                    self.ports.add(client[1])
                    self._changed.notify_all()
                for message in self._answer_udp(query):
                    self._udp.sendto(message, client)
            if self._tcp in ready:
                connection, _ = self._tcp.accept()
                with connection, connection.makefile("rb") as stream:
                    query = stream.read(int.from_bytes(stream.read(2), "big"))
                    self.tcp_queries.append(query)
                    assert self._answer_tcp is not None
                    self._answer_tcp(connection, query)
                    with contextlib.suppress(OSError):  # until the client has closed, so that nothing is reset
                        stream.read()


@contextlib.contextmanager
def refused_port(host: str = LOCALHOST) -> Iterator[int]:
    """Give a port that is surely closed: held by a UDP socket that hears only itself, and a TCP one not listening."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        tcp.bind((host, 0))
        port: int = tcp.getsockname()[1]
        udp.bind((host, port))
        udp.connect((host, port))
        yield port


def test_a_reply_keeps_id_question_and_rd_and_sets_qr():
    query = bytes.fromhex("1234 0100 0001 0000 0000 0000 0161 00 0001 0001")
    assert reply(query, rcode=5) == bytes.fromhex("1234 8505 0001 0000 0000 0000 0161 00 0001 0001")
    assert reply(query, id=other_id(query))[:2] == bytes.fromhex("ed34")


def test_a_refused_port_refuses_both_transports():
    with refused_port() as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect((LOCALHOST, port))
            udp.send(b"?")
            with pytest.raises(ConnectionRefusedError):
                udp.recv(1)
        with socket.socket() as tcp, pytest.raises(ConnectionRefusedError):
            tcp.connect((LOCALHOST, port))
