"""Datagrams rewritten: lengths and checksums as a receiver checks them; and what is led to the proxy."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.agent.conditions import Rule
from lab.agent.datagrams import changed, content, datagram, leads_to_proxy, through
from lab.agent.effects import Fate
from lab.agent.messages import MessageRule, Messages
from lab.agent.nfqueue import ARRIVING, IN, OUT, Packet
from lab.agent.redirect import PROXIED, redirect_text, redirects

ENDS = {4: ("10.53.0.20", "10.53.0.11"), 6: ("fd53::20", "fd53::11")}
ANSWER = bytes.fromhex("1234 8400 0001 0000 0000 0000 03777777 00 0001 0001")


def udp(message: bytes, version: int = 4, source: int = 53, destination: int = 4000, options: bytes = b"") -> bytes:
    """A packet with its checksums set to nonsense: `changed` must not rely on them."""
    segment = struct.pack(">HHHH", source, destination, 8 + len(message), 0xDEAD) + message
    return ip(segment, 17, version, options)


def ip(segment: bytes, protocol: int, version: int = 4, options: bytes = b"") -> bytes:
    ends = b"".join(ip_address(end).packed for end in ENDS[version])
    if version == 6:
        return struct.pack(">IHBB", 0x6 << 28, len(segment), protocol, 64) + ends + segment
    words = 5 + len(options) // 4
    size = 4 * words + len(segment)
    return struct.pack(">BBHHHBBH", 0x40 | words, 0, size, 7, 0, 64, protocol, 0xBEEF) + ends + options + segment


def folded(data: bytes) -> int:
    """The sum in ones' complement, word by word, as RFC 1071 has it: 0xFFFF if the checksum in it is right."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def check(packet: bytes, version: int) -> None:
    start = (packet[0] & 0xF) * 4 if version == 4 else 40
    (length,) = struct.unpack_from(">H", packet, start + 4)
    if version == 4:
        assert folded(packet[:start]) == 0xFFFF
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        pseudo = packet[12:20] + struct.pack(">BBH", 0, 17, length)
    else:
        assert int.from_bytes(packet[4:6], "big") == len(packet) - 40
        pseudo = packet[8:40] + struct.pack(">IHBB", length, 0, 0, 17)
    assert length == len(packet) - start
    assert folded(pseudo + packet[start:]) == 0xFFFF
    assert packet[start + 6 : start + 8] != b"\0\0", "0 is no checksum"


@settings(deadline=None)  # a busy machine is no judge
@given(st.binary(max_size=3000), st.binary(max_size=300), st.sampled_from([4, 6]), st.booleans())
def test_lengths_and_checksums(new: bytes, old: bytes, version: int, options: bool) -> None:
    packet = udp(old, version, options=bytes(8) if options and version == 4 else b"")
    place = datagram(packet)
    assert place is not None
    assert content(packet, place) == old
    rewritten = changed(packet, place, new)
    check(rewritten, version)
    assert content(rewritten, datagram(rewritten) or place) == new


def test_what_does_not_fit_stays() -> None:
    packet = udp(ANSWER)
    place = datagram(packet)
    assert place is not None
    assert changed(packet, place, bytes(65535)) is packet


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        udp(ANSWER)[:27],
        udp(ANSWER)[:-1],
        udp(ANSWER, source=54, destination=55),
        udp(ANSWER)[:6] + b"\x20\x00" + udp(ANSWER)[8:],
        udp(ANSWER)[:6] + b"\x00\x08" + udp(ANSWER)[8:],
        ip(ANSWER, 6),
        udp(ANSWER, 6)[:41],
    ],
    ids=["nothing", "short", "cut off", "other port", "more fragments", "a later fragment", "TCP", "IPv6 cut off"],
)
def test_what_has_no_message(packet: bytes) -> None:
    assert datagram(packet) is None


@settings(deadline=None)  # a busy machine is no judge
@given(st.binary(max_size=100))
def test_no_octets_can_stop_it(noise: bytes) -> None:
    messages = rules()
    for packet in (noise, udp(noise), udp(noise, 6), b"\x45" + noise, b"\x60" + noise):
        through(Packet(1, OUT, 0, packet), messages, Fate())
        leads_to_proxy(Packet(1, OUT, 0, packet), messages)
        leads_to_proxy(Packet(1, ARRIVING, 0, packet), messages)


class Owned:
    def __init__(self, rule: Rule) -> None:
        self.messages: MessageRule | None = MessageRule(rule)


def rules(*directions: str, kind: str = "wrong-id") -> Messages:
    messages = Messages()
    rule = Rule("r", {"kind": kind}, directions or ("out",), match={"message": "response"})  # type: ignore[arg-type]
    messages.settle([Owned(rule)])
    return messages


@pytest.mark.parametrize("version", [4, 6])
def test_an_answer_on_its_way_is_rewritten(version: int) -> None:
    packet = Packet(1, OUT, 0, udp(ANSWER, version))
    sent = through(packet, rules(), Fate())
    assert sent.content[-len(ANSWER) :] == b"\xed\xcb" + ANSWER[2:]
    check(sent.content, version)
    assert through(packet._replace(hook=IN), rules(), Fate()) is not sent
    assert through(packet._replace(hook=IN), rules(), Fate()).content == packet.content
    lost = Fate()
    assert through(packet, rules(kind="message-drop"), lost) is packet
    assert lost.lost


def tcp(flags: int, version: int = 4, destination: int = 53) -> bytes:
    return ip(struct.pack(">HHIIBBHHH", 4000, destination, 1, 0, 0x50, flags, 1000, 0, 0), 6, version)


@pytest.mark.parametrize("version", [4, 6])
def test_only_the_first_packet_is_led_to_the_proxy(version: int) -> None:
    syn, ack, other = tcp(0x02, version), tcp(0x10, version), tcp(0x02, version, destination=54)
    arriving, opened = rules("out"), rules("in")
    assert leads_to_proxy(Packet(1, ARRIVING, 0, syn), arriving)
    assert not leads_to_proxy(Packet(1, ARRIVING, 0, syn), opened)
    assert leads_to_proxy(Packet(1, OUT, 0, syn), opened)
    assert not leads_to_proxy(Packet(1, OUT, 0, syn), arriving)
    assert not leads_to_proxy(Packet(1, OUT, PROXIED, syn), opened), "the proxy's own"
    assert not leads_to_proxy(Packet(1, IN, 0, syn), arriving)
    assert not any(leads_to_proxy(Packet(1, ARRIVING, 0, packet), arriving) for packet in (ack, other))


def test_what_leads_to_the_proxy_is_put_in_and_taken_out() -> None:
    put = redirect_text("-j NFQUEUE", wanted=True, there=False).splitlines()
    taken = redirect_text("-j NFQUEUE", wanted=False, there=True).splitlines()
    inserted = {line.removeprefix("-I ") for line in put if line.startswith("-I ")}
    assert inserted == {line.removeprefix("-D ") for line in taken if line.startswith("-D ")}
    assert {line[3:] for line in taken if line.startswith("-X ")} == {
        line[1:].split()[0] for line in put if line[0] == ":"
    }
    assert not any(line.startswith(("-F", ":PREROUTING", ":OUTPUT")) for line in put + taken)
    assert redirect_text("-j NFQUEUE", wanted=True, there=True) == ""
    assert redirect_text("-j NFQUEUE", wanted=False, there=False) == ""
    assert redirects("*nat\n:dnslab-redirect - [0:0]\n")
    assert not redirects("*nat\n:DOCKER_OUTPUT - [0:0]\n")
