"""TCP streams: cut anywhere, in any order, sent again, begun unseen; and what happens to connections."""

from __future__ import annotations

import random
from itertools import pairwise

import dns.message
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


def message(number: int, octets: int = 0) -> bytes:
    """A query with an ID, and octets behind its question."""
    made = dns.message.make_query("story.example.com", "TXT", use_edns=False)
    made.id = number
    return made.to_wire() + bytes(octets)


def test_a_connection_that_was_open_before_is_taken_up_where_a_segment_begins_with_a_message() -> None:
    first, second = message(1), message(2, 2000)
    stream = framed(first) + framed(second)
    seen = read(
        tcp(stream[: len(first) + 900], sequence=700),
        tcp(stream[len(first) + 900 :], sequence=700 + len(first) + 900),
        tcp(framed(message(3)), sequence=50, back=True),
    )
    assert wires(seen) == [first, second, message(3)]
    assert events(seen) == []


def test_one_that_was_in_the_middle_of_a_message_is_taken_up_at_the_next() -> None:
    rest, next = framed(message(1, 90))[60:], framed(message(2))
    seen = read(
        tcp(rest, sequence=2**32 - 20),
        tcp(next, sequence=2**32 - 20 + len(rest)),
        tcp(next, sequence=2**32 - 20 + len(rest)),  # sent again
        tcp(framed(message(3)), sequence=len(rest) - 20 + len(next)),
        tcp(sequence=len(rest) - 20 + 2 * len(next), flags=FIN | ACK),
    )
    assert wires(seen) == [message(2), message(3)]
    assert events(seen) == ["skipped", "closed"]


def test_after_a_loss_what_was_told_is_not_told_again() -> None:
    reader = Reader("resolver-1", {})
    one, two, three = (framed(message(number)) for number in (1, 2, 3))
    at = [1, 1 + len(one), 1 + len(one) + len(two)]
    frames = [
        frame(tcp(sequence=0, flags=SYN)),
        frame(tcp(one, sequence=at[0])),
        frame(tcp(two, sequence=at[1]), missing=5),
        frame(tcp(one, sequence=at[0])),  # sent again
        frame(tcp(three, sequence=at[2])),
    ]
    seen = [found for one in frames for found in reader.read(one)]
    assert wires(seen) == [message(1), message(3)]
    assert events(seen) == ["connect", "skipped"]


@pytest.mark.parametrize("place", range(1, len(framed(message(1, 30)))))
def test_no_other_place_of_a_message_is_taken_for_its_beginning(place: int) -> None:
    assert wires(read(tcp(framed(message(1, 30))[place:], sequence=700))) == []


@given(st.binary(max_size=300))
def test_octets_from_anywhere_are_no_error(octets: bytes) -> None:
    header = framed(message(1))[:14]
    read(tcp(octets, sequence=700), tcp(header + octets, sequence=700 + len(octets)))


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
