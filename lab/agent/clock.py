"""The lab's clock: one file a node, each a native signed 64-bit number of nanoseconds added to the node's wall clock.

The nodes' programs have their file mapped into memory, so a step is one memory write and takes effect at once.
"""

import mmap
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .protocol import Step

# "q" without a byte order is the C type: written with one 8-byte store, so that a reader never sees half of a step.
_OFFSET: Final = struct.Struct("q")
_LIMIT: Final = 2**63


_READINGS: Final = 20  # of both clocks; one that nothing came between is among them, or the machine hardly runs
_CLOSE: Final = 20e-6  # seconds


class ClockError(ValueError):
    """The clock cannot be read or set as asked; the text says why."""


class Clock:
    """The clock of a lab, in a directory. A directory that is missing is a clock without nodes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Name of a node -> inode and mapping. In virtual time each look-up is a step of all nodes.
        self._mapped: dict[str, tuple[int, mmap.mmap]] = {}

    def read(self) -> dict[str, int]:
        """Return each node's offset in nanoseconds. Raises ClockError if a file is not a clock, or OSError."""
        return {node: int(_OFFSET.unpack_from(memory)[0]) for node, memory in self._files().items()}

    def set(self, offsets: Mapping[str, int], *, force: bool = False) -> None:
        """Set the offsets, nanoseconds, of some nodes: of all or, if one is refused, of none.

        Raises ClockError on an unknown node, a value that does not fit, or one below the present offset unless forced;
        OSError if a file can't be written.
        """
        self._set(offsets, self.read(), force=force)

    def _set(self, offsets: Mapping[str, int], present: Mapping[str, int], *, force: bool = False) -> None:
        for node, offset in offsets.items():
            if node not in present:
                known = ", ".join(present) or "none"
                raise ClockError(f"the lab's clock has no node {node!r} (it has: {known})")
            if type(offset) is not int or not -_LIMIT <= offset < _LIMIT:
                raise ClockError(f"an offset is a whole number of nanoseconds in 64 bits, not {offset!r} ({node})")
            if offset < present[node] and not force:
                raise ClockError(
                    f"the lab's clock only goes forward: {node} is at {present[node]} ns, {offset} ns was asked; "
                    "restart or flush the node's programs and use force"
                )
        for node, offset in offsets.items():
            _OFFSET.pack_into(self._mapped[node][1], 0, offset)

    def forward(self, to: float) -> Step | None:
        """Move all nodes on by the same step, so that the one furthest ahead is at `to`, seconds since 1970.

        Nothing happens when it is there already: then there is no step. Raises ClockError or OSError as `set` does.
        """
        present = self.read()
        step = round(to * 1e9) - time.time_ns() - max(present.values(), default=0)
        if not present or step <= 0:
            return None
        self._set({node: offset + step for node, offset in present.items()}, present)
        return Step(time.time(), step / 1e9)

    def _files(self) -> dict[str, mmap.mmap]:
        """The clock of each node, in memory; a file that has taken the place of another is mapped anew."""
        if not self._directory.is_dir():
            return {}
        with os.scandir(self._directory) as entries:
            files = sorted((entry.name, entry.inode()) for entry in entries if entry.is_file())
        for node, inode in files:
            if self._mapped.get(node, (None,))[0] != inode:
                self._mapped[node] = inode, _map(self._directory / node)
        return {node: self._mapped[node][1] for node, _ in files}


def _map(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size != _OFFSET.size:
            raise ClockError(f"{path} is not a clock: it has {size} octets, not {_OFFSET.size}")
        return mmap.mmap(file.fileno(), _OFFSET.size)


def wall(monotonic: float) -> float:
    """What the machine's wall clock showed at a moment of the monotonic one; seconds since 1970.

    On a busy machine another program runs for milliseconds between one reading and the next, and by so much the two
    clocks seem to be apart; so they are read until nothing has come between.
    """
    closest, found = float("inf"), 0.0
    for _ in range(_READINGS):
        before, shown, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < closest:
            closest, found = after - before, shown - (before + after) / 2
        if closest <= _CLOSE:
            break
    return found + monotonic
