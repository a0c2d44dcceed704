import asyncio
import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agent_fakes import (
    LOCALHOST,
    SERVFAIL,
    FakeServer,
    answers,
    framed,
    other_id,
    refused_port,
    reply,
    silent,
    tcp_answers,
    tcp_closes,
)

import lab.agent
from lab.agent import gateway
from lab.agent.gateway import Gateway

QUERY = bytes.fromhex("1234 0120 0001 0000 0000 0001 0161 00 0001 0001 00 0029 1000 00000000 0000")
SECOND = "127.0.0.2"


@contextlib.contextmanager
def running(resolvers, port, patience=60.0):
    """Run a gateway to these resolvers at that port; give its own port."""
    started: queue.Queue = queue.Queue()

    async def serve():
        stop = asyncio.Event()
        relay = Gateway(resolvers, patience, port)
        port_of_its_own = await relay.start(LOCALHOST, 0)
        started.put((asyncio.get_running_loop(), stop, port_of_its_own))
        await stop.wait()
        relay.close()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    loop, stop, port_of_its_own = started.get(timeout=5)
    try:
        yield port_of_its_own
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        assert not thread.is_alive()


def dig(port, *messages):
    """Send messages over UDP; return the first response."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((LOCALHOST, port))
        for message in messages:
            sock.send(message)
        return sock.recv(65535)


def dig_tcp(port, *messages):
    """Send messages over one TCP connection; return what comes before its end."""
    with socket.create_connection((LOCALHOST, port), 5) as sock:
        sock.sendall(b"".join(map(framed, messages)))
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as stream:
            return stream.read()


def test_messages_pass_unchanged_both_ways():
    with FakeServer(answers(tail=b"tail"), tcp_answers) as resolver, running([LOCALHOST], resolver.port) as port:
        assert dig(port, QUERY) == reply(QUERY, tail=b"tail")
        assert resolver.udp_queries == [QUERY]
        assert dig_tcp(port, QUERY, QUERY) == framed(reply(QUERY, tail=b"over TCP")) * 2
        assert resolver.tcp_queries == [QUERY] * 2


def test_every_query_has_a_source_port_of_its_own():
    with FakeServer(answers()) as resolver, running([LOCALHOST], resolver.port) as port:
        for _ in range(10):
            dig(port, QUERY)
        assert len(resolver.ports) > 5


def test_an_unreachable_resolver_is_passed_over_at_once_and_not_asked_first_again():
    with FakeServer(answers(), tcp_answers, host=SECOND) as second, running([LOCALHOST, SECOND], second.port) as port:
        assert dig(port, QUERY) == reply(QUERY)
        assert dig_tcp(port, QUERY)


def test_a_silent_resolver_is_passed_over_after_the_patience_and_then_goes_last():
    with (
        FakeServer(silent) as first,
        FakeServer(answers(), host=SECOND, port=first.port) as second,
        running([LOCALHOST, SECOND], first.port, patience=0.05) as port,
    ):
        begin = time.monotonic()
        assert dig(port, QUERY) == reply(QUERY)
        assert time.monotonic() - begin >= 0.05
        for _ in range(3):
            assert dig(port, QUERY) == reply(QUERY)
        assert (len(first.udp_queries), len(second.udp_queries)) == (1, 4)


def test_a_failed_resolver_is_preferred_again_after_a_while(monkeypatch):
    monkeypatch.setattr(gateway, "_REMEMBERED", 0.0)
    with (
        FakeServer(silent) as first,
        FakeServer(answers(), host=SECOND, port=first.port),
        running([LOCALHOST, SECOND], first.port, patience=0.01) as port,
    ):
        for _ in range(3):
            dig(port, QUERY)
        assert len(first.udp_queries) == 3


def test_a_late_answer_of_the_first_resolver_still_counts():
    """The second one has been asked by then; it stays silent."""
    asked_second = threading.Event()

    def late(query):
        assert asked_second.wait(5)
        return [reply(query)]

    def never(_):
        asked_second.set()
        return []

    with (
        FakeServer(late) as first,
        FakeServer(never, host=SECOND, port=first.port) as second,
        running([LOCALHOST, SECOND], first.port, patience=0.02) as port,
    ):
        assert dig(port, QUERY) == reply(QUERY)
        assert (len(first.udp_queries), len(second.udp_queries)) == (1, 1)


def test_servfail_is_passed_on_as_it_is():
    with (
        FakeServer(answers(rcode=SERVFAIL)) as first,
        FakeServer(answers(), host=SECOND, port=first.port) as second,
        running([LOCALHOST, SECOND], first.port) as port,
    ):
        assert dig(port, QUERY) == reply(QUERY, rcode=SERVFAIL)
        assert not second.udp_queries


def test_what_is_no_response_to_the_query_is_ignored():
    def wrong_then_right(query):
        return [b"", b"\xff", query, reply(query, id=other_id(query)), reply(query)]

    with FakeServer(wrong_then_right) as resolver, running([LOCALHOST], resolver.port) as port:
        assert dig(port, QUERY) == reply(QUERY)


def test_a_tcp_connection_ends_when_no_resolver_answers():
    with FakeServer(tcp=tcp_closes) as resolver, running([LOCALHOST], resolver.port) as port:
        assert dig_tcp(port, QUERY) == b""
    with refused_port() as closed, running([LOCALHOST], closed) as port:
        assert dig_tcp(port, QUERY) == b""


@pytest.mark.parametrize("garbage", [b"", b"x" * 11, reply(QUERY)])
def test_what_is_no_query_is_not_passed_on(garbage):
    with FakeServer(answers(), tcp_answers) as resolver, running([LOCALHOST], resolver.port) as port:
        assert dig(port, garbage, QUERY) == reply(QUERY)
        assert dig_tcp(port, garbage) == b""
        assert resolver.udp_queries == [QUERY]
        assert not resolver.tcp_queries


@pytest.fixture(scope="module")
def enduring_gateway():
    with FakeServer(answers(), tcp_answers) as resolver, running([LOCALHOST], resolver.port) as port:
        yield port


@settings(max_examples=40, deadline=None)
@given(octets=st.binary(max_size=40))
def test_no_garbage_kills_it(enduring_gateway, octets):
    with socket.create_connection((LOCALHOST, enduring_gateway), 5) as sock, contextlib.suppress(OSError):
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
    marked = os.urandom(2) + QUERY[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((LOCALHOST, enduring_gateway))
        sock.send(octets)
        sock.send(marked)
        while sock.recv(65535) != reply(marked):
            pass


def test_pending_queries_are_bounded(monkeypatch):
    monkeypatch.setattr(gateway, "_MOST_PENDING", 2)
    with FakeServer(silent) as resolver, running([LOCALHOST], resolver.port) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((LOCALHOST, port))
            for _ in range(5):
                sock.send(QUERY)
            resolver.wait_for_queries(2)
        # A connection is served after the datagrams that were there before it.
        assert dig_tcp(port, b"") == b""
        assert len(resolver.udp_queries) == 2


def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(gateway, "_MOST_CONNECTIONS", 1)
    with FakeServer(answers(), tcp_answers) as resolver, running([LOCALHOST], resolver.port) as port:
        with socket.create_connection((LOCALHOST, port), 5) as first, first.makefile("rb") as stream:
            first.sendall(framed(QUERY))
            assert stream.read(2)
            with socket.create_connection((LOCALHOST, port), 5) as second:
                assert second.recv(1) == b"", "closed at once"
            first.sendall(framed(QUERY))
            first.shutdown(socket.SHUT_WR)
            assert stream.read().endswith(b"over TCP")
        assert len(resolver.tcp_queries) == 2


def test_a_query_is_given_up_in_the_end(monkeypatch):
    monkeypatch.setattr(gateway, "_LIFETIME", 0.02)
    monkeypatch.setattr(gateway, "_MOST_PENDING", 1)
    with (
        FakeServer(silent) as resolver,
        running([LOCALHOST], resolver.port) as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.connect((LOCALHOST, port))
        deadline = time.monotonic() + 5
        while len(resolver.udp_queries) < 3:  # each takes the place of one that was given up
            assert time.monotonic() < deadline
            sock.send(QUERY)


def test_the_program():
    """As it is in the image: a program of its own, in the package `agent`."""
    with FakeServer(answers()), refused_port() as port:
        program = subprocess.Popen(
            [sys.executable, "-m", "agent.gateway", "--listen", "127.0.0.3", "--port", str(port), LOCALHOST],
            cwd=Path(lab.agent.__path__[0]).parent,
            stderr=subprocess.PIPE,
        )
        with program:
            deadline = time.monotonic() + 5
            while True:
                assert time.monotonic() < deadline
                with (
                    contextlib.suppress(ConnectionRefusedError),
                    socket.create_connection(("127.0.0.3", port), 5) as sock,
                ):
                    sock.sendall(framed(b"garbage"))
                    assert sock.recv(1) == b""
                    break
            program.terminate()
            assert program.stderr
            assert program.stderr.read() == b""
