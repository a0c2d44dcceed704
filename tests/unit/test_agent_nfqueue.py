"""The netlink messages of NFQUEUE, octet by octet; the kernel itself answers in tests/lab."""

import struct
from typing import Any

import pytest

from lab.agent import nfqueue
from lab.agent.nfqueue import IN, OUT, Packet, Queue


class FakeSocket:
    """Answers every configuration with an acknowledgement, keeps what is sent, gives what is queued."""

    def __init__(self, *_: Any, error: int = 0) -> None:
        self.sent: list[bytes] = []
        self.queued: list[bytes | OSError] = []
        self.error = error
        self.blocking = True
        self.closed = False

    def bind(self, address: tuple[int, int]) -> None:
        assert address == (0, 0)

    def setsockopt(self, *_: int) -> None:
        pass

    def setblocking(self, flag: bool) -> None:
        self.blocking = flag

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, _size: int) -> bytes:
        if self.blocking:
            return struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -self.error)
        if not self.queued:
            raise BlockingIOError
        head = self.queued.pop(0)
        if isinstance(head, OSError):
            raise head
        return head

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSocket:
    made = FakeSocket()
    monkeypatch.setattr(nfqueue.socket, "socket", lambda *_: made)
    return made


def attribute(kind: int, content: bytes) -> bytes:
    data = struct.pack("=HH", 4 + len(content), kind) + content
    return data + bytes(-len(data) % 4)


def packet(id: int, hook: int, content: bytes, mark: int | None = None) -> bytes:
    body = struct.pack(">BBH", 2, 0, 53) + attribute(1, struct.pack(">IHB", id, 0x0800, hook))
    body += attribute(5, struct.pack(">I", 2))  # the interface, of no interest
    if mark is not None:
        body += attribute(3, struct.pack(">I", mark))
    body += attribute(10, content)
    return struct.pack("=IHHII", 16 + len(body), 3 << 8, 0, 0, 0) + body


def test_a_queue_is_bound_and_configured(fake: FakeSocket) -> None:
    Queue(53)
    assert [struct.unpack_from("=H", sent, 4)[0] for sent in fake.sent] == [(3 << 8) | 2] * 3
    assert all(struct.unpack_from(">H", sent, 18)[0] == 53 for sent in fake.sent)
    assert not fake.blocking


def test_what_the_kernel_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSocket(error=1)
    monkeypatch.setattr(nfqueue.socket, "socket", lambda *_: fake)
    with pytest.raises(PermissionError, match="the kernel refused"):
        Queue(53)
    assert fake.closed


def test_packets_are_taken_apart(fake: FakeSocket) -> None:
    queue = Queue(53)
    fake.queued = [packet(7, IN, b"first!"), packet(8, OUT, b"other", 0xD5B2) + packet(9, IN, b"x")]
    assert list(queue.packets()) == [
        Packet(7, IN, 0, b"first!"),
        Packet(8, OUT, 0xD5B2, b"other"),
        Packet(9, IN, 0, b"x"),
    ]


def test_an_overrun_is_counted_and_survived(fake: FakeSocket) -> None:
    queue = Queue(53)
    fake.queued = [OSError(105, "No buffer space available"), packet(7, IN, b"next")]
    assert [found.id for found in queue.packets()] == [7]
    assert queue.overruns == 1


@pytest.mark.parametrize("content", [b"12345678", b"12345"])
@pytest.mark.usefixtures("fake")
def test_verdicts(content: bytes) -> None:
    queue = Queue(53)
    plain = struct.pack("=IHHII", 32, (3 << 8) | 1, 1, 0, 0) + struct.pack(">BBH", 0, 0, 53)
    assert queue.accept(7) == plain + attribute(2, struct.pack(">II", 1, 7))
    assert queue.drop(7) == plain + attribute(2, struct.pack(">II", 0, 7))
    marked = queue.accept_marked(7, 0xD5B1)
    assert marked[20:] == attribute(2, struct.pack(">II", 1, 7)) + attribute(3, struct.pack(">I", 0xD5B1))
    changed = queue.accept_changed(7, content)
    assert changed[20:] == attribute(2, struct.pack(">II", 1, 7)) + attribute(10, content)
    for verdict in (marked, changed):
        assert struct.unpack_from("=I", verdict)[0] == len(verdict)


def test_verdicts_are_sent_many_at_once(fake: FakeSocket) -> None:
    queue = Queue(53)
    fake.sent.clear()
    queue.send([queue.accept(id) for id in range(130)])
    assert [len(sent) // 32 for sent in fake.sent] == [64, 64, 2]
    queue.send([])
    assert len(fake.sent) == 3
