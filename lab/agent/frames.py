"""What the tap tells the orchestrator: frames as the kernel saw them, many in one line.

=============================== =======================================================================================
request                         reply
=============================== =======================================================================================
``{"op":"watch","id":1}``       ``{"id":1,"watching":true}``; then, as they come, batches of the frames that were seen
                                after it
the same, ``"prompt":true``     the same, but each batch at once, and not after a moment in which others may come
``{"op":"sync","id":2}``        ``{"id":2,"dropped":n}``, after all frames that the kernel had seen before the request
anything else                   ``{"error":"text","id":..}``
=============================== =======================================================================================

A batch is ``{"frames":"base64","dropped":n}``; `dropped` counts, since `watch`, the frames that met the filter and are
in no batch. Decoded it is one frame after the other, each a :data:`HEADER` and its octets from the Ethernet header on.

Only the standard library is used, so that both sides can import this module at no cost.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("!QII")
"""Nanoseconds since 1970, octets on the wire, octets that follow."""


class Frame(NamedTuple):
    """An Ethernet frame."""

    time: int
    """Nanoseconds since 1970, of the machine's clock."""
    size: int
    """Octets on the wire; more than there are in `content` when the kernel had no room for all of it."""
    content: bytes


def encode(time: int, size: int, content: bytes) -> bytes:
    """Return a frame as it stands in a batch."""
    return HEADER.pack(time, size, len(content)) + content


def decode(batch: bytes) -> Iterator[Frame]:
    """The frames of a batch, in order. Raises ValueError when it ends within one."""
    at = 0
    while at < len(batch):
        if at + HEADER.size > len(batch):
            raise ValueError(f"a batch of {len(batch)} octets ends within the header of a frame")
        time, size, length = HEADER.unpack_from(batch, at)
        at += HEADER.size
        content = batch[at : at + length]
        if len(content) < length:
            raise ValueError(f"a batch of {len(batch)} octets ends within a frame of {length}")
        yield Frame(time, size, content)
        at += length
