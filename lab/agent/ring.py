"""Frames from the kernel, through memory that both share: packet(7) with PACKET_RX_RING, TPACKET_V2.

A plain socket holds as much as net.core.rmem_max allows, some 500 small packets: 50 ms of 10,000 packets/s, and on a
machine with more to do than its cores a reader waits for longer. The ring holds 16,384 and needs no capability more.
"""

import ctypes
import mmap
import socket
import struct
from collections.abc import Iterator
from typing import Final

from . import bpf, frames

_SLOT: Final = 2048  # octets of ring a frame; what is longer comes through the socket
_BLOCK: Final = 1 << 18
_BLOCKS: Final = 128
_SLOTS: Final = _BLOCK * _BLOCKS // _SLOT
_LONGEST: Final = 1 << 17  # octets; a TCP segment before its cutting into packets has 64 KiB at the most

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_COPY_THRESH, _PACKET_VERSION = 5, 6, 7, 10
_TPACKET_V2: Final = 1
_SO_ATTACH_FILTER: Final = 26

# struct tpacket2_hdr: status, octets on the wire, octets here, where the frame begins, (network header,) time
_STATUS: Final = struct.Struct("=I")
_FRAME: Final = struct.Struct("=IIIHHII")
_USER, _COPY = 1, 2  # the slot is ours; the whole frame waits in the socket
_KERNEL: Final = _STATUS.pack(0)


class Ring:
    """The frames of all interfaces but the loopback that meet :mod:`.bpf`. Raises OSError where the kernel has none."""

    def __init__(self) -> None:
        self.dropped = 0
        """Frames that are lost: the ring was full, or a long frame met a full socket."""
        self._slot = 0
        # It receives from now on, before the filter stands; setting up the ring throws away what has come until then.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setblocking(False)
        code = bpf.program()
        memory = ctypes.create_string_buffer(code, len(code))
        fprog = struct.pack("@HP", len(code) // 8, ctypes.addressof(memory))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_COPY_THRESH, _SLOT)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, struct.pack("=IIII", _BLOCK, _BLOCKS, _SLOT, _SLOTS))
        self._memory = mmap.mmap(self._socket.fileno(), _BLOCK * _BLOCKS)

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._socket.fileno()

    def frames(self, octets: int) -> Iterator[bytes]:
        """What has come in, until it is so many octets, each as it stands in a batch (:mod:`.frames`)."""
        memory = self._memory
        while octets > 0:
            at = self._slot * _SLOT
            status, size, here, begins, _, seconds, nanoseconds = _FRAME.unpack_from(memory, at)
            if not status & _USER:
                return
            # The kernel writes the status last, behind a barrier. Python has none for this side: a processor that reads
            # out of order (not x86) would have to do so across the hundreds of instructions of a line of Python.
            content = memory[at + begins : at + begins + here]
            if status & _COPY:
                content = self._socket.recv(_LONGEST)
            memory[at : at + _STATUS.size] = _KERNEL  # last: from here on the slot may be written
            self._slot = (self._slot + 1) % _SLOTS
            octets -= len(content)
            yield frames.encode(seconds * 1_000_000_000 + nanoseconds, size, content)

    def count_dropped(self) -> int:
        """Return `dropped`, up to now; the kernel forgets its count when it is read."""
        _, dropped = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self.dropped += dropped
        return self.dropped

    def close(self) -> None:
        """Give ring and socket back."""
        self._memory.close()
        self._socket.close()
