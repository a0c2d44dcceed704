"""TCP streams: cut anywhere, in any order, sent again, begun unseen; and what happens to connections."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observe_frames import ACK, FIN, PSH, RST, SYN, frame, framed, tcp

from lab.observe.message import Message, TransportEvent
from lab.observe.reading import Reader, Seen

MESSAGES = [b"first message", b"", b"x" * 700, b"last"]
STREAM = b"".join(map(framed, MESSAGES))


def read(*packets: bytes) -> list[Seen]:
    reader = Reader("resolver-1", {})
    return [seen for packet in packets for seen in reader.read(frame(packet))]


def wires(seen: list[Seen]) -> list[bytes]:
    return [found.wire for found in seen if isinstance(found, Message)]


def events(seen: list[Seen]) -> list[str]:
    return [found.kind for found in seen if isinstance(found, TransportEvent)]


def segments(stream: bytes, cuts: list[int], first: int) -> list[bytes]:
    """The stream in segments that end at the cuts; its SYN had the number `first`."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [tcp(stream[a:b], sequence=first + 1 + a, flags=ACK | PSH) for a, b in pairwise(places)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, len(STREAM)), max_size=12),
    st.integers(2**32 - 900, 2**32 + 900),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_segments_cut_anywhere_in_any_order_and_twice(
    cuts: list[int], first: int, chance: random.Random, again: bool
) -> None:
    pieces = segments(STREAM, cuts, first)
    pieces += segments(STREAM, [cut + 1 for cut in cuts], first) if again else []  # sent again, in other pieces
    chance.shuffle(pieces)
    end = tcp(sequence=first + 1 + len(STREAM), flags=ACK | FIN)
    seen = read(tcp(sequence=first, flags=SYN), *pieces, end)
    assert wires(seen) == MESSAGES
    assert events(seen) == ["connect", "closed"]


@pytest.mark.parametrize("length", range(len(STREAM)))
def test_a_stream_that_ends_anywhere_gives_the_messages_before_and_tells_of_the_rest(length: int) -> None:
    seen = read(
        tcp(sequence=0, flags=SYN),
        *([tcp(STREAM[:length], sequence=1)] if length else []),
        tcp(sequence=1 + length, flags=FIN | ACK),
    )
    whole, rest = [], length
    for message in MESSAGES:
        if rest < len(framed(message)):
            break
        whole.append(message)
        rest -= len(framed(message))
    assert wires(seen) == whole
    assert events(seen) == ["connect", "closed"] + (["cut"] if rest else [])


def test_a_stream_whose_beginning_was_not_seen_is_skipped_and_said_once() -> None:
    seen = read(tcp(STREAM[5:300], sequence=900), tcp(STREAM[300:], sequence=1195), tcp(sequence=1700, flags=FIN | ACK))
    assert wires(seen) == []
    assert events(seen) == ["skipped", "closed"]


def test_a_new_connection_on_the_same_ports_begins_anew() -> None:
    seen = read(
        tcp(STREAM, sequence=900),
        tcp(sequence=5000, flags=SYN),
        tcp(framed(b"hello"), sequence=5001),
        tcp(sequence=9000, flags=SYN),
        tcp(framed(b"again"), sequence=9001),
    )
    assert wires(seen) == [b"hello", b"again"]
    assert events(seen) == ["skipped", "connect", "connect"]


def test_both_directions_by_themselves_and_a_syn_sent_again() -> None:
    seen = read(
        tcp(sequence=10, flags=SYN),
        tcp(sequence=10, flags=SYN),
        tcp(sequence=70, flags=SYN | ACK, back=True),
        tcp(framed(b"query"), sequence=11),
        tcp(framed(b"response"), sequence=71, back=True),
    )
    assert events(seen) == ["connect", "connect", "accepted"]
    assert [(m.source_port, m.wire) for m in seen if isinstance(m, Message)] == [(4000, b"query"), (53, b"response")]


def test_a_refused_connection_and_one_that_is_reset() -> None:
    assert events(read(tcp(sequence=10, flags=SYN), tcp(flags=RST | ACK, back=True))) == ["connect", "reset"]
    seen = read(tcp(sequence=10, flags=SYN), tcp(framed(b"query")[:4], sequence=11), tcp(flags=RST, back=True))
    assert events(seen) == ["connect", "reset", "cut"]
    assert [found.source_port for found in seen] == [4000, 53, 4000], "what is cut is the query"


def test_a_lost_segment_is_told_at_the_end() -> None:
    seen = read(
        tcp(sequence=0, flags=SYN),
        tcp(framed(b"first"), sequence=1),
        tcp(framed(b"third"), sequence=100),
        tcp(flags=RST, sequence=200),
    )
    assert wires(seen) == [b"first"]
    assert events(seen) == ["connect", "reset", "skipped"]


def test_a_stream_does_not_wait_for_ever_for_a_lost_segment() -> None:
    packets = [tcp(bytes(60000), sequence=100 + 60000 * number) for number in range(20)]
    seen = read(tcp(sequence=0, flags=SYN), *packets)
    assert events(seen) == ["connect", "skipped"]
    assert wires(seen) == []


def test_octets_that_the_kernel_had_no_room_for_are_not_guessed() -> None:
    reader = Reader("resolver-1", {})
    frames = [frame(tcp(sequence=0, flags=SYN)), frame(tcp(STREAM, sequence=1), missing=9)]
    seen = [found for one in frames for found in reader.read(one)]
    assert events(seen) == ["connect", "skipped"]
    assert wires(seen) == []


def test_streams_are_forgotten() -> None:
    reader = Reader("resolver-1", {})
    for number in range(9000):
        list(reader.read(frame(tcp(sequence=0, flags=SYN, port=1024 + number))))
    assert len(reader._streams._streams) <= 8192
    for number in range(9000):
        list(reader.read(frame(tcp(sequence=1, flags=FIN | ACK, port=1024 + number))))
    assert not reader._streams._streams
