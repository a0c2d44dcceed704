"""The proxy's connections, on loopback: messages cut anywhere, delays that hold nobody up, ends passed on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agent.loop import Loop
from lab.agent.proxy import Connection
from lab.agent.rewrites import Handling
from lab.agent.streams import Frames


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


@settings(deadline=None)  # a busy machine is no judge
@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_cut_anywhere(messages: list[bytes], data: st.DataObject) -> None:
    stream = framed(*messages) + data.draw(st.sampled_from([b"", b"\x00", b"\x00\x09half"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    frames, found = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += frames.take(stream[start:end])
    assert found == messages
    assert framed(*found) + frames.rest() == stream


class Bench:
    """A connection between a client's socket and a server's, turned by hand."""

    def __init__(self, handle: Callable[[bytes, str], Handling | None]) -> None:
        self.loop, self.ended = Loop(), False
        self.client, ours = pair()
        self.server, theirs = pair()
        self.made = Connection(self.loop, ours, theirs, True, handle, self._end)

    def _end(self, _connection: Connection) -> None:
        self.ended = True

    def until(self, check: Callable[[], object]) -> None:
        deadline = time.monotonic() + 5
        while not check():
            assert time.monotonic() < deadline, "it does not come about"
            self.loop.run_once(wait=False)

    def receive(self, end: socket.socket, size: int) -> bytes:
        got = b""

        def whole() -> bool:
            nonlocal got
            try:
                piece = end.recv(size - len(got))
            except BlockingIOError:
                return False
            got += piece
            return len(got) == size or not piece

        self.until(whole)
        return got

    def at_end(self, end: socket.socket) -> bool:
        return self.receive(end, 1) == b""

    def close(self) -> None:
        self.made.close()
        self.client.close()
        self.server.close()
        self.loop.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets that do not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setblocking(False)
    return one, other


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(handle: Callable[[bytes, str], Handling | None] = lambda _message, _direction: None) -> Bench:
        made.append(Bench(handle))
        return made[-1]

    yield make
    for each in made:
        each.close()


def handling(message: bytes, **fields: object) -> Handling:
    made = Handling(message, udp=False)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_messages_pass_both_ways_and_the_end_does_too(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.client.sendall(framed(b"question", b"another"))
    assert here.receive(here.server, 19) == framed(b"question", b"another")
    here.server.sendall(framed(b"answer")[:3])
    here.server.sendall(framed(b"answer")[3:])
    assert here.receive(here.client, 8) == framed(b"answer")
    here.client.shutdown(socket.SHUT_WR)
    assert here.at_end(here.server)
    here.server.sendall(framed(b"late"))
    assert here.receive(here.client, 6) == framed(b"late"), "the other way is still open"
    here.server.close()
    assert here.at_end(here.client)
    here.until(lambda: here.ended)


def test_half_a_message_is_passed_on_at_the_end(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.client.sendall(b"\x00\x09half")
    here.client.shutdown(socket.SHUT_WR)
    assert here.receive(here.server, 6) == b"\x00\x09half"
    assert here.at_end(here.server)


def test_directions_are_seen_from_the_node(bench: Callable[..., Bench]) -> None:
    met: list[tuple[bytes, str]] = []
    here = bench(lambda message, direction: met.append((message, direction)))
    here.client.sendall(framed(b"q"))
    here.receive(here.server, 3)
    here.server.sendall(framed(b"a"))
    here.receive(here.client, 3)
    assert met == [(b"q", "in"), (b"a", "out")]


def test_a_message_that_waits_holds_no_other_up(bench: Callable[..., Bench]) -> None:
    here = bench(lambda message, _: handling(message, delay=0.05) if message == b"slow" else None)
    began = time.monotonic()
    here.server.sendall(framed(b"slow", b"fast"))
    here.server.close()
    assert here.receive(here.client, 12) == framed(b"fast", b"slow")
    assert time.monotonic() - began >= 0.05
    assert here.at_end(here.client), "the end comes behind what was held"


def test_a_lost_message_leaves_the_connection_open(bench: Callable[..., Bench]) -> None:
    here = bench(lambda message, _: handling(message, lost=True) if message == b"gone" else None)
    here.server.sendall(framed(b"gone", b"next"))
    assert here.receive(here.client, 6) == framed(b"next")


def test_messages_may_grow(bench: Callable[..., Bench]) -> None:
    here = bench(lambda message, _: handling(message * 1000))
    here.server.sendall(framed(b"much"))
    assert here.receive(here.client, 4002) == framed(b"much" * 1000)


def test_an_early_close(bench: Callable[..., Bench]) -> None:
    here = bench(lambda message, _: handling(message, after=3))
    here.server.sendall(framed(b"answer", b"another"))
    assert here.receive(here.client, 100) == framed(b"answer")[:5]
    assert here.ended
    assert here.at_end(here.server)


def test_a_slow_message_takes_its_time_and_those_behind_it_wait(bench: Callable[..., Bench]) -> None:
    here = bench(lambda message, _: handling(message, pace=200.0) if len(message) > 5 else None)
    began = time.monotonic()
    here.server.sendall(framed(bytes(30), b"next"))
    assert here.receive(here.client, 38) == framed(bytes(30), b"next")
    assert time.monotonic() - began >= 0.9 * (32 - 4) / 200


def test_a_reset_is_passed_on(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.client.sendall(framed(b"q"))
    here.receive(here.server, 3)
    here.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    here.server.close()
    with pytest.raises(ConnectionResetError):
        here.receive(here.client, 1)
    assert here.ended


def test_who_does_not_read_is_not_read_for(bench: Callable[..., Bench]) -> None:
    """A client that takes nothing must not fill the helper's memory."""
    here = bench()
    sent = 0
    message = framed(bytes(60000))
    idle = 0
    while idle < 200:
        try:
            sent += here.server.send(message)
            idle = 0
        except BlockingIOError:
            idle += 1
        here.loop.run_once(wait=False)
        assert sent < 64 << 20
    # What stands in the proxy is bounded; the rest is in the kernel's buffers.
    assert here.made._ways["server"].target.pending < 2 << 20
    here.receive(here.client, sent - sent % len(message))


def test_a_server_that_refuses() -> None:
    loop = Loop()
    client, ours = pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
    upstream = socket.socket()
    upstream.setblocking(False)
    upstream.connect_ex(closed)
    ended: list[Connection] = []
    Connection(loop, ours, upstream, True, lambda _message, _direction: None, ended.append)
    deadline = time.monotonic() + 5
    while not ended and time.monotonic() < deadline:
        loop.run_once(wait=False)
    client.setblocking(True)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    client.close()
    loop.close()
