"""Packets from the kernel's NFQUEUE and verdicts on them: raw netlink, no C extension, nothing but the socket.

Layouts: linux/netfilter/nfnetlink.h, nfnetlink_queue.h and nfnetlink_conntrack.h of the kernel; netlink(7).
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

ARRIVING: Final = 0
IN: Final = 1
OUT: Final = 3
"""The netfilter hooks PRE_ROUTING, LOCAL_IN and LOCAL_OUT."""

_NETLINK_NETFILTER: Final = 12
_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BUFFER: Final = 16 << 20  # octets of packets not yet read
_QUEUE_LENGTH: Final = 65536  # packets without a verdict: two seconds of delay at 30,000 a second

_SUBSYSTEM: Final = 3 << 8  # NFNL_SUBSYS_QUEUE
_PACKET, _VERDICT, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_REQUEST, _ACK = 0x1, 0x4
_ERROR: Final = 2

_CONFIG_COMMAND, _CONFIG_PARAMETERS, _CONFIG_LENGTH = 1, 2, 3
_BIND, _COPY_PACKET = 1, 2
_HEADER, _VERDICT_HEADER, _MARK, _PAYLOAD = 1, 2, 3, 10
_DROP, _ACCEPT = 0, 1

_MESSAGE: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")
_PACKET_HEADER: Final = struct.Struct(">IHB")  # id, EtherType, hook
_FAMILY: Final = 4  # octets of nfgenmsg, before the attributes
_START: Final = _MESSAGE.size + _FAMILY
_AT_ONCE: Final = 64  # messages in one send, packets in one go

_length_and_type = struct.Struct("=IH").unpack_from
_attribute = _ATTRIBUTE.unpack_from
_packet_header = _PACKET_HEADER.unpack_from
_number = struct.Struct(">I").pack


class Packet(NamedTuple):
    """A packet that waits for a verdict."""

    id: int
    hook: int
    mark: int
    content: bytes
    """From its IP header on, with its checksums complete."""


class Queue:
    """One NFQUEUE. Raises OSError if the kernel refuses it: no such support, no NET_ADMIN, number in use."""

    def __init__(self, number: int) -> None:
        self._number = struct.pack(">BBH", 0, 0, number)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
            self._configure(_CONFIG_COMMAND, struct.pack(">BxH", _BIND, 0))
            self._configure(_CONFIG_PARAMETERS, struct.pack(">IB", 0xFFFF, _COPY_PACKET))
            self._configure(_CONFIG_LENGTH, _number(_QUEUE_LENGTH))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._accept = self._verdict_head(_ACCEPT, 0)
        self._drop = self._verdict_head(_DROP, 0)
        self._accept_marked = self._verdict_head(_ACCEPT, 8)
        self.overruns = 0
        """How often the kernel had more packets than the buffer took; they were dropped."""

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._socket.fileno()

    def packets(self) -> Iterator[Packet]:
        """Give the packets that are there, some tens at most."""
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: netlink(7) says so once, and goes on
                self.overruns += 1
                continue
            yield from _packets(data)

    def accept(self, id: int) -> bytes:
        """Return the verdict that lets a packet go on."""
        return self._accept + _number(id)

    def accept_marked(self, id: int, mark: int) -> bytes:
        """Return the verdict that lets a packet go on with a mark on it."""
        return self._accept_marked + _number(id) + _ATTRIBUTE.pack(8, _MARK) + _number(mark)

    def accept_changed(self, id: int, content: bytes) -> bytes:
        """Return the verdict that lets a packet go on with other content, from the IP header on."""
        attribute = _pad(_ATTRIBUTE.pack(4 + len(content), _PAYLOAD) + content)
        return self._verdict_head(_ACCEPT, len(attribute)) + _number(id) + attribute

    def drop(self, id: int) -> bytes:
        """Return the verdict that loses a packet."""
        return self._drop + _number(id)

    def send(self, verdicts: list[bytes]) -> None:
        """Tell the kernel some verdicts, many in one message: half of the cost is the call."""
        for start in range(0, len(verdicts), _AT_ONCE):
            self._socket.send(b"".join(verdicts[start : start + _AT_ONCE]))

    def close(self) -> None:
        """Give the queue back. Packets without a verdict are dropped by the kernel."""
        self._socket.close()

    def _configure(self, kind: int, content: bytes) -> None:
        attribute = _pad(_ATTRIBUTE.pack(4 + len(content), kind) + content)
        head = _MESSAGE.pack(_START + len(attribute), _CONFIG, _REQUEST | _ACK, 0, 0)
        self._socket.send(head + self._number + attribute)
        reply = self._socket.recv(1 << 17)
        if _length_and_type(reply)[1] == _ERROR:
            (error,) = struct.unpack_from("=i", reply, _MESSAGE.size)
            if error:
                raise OSError(-error, "NFQUEUE: the kernel refused")

    def _verdict_head(self, verdict: int, more: int) -> bytes:
        """Return a verdict message up to the packet's id, which `more` octets of attributes follow."""
        head = _MESSAGE.pack(_START + 12 + more, _VERDICT, _REQUEST, 0, 0)
        return head + self._number + _ATTRIBUTE.pack(12, _VERDICT_HEADER) + _number(verdict)


def _packets(data: bytes) -> Iterator[Packet]:
    offset = 0
    while offset + _START <= len(data):
        length, kind = _length_and_type(data, offset)
        if kind == _PACKET:
            yield _packet(data, offset + _START, offset + length)
        offset += (length + 3) & ~3


def _packet(data: bytes, start: int, end: int) -> Packet:
    id = hook = mark = 0
    content = b""
    while start + 4 <= end:
        length, kind = _attribute(data, start)
        if kind == _HEADER:
            id, _, hook = _packet_header(data, start + 4)
        elif kind == _PAYLOAD:
            content = data[start + 4 : start + length]
        elif kind == _MARK:
            mark = int.from_bytes(data[start + 4 : start + 8], "big")
        start += (length + 3) & ~3
    return Packet(id, hook, mark, content)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
