"""DNS messages out of TCP streams: each is preceded by two octets of length (RFC 7766 section 8).

A stream whose beginning was not seen, or of which something was lost, is taken up where a segment begins with a
message. Resolvers keep connections and use them again (RFC 7766 section 6.2.1), so that is no rare thing; and as
programs write length and message at once (section 8), most messages on such a connection begin a segment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from lab.observe.message import EventKind
from lab.observe.packets import Ends, Segment
from lab.observe.wire import begins_message

_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_WRAP = 1 << 32
_AHEAD = 1 << 20  # octets that may wait for a segment that is missing; more than any window the lab's kernels offer
_STREAMS = 8192  # that are followed at once


class Event(NamedTuple):
    """Something that is no message."""

    kind: EventKind
    text: str = ""
    back: bool = False  # it is about the stream the other way


class Streams:
    """Follows the TCP streams of one tap, each direction of a connection by itself."""

    def __init__(self) -> None:
        self._streams: OrderedDict[Ends, _Stream] = OrderedDict()

    def read(self, segment: Segment) -> Iterator[bytes | Event]:
        """The messages that a segment completes, and what it does to the connection."""
        flags, ends = segment.flags, segment.ends
        if flags & _SYN:
            known = self._streams.get(ends)
            if known is None or known.first != segment.sequence:
                self._open(ends, segment.sequence)
            yield Event("accepted" if flags & _ACK else "connect")
        if (stream := self._streams.get(ends)) is None and (segment.payload or segment.missing):
            stream = self._open(ends, (segment.sequence - 1) % _WRAP)
            if segment.missing or not begins_message(segment.payload):
                yield stream.give_up("the beginning of the stream was not seen")
        if stream is not None:
            yield from stream.add((segment.sequence + bool(flags & _SYN)) % _WRAP, segment.payload, segment.missing)
        if flags & _RST:
            yield Event("reset")
            for way in (ends, ends.back):
                if (stream := self._streams.pop(way, None)) is not None:
                    yield from (event._replace(back=way is not ends) for event in stream.end())
        elif flags & _FIN:
            yield Event("closed")
            if (stream := self._streams.get(ends)) is not None:
                stream.close((segment.sequence + len(segment.payload) + segment.missing) % _WRAP)
        if (stream := self._streams.get(ends)) is not None and stream.complete:
            del self._streams[ends]
            yield from stream.end()

    def _open(self, ends: Ends, sequence: int) -> _Stream:
        while len(self._streams) >= _STREAMS:
            self._streams.popitem(last=False)
        stream = self._streams[ends] = _Stream(sequence)
        self._streams.move_to_end(ends)
        return stream


class _Stream:
    """One direction of a connection."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.lost = False  # where the next message begins is not known any more
        self._next = (first + 1) % _WRAP
        self._early: dict[int, bytes] = {}  # segments that came before their turn
        self._octets = bytearray()
        self._end: int | None = None

    @property
    def complete(self) -> bool:
        """Whether its end, and all before it, has come."""
        return self._end is not None and (self.lost or self._end == self._next)

    def add(self, sequence: int, payload: bytes, missing: int) -> Iterator[bytes | Event]:
        """The messages that are whole now."""
        if self.lost:
            known = (sequence - self._next) % _WRAP >= _WRAP // 2  # sent again
            if known or missing or not begins_message(payload):
                return
            self.lost, self._next = False, sequence
        if missing:
            yield self.give_up(f"the kernel had no room for {missing} octets")
            return
        if payload:
            self._early[sequence] = max(payload, self._early.get(sequence, b""), key=len)
            self._join()
        if sum(map(len, self._early.values())) > _AHEAD:
            yield self.give_up("a segment is missing")
            return
        while len(self._octets) >= 2 and len(self._octets) >= (end := 2 + int.from_bytes(self._octets[:2], "big")):
            yield bytes(self._octets[2:end])
            del self._octets[:end]

    def give_up(self, why: str) -> Event:
        """Tell nothing more until a segment begins with a message."""
        self.lost = True
        self._early.clear()
        self._octets.clear()
        return Event("skipped", why)

    def close(self, sequence: int) -> None:
        """Its end is there."""
        self._end = sequence

    def end(self) -> Iterator[Event]:
        """What is to be told when nothing more comes."""
        if self._early:
            yield Event("skipped", "a segment is missing")
        elif self._octets:
            wanted = int.from_bytes(self._octets[:2], "big") if len(self._octets) > 1 else None
            whole = "its length" if wanted is None else f"{wanted} octets"
            yield Event("cut", f"a message of which {max(len(self._octets) - 2, 0)} octets came, of {whole}")

    def _join(self) -> None:
        """Take what is next in turn, and forget what has been taken before: sent again, or overlapping."""
        progress = True
        while progress:
            progress = False
            for sequence in list(self._early):
                behind = (self._next - sequence) % _WRAP  # octets of it that are known
                if behind >= _WRAP // 2:
                    continue  # it is ahead
                new = self._early.pop(sequence)[behind:]
                self._octets += new
                self._next = (self._next + len(new)) % _WRAP
                progress = progress or bool(new)
