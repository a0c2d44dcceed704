"""The tap without a network: its filter in the kernel, and what observers ask and are told."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from observe_frames import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    SYN,
    ethernet,
    fragments,
    ip,
    tcp,
    udp,
    udp_datagram,
    unreachable,
)

from lab.agent import bpf, server, tap
from lab.agent.frames import Frame, decode, encode
from lab.agent.tap import Tap

# The filter, run by the kernel on datagrams of a socket pair; without its first steps, which ask for the interface.


@pytest.fixture(scope="module")
def passes() -> Iterator[Callable[[bytes], bool]]:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    code = bpf.program(bpf._STEPS[2:])
    memory = ctypes.create_string_buffer(code, len(code))
    receiver.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", len(code) // 8, ctypes.addressof(memory)))
    receiver.setblocking(False)

    def through(packet: bytes) -> bool:
        frame = ethernet(packet)
        try:
            sender.send(frame)
            return receiver.recv(1 << 16) == frame
        except BlockingIOError:
            return False

    with sender, receiver:
        yield through


@pytest.mark.parametrize(
    "packet",
    [
        udp(b"query"),
        udp(b"response", ports=(53, 4000)),
        udp(b"query", CLIENT6, SERVER6),
        udp(b"response", CLIENT6, SERVER6, ports=(53, 4000)),
        tcp(flags=SYN),
        tcp(back=True),
        tcp(ends=(CLIENT6, SERVER6)),
        tcp(ends=(CLIENT6, SERVER6), back=True),
        *fragments(CLIENT, SERVER, 17, udp_datagram(bytes(200)), 64, id=1),
        *fragments(CLIENT6, SERVER6, 17, udp_datagram(bytes(200)), 64, id=1),
        unreachable(udp(b"query"), SERVER, CLIENT, 3),
        unreachable(udp(b"query", CLIENT6, SERVER6), SERVER6, CLIENT6, 4),
    ],
)
def test_the_filter_lets_dns_pass(passes: Callable[[bytes], bool], packet: bytes) -> None:
    assert passes(packet)


@pytest.mark.parametrize(
    "packet",
    [
        udp(b"x", ports=(4000, 123)),
        udp(b"x", CLIENT6, SERVER6, ports=(4000, 5353)),
        ip(CLIENT, SERVER, 6, struct.pack("!HH", 4000, 80) + bytes(16)),
        ip(CLIENT, SERVER, 1, b"\x08\0" + bytes(60)),
        ip(CLIENT6, SERVER6, 58, b"\x87\0" + bytes(60)),
        ip(CLIENT, SERVER, 47, bytes(60)),
        udp(b"")[:10],
    ],
)
def test_the_filter_lets_nothing_else_pass(passes: Callable[[bytes], bool], packet: bytes) -> None:
    assert not passes(packet)


def test_a_batch_and_back() -> None:
    frames = [Frame(2**60, 90, b"x" * 80), Frame(5, 0, b"")]
    batch = b"".join(encode(*frame) for frame in frames)
    assert list(decode(batch)) == frames
    for cut in (1, len(batch) - 1, 20):
        with pytest.raises(ValueError, match="a batch of"):
            list(decode(batch[:cut]))


# The tap and its observers


class FakeRing:
    """Frames come from a list; a socket pair stands for the kernel."""

    def __init__(self) -> None:
        self.ours, self.kernels = socket.socketpair()
        self.ours.setblocking(False)
        self.arriving: list[bytes] = []
        self.dropped = 0

    def fileno(self) -> int:
        return self.ours.fileno()

    def arrive(self, *contents: bytes) -> None:
        self.arriving += [encode(1, len(content), content) for content in contents]
        self.kernels.send(b"x")

    def frames(self, octets: int) -> Iterator[bytes]:
        while octets > 0 and self.arriving:
            frame = self.arriving.pop(0)
            octets -= len(frame)
            yield frame
        if not self.arriving:
            try:
                self.ours.recv(100)
            except BlockingIOError:
                return

    def count_dropped(self) -> int:
        return self.dropped


class Bench:
    """A tap, turned by hand."""

    def __init__(self, made: Tap, path: Path) -> None:
        self.made, self.path = made, path
        self.ring: Any = made._ring

    def turn(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + 5
        while not until():
            assert time.monotonic() < deadline, "it does not come about"
            self.made._loop.run_once(wait=False)

    def connect(self) -> Observer:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.path))
        connection.setblocking(False)
        return Observer(self, connection)


class Observer:
    def __init__(self, bench: Bench, connection: socket.socket) -> None:
        self._bench, self.connection = bench, connection
        self._data = b""

    def told(self) -> dict[str, Any]:
        def whole() -> bool:
            with contextlib.suppress(BlockingIOError):
                self._data += self.connection.recv(1 << 16)
            return b"\n" in self._data

        self._bench.turn(whole)
        line, _, self._data = self._data.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, **request: Any) -> dict[str, Any]:
        self.connection.sendall(json.dumps(request).encode() + b"\n")
        return self.told()

    def frames(self) -> list[bytes]:
        return [frame.content for frame in decode(base64.b64decode(self.told()["frames"]))]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(tap, "Ring", FakeRing)
    made = Tap(tmp_path / "socket")
    yield Bench(made, tmp_path / "socket")
    made.close()


def test_who_watches_gets_what_comes_from_then_on(bench: Bench) -> None:
    observer = bench.connect()
    bench.ring.arrive(b"before")
    assert observer.ask(op="watch", id=1) == {"watching": True, "id": 1}
    bench.ring.arrive(b"one", b"two")
    assert observer.frames() == [b"one", b"two"]


def test_who_waits_gets_each_frame_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "_GATHER", 1000.0)
    observer = bench.connect()
    assert observer.ask(op="watch", id=1, prompt=True) == {"watching": True, "id": 1}
    bench.ring.arrive(b"one")
    assert observer.frames() == [b"one"]
    bench.ring.arrive(b"two")
    assert observer.frames() == [b"two"]


def test_a_sync_comes_after_all_that_was_there(bench: Bench) -> None:
    observer = bench.connect()
    observer.ask(op="watch", id=1)
    bench.ring.arrive(b"one")
    bench.ring.dropped = 3
    observer.connection.sendall(b'{"op":"sync","id":2}\n')
    assert observer.frames() == [b"one"]
    assert observer.told() == {"dropped": 3, "id": 2}


def test_several_observers_each_from_its_own_beginning(bench: Bench) -> None:
    first, second = bench.connect(), bench.connect()
    first.ask(op="watch", id=1)
    bench.ring.dropped = 5
    bench.ring.arrive(b"one")
    assert first.frames() == [b"one"]
    second.ask(op="watch", id=1)
    bench.ring.dropped = 7
    bench.ring.arrive(b"two")
    assert first.frames() == [b"two"]
    assert second.frames() == [b"two"]
    assert first.ask(op="sync", id=2)["dropped"] == 7
    assert second.ask(op="sync", id=2)["dropped"] == 2, "what was lost before is no loss of its own"


def test_an_observer_that_reads_nothing_loses_frames_and_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "_BACKLOG", 100_000)
    lazy, eager = bench.connect(), bench.connect()
    lazy.ask(op="watch", id=1)
    eager.ask(op="watch", id=1)
    for _ in range(20):
        bench.ring.arrive(bytes(60_000))
        assert len(eager.frames()) == 1
    got, reply = 0, lazy.ask(op="sync", id=2)
    while "frames" in reply:
        got += len(list(decode(base64.b64decode(reply["frames"]))))
        reply = lazy.told()
    assert 0 < got < 20
    assert reply["dropped"] == 20 - got
    assert eager.ask(op="sync", id=2)["dropped"] == 0


def test_nonsense_is_refused_and_does_no_harm(bench: Bench) -> None:
    observer = bench.connect()
    observer.connection.sendall(b"nonsense\n")
    assert "not JSON" in observer.told()["error"]
    assert observer.ask(op="dance", id=3) == {"error": '"op" is one of watch, sync', "id": 3}
    assert observer.ask(op="sync", id=4) == {"dropped": 0, "id": 4}


def test_it_ends_a_second_after_the_last_observer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LINGER", 0.05)
    first, second = bench.connect(), bench.connect()
    for observer in (first, second):
        observer.ask(op="watch", id=1)
    first.connection.close()
    second.ask(op="sync", id=2)
    assert bench.made._running
    second.connection.close()
    bench.ring.arrive(b"to nobody")
    bench.turn(lambda: not bench.made._running)


def test_a_kernel_without_packet_sockets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tap, "Ring", refuse)
    bench = Bench(Tap(tmp_path / "socket"), tmp_path / "socket")
    assert "Operation not permitted" in bench.connect().ask(op="watch", id=1)["error"]
