"""Frames to packets: both versions, fragments in any order, and that nothing in them can raise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observe_frames import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    ethernet,
    fragments,
    frame,
    ip,
    tcp,
    udp,
    udp_datagram,
    unreachable,
)

from lab.agent.frames import Frame
from lab.observe.packets import Datagram, Packets, Segment, Unreachable
from lab.observe.reading import Reader

VERSIONS = pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["4", "6"])


@VERSIONS
def test_a_udp_datagram(client: str, server: str) -> None:
    assert Packets().read(frame(udp(b"question", client, server), time=7)) == Datagram(
        7, (client, 4000, server, 53), b"question", 0
    )


@VERSIONS
def test_a_tcp_segment(client: str, server: str) -> None:
    assert Packets().read(frame(tcp(b"xyz", sequence=5, flags=0x18, ends=(client, server)), time=7)) == Segment(
        7, (client, 4000, server, 53), 5, 0x18, b"xyz", 0
    )


def test_the_padding_of_a_short_frame_is_no_payload() -> None:
    content = ethernet(udp(b"q")) + bytes(20)
    packet = Packets().read(Frame(0, len(content), content))
    assert isinstance(packet, Datagram)
    assert packet.payload == b"q"


def test_other_ports_and_protocols_give_nothing() -> None:
    packets = Packets()
    assert packets.read(frame(udp(b"x", ports=(4000, 123)))) is None
    assert packets.read(frame(ip(CLIENT, SERVER, 47, bytes(30)))) is None
    assert packets.read(Frame(0, 60, bytes(12) + b"\x08\x06" + bytes(46))) is None, "ARP"


def test_what_the_kernel_had_no_room_for_is_told() -> None:
    packet = Packets().read(frame(udp(b"question"), missing=3))
    assert isinstance(packet, Datagram)
    assert packet.missing == 3


@VERSIONS
@pytest.mark.parametrize("seed", range(5))
def test_fragments_in_any_order_make_one_datagram(client: str, server: str, seed: int) -> None:
    payload = bytes(range(256)) * 10
    pieces = list(fragments(client, server, 17, udp_datagram(payload), 512, id=9))
    other = list(fragments(client, server, 17, udp_datagram(payload[::-1]), 512, id=10))
    mixed = [*pieces, pieces[1], *other]  # one of them twice
    random.Random(seed).shuffle(mixed)
    packets = Packets()
    whole = [found for piece in mixed if (found := packets.read(frame(piece))) is not None]
    assert sorted(w.payload for w in whole if isinstance(w, Datagram)) == sorted([payload, payload[::-1]])
    assert len(packets._fragments) <= 1, "the copy of a piece that came late may wait"


def test_overlapping_fragments_are_given_up() -> None:
    first, second = fragments(CLIENT, SERVER, 17, udp_datagram(bytes(100)), 64, id=1)
    overlapping = ip(CLIENT, SERVER, 17, bytes(64), id=1, fragment=0x2000 | 4)
    packets = Packets()
    assert [packets.read(frame(piece)) for piece in (first, overlapping, second)] == [None, None, None]


def test_fragments_do_not_wait_for_ever() -> None:
    packets = Packets()
    first, second = fragments(CLIENT, SERVER, 17, udp_datagram(bytes(100)), 64, id=1)
    assert packets.read(frame(first, time=0)) is None
    other, _ = fragments(CLIENT, SERVER, 17, udp_datagram(bytes(100)), 64, id=2)
    assert packets.read(frame(other, time=31 * 10**9)) is None
    assert packets.read(frame(second, time=32 * 10**9)) is None
    for number in range(5000):
        packets.read(frame(next(fragments(CLIENT, SERVER, 17, bytes(100), 64, id=number)), time=40 * 10**9))
    assert len(packets._fragments) < 1100


@VERSIONS
@pytest.mark.parametrize("transport", [udp, tcp], ids=["udp", "tcp"])
def test_icmp_unreachable_tells_which_packet_it_is_about(client: str, server: str, transport: object) -> None:
    about = udp(b"q", client, server) if transport is udp else tcp(ends=(client, server))
    code = 3 if client == CLIENT else 4
    packet = Packets().read(frame(unreachable(about, server, client, code), time=3))
    assert packet == Unreachable(3, (client, 4000, server, 53), transport is tcp, server, "port unreachable")


def test_icmp_about_something_else_gives_nothing() -> None:
    assert Packets().read(frame(unreachable(udp(b"q", ports=(4000, 80)), SERVER, CLIENT, 3))) is None
    assert Packets().read(frame(ip(SERVER, CLIENT, 1, b"\x08\0" + bytes(60)))) is None, "an echo request"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\x08\x00\x45", b"\x86\xdd\x60", b"\x08\x00", b""]))
def test_no_octets_whatever_raise(content: bytes, kind: bytes) -> None:
    reader = Reader("resolver-1", {})
    whole = bytes(12) + kind + content
    assert len(list(reader.read(Frame(0, len(whole), whole)))) <= 3


def test_a_thousand_damaged_packets_and_then_a_sound_one() -> None:
    chance, reader = random.Random(1), Reader("resolver-1", {CLIENT: "host"})
    sound = [udp(b"question"), tcp(b"\0\1x", flags=0x02), tcp(b"\0\1x", sequence=9), udp(b"q", CLIENT6, SERVER6)]
    sound += list(fragments(CLIENT, SERVER, 17, udp_datagram(bytes(100)), 64, id=1))
    sound += list(fragments(CLIENT6, SERVER6, 17, udp_datagram(bytes(100)), 64, id=1))
    sound.append(unreachable(udp(b"q"), SERVER, CLIENT, 3))
    for _ in range(1000):
        damaged = bytearray(ethernet(chance.choice(sound)))
        for _ in range(chance.randrange(1, 8)):
            damaged[chance.randrange(12, len(damaged))] = chance.randrange(256)
        damaged = damaged[: chance.randrange(1, len(damaged) + 1)]
        for seen in reader.read(Frame(0, len(damaged), bytes(damaged))):
            assert seen.tap == "resolver-1"
    [message] = reader.read(frame(udp(b"question", ports=(5000, 53))))
    assert (message.sender, message.receiver, message.source_port) == ("host", SERVER, 5000)
