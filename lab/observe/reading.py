"""From the frames of one tap to its messages and transport events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.agent.frames import Frame
from lab.agent.protocol import Transport
from lab.observe.message import EventKind, Message, TransportEvent
from lab.observe.packets import Datagram, Ends, Packets, Segment
from lab.observe.streams import Event, Streams

Seen = Message | TransportEvent


class Reader:
    """Reads the frames of a tap; `names` has the node of each address of the lab."""

    def __init__(self, tap: str, names: Mapping[str, str]) -> None:
        self.tap, self._names = tap, names
        self._packets, self._streams = Packets(), Streams()

    def read(self, frame: Frame) -> Iterator[Seen]:
        """What a frame tells; mostly one message, or nothing."""
        packet = self._packets.read(frame)
        if packet is None:
            return
        time = packet.time / 1e9
        if isinstance(packet, Datagram):
            if packet.missing:
                text = f"the kernel had no room for {packet.missing} octets of a datagram"
                yield self._event(time, packet.ends, "udp", "skipped", text)
            else:
                yield self._message(time, packet.ends, "udp", packet.payload)
        elif isinstance(packet, Segment):
            for found in self._streams.read(packet):
                if isinstance(found, Event):
                    ends = packet.ends.back if found.back else packet.ends
                    yield self._event(time, ends, "tcp", found.kind, found.text)
                else:
                    yield self._message(time, packet.ends, "tcp", found)
        else:
            text = f"{packet.reason}, says {self._names.get(packet.reporter, packet.reporter)}"
            yield self._event(time, packet.ends, "tcp" if packet.is_tcp else "udp", "unreachable", text)

    def _message(self, time: float, ends: Ends, transport: Transport, wire: bytes) -> Message:
        source, _, destination, _ = ends
        names = self._names
        return Message(
            self.tap, time, *ends, names.get(source, source), names.get(destination, destination), transport, wire
        )

    def _event(self, time: float, ends: Ends, transport: Transport, kind: EventKind, text: str) -> TransportEvent:
        source, _, destination, _ = ends
        names = self._names
        return TransportEvent(
            self.tap,
            time,
            kind,
            *ends,
            names.get(source, source),
            names.get(destination, destination),
            transport,
            text,
        )
